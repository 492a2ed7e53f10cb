"""The journal of erasures: an append-only file outside the database, written before the first destructive step.

A database restored from a backup brings erased people back; the journal, which is not restored with it, says who must
go again (`lineage.replay`). It holds keyed digests and case ids only.

A purge writes a line when it begins, with everything that its replay needs, and a short one when rows are destroyed: from
then on a database that still holds them is a restored one. Lines are added and never changed; they leave when the time is
over for which what they tell of is kept (`lineage.retention`).
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from lineage.durable import refusals, write_whole
from lineage.errors import NotAcceptable

__all__ = ["BEGUN", "DESTROYED", "LIFTED", "Entry", "append", "entries", "forget"]

BEGUN, DESTROYED, LIFTED = "begun", "destroyed", "lifted"


@dataclass(frozen=True)
class Entry:
    """One purge: its case, the approved purge digest, and the records (keyed ids) that it destroys.

    `subject_key` is empty when the person stays known (withdrawal of consent). Of the records in `redacted_ids` it destroys
    only what they said before the case freed them of the person; those in `kept_ids` stay. What keeps all of them out is
    `form_hmacs` (kind and digest) with `cues`, `given_hmacs` (contents) and `id_hmacs` (given ids). Of the cues it has only
    those that no earlier erasure needed, so that nobody can count here either how many are called by a first name.

    `kind` is `BEGUN`, `DESTROYED`, or `LIFTED` when a DPO let the person and the records in again; it is empty in lines of a
    version that wrote none when rows were destroyed.
    """

    case_id: str
    purge_digest: str
    at: str
    record_ids: tuple[str, ...] = ()
    subject_key: str = ""
    redacted_ids: tuple[str, ...] = ()
    kept_ids: tuple[str, ...] = ()
    form_hmacs: tuple[tuple[str, str], ...] = ()
    cues: tuple[str, ...] = ()
    given_hmacs: tuple[str, ...] = ()
    id_hmacs: tuple[str, ...] = ()
    kind: str = ""


def append(path: Path, entry: Entry) -> None:
    """Write one line and sync it to the disk before returning. Repeating an entry is harmless.

    Raises:
        Fault: the disk refused; a line that it tore off does not count.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with refusals("The erasure journal"), _locked(path) as stream:
        # A line that a crash tore off would swallow this one; its own purge had not begun, so it goes.
        stream.truncate(stream.read().rfind(b"\n") + 1)
        stream.write(json.dumps(asdict(entry), sort_keys=True).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def forget(path: Path, is_over: Callable[[Entry], bool]) -> int:
    """Take out the purges of which every line is over; returns how many lines. The rest stays byte for byte."""
    if not path.exists():
        return 0
    with _locked(path) as stream:
        whole = list(entries(path))
        staying = {(entry.case_id, entry.purge_digest) for entry in whole if not is_over(entry)}
        lines = stream.read().split(b"\n")[: len(whole)]
        kept = [line for line, e in zip(lines, whole, strict=True) if (e.case_id, e.purge_digest) in staying]
        if len(kept) < len(whole):
            write_whole(path, b"".join(line + b"\n" for line in kept))
            path.chmod(0o600)
    return len(whole) - len(kept)


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """The file, read and appended to by nobody else meanwhile; not one that was replaced while we waited for it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if path.exists() and path.stat().st_ino == os.fstat(stream.fileno()).st_ino:
                yield stream
                return


def entries(path: Path) -> Iterator[Entry]:
    """Every entry, oldest first. A line without its end (a crash while writing) is passed over: its purge had not begun.

    Raises:
        NotAcceptable: a whole line does not parse.
    """
    if not path.exists():
        return
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            yield _entry(json.loads(line))
        except (AttributeError, TypeError, KeyError, ValueError):
            raise NotAcceptable(f"Line {number} of the erasure journal is damaged.") from None


def _entry(fields: dict[str, Any]) -> Entry:
    lists: dict[str, Any] = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    forms = tuple((kind, digest) for kind, digest in lists.get("form_hmacs", ()))
    return Entry(**{**fields, **lists, "record_ids": lists["record_ids"], "form_hmacs": forms})
