"""The stages of a case, and the sets of them that other rooms ask about; `lineage.case` says which follows which."""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "CERTIFIED", "DESTROYED", "DOUBTFUL", "ENDED", "ROAD", "RUNNING", "SETTLED", "TAKEN_BACK", "UNFULFILLED", "Stage",
]  # fmt: skip


class Stage(StrEnum):
    """Where a case stands."""

    RECEIVED = "RECEIVED"
    IDENTITY_CHECK = "IDENTITY_CHECK"
    ASSESSMENT = "ASSESSMENT"
    SEARCHED = "SEARCHED"
    PREVIEW_READY = "PREVIEW_READY"
    APPROVED = "APPROVED"
    CONTAINED = "CONTAINED"
    EXECUTING = "EXECUTING"
    VERIFYING = "VERIFYING"
    EVIDENCE_READY = "EVIDENCE_READY"
    PURGE_APPROVED = "PURGE_APPROVED"
    PURGED = "PURGED"
    SIGNED_OFF = "SIGNED_OFF"
    NOTIFYING = "NOTIFYING"
    CLOSED = "CLOSED"
    NOT_FOUND = "NOT_FOUND"
    REFUSED = "REFUSED"
    WITHDRAWN = "WITHDRAWN"
    FAILED = "FAILED"


ROAD = (
    Stage.RECEIVED, Stage.IDENTITY_CHECK, Stage.ASSESSMENT, Stage.PREVIEW_READY, Stage.APPROVED, Stage.CONTAINED,
    Stage.EXECUTING, Stage.VERIFYING, Stage.EVIDENCE_READY, Stage.PURGE_APPROVED, Stage.PURGED, Stage.SIGNED_OFF,
    Stage.NOTIFYING, Stage.CLOSED,
)  # fmt: skip
DOUBTFUL = (Stage.RECEIVED, Stage.ASSESSMENT, Stage.SEARCHED, Stage.PREVIEW_READY, Stage.APPROVED)
"""Where it may still be doubted who asks."""
TAKEN_BACK = (Stage.SEARCHED, *ROAD[: ROAD.index(Stage.PURGE_APPROVED)])
"""Where the person may still take the request back."""
UNFULFILLED = frozenset({Stage.NOT_FOUND, Stage.REFUSED, Stage.WITHDRAWN})
"""Ends without an erasure."""
ENDED = UNFULFILLED | {Stage.CLOSED}
CERTIFIED = frozenset({Stage.SIGNED_OFF, Stage.NOTIFYING, Stage.CLOSED})
SETTLED = UNFULFILLED | CERTIFIED
"""What was asked is decided and done; at most somebody has yet to be told."""
DESTROYED = CERTIFIED | {Stage.PURGED}
RUNNING = frozenset({Stage.ASSESSMENT, Stage.APPROVED, Stage.CONTAINED, Stage.EXECUTING, Stage.VERIFYING, Stage.PURGE_APPROVED})  # fmt: skip
