"""A case goes back to its search with what its approvals did not know; its next round begins.

What was contained stays contained, and what was filed so far belongs to the round that ends: `lineage.evidence` answers for
the round that runs, so nothing of an earlier one can pass for a step that was not done again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlmodel import Session

from lineage.case import CaseFile
from lineage.case_view import CaseView
from lineage.errors import RefusedByRule
from lineage.evidence import REOPENED, add_evidence, has_evidence

__all__ = ["reopen"]


def reopen(
    session: Session, case_id: str, reason: str, *, found: Sequence[Mapping[str, object]], now: datetime
) -> CaseView:
    """Reopen a case for `reason`, one sentence without values; `found` are the records, by handle, that it is reopened for.

    Raises:
        RefusedByRule: nothing is approved yet, or something is destroyed already.
    """
    case = CaseFile(session, case_id)
    if has_evidence(session, case_id, "destroyed"):
        raise RefusedByRule(f"The purge of case {case_id} has destroyed its records; it can only be ended.")
    before, after = case.view.attempt, case.reopen(reason, now=now)
    if after.attempt != before:
        body = {"attempt": after.attempt, "reason": reason, "records": list(found)}
        add_evidence(session, case_id, REOPENED, body, now=now)
    return after
