"""What stays about an erased person goes at last: by time, or because a DPO lets them in again.

Tombstones, the suppression list and its cues bear the day until which they are kept. Lifting takes those of one case
out before that day; what another erasure needs too stays and is that one's from then on. Cues stay to their day: they are
shared, so nobody can say whose they are, and one in vain changes no link.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime

from sqlmodel import Session, SQLModel, col, delete, select

from lineage import journal, ledger
from lineage.access import Actor, Role
from lineage.case import CaseFile
from lineage.desk import reason_for
from lineage.replay import Erasure, erasures
from lineage.stages import DESTROYED
from lineage.tables import CueRow, NearTombstoneRow, SuppressionRow, TombstoneRow
from lineage.tombstones import kept_until
from lineage.workspace import Workspace

__all__ = ["expire", "expire_kept", "lift"]

KEPT: tuple[type[SQLModel], ...] = (TombstoneRow, NearTombstoneRow, SuppressionRow, CueRow)


def expire(session: Session, today: date) -> dict[str, int]:
    """Delete everything whose last day is past; returns how many rows by table. Nothing is said if there are none."""
    counts = {}
    for table in KEPT:
        over = delete(table).where(table.keep_until < today)  # type: ignore[attr-defined]
        counts[str(table.__tablename__)] = session.connection().execute(over).rowcount
    return {name: count for name, count in counts.items() if count}


def expire_kept(workspace: Workspace, *, now: datetime) -> int:
    """Expire what is over, and the lines of the journal that tell of it; returns how many. Safe to repeat after a crash."""
    today = workspace.settings.day(now)
    with workspace.database.transaction() as session:
        counts = expire(session, today)
        if counts:
            ledger.append(session, at=now, kind="retention.expired", payload=counts)
    lines = journal.forget(workspace.journal, lambda entry: kept_until(date.fromisoformat(entry.at[:10])) < today)
    if counts:
        workspace.database.compact()
    return sum(counts.values()) + lines


def lift(workspace: Workspace, case_id: str, *, actor: Actor, reason: str, now: datetime) -> dict[str, int]:
    """Let the person and the records of a purged case in again: they asked for it, or another contract begins.

    Raises:
        RefusedByRule: the actor is no DPO or filed the request, or the case is not purged.
        WrongUsage: the reason is empty, too long, or names somebody.
    """
    actor.require(Role.DPO, to="let an erased person in again")
    sentence = reason_for(workspace, case_id, reason)
    told = erasures(workspace.journal)
    others = [other for other in told if other.case_id != case_id and journal.DESTROYED in other.kinds]
    with workspace.database.transaction() as session:
        case = CaseFile(session, case_id)
        case.require(*sorted(DESTROYED), to="let the person in again")
        case.four_eyes(actor)
        counts = _take_out(session, case_id, others)
        payload = {"by": actor.name, "reason": sentence, **counts}
        ledger.append(session, at=now, kind="suppression.lifted", payload=payload, case_id=case_id)
        digest = case.view.evidence_digest
    journal.append(
        workspace.journal, journal.Entry(case_id, digest, now.isoformat(timespec="seconds"), kind=journal.LIFTED)
    )
    workspace.database.compact()
    return counts


def _take_out(session: Session, case_id: str, others: Collection[Erasure]) -> dict[str, int]:
    """Delete what the case keeps out, but for what another erasure keeps out as well: that is handed over to it."""
    whose = {mac: other.case_id for other in others for _, mac in other.marks.form_hmacs}
    graves = {mac: o.case_id for o in others for mac in (*o.marks.given_hmacs, *o.marks.id_hmacs)}
    gone = {"tombstone": 0, "suppression": 0}
    rows: list[tuple[TombstoneRow | SuppressionRow, dict[str, str]]] = [
        *((row, graves) for row in session.exec(select(TombstoneRow).where(TombstoneRow.case_id == case_id)).all()),
        *((row, whose) for row in session.exec(select(SuppressionRow).where(SuppressionRow.case_id == case_id)).all()),
    ]
    for row, needed in rows:
        if row.hmac in needed:
            row.case_id = needed[row.hmac]
        else:
            session.delete(row)
            gone[str(row.__tablename__)] += 1
    near = delete(NearTombstoneRow).where(col(NearTombstoneRow.case_id) == case_id)
    gone["near_tombstone"] = session.connection().execute(near).rowcount
    session.flush()
    return gone
