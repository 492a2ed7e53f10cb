"""Files that are there whole or not at all, also after a crash: written aside, synced, renamed into place."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lineage.errors import Fault

__all__ = ["refusals", "write_synced", "write_whole"]


@contextmanager
def refusals(what: str, *, hint: str = "Nothing half done is visible; make room and try again.") -> Iterator[None]:
    """One sentence for whatever the disk says against writing `what`.

    Raises:
        Fault: it refused.
    """
    try:
        yield
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else type(error).__name__
        raise Fault(f"{what} could not be written: {reason}.", hint=hint) from None


def write_synced(path: Path, content: bytes) -> None:
    """Write a file and wait until the disk has it."""
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def write_whole(path: Path, content: bytes, *, mode: int | None = None) -> Path:
    """Replace a file in one step, making its folder if need be; returns the path. `mode` is the file's from its first byte.

    Raises:
        OSError: the disk refused; the old file, if there was one, is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if mode is not None:
            temporary.touch(mode)
            temporary.chmod(mode)
        write_synced(temporary, content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return path
