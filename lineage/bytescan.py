"""Is a byte of the person left? A search of every file under a folder for every form, in every coding we know.

Each form is looked for as UTF-8 and UTF-16 (both orders), in three letter cases, as base64 in its three alignments, and
inside gzip streams. Callers add patterns of their own (token ids). A finding is a count and a file, never the form.
"""

from __future__ import annotations

import base64
import gzip
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ahocorasick_rs

__all__ = ["ByteScan", "patterns_of", "scan_bytes"]

MIN_PATTERN_BYTES = 5
GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class ByteScan:
    """How much was searched, and the files (relative) that hold a pattern. `clean` is what a purge must reach."""

    forms: int
    files: int
    bytes: int
    hits: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.hits


def patterns_of(form: str) -> set[bytes]:
    """The byte patterns of one form. Forms shorter than five bytes would match by chance and are passed over."""
    spellings = {form, form.lower(), form.upper()}
    plain = {text.encode(coding) for text in spellings for coding in ("utf-8", "utf-16-le", "utf-16-be")}
    return {p for p in plain | {b for text in plain for b in _base64(text)} if len(p) >= MIN_PATTERN_BYTES}


def _base64(plain: bytes) -> Iterable[bytes]:
    """The characters that do not depend on the neighbours, for each of the three alignments."""
    for offset in range(3):
        coded = base64.b64encode(b"\0" * offset + plain)
        # A character holds six bits: those that hold a bit of a neighbour, or padding, are left out at both ends.
        end = len(coded) - (0, 3, 2)[(len(plain) + offset) % 3]
        yield coded[(0, 2, 3)[offset] : end]


def scan_bytes(folder: Path, forms: Sequence[str], extra: Iterable[bytes] = ()) -> ByteScan:
    """Search every file under `folder`. Files that vanish while it runs are passed over."""
    patterns = sorted({p for form in forms for p in patterns_of(form)} | set(extra))
    search = ahocorasick_rs.BytesAhoCorasick(patterns) if patterns else None
    files = total = 0
    hits: list[str] = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink()):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue
        files, total = files + 1, total + len(content)
        name = str(path.relative_to(folder))
        if search and any(search.find_matches_as_indexes(body) for body in (name.encode(), *_bodies(content))):
            hits.append(name)
    return ByteScan(len(forms), files, total, tuple(hits))


def _bodies(content: bytes) -> Iterable[bytes]:
    """The content, and what unpacks from it."""
    yield content
    if content[:2] == GZIP_MAGIC:
        try:
            yield gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            return
