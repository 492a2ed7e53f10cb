"""Derived files that a purge deletes: sealing where each lies, and deleting those that the approved contract names.

Of a place the database has two things in one field: 32 bytes that say what stood there when it was registered, keyed, and the
path with the list of its entries, sealed under `derived:NAME`. A contract binds the first, so an approval covers this
content, wherever it lies by then, and no other.

Of each file, in a purge: what stands there is compared -> the attempt is filed -> it is deleted, and looked up -> the
inventory has the result. A crash after the filing leaves no doubt: what is gone then is gone by the purge. An attempt that
leaves a file alone is taken back, for whoever moves the file after it has not deleted it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from lineage import located
from lineage.case import CaseFile
from lineage.derived_bounds import REASONS, Bounds, Spared, Why, bounds_of
from lineage.derived_place import Place, destroy_place, look
from lineage.errors import NotAcceptable, RefusedByRule, WrongUsage
from lineage.evidence import add_evidence, evidence, last_filed
from lineage.tables import DerivedFileRow
from lineage.vault import Shredded
from lineage.workspace import Workspace

__all__ = ["destroy_files", "forget_place", "seal_place"]

DELETING = "deleting"
"""The piece of evidence that names the files whose deletion has begun, each with what stood there."""


def seal_place(workspace: Workspace, name: str, path: Path) -> bytes:
    """Read what stands at a path of this machine and seal it for `inventory.put_file`; the same again is sealed as it was.

    Raises:
        WrongUsage: not an absolute path, nothing is there, or a link stands in the way.
        RefusedByRule: a purge would not delete it. No sentence repeats the path.
    """
    if not path.is_absolute():
        raise WrongUsage("Where a file lies is an absolute path.")
    try:
        place = look(path, bounds_of(workspace.settings))
    except Spared as spared:
        error = WrongUsage if spared.why in ("missing", "link") else RefusedByRule
        raise error(
            f"A purge could not delete this: {REASONS[spared.why]}.",
            hint="Without --location somebody withdraws it and says so: lethe inventory retire file",
        ) from None
    what = _what(workspace, name, place)
    with workspace.database.reader() as session:
        row = session.get(DerivedFileRow, name)
    with suppress(Spared):  # what nobody can read is sealed anew
        if row is not None and row.location and row.location.startswith(what) and _open(workspace, row) == place:
            return row.location
    return what + workspace.keystore.seal([(f"derived:{name}", place.to_bytes())])[0]


def forget_place(workspace: Workspace, name: str) -> None:
    """Shred the key of where a file lay that was retired, or that no purge is to delete any more. Safe to repeat."""
    workspace.keystore.shred([f"derived:{name}"])


def destroy_files(workspace: Workspace, case_id: str, *, clock: Callable[[], datetime]) -> list[dict[str, str]]:
    """Delete the files that the approved contract of a case says the machine deletes; safe to repeat.

    Returns for each `file`, `result` and, where it was not reached, `reason`, a key of `derived_bounds.REASONS`. A file
    that cannot be deleted stops nothing: the certificate lists it as not reached.

    Raises:
        RefusedByRule: a legal hold is in place.
        Fault: the disk or the database failed in between; the same call goes on.
    """
    with workspace.database.reader() as session:
        lines: Any = evidence(session, case_id, "contract").get("derived_files", ())
    doomed = [line for line in lines if line.get("deleted_by_machine")]
    bounds = bounds_of(workspace.settings) if doomed else None
    return [_destroy(workspace, case_id, line, bounds=bounds, clock=clock) for line in doomed if bounds]


def _destroy(
    workspace: Workspace, case_id: str, line: Mapping[str, str], *, bounds: Bounds, clock: Callable[[], datetime]
) -> dict[str, str]:
    name = line["file"]
    with workspace.database.reader() as session:
        row, begun = session.get_one(DerivedFileRow, name), last_filed(session, case_id, DELETING)
    if row.ended_at is not None:
        return {"file": name, "result": row.result}
    why: Why | None = None
    try:
        place = _approved(workspace, case_id, line, row)
        destroy_place(
            place, bounds, begun=begun.get(name) == line["content"],
            begin=lambda: _begin(workspace, case_id, begun | {name: line["content"]}, now=clock()),
        )  # fmt: skip
    except Spared as spared:
        why = spared.why
    with workspace.database.transaction() as session:
        if why and name in last_filed(session, case_id, DELETING):
            others = {other: content for other, content in begun.items() if other != name}
            add_evidence(session, case_id, DELETING, others, now=clock())
        located.tried(session, name, case_id=case_id, reason=why or "", now=clock())
    return {"file": name, "result": "not_reached", "reason": why} if why else {"file": name, "result": "deleted"}


def _begin(workspace: Workspace, case_id: str, begun: Mapping[str, str], *, now: datetime) -> None:
    """Nothing of the file is deleted yet. A hold that came in between wins."""
    with workspace.database.transaction() as session:
        CaseFile(session, case_id).require_nothing_held()
        add_evidence(session, case_id, DELETING, begun, now=now)


def _approved(workspace: Workspace, case_id: str, line: Mapping[str, str], row: DerivedFileRow) -> Place:
    """Where a file lies, if what stood there when that was said is what the contract binds.

    Raises:
        Spared: it is something else, or nobody can read where it lies.
    """
    if workspace.keyring.handle(case_id, located.what_stands(row)) != line["content"]:
        raise Spared("changed")
    return _open(workspace, row)


def _open(workspace: Workspace, row: DerivedFileRow) -> Place:
    """Where a file lies and what stood there, both halves of the field about the same.

    Raises:
        Spared: nobody can read it, or somebody has joined halves of two.
    """
    try:
        place = Place.from_bytes(workspace.keystore.open([(f"derived:{row.name}", located.sealed_place(row))])[0])
    except (Shredded, NotAcceptable):
        raise Spared("unreadable") from None
    if _what(workspace, row.name, place).hex() != located.what_stands(row):
        raise Spared("changed")
    return place


def _what(workspace: Workspace, name: str, place: Place) -> bytes:
    return bytes.fromhex(workspace.keyring.mac("derived", name, place.digest))
