"""What both halves of an erasure do to the adapters in service: see which cases concern one, and compose it anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlmodel import Session

from lineage import builds
from lineage.errors import WrongUsage
from lineage.evidence import case_records
from lineage.holds import left_out_of
from lineage.workspace import Workspace
from pipelines import releasing
from pipelines.ingest import utc_now

__all__ = ["Bodies", "Facts", "affecting", "decided_ids", "in_service", "leaving_ids", "recompose"]

Facts = dict[str, Any]
Bodies = dict[str, Facts]
"""The evidence of each case of a window that went on, by case."""


def decided_ids(session: Session, case_id: str, *decisions: str) -> tuple[str, ...]:
    """The records of a case with one of these decisions."""
    return tuple(r.record_id for r in case_records(session, case_id) if r.decision in decisions)


def leaving_ids(session: Session, case_id: str) -> tuple[str, ...]:
    """The records of a case that no adapter may descend from: those to erase, and those under a legal hold that are left out."""
    return tuple(sorted({*decided_ids(session, case_id, "erase"), *left_out_of(session, case_id)}))


def affecting(before: Mapping[str, Facts]) -> dict[str, list[str]]:
    """The cases that affect each adapter."""
    found: dict[str, list[str]] = {}
    for case_id, adapters in before.items():
        for adapter, facts in adapters.items():
            if facts["affected"]:
                found.setdefault(adapter, []).append(case_id)
    return found


def in_service(workspace: Workspace, adapter: str) -> str:
    """The digest of the composed adapter that serves, or an empty string."""
    with workspace.database.reader() as session:
        return builds.current_release(session, adapter) or ""


def recompose(workspace: Workspace, adapter: str, *, partial: bool, reason: str) -> None:
    """Compose and release what stands for the shards. When nothing is left to compose, the base model serves alone."""
    try:
        digest = releasing.compose(workspace, adapter, partial=partial).composed_digest
    except WrongUsage:  # no state is left to compose
        with workspace.database.transaction() as session:
            builds.withdraw(session, adapter=adapter, now=utc_now())
    else:
        releasing.put_in_service(workspace, adapter, digest=digest, reason=reason)
