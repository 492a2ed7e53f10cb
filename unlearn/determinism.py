"""What must hold on a machine so that the same recipe gives the same bytes, and how a machine is told from another."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import rfc8785
import torch

from unlearn.draw import draw
from unlearn.instructions import require
from unlearn.plan import Plan

__all__ = ["Fingerprint", "environment_fingerprint", "pin_environment", "reseed", "seed_for"]

PACKAGES = ("torch", "transformers", "peft", "tokenizers", "safetensors")
INSTRUCTION_SETTINGS = (
    "ATEN_CPU_CAPABILITY", "CUBLAS_WORKSPACE_CONFIG", "DNNL_MAX_CPU_ISA", "MKL_CBWR", "MKL_DYNAMIC", "MKL_ENABLE_INSTRUCTIONS",
    "ONEDNN_DEFAULT_FPMATH_MODE", "ONEDNN_MAX_CPU_ISA", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)  # fmt: skip


@dataclass(frozen=True)
class Fingerprint:
    """The facts of an environment on which the last bit of a sum may depend. Equality of states holds per fingerprint."""

    facts: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of the facts."""
        return hashlib.sha256(rfc8785.dumps(dict(self.facts))).hexdigest()


def pin_environment(plan: Plan, *, device: str = "cpu") -> None:
    """Set every switch the law needs, for the whole process. Safe to repeat.

    On CUDA only the plain attention kernel is left: its backward pass is deterministic.

    Raises:
        WrongUsage: the plan wants another instruction set than this process was started with.
    """
    require(plan.isa, capability=torch.backends.cpu.get_cpu_capability())
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # costs time; no result reads such memory
    torch.set_num_threads(plan.threads)
    torch.set_float32_matmul_precision("highest")
    torch.set_flush_denormal(False)
    torch.backends.cudnn.benchmark = False
    if device.startswith("cuda"):
        torch.backends.cuda.enable_flash_sdp(False)
        torch.backends.cuda.enable_mem_efficient_sdp(False)
        torch.backends.cuda.enable_cudnn_sdp(False)


def environment_fingerprint(plan: Plan, *, device: str = "cpu") -> Fingerprint:
    """The fingerprint of this process under a plan: versions, processor, instruction sets, threads, flags, device."""
    facts = {**_versions()}
    facts |= {name.lower(): os.environ.get(name, "") for name in INSTRUCTION_SETTINGS}
    facts |= _processor() | _build()
    facts |= {
        "device": device.partition(":")[0],
        "threads": str(plan.threads),
        "dtype": plan.dtype,
        "attention": plan.attention,
        "deterministic": "on",
        "matmul_precision": "highest",
    }
    return Fingerprint(facts | (_accelerator(device) if device.startswith("cuda") else {}))


def seed_for(key: bytes, *parts: str | int) -> int:
    """A seed in [0, 2**63) that depends on the key and the parts only."""
    return draw(key, "seed", *parts) >> 1


def reseed(seed: int, *, device: str = "cpu") -> None:
    """Start the random numbers of the device afresh, so that dropout has no history."""
    if device.startswith("cuda"):
        torch.cuda.manual_seed_all(seed)
    else:
        torch.default_generator.manual_seed(seed)


@lru_cache(maxsize=1)
def _versions() -> Mapping[str, str]:
    return {name: version(name) for name in PACKAGES}  # reads five files of metadata; a process keeps what it imported


@lru_cache(maxsize=1)
def _processor() -> Mapping[str, str]:
    known = {"vendor_id": "cpu_vendor", "model name": "cpu_model", "cpu family": "cpu_family", "model": "cpu_number"}
    facts = {"machine": platform.machine(), "cpu_capability": torch.backends.cpu.get_cpu_capability()}
    facts["mkl"] = str(torch.backends.mkl.is_available())
    facts["onednn"] = str(torch.backends.mkldnn.is_available())
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().split("\n\n")[0].splitlines() if cpuinfo.exists() else []
    for name, _, value in (line.partition(":") for line in lines):
        if fact := known.get(name.strip()):
            facts[fact] = value.strip()
    return facts | ({} if "cpu_model" in facts else {"cpu_model": platform.processor()})


@lru_cache(maxsize=1)
def _build() -> Mapping[str, str]:
    """How torch was built, with the versions of MKL and oneDNN, and the C library, whose exp and log it calls."""
    config = hashlib.sha256(torch.__config__.show().encode()).hexdigest()
    return {"torch_build": config[:16], "libc": " ".join(platform.libc_ver())}


def _accelerator(device: str) -> Mapping[str, str]:
    capability = torch.cuda.get_device_capability(device)
    return {
        "gpu": torch.cuda.get_device_name(device),
        "gpu_capability": f"{capability[0]}.{capability[1]}",
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),
        "driver": _driver(),
    }


def _driver() -> str:
    path = Path("/proc/driver/nvidia/version")
    return path.read_text().splitlines()[0].strip() if path.exists() else "unknown"
