"""The journal of erasures: an append-only file outside the database, written before the first destructive step.

A database restored from a backup brings erased people back; the journal, which is not restored with it, says who must
go again. It holds keyed digests and case ids only.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from lineage.errors import NotAcceptable

__all__ = ["Entry", "append", "entries"]


@dataclass(frozen=True)
class Entry:
    """One purge that was begun: its case, the approved purge digest, and the records (keyed ids) that it destroys.

    `subject_key` is empty when the person stays known (withdrawal of consent). Of the records in `redacted_ids` it destroys only what they said before the case freed them of the person.
    """

    case_id: str
    purge_digest: str
    at: str
    record_ids: tuple[str, ...]
    subject_key: str
    redacted_ids: tuple[str, ...] = ()


def append(path: Path, entry: Entry) -> None:
    """Write one line and sync it to the disk before returning. Repeating an entry is harmless."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "r+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        # A line that a crash tore off would swallow this one; its own purge had not begun, so it goes.
        stream.truncate(stream.read().rfind(b"\n") + 1)
        stream.write(json.dumps(asdict(entry), sort_keys=True).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def entries(path: Path) -> Iterator[Entry]:
    """Every entry, oldest first. A line without its end (a crash while writing) is passed over: its purge had not begun.

    Raises:
        NotAcceptable: a whole line does not parse.
    """
    if not path.exists():
        return
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            fields = json.loads(line)
            redacted = {"redacted_ids": tuple(fields.get("redacted_ids", ()))}
            yield Entry(**{**fields, **redacted, "record_ids": tuple(fields["record_ids"])})
        except (AttributeError, TypeError, KeyError, ValueError):
            raise NotAcceptable(f"Line {number} of the erasure journal is damaged.") from None
