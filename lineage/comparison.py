"""A comparison of policies as people read it: counts by source, reason and outcome, no ids and no text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sqlmodel import Session, col, func, select

from lineage.tables import RecordRow, RescanRecordRow, RescanRow

__all__ = ["Comparison", "Counted", "comparison"]

GRAVEST_FIRST = ("withdraw", "block", "quarantine", "redact", "admit", "locked", "wait", "keep")


@dataclass(frozen=True, slots=True)
class Counted:
    """How many records of one source were `was` and get `verdict` for `reason`; `outcome` is `lineage.rescan`'s."""

    outcome: str
    source: str
    was: str
    verdict: str
    reason: str
    records: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """What people read before anything changes, the gravest outcomes first.

    `blocked_before` and `restricted` were not scanned: of blocked records no text is kept, restricted ones belong to a case.
    """

    id: str
    status: str
    digest: str
    policy_digest: str
    lines: tuple[Counted, ...]
    blocked_before: int
    restricted: int
    approved_by: str
    case_id: str

    @property
    def outcomes(self) -> dict[str, int]:
        """How many records go which way."""
        found = Counter[str]()
        for line in self.lines:
            found[line.outcome] += line.records
        return dict(sorted(found.items()))


def comparison(session: Session, rescan_id: str) -> Comparison:
    """A comparison, or what became of it."""
    row, line = session.get_one(RescanRow, rescan_id), RescanRecordRow
    kinds = (line.outcome, line.source, line.was, line.verdict, line.reason)
    query = select(*kinds, func.count()).where(line.rescan_id == rescan_id).group_by(*kinds)  # type: ignore[call-overload]
    lines = sorted((Counted(*found) for found in session.exec(query).all()), key=_order)
    counted = select(func.count()).select_from(RecordRow)
    return Comparison(
        id=row.id, status=row.status, digest=row.digest, policy_digest=row.policy_digest, lines=tuple(lines),
        blocked_before=session.exec(counted.where(RecordRow.status == "blocked")).one(),
        restricted=session.exec(counted.where(col(RecordRow.restricted_by).is_not(None))).one(),
        approved_by=row.approved_by, case_id=row.case_id,
    )  # fmt: skip


def _order(line: Counted) -> tuple[int, str, str, str, str]:
    return GRAVEST_FIRST.index(line.outcome), line.source, line.was, line.verdict, line.reason
