"""Is the corpus of an adapter open for learning? Asked by every consumer, in the data, not only by a check in the UI.

The answer depends on each admitted record's own admission, so that a subset of admitted records stays admitted: an
erasure never closes the gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, func, or_, select

from lineage.errors import GateClosed
from lineage.planted import CANARY_SOURCE
from lineage.tables import AdmissionRow, IngestRow, RecordRow, RescanRow

__all__ = ["GateStanding", "require_open", "standing"]


@dataclass(frozen=True, slots=True)
class GateStanding:
    """Counts behind the answer, and the reason when it is no."""

    admitted: int
    quarantined: int
    blocked: int
    unadmitted: int
    outdated: int
    reason: str
    hint: str

    @property
    def open(self) -> bool:
        """Whether the corpus may be learnt from."""
        return not self.reason


def standing(session: Session, *, sources: Sequence[str], policy_digest: str) -> GateStanding:
    """Where the gate stands for the records of some sources (all when empty) under the policy in force.

    Planted canaries are not counted as corpus, but whatever is learnt needs an admission of today.
    """
    named = col(RecordRow.source).in_(sources) if sources else col(RecordRow.source) != CANARY_SOURCE
    learnt = or_(named, col(RecordRow.source) == CANARY_SOURCE)
    query = select(RecordRow.status, func.count()).where(named).group_by(RecordRow.status)
    by_status = dict(session.exec(query).all())
    # What a case has restricted is read by nothing that learns, so its admission does not matter.
    free = (learnt, RecordRow.status == "admitted", col(RecordRow.restricted_by).is_(None))
    judged = select(AdmissionRow.record_id)
    unadmitted = select(func.count()).where(*free, col(RecordRow.id).not_in(judged))
    current = select(AdmissionRow.record_id).where(AdmissionRow.policy_digest == policy_digest)
    outdated = select(func.count()).where(*free, col(RecordRow.id).not_in(current))
    rescans = select(func.count()).select_from(RescanRow).where(RescanRow.status == "applying")
    running = select(IngestRow.source).distinct().where(col(IngestRow.status).in_(("running", "failed")))
    if sources:
        running = running.where(col(IngestRow.source).in_(sources))
    counts = {
        "admitted": by_status.get("admitted", 0),
        "unadmitted": session.exec(unadmitted.select_from(RecordRow)).one(),
        "outdated": session.exec(outdated.select_from(RecordRow)).one(),
        "applying": session.exec(rescans).one(),
        "quarantined": by_status.get("quarantined", 0),
    }
    reason, hint = _why_closed(counts, sorted(session.exec(running).all()))
    return GateStanding(
        admitted=counts["admitted"], quarantined=counts["quarantined"], blocked=by_status.get("blocked", 0),
        unadmitted=counts["unadmitted"], outdated=counts["outdated"], reason=reason, hint=hint,
    )  # fmt: skip


def _why_closed(counts: dict[str, int], unfinished: Sequence[str]) -> tuple[str, str]:
    if unfinished:
        again = f"Run the same lethe ingest again; it goes on. Unfinished: --source {', '.join(unfinished)}."
        return "The gate is closed: an ingest did not finish.", again
    if counts["applying"]:
        return "The gate is closed: a rescan did not finish.", "Run it again; it goes on: lethe gate rescan"
    if counts["unadmitted"]:
        return f"The gate is closed: {counts['unadmitted']} records have no admission.", "Ingest them again."
    if counts["outdated"]:
        sentence = f"The gate is closed: {counts['outdated']} records were admitted under another policy."
        return sentence, "See what the new one changes: lethe gate rescan. Or put the policy back."
    if not counts["admitted"]:
        waiting = f"{counts['quarantined']} wait for a human: lethe review list"
        more = "Ingest a corpus: lethe ingest FILE --source NAME"
        return "The gate is closed: no record was admitted.", waiting if counts["quarantined"] else more
    return "", ""


def require_open(session: Session, *, sources: Sequence[str], policy_digest: str) -> GateStanding:
    """The standing, if the gate is open.

    Raises:
        GateClosed: with the reason and what to do.
    """
    found = standing(session, sources=sources, policy_digest=policy_digest)
    if not found.open:
        raise GateClosed(found.reason, hint=found.hint)
    return found
