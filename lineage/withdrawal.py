"""Records that a changed policy takes back: one erasure case about records, not about a person.

It goes the one road of every case: preview, a DPO's approval, containment, rebuild, re-derivation, probes, purge,
certificate. What differs: nobody asked, so there are no identifiers to search for and nobody to forget; the closure is
exactly the records that the comparison named, because copies and derived records were judged for themselves; and no
tombstone is laid, because the gate itself keeps the records out, and a mended one may come back.

The records are restricted (Art. 18 GDPR) in the transaction that files the case, so nothing learns from them meanwhile.
"""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlmodel import Session, col, select

from lineage.access import Actor
from lineage.case import POLICY_GROUND, Filing, file_request
from lineage.clock import due
from lineage.closure import Closure, ClosureRecord, counted, stores_of
from lineage.database import in_chunks
from lineage.rescan import still_as_compared, todo
from lineage.settings import Settings
from lineage.tables import HeldBackRow, RecordRow, RescanRecordRow, RescanRow

__all__ = ["file_withdrawal", "give_back", "restricted_for", "withdrawn_closure"]

IDENTITY = "no person asked; records withdrawn by the gate policy"


def file_withdrawal(session: Session, rescan_id: str, settings: Settings, *, actor: Actor, now: datetime) -> str:
    """Restrict the records that a comparison withdraws and file one case for them; returns its id, "" if there are none."""
    rescan = session.get_one(RescanRow, rescan_id)
    doomed = todo(session, rescan_id, "withdraw")
    if not doomed:
        return rescan.case_id
    rescan.case_id = rescan.case_id or f"case-{secrets.token_hex(4)}"
    for chunk in in_chunks(doomed):
        for line in session.exec(
            select(RescanRecordRow).where(
                RescanRecordRow.rescan_id == rescan_id, col(RescanRecordRow.record_id).in_(chunk)
            )
        ).all():
            record = session.get_one(RecordRow, line.record_id)
            if still_as_compared(record, line):
                record.restricted_by, line.done = rescan.case_id, True
    today = settings.day(now)
    limit = due(today, settings.country, subdivision=settings.subdivision or None)
    filing = Filing(
        rescan.case_id, None, None, POLICY_GROUND, IDENTITY, today, limit.date,
        f"nobody asked; the time of Art. 12(3) is the controller's own limit: {limit.basis}", rescan_id=rescan_id,
    )  # fmt: skip
    file_request(session, filing, actor=actor, now=now)
    return rescan.case_id


def withdrawn_closure(session: Session, rescan_id: str) -> Closure:
    """The records that a withdrawal is about, and nothing else."""
    line = RescanRecordRow
    named = select(line.record_id).where(
        line.rescan_id == rescan_id, line.outcome == "withdraw", col(line.done).is_(True)
    )
    records = tuple(
        ClosureRecord(r, "withdrawn", "erase") for r in session.exec(named.order_by(col(line.record_id))).all()
    )
    return counted(session, records, stores_of(session))


def restricted_for(session: Session, case_id: str) -> set[str]:
    """The records that a case has restricted (Art. 18 GDPR)."""
    return set(session.exec(select(RecordRow.id).where(RecordRow.restricted_by == case_id)).all())


def give_back(session: Session, case_id: str) -> int:
    """Lift the restrictions of a case that ends without an erasure, or is about to restrict anew; returns how many.

    What its purge left out under a legal hold stays restricted.

    What a policy withdrew stays behind the gate until the next rescan; anything else is learnt again by the next training.
    """
    held = select(HeldBackRow.record_id).where(HeldBackRow.case_id == case_id)
    query = select(RecordRow).where(RecordRow.restricted_by == case_id, col(RecordRow.id).not_in(held))
    rows = session.exec(query).all()
    for row in rows:
        row.restricted_by = None
    session.flush()
    return len(rows)
