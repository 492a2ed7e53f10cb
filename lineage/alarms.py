"""Alarms of the clock: one event in the ledger for each level that a case reaches, at 50, 75, 90 and 100% of its time.

A level is told once for a due date, however often anybody looks; an extension or a pause sets another date, and so another
round of alarms. Levels that were passed unseen are not told one after the other: the highest is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session

from lineage import ledger
from lineage.clock import AlarmLevel
from lineage.dossier import Standing, inbox
from lineage.workspace import Workspace

__all__ = ["ALARM", "raise_alarms"]

ALARM = "case.alarm"


def raise_alarms(workspace: Workspace, *, now: datetime) -> Sequence[Standing]:
    """Write down what was not told yet; returns all cases at an alarm, earliest due date first."""
    alarmed = [standing for standing in inbox(workspace, now=now) if standing.alarm > AlarmLevel.NONE]
    with workspace.database.reader() as session:
        new = [standing for standing in alarmed if not _told(session, standing)]
    if new:
        with workspace.database.transaction() as session:
            for standing in new:
                if not _told(session, standing):  # another process may have told it meanwhile
                    payload = {"level": int(standing.alarm), "due": standing.case.due_on.isoformat()}
                    ledger.append(session, at=now, kind=ALARM, payload=payload, case_id=standing.case.id)
    return alarmed


def _told(session: Session, standing: Standing) -> bool:
    due, level = standing.case.due_on.isoformat(), int(standing.alarm)
    told = [e.payload for e in ledger.events_of_case(session, standing.case.id) if e.kind == ALARM]
    return any(payload["due"] == due and int(str(payload["level"])) >= level for payload in told)
