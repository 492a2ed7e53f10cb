"""What a DPO decided about single records of a case, and which records are under a legal hold: read, and asked before harm.

A decision belongs to a case; a hold (Art. 17(3)(e) GDPR) belongs to the record, whichever case it was placed in: no case may
change or destroy a record that any case holds. `lineage.decisions` writes both and lays them over a search. A record that its
case holds may be left out of its purge; from then on `lineage.held_back` keeps the hold.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, bindparam
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from lineage.database import in_chunks
from lineage.errors import RefusedByRule, WrongUsage
from lineage.tables import CaseDecisionRow, CaseRecordRow, HeldBackRow

__all__ = [
    "LEAVE_OUT", "MIN_HANDLE_CHARS", "Decided", "decisions_digest", "decisions_of", "find_record", "held_in", "held_of",
    "holds_any", "left_out_of", "require_decided", "require_spared",
]  # fmt: skip

LEAVE_OUT = "leave-out"
MIN_HANDLE_CHARS = 8


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided about one record. An empty decision leaves it with the search; an empty reason is no hold."""

    handle: str
    decision: str  # erase | redact | keep | unrelated | leave-out
    ground: str
    hold_reason: str
    decided_by: str


def _about(listed: type[CaseRecordRow]) -> ColumnElement[bool]:
    """The ruling and the listed record are of the same case and handle."""
    return and_(col(CaseDecisionRow.case_id) == col(listed.case_id), col(CaseDecisionRow.handle) == col(listed.handle))


_LISTED, _ELSEWHERE = aliased(CaseRecordRow), aliased(CaseRecordRow)
# Asked whenever a case is looked at, so written once: to build them takes longer than to ask.
_RULINGS = (
    select(CaseDecisionRow)
    .where(col(CaseDecisionRow.case_id) == bindparam("case_id"))
    .order_by(col(CaseDecisionRow.handle))
)
_HELD = (
    select(_LISTED.handle)
    .join(_ELSEWHERE, col(_ELSEWHERE.record_id) == col(_LISTED.record_id))
    .join(CaseDecisionRow, _about(_ELSEWHERE))
    .where(col(_LISTED.case_id) == bindparam("case_id"), CaseDecisionRow.hold_reason != "")
)
_HELD_BACK = (
    select(_LISTED.handle)
    .join(HeldBackRow, col(HeldBackRow.record_id) == col(_LISTED.record_id))
    .where(col(_LISTED.case_id) == bindparam("case_id"))
)


def decisions_of(session: Session, case_id: str) -> dict[str, Decided]:
    """The rulings of a case, by handle."""
    return {
        row.handle: Decided(row.handle, row.decision, row.ground, row.hold_reason, row.decided_by)
        for row in session.exec(_RULINGS, params={"case_id": case_id}).all()
    }


def find_record(session: Session, case_id: str, handle: str) -> CaseRecordRow:
    """The record of a case that a handle, or its beginning, means.

    Raises:
        WrongUsage: the beginning is too short or means several records.
        RefusedByRule: the record is not one of the case's.
    """
    begins = col(CaseRecordRow.handle).startswith(handle, autoescape=True)
    found = session.exec(select(CaseRecordRow).where(CaseRecordRow.case_id == case_id, begins).limit(2)).all()
    if len(handle) < MIN_HANDLE_CHARS or len(found) > 1:
        raise WrongUsage(f"Give at least {MIN_HANDLE_CHARS} characters of the record's handle, so that it means one.")
    if not found:
        raise RefusedByRule(f"That record is not one of case {case_id}.", hint=f"See them: lethe erase show {case_id}")
    return found[0]


def held_of(session: Session, record_ids: Collection[str] | None = None) -> set[str]:
    """Those of the records (all, if none are given) that are under a legal hold, in whatever case it was placed."""
    held = (
        select(CaseRecordRow.record_id)
        .join(CaseDecisionRow, _about(CaseRecordRow))
        .where(CaseDecisionRow.hold_reason != "", col(CaseRecordRow.record_id).is_not(None))
    )
    found = {record_id for record_id in session.exec(held).all() if record_id}
    found |= set(session.exec(select(HeldBackRow.record_id)).all())
    return found if record_ids is None else found & set(record_ids)


def holds_any(session: Session, case_id: str) -> bool:
    """Whether the case itself holds a record; then it must stay known which one."""
    return any(ruling.hold_reason for ruling in decisions_of(session, case_id).values())


def held_in(session: Session, case_id: str) -> int:
    """How many records keep a case from destroying anything: those it holds, and those of its own that another case holds.

    A hold of its own counts also when its record is not listed any more. What it leaves out of its purge does not.
    """
    rulings = decisions_of(session, case_id).values()
    held = {ruling.handle for ruling in rulings if ruling.hold_reason}
    for query in (_HELD, _HELD_BACK):
        held.update(session.exec(query, params={"case_id": case_id}).all())
    return len(held - {ruling.handle for ruling in rulings if _left_out(ruling)})


def left_out_of(session: Session, case_id: str) -> set[str]:
    """The records under a legal hold that a case leaves out of its purge, and restricts (Art. 18 GDPR) until it is lifted."""
    listed = _listed(session, case_id)
    return {
        listed[handle]
        for handle, ruling in decisions_of(session, case_id).items()
        if _left_out(ruling) and handle in listed
    }


def _left_out(ruling: Decided) -> bool:
    return ruling.decision == LEAVE_OUT and bool(ruling.hold_reason)


def _listed(session: Session, case_id: str) -> dict[str, str]:
    """The records of a case that still have an id, by handle."""
    query = select(CaseRecordRow.handle, CaseRecordRow.record_id).where(CaseRecordRow.case_id == case_id)
    return {handle: record_id for handle, record_id in session.exec(query).all() if record_id}


def require_spared(session: Session, case_id: str, record_ids: Collection[str]) -> None:
    """Refuse to touch a record that is kept or held: the last guard, in the transaction that would restrict or destroy it.

    Raises:
        RefusedByRule: the case keeps one of the records, or any case holds it.
    """
    wanted = set(record_ids)
    kept: set[str] = set()
    for chunk in in_chunks(sorted(wanted)):
        query = (
            select(CaseRecordRow.record_id)
            .join(CaseDecisionRow, _about(CaseRecordRow))
            .where(CaseRecordRow.case_id == case_id, CaseDecisionRow.decision == "keep")
            .where(col(CaseRecordRow.record_id).in_(chunk))
        )
        kept |= {record_id for record_id in session.exec(query).all() if record_id}
    if spared := len(kept | held_of(session, wanted)):
        raise RefusedByRule(
            f"Case {case_id} would change {spared} record{'s' if spared > 1 else ''} that a DPO keeps or holds.",
            hint=f"Make a new preview and approve it, or lift the hold: lethe erase show {case_id}",
        )


def require_decided(session: Session, case_id: str) -> None:
    """Refuse to approve while nobody has said of somebody else's record that looks like a copy whether it is one.

    Raises:
        RefusedByRule: a record of the case is an undecided candidate.
    """
    query = select(CaseRecordRow.handle).where(CaseRecordRow.case_id == case_id, CaseRecordRow.decision == "candidate")
    if handles := session.exec(query.order_by(col(CaseRecordRow.handle))).all():
        records = "a record" if len(handles) == 1 else f"{len(handles)} records"
        raise RefusedByRule(
            f"Case {case_id} lists {records} of others that may be near copies, and no DPO has decided about that.",
            hint=f"Read it, then: lethe erase decide {case_id} {handles[0][:12]} erase|unrelated",
        )


def decisions_digest(session: Session, case_id: str) -> str:
    """What a search has to take into account besides the stores; empty if nobody decided or holds anything."""
    rulings = [
        (r.handle, r.decision, r.ground, r.hold_reason, r.decided_by) for r in decisions_of(session, case_id).values()
    ]
    held = sorted(held_of(session))
    if not rulings and not held:
        return ""
    return hashlib.sha256(json.dumps([rulings, held]).encode()).hexdigest()
