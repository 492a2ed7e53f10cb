"""Where an adapter's base model is, and how adapters name it."""

from __future__ import annotations

from pathlib import Path

from lineage.settings import AdapterSettings
from unlearn.tiny_base import TINY_BASE

__all__ = ["base_for_probes", "base_name", "tokenizer_file"]


def base_name(settings: AdapterSettings) -> str:
    """How adapters name their base: the hub id or "tiny" as given, a local folder by its last part, never by its path."""
    given = settings.base_model
    return Path(given).name if Path(given).is_dir() else given


def base_for_probes(settings: AdapterSettings) -> str:
    """Where the judge finds the base: the embedded one by its path, any other as configured."""
    return str(TINY_BASE) if settings.base_model == "tiny" else settings.base_model


def tokenizer_file(settings: AdapterSettings) -> Path | None:
    """The adapter's tokenizer.json where it lies on this machine; None for a base that is only on a hub."""
    path = Path(base_for_probes(settings)) / "tokenizer.json"
    return path if path.is_file() else None
