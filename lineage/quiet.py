"""Keeping a chatty library silent and light, without losing what its silence would hide.

Presidio logs raw values at some levels and, worse, logs a recogniser's failure and goes on. Here its loggers are shut at
the source, and a warning or error among what they would have said is remembered for the thread that scans.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

__all__ = ["Complaint", "forget_complaints", "silence", "without_torch", "worst_complaint"]

Complaint: TypeAlias = Literal["scan_timeout", "scan_failed"]


class _Silence(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self._local = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            self.heard().append("scan_timeout" if "timed out" in str(record.msg) else "scan_failed")
        return False

    def heard(self) -> list[Complaint]:
        if not hasattr(self._local, "heard"):
            self._local.heard = []
        heard: list[Complaint] = self._local.heard
        return heard


_SILENCE = _Silence()


def silence(*logger_names: str) -> None:
    """Drop every record of these loggers, whatever levels and handlers somebody sets. Idempotent."""
    for name in logger_names:
        logging.getLogger(name).addFilter(_SILENCE)


def forget_complaints() -> None:
    """Start a scan with a clean slate (this thread's)."""
    _SILENCE.heard().clear()


def worst_complaint() -> Complaint | None:
    """What the silenced loggers warned of in this thread since `forget_complaints`; None if nothing."""
    heard = _SILENCE.heard()
    return ("scan_timeout" if "scan_timeout" in heard else "scan_failed") if heard else None


@contextmanager
def without_torch() -> Iterator[None]:
    """Make `import torch` and `import transformers` fail in this block, unless they are loaded already.

    Presidio imports both eagerly and uses neither for patterns (6 s, several hundred MB). Afterwards they import normally.
    """
    blocked = [name for name in ("torch", "transformers") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(blocked))  # type: ignore[arg-type]  # None is how Python spells "do not import"
    try:
        yield
    finally:
        for name in blocked:
            if sys.modules.get(name, ...) is None:
                del sys.modules[name]
