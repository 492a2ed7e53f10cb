"""What replaced contents leave behind: their keys, and weights that were trained on them.

Rectification (Art. 16 GDPR) means that wrong data must not stay in use. The old text's key is shredded when the ingest
that replaced it ends. The old weights go as soon as no release rests on them, which is when the retrained adapter is in
service. While an erasure is between approval and purge they wait: its probes ask the old adapter, and its own purge
destroys what it must; the next training or purge catches up. What a redaction had made of a record goes the same way, once the case has taken it back
(`lineage.unredaction`).
"""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session, col, select

from lineage import ledger, purge, renewal
from lineage.case_view import list_cases
from lineage.stages import DESTROYED, ENDED, Stage
from lineage.tables import ReleaseRow
from lineage.workspace import Workspace

__all__ = ["destroy_old_weights", "shred_old_texts"]

BEFORE_APPROVAL = {Stage.RECEIVED, Stage.ASSESSMENT, Stage.SEARCHED, Stage.PREVIEW_READY}


def shred_old_texts(workspace: Workspace) -> int:
    """Shred the keys of replaced texts that no case keeps; returns how many there were. Safe to repeat after a crash."""
    with workspace.database.reader() as session:
        names = renewal.keys_left(session)
    if names:
        workspace.keystore.shred(names)
        with workspace.database.transaction() as session:
            renewal.mark_shredded(session, names)
        workspace.database.compact()
    return len(names)


def destroy_old_weights(workspace: Workspace, *, now: datetime) -> dict[str, int]:
    """Destroy every state and adapter that was trained on a replaced content that no case keeps, unless one is still needed."""
    with workspace.database.reader() as session:
        pairs = renewal.superseded(session, "rectified", "unredacted")
        doomed = purge.tainted(session, (), superseded=pairs)
        if not pairs or _needed(session, doomed):
            return {}
    counts = purge.destroy_weights(workspace.store, doomed)
    with workspace.database.transaction() as session:
        purge.mark_destroyed(session, doomed, (), now, superseded=pairs)
        renewal.forget_superseded(session, pairs)
        ledger.append(session, at=now, kind="rectified.destroyed", payload={"contents": len(pairs), **counts})
    return counts


def _needed(session: Session, doomed: purge.Tainted) -> bool:
    in_service = select(ReleaseRow.composed_digest).where(col(ReleaseRow.withdrawn_at).is_(None))
    serving = set(session.exec(in_service).all()) & set(doomed.composed_adapters)
    going_on = [case for case in list_cases(session) if case.stage not in ENDED | DESTROYED]
    waiting = [case for case in going_on if case.stage not in BEFORE_APPROVAL or case.reopen_reason]
    return bool(serving or waiting)
