"""Files that are there whole or not at all, also after a crash: written aside, synced, renamed into place."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["write_synced", "write_whole"]


def write_synced(path: Path, content: bytes) -> None:
    """Write a file and wait until the disk has it."""
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def write_whole(path: Path, content: bytes) -> Path:
    """Replace a file in one step, making its folder if need be; returns the path.

    Raises:
        OSError: the disk refused; the old file, if there was one, is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write_synced(temporary, content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return path
