"""Is a byte of the person left? A search of every file under a folder for every form, in every coding we know.

Each form is looked for as UTF-8 and UTF-16 (both orders), in three letter cases, as base64 in its three alignments, and
inside gzip streams. Callers add patterns of their own (token ids). A finding is a count and a file, never the form.

The search reads the workspace's own databases, and it does so in a process of its own. On POSIX systems a process that
closes *any* descriptor of a file loses all its locks on it (https://www.sqlite.org/howtocorrupt.html, section 2.2), so
reading an SQLite file beside an open connection would let another process take the database from under it.
"""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import sys
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ahocorasick_rs

from lineage.errors import Fault

__all__ = ["ByteScan", "patterns_of", "scan_bytes", "search_files"]

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
    """Search every file under `folder` in a child process, which gets the forms on its standard input.

    Raises:
        Fault: the child failed; nothing is known then, and nothing may be called clean.
    """
    patterns = sorted({p for form in forms for p in patterns_of(form)} | set(extra))
    command = [sys.executable, "-m", "lineage.bytescan", str(folder)]
    given = json.dumps([base64.b64encode(pattern).decode() for pattern in patterns])
    result = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise Fault("The search for bytes of the person failed.", hint="Run the purge again.")
    found = json.loads(result.stdout)
    return ByteScan(len(forms), found["files"], found["bytes"], tuple(found["hits"]))


def search_files(folder: Path, patterns: Sequence[bytes]) -> ByteScan:
    """Search every file under `folder`, in this process. Files that vanish while it runs are passed over."""
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
    return ByteScan(0, files, total, tuple(hits))


def _bodies(content: bytes) -> Iterable[bytes]:
    """The content, and what unpacks from it."""
    yield content
    if content[:2] == GZIP_MAGIC:
        try:
            yield gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            return


def main() -> None:
    """The child: patterns on standard input, counts and file names on standard output."""
    patterns = [base64.b64decode(pattern) for pattern in json.loads(sys.stdin.read())]
    found = search_files(Path(sys.argv[1]), patterns)
    json.dump({"files": found.files, "bytes": found.bytes, "hits": found.hits}, sys.stdout)


if __name__ == "__main__":
    main()
