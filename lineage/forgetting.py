"""What a case forgets that ended without an erasure: whom it was about, once it is no longer needed for a complaint.

A case that was refused or withdrawn, or in which nothing was found, keeps what the person gave, sealed under the case's own key, so that
a complaint can be answered by the same search. A purge of the same person drops it at once; this does so by time.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlmodel import Session, col, or_, select, update

from lineage.case import CaseFile
from lineage.holds import holds_any
from lineage.stages import UNFULFILLED
from lineage.tables import CaseRecordRow, CaseRow
from lineage.workspace import Workspace

__all__ = ["COMPLAINT_DAYS", "forget_ended"]

COMPLAINT_DAYS = 183
"""Days from the end of a case. The GDPR sets no time limit for a complaint (Art. 77), so half a year is our choice: about
three months in which to complain, and the three in which an authority has to say how it stands (Art. 78(2)). A complaint
that is known of is a reason for a legal hold, which keeps everything until it is lifted."""


def forget_ended(workspace: Workspace, *, now: datetime) -> int:
    """Shred and drop whom every such case was about; returns how many cases. Safe to repeat after a crash.

    The key goes first: what a crash leaves is sealed under nothing, and found again by the next run.
    """
    with workspace.database.transaction() as session:
        due = _due(session, now - timedelta(days=COMPLAINT_DAYS))
        for case_id in due:
            case = CaseFile(session, case_id)
            case.require_no_hold()
            workspace.keystore.shred([f"case:{case_id}"])
            case.forget(now=now)
            session.execute(update(CaseRecordRow).where(col(CaseRecordRow.case_id) == case_id).values(record_id=None))
    if due:
        workspace.database.compact()
    return len(due)


def _due(session: Session, until: datetime) -> list[str]:
    knows = or_(col(CaseRow.subject_key).is_not(None), col(CaseRow.supplied).is_not(None))
    ended = col(CaseRow.stage).in_(sorted(UNFULFILLED))
    query = select(CaseRow.id).where(ended, knows, CaseRow.hold_reason == "", CaseRow.stage_since <= until)
    return sorted(c for c in session.exec(query.with_for_update()).all() if not holds_any(session, c))
