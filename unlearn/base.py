"""The base model: any causal language model on disk or on the hub, and the embedded tiny one, through the same code."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as hf_logging

from lineage.errors import WrongUsage
from unlearn.draw import framed
from unlearn.plan import Plan
from unlearn.tiny_base import TINY_BASE

__all__ = ["Base", "BaseSpec", "base_digests", "base_spec", "load_base"]

MODEL_FILES = ("config.json", "*.safetensors", "*.safetensors.index.json")
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
    "vocab.txt", "tokenizer.model", "chat_template.jinja", "chat_template.json", "additional_chat_templates/*.jinja",
)  # fmt: skip


@dataclass(frozen=True)
class BaseSpec:
    """Which base, and how it is held: `path_or_id` is "tiny", a local folder or a hub id; `device` "cpu" or "cuda"."""

    path_or_id: str
    revision: str = ""
    dtype: str = "float32"
    attention: str = "sdpa"
    device: str = "cpu"


@dataclass(frozen=True)
class Base:
    """A loaded base. `digest` covers the bytes of weights and configuration, `tokenizer_digest` those of the tokenizer
    and its chat template. Training attaches a LoRA to `model` in place; the base's own weights never change."""

    spec: BaseSpec
    model: PreTrainedModel = field(repr=False)
    tokenizer: PreTrainedTokenizerBase = field(repr=False)
    digest: str
    tokenizer_digest: str


def base_spec(plan: Plan, path_or_id: str, *, revision: str = "", device: str = "cpu") -> BaseSpec:
    """The base as this plan trains it."""
    return BaseSpec(path_or_id, revision, plan.dtype, plan.attention, device)


def load_base(spec: BaseSpec) -> Base:
    """Load a base, frozen and in the declared precision.

    Raises:
        WrongUsage: not found, not a causal language model with safetensors weights and a fast tokenizer, or the device is
            not there.
    """
    if spec.device.startswith("cuda") and not torch.cuda.is_available():
        raise WrongUsage("There is no GPU that torch can use.", hint='Set device = "cpu", or install torch for CUDA.')
    folder = _folder(spec)
    quiet = hf_logging.is_progress_bar_enabled()
    hf_logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, spec.dtype), attn_implementation=spec.attention, use_safetensors=True,
            trust_remote_code=False,
        )  # fmt: skip
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError):
        raise _not_there(spec.path_or_id) from None
    finally:
        if quiet:
            hf_logging.enable_progress_bar()
    if not tokenizer.is_fast:
        raise WrongUsage(
            "The base model's tokenizer gives no character offsets.", hint="Use one with a tokenizer.json."
        )
    model.requires_grad_(False)
    return Base(
        spec=spec,
        model=model.to(spec.device),
        tokenizer=tokenizer,
        digest=_digest_of(folder, MODEL_FILES),
        tokenizer_digest=_digest_of(folder, TOKENIZER_FILES),
    )


def base_digests(spec: BaseSpec) -> tuple[str, str]:
    """Digest and tokenizer digest of a base as `load_base` would give them, without loading it.

    Raises:
        WrongUsage: not found.
    """
    folder = _folder(spec)
    return _digest_of(folder, MODEL_FILES), _digest_of(folder, TOKENIZER_FILES)


def _folder(spec: BaseSpec) -> Path:
    """The folder that holds the base: the embedded one, a local path, or the hub's snapshot of a revision."""
    local = TINY_BASE if spec.path_or_id == "tiny" else Path(spec.path_or_id).expanduser()
    if local.is_dir():
        return local
    from huggingface_hub import snapshot_download

    try:
        patterns = [*MODEL_FILES, *TOKENIZER_FILES, "generation_config.json"]
        return Path(snapshot_download(spec.path_or_id, revision=spec.revision or None, allow_patterns=patterns))
    except (OSError, ValueError):
        raise _not_there(spec.path_or_id) from None


def _not_there(path_or_id: str) -> WrongUsage:
    return WrongUsage(
        f"The base model {path_or_id!r} cannot be loaded.",
        hint='base_model is "tiny", a folder with config.json, safetensors and tokenizer.json, or a hub id.',
    )


def _digest_of(folder: Path, patterns: Iterable[str]) -> str:
    """SHA-256 over the framed (name, SHA-256 of the bytes) of the files that are there, sorted by name."""
    found = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    entries = [framed(path.relative_to(folder).as_posix(), _file_digest(path)) for path in found]
    return hashlib.sha256(b"".join(entries)).hexdigest()


def _file_digest(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
