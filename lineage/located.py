"""Files of the inventory that lie at a known place: what a contract says of them, and what a purge writes of each.

A place is one field of two parts: a keyed digest of what stood there, and the sealed path (`lineage.derived`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime

from sqlmodel import Session

from lineage import ledger
from lineage.access import SYSTEM_NAME
from lineage.inventory import DerivedFile
from lineage.purge import tainted
from lineage.tables import DerivedFileRow

__all__ = ["lines_of_files", "sealed_place", "tried", "what_stands"]

WHAT_BYTES = 32


def lines_of_files(
    session: Session, files: Collection[DerivedFile], changed_ids: Collection[str], *, handle: Callable[[str], str]
) -> list[dict[str, object]]:
    """What a contract says of files: whether the purge deletes each, and by a handle, what stood there.

    It deletes what was made from records, and from adapters that have learnt one of the changed records; a file of an
    adapter that never saw them is only listed.
    """
    located = {file.name for file in files if file.by_purge}
    held = set(tainted(session, sorted(changed_ids)).composed_adapters) if located else set()
    lines: list[dict[str, object]] = []
    for file in files:
        line: dict[str, object] = {"file": file.name, "kind": file.kind}
        if file.name in located and (file.composed_digest is None or file.composed_digest in held):
            content = handle(what_stands(session.get_one(DerivedFileRow, file.name)))
            line |= {"deleted_by_machine": True, "content": content}
        lines.append(line)
    return lines


def what_stands(row: DerivedFileRow) -> str:
    """A keyed digest of what stood where a file lies when that was said; empty if nobody has said it."""
    return (row.location or b"")[:WHAT_BYTES].hex()


def sealed_place(row: DerivedFileRow) -> bytes:
    """Where a file lies, sealed under `derived:NAME`."""
    return (row.location or b"")[WHAT_BYTES:]


def tried(session: Session, name: str, *, case_id: str, reason: str, now: datetime) -> None:
    """A purge has deleted a file, which ends its entry, or has left it alone for a reason, and the entry waits for somebody."""
    row = session.get_one(DerivedFileRow, name)
    row.result = "not_reached" if reason else "deleted"
    if not reason:
        row.location, row.ended_at = None, now
    session.flush()
    verb, why = (
        ("inventory.not_reached", {"reason": reason}) if reason else ("inventory.retired", {"result": "deleted"})
    )
    ledger.append(
        session, at=now, kind=verb, payload={"what": "file", "name": name, "by": SYSTEM_NAME, **why}, case_id=case_id
    )
