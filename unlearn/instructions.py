"""Which instruction set torch, oneDNN and MKL may use: asked for before torch is loaded, verified before it trains.

A sum in AVX2 lanes rounds otherwise than one in AVX-512 lanes. A plan with an `isa` gives the same code paths on every
processor that offers them. The names: `ATEN_CPU_CAPABILITY` (pytorch, aten/src/ATen/native/DispatchStub.cpp),
`ONEDNN_MAX_CPU_ISA` (oneDNN, "CPU dispatcher control") and `MKL_CBWR` (oneMKL, "Specifying code branches"; on processors
that are not Intel's it knows COMPATIBLE only and takes its AUTO branch for the other names). Nothing here imports torch.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from lineage.errors import WrongUsage

__all__ = ["INSTRUCTION_SETS", "ask_for", "require"]

INSTRUCTION_SETS: Mapping[str, Mapping[str, str]] = {
    "": {},  # what the processor offers
    "default": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "AVX2"},
    "avx512": {"ATEN_CPU_CAPABILITY": "avx512", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "MKL_CBWR": "AVX512"},
}


def ask_for(isa: str) -> None:
    """Set the variables of an instruction set, unless torch is loaded: then it is too late, and `require` will say so."""
    if "torch" not in sys.modules:
        os.environ |= INSTRUCTION_SETS[isa]


def require(isa: str, *, capability: str) -> None:
    """Check that this process computes with an instruction set; `capability` is what torch says it uses.

    Raises:
        WrongUsage: it does not.
    """
    pinned = [name for name, wanted in INSTRUCTION_SETS.items() if wanted and wanted.items() <= os.environ.items()]
    if pinned == ([isa] if isa else []) and (not isa or capability.lower() == isa):
        return
    variables = " ".join(f"{name}={value}" for name, value in INSTRUCTION_SETS[isa].items())
    raise WrongUsage(
        f"This process computes with {capability}; the plan wants {isa or 'what the processor offers'}.",
        hint=f"Train this adapter in a process of its own{f', started with {variables}' if variables else ''}.",
    )
