"""Who approved the two digests of a case, for its certificate: handles that mean nothing outside it."""

from __future__ import annotations

from collections.abc import Sequence

from lineage import facts as f
from lineage.case_view import CaseView
from lineage.chain import Event

__all__ = ["approvals"]

OF_A_DPO = frozenset({
    "case.approved", "case.purge_approved", "case.extended", "case.held", "case.hold_lifted", "record.decided", "record.held",
    "record.hold_lifted",
})  # fmt: skip


def approvals(case: CaseView, events: Sequence[Event]) -> tuple[f.Approval, f.Approval]:
    """The approval of the preview and that of the purge. `dpo:2` is the second officer who acted in this case.

    A case that is sent back to a stage by a retry tells so with the stage's event, and nobody's name.
    """
    acts = [event for event in events if event.kind in OF_A_DPO and "by" in event.payload]
    handles = {name: f"dpo:{place}" for place, name in enumerate(dict.fromkeys(e.payload["by"] for e in acts), start=1)}
    last = {event.kind: event for event in acts}

    def approval(kind: str, digest: str) -> f.Approval:
        return f.Approval(digest=digest, approved_by=handles[last[kind].payload["by"]], at=last[kind].at)

    return approval("case.approved", case.approved_digest), approval("case.purge_approved", case.evidence_digest)
