"""A DPO decides about single records of a case, or holds them; both lie over every search, before the contract is written.

::

    keep      an exception of Art. 17(3) GDPR applies: the record stays as it is, and the case is refused in part
    erase     a record of others goes whole, with what was derived from it, instead of losing its mention of the person
    redact    a record that was derived, or that mentions the person, loses the mention, if the gate admits it so
    unrelated a record of others that looks like a near copy is none; what else the search says of it stands
    leave-out a record that the case holds stays when the rest is purged, restricted (Art. 18): nothing learns from it, and what
              had learnt it is destroyed; when the hold is lifted, a case of its own opens (`lineage.held_back`)
    as-found  what the search says
    hold      the record stays until the hold is lifted; nothing of the case is destroyed until then, or until it is left out

Every decision takes the approvals back, because a contract that was approved without it is not true any more: the case goes
back to its search, through `lineage.reopening` once its execution has begun. A hold does so as long as nothing has begun;
later it leaves the case where it is, restricted as it is, and refuses the purge. Lifting it always needs a new preview. So a
hold wins whenever it comes before the destruction, and one that is lifted is not forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlmodel import Session, col, select

from lineage import ledger
from lineage.access import Actor, Role
from lineage.case import CaseFile
from lineage.case_view import CaseView
from lineage.closure import CHANGING, LEFT_OUT, Closure, ClosureRecord, counted, stores_of, with_derived
from lineage.errors import RefusedByRule, WrongUsage
from lineage.evidence import has_evidence
from lineage.holds import LEAVE_OUT, Decided, decisions_digest, decisions_of, find_record, held_of
from lineage.planted import CANARY_SOURCE
from lineage.reopening import reopen
from lineage.stages import Stage
from lineage.tables import CaseDecisionRow, CaseRecordRow, RecordRow

__all__ = [
    "AS_FOUND",
    "DECISIONS",
    "EXCEPTIONS",
    "Choice",
    "decide_record",
    "decided_as",
    "decisions_of",
    "hold_record",
    "lay_over",
    "tell_others",
]  # fmt: skip

EXCEPTIONS = {
    "a": "freedom of expression and information, Art. 17(3)(a) GDPR",
    "b": "legal obligation or task in the public interest, Art. 17(3)(b) GDPR",
    "c": "public health, Art. 17(3)(c) GDPR",
    "d": "archiving, research or statistics, Art. 17(3)(d) GDPR",
    "e": "legal claims, Art. 17(3)(e) GDPR",
}
AS_FOUND = "as-found"
DECISIONS = ("keep", "erase", "redact", "unrelated", LEAVE_OUT, AS_FOUND)
HELD, HELD_ELSEWHERE = "legal hold, Art. 17(3)(e) GDPR", "legal hold of another case, Art. 17(3)(e) GDPR"
LOSING = ("redact", "candidate")  # what a DPO may rather erase
NEVER = datetime.min.replace(tzinfo=UTC)
LIFTED, DECIDED = "The legal hold of a record was lifted.", "A DPO decided anew about a record."
SEARCHING = (Stage.ASSESSMENT, Stage.PREVIEW_READY, Stage.APPROVED)
"""Where a decision simply asks for another preview, as long as no execution has begun."""
EXECUTION = (
    Stage.APPROVED, Stage.CONTAINED, Stage.EXECUTING, Stage.VERIFYING, Stage.EVIDENCE_READY, Stage.PURGE_APPROVED,
)  # fmt: skip


# --- taken ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choice:
    """One of `DECISIONS`; to keep takes a letter of `EXCEPTIONS` and a reason, one sentence without values."""

    decision: str
    exception: str = ""
    reason: str = ""


def decide_record(
    session: Session, case_id: str, record: str, choice: Choice, *, actor: Actor, now: datetime
) -> CaseView:
    """Decide about one record, named by its handle or the beginning of it.

    Raises:
        WrongUsage: no such decision, or a record is kept without an exception of Art. 17(3) and a reason.
        RefusedByRule: the actor may not, the record is not the case's, or the decision cannot be carried out.
    """
    case = CaseFile(session, case_id)
    actor.require(Role.DPO, to="decide about a record")
    case.four_eyes(actor)
    case.require(*SEARCHING, *EXECUTION, to="decide about a record")
    _require_sense(choice)
    decision = choice.decision
    listed = find_record(session, case_id, record)
    row = _row(session, case_id, listed.handle)
    _require_possible(case.view, listed, row, decision)
    wanted = "" if decision == AS_FOUND else decision
    ground = f"{EXCEPTIONS[choice.exception]}: {choice.reason}" if decision == "keep" else ""
    if (row.decision, row.ground) == (wanted, ground):
        return case.view
    row.decision, row.ground, row.decided_by, row.decided_at = wanted, ground, actor.name, now
    _keep_or_drop(session, row)
    payload = {"record": listed.handle, "decision": decision, "by": actor.name}
    payload |= {"exception": choice.exception} if choice.exception else {}
    ledger.append(session, at=now, kind="record.decided", case_id=case_id, payload=payload)
    return _preview_anew(session, case, listed.handle, DECIDED, now=now)


def hold_record(session: Session, case_id: str, record: str, *, reason: str, actor: Actor, now: datetime) -> CaseView:
    """Place a legal hold on one record (Art. 17(3)(e)), or lift it with an empty reason.

    Raises:
        RefusedByRule: the actor is no DPO, the record is not the case's or is destroyed, or the case has ended or failed.
    """
    case = CaseFile(session, case_id)
    actor.require(Role.DPO, to="place or lift a legal hold")
    listed = find_record(session, case_id, record)
    row = _row(session, case_id, listed.handle)
    if row.hold_reason == reason:
        return case.view
    stage = case.view.stage
    if reason and (case.view.settled or listed.record_id is None):
        raise RefusedByRule(f"Case {case_id} has ended or that record is destroyed; there is nothing left to hold.")
    if stage == Stage.FAILED and not reason:
        raise RefusedByRule(
            f"Case {case_id} has failed; lifting a hold sends it back to the search.", hint=f"First: lethe erase retry {case_id}"
        )  # fmt: skip
    row.hold_reason, row.decided_at = reason, now
    if not reason and row.decision == LEAVE_OUT and listed.record_id is not None:
        row.decision = ""  # a purge that has left it out stays one in part
    row.decided_by = row.decided_by or actor.name
    _keep_or_drop(session, row)
    kind = "record.held" if reason else "record.hold_lifted"
    ledger.append(session, at=now, kind=kind, case_id=case_id, payload={"record": listed.handle, "by": actor.name})
    if not reason:
        tell_others(session, case_id, listed.record_id, now=now)
    if reason and (stage not in SEARCHING or _begun(session, case)):
        return case.view  # what is restricted stays so; the purge asks for holds
    return _preview_anew(session, case, listed.handle, LIFTED, now=now)


def _require_sense(choice: Choice) -> None:
    kept = choice.decision == "keep"
    if choice.decision not in DECISIONS:
        raise WrongUsage(f"A decision about a record is one of: {', '.join(DECISIONS)}.")
    if kept and (choice.exception not in EXCEPTIONS or not choice.reason.strip()):
        raise WrongUsage("To keep a record takes an exception of Art. 17(3), a letter from a to e, and a reason.")
    if not kept and (choice.exception or choice.reason):
        raise WrongUsage("Only a record that is kept takes an exception and a reason.")


def _require_possible(case: CaseView, listed: CaseRecordRow, row: CaseDecisionRow, decision: str) -> None:
    """What the search leaves alone needs no decision, and one's own record cannot lose the mention of oneself."""
    left_alone = listed.decision == "already_redacted" or (listed.decision == "keep" and not _spares(row))
    if left_alone and not row.decision and decision != AS_FOUND:
        raise RefusedByRule("That record is not going to be changed, so there is nothing to decide about it.")
    if decision == "unrelated" and not row.decision and listed.decision != "candidate":
        raise RefusedByRule("Only a record that may be a near copy can be found unrelated.")
    if decision == LEAVE_OUT and (not row.hold_reason or case.rescan_id):
        raise RefusedByRule(
            "Only a record that this case holds can be left out of its purge, and of a withdrawal by policy none.",
            hint=f"Hold it first: lethe erase hold {case.id} --record {listed.handle[:12]} --reason ...",
        )
    if decision == "redact" and (
        listed.relation not in ("mentioned", "derived") or case.only_consent or case.rescan_id
    ):
        raise RefusedByRule("Only a record of somebody else can be freed of its mention of the person.")


def _spares(row: CaseDecisionRow) -> bool:
    return row.decision == "keep" or bool(row.hold_reason)


def _row(session: Session, case_id: str, handle: str) -> CaseDecisionRow:
    found = session.get(CaseDecisionRow, (case_id, handle))
    return found or CaseDecisionRow(case_id=case_id, handle=handle, decided_by="", decided_at=NEVER)


def _keep_or_drop(session: Session, row: CaseDecisionRow) -> None:
    """A row that says nothing any more goes."""
    if row.decision or row.hold_reason:
        session.add(row)
    elif session.get(CaseDecisionRow, (row.case_id, row.handle)) is not None:
        session.delete(row)
    session.flush()


def _begun(session: Session, case: CaseFile) -> bool:
    """Whether the execution has remembered what there was before: from then on records may be restricted."""
    return case.view.stage in EXECUTION[1:] or has_evidence(session, case.view.id, "before")


def _preview_anew(session: Session, case: CaseFile, handle: str, why: str, *, now: datetime) -> CaseView:
    """Back to the search, wherever the case stands between its first search and its purge; elsewhere it stays."""
    if case.view.stage in EXECUTION and _begun(session, case):
        return reopen(session, case.view.id, why, found=[{"handle": handle}], now=now)
    return case.search_again(now=now) if case.view.stage in SEARCHING else case.view


def tell_others(session: Session, case_id: str, record_id: str | None, *, now: datetime) -> None:
    """Every other case that had to leave the record alone searches again, too; one that was only stopped goes on."""
    listed = select(CaseRecordRow).where(CaseRecordRow.record_id == record_id, CaseRecordRow.case_id != case_id)
    for row in session.exec(listed).all() if record_id else ():
        other = CaseFile(session, row.case_id)
        if other.view.settled:
            continue
        if row.ground == HELD_ELSEWHERE:
            _preview_anew(session, other, row.handle, LIFTED, now=now)
        else:
            other.wake()


# --- laid over a search --------------------------------------------------------------------------------------------------


def decided_as(session: Session, case_id: str, decision: str) -> frozenset[str]:
    """The records about which a DPO decided so. The search itself has to know those to `redact` and the `unrelated`."""
    wanted = [handle for handle, ruling in decisions_of(session, case_id).items() if ruling.decision == decision]
    query = select(CaseRecordRow.record_id).where(CaseRecordRow.case_id == case_id)
    return frozenset(r for r in session.exec(query.where(col(CaseRecordRow.handle).in_(wanted))).all() if r)


def lay_over(session: Session, case_id: str, closure: Closure, *, handle: Callable[[str], str]) -> Closure:
    """The closure as the DPO's decisions and the holds of all cases leave it. Nothing that is kept or held is changed."""
    rulings = decisions_of(session, case_id)
    lines = {record.record_id: record for record in closure.records}
    gone = {
        r for r, line in lines.items() if line.decision in LOSING and _decided(rulings, handle(r)) == "erase"
    }  # fmt: skip
    for record_id in with_derived(session, gone):
        line = lines.get(record_id, ClosureRecord(record_id, "derived", "erase"))
        lines[record_id] = line if line.decision == "keep" else replace(line, decision="erase")
    lines |= {line.record_id: line for line in _held_unfound(session, case_id, rulings) if line.record_id not in lines}
    held = held_of(session)
    records = tuple(_spared(lines[r], rulings.get(handle(r)), held=r in held) for r in sorted(lines))
    if len(records) != len(closure.records):
        again = counted(session, records, stores_of(session, col(RecordRow.source) != CANARY_SOURCE))
        closure = replace(again, near=closure.near)
    return replace(closure, records=records, decisions=decisions_digest(session, case_id))


def _decided(rulings: dict[str, Decided], handle: str) -> str:
    return rulings[handle].decision if handle in rulings else ""


def _spared(line: ClosureRecord, ruling: Decided | None, *, held: bool) -> ClosureRecord:
    """A hold goes before a decision, and both before the search."""
    if line.decision not in (*CHANGING, "candidate"):
        return line
    if held or (ruling and ruling.hold_reason):
        own = ruling.hold_reason if ruling is not None else ""
        why = LEFT_OUT if ruling is not None and ruling.decision == LEAVE_OUT else HELD
        return replace(line, decision="keep", ground=f"{why}: {own}" if own else HELD_ELSEWHERE)
    if ruling and ruling.decision == "keep":
        return replace(line, decision="keep", ground=ruling.ground)
    return line


def _held_unfound(session: Session, case_id: str, rulings: dict[str, Decided]) -> Iterator[ClosureRecord]:
    """Records that the case holds, whether or not the search still finds them: else nobody would know what is held."""
    for ruling in rulings.values():
        row = session.get(CaseRecordRow, (case_id, ruling.handle)) if ruling.hold_reason else None
        if row is not None and row.record_id is not None:
            yield ClosureRecord(row.record_id, row.relation, "erase")
