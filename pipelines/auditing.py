"""Ask the weights whether lineage is complete: draw some people, look for each in every shard.

A shard that lights up for a person of whom lineage has no record there holds a copy it missed, or somebody else's nearly
equal record. What comes out names nobody: a person is a handle that means nothing outside this audit, and `person_behind`
finds them again for whoever has the workspace's secret.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from sqlmodel import Session, col, select

from lineage import ledger
from lineage.errors import WrongUsage
from lineage.planted import CANARY_PURPOSE
from lineage.tables import PlacementRow, RecordRow, SubjectRow
from lineage.workspace import Workspace
from pipelines.ingest import utc_now
from pipelines.mapping import map_people, person_in
from pipelines.states import open_atelier

__all__ = ["AuditReport", "audit_lineage", "draw_people", "person_behind"]


@dataclass(frozen=True)
class AuditReport:
    """What an audit saw: `missed` are handles with the shards that light up without lineage; `unmapped` says why there
    was no map, or is empty."""

    audit_id: str
    adapter: str
    subjects: int
    alpha: float
    missed: dict[str, tuple[int, ...]]
    unmapped: str


def audit_lineage(workspace: Workspace, adapter: str, *, audit_id: str) -> AuditReport:
    """Draw people, map them, write what was found into the ledger. The draw follows from the audit's id.

    Each map is tested at the map's alpha divided by the number of people (Bonferroni).

    Raises:
        WrongUsage: the audit is off, or nobody was trained on.
    """
    from probes.shard_map import MAP_ALPHA
    from probes.stats import Abstained

    wanted = workspace.settings.audit.subjects
    if not wanted:
        raise WrongUsage("The audit of lineage is off.", hint="Set subjects in the section [audit] of lethe.toml.")
    atelier = open_atelier(workspace, adapter)
    with workspace.database.reader() as session:
        drawn = draw_people(session, atelier.plan.digest, audit_id, count=wanted)
    if not drawn:
        raise WrongUsage(f"The plan of {adapter} trains on nobody, so there is nobody to look for.")
    people = {workspace.keyring.handle(audit_id, key): person_in(atelier, key) for key in drawn}
    found = map_people(atelier, people, old={}, tests=len(people))
    silent = [where.after.reason for where in found.values() if isinstance(where.after, Abstained)]
    report = AuditReport(
        audit_id=audit_id, adapter=adapter, subjects=len(people), alpha=MAP_ALPHA / len(people),
        missed={handle: where.missed for handle, where in sorted(found.items()) if where.missed},
        unmapped=silent[0] if silent else "",
    )  # fmt: skip
    _write_down(workspace, report)
    return report


def draw_people(session: Session, plan_digest: str, audit_id: str, *, count: int) -> list[str]:
    """Keys of `count` people with a live record in a shard, or of all; planted canaries are nobody."""
    query = (
        select(RecordRow.primary_subject)
        .join(PlacementRow, col(PlacementRow.record_id) == col(RecordRow.id))
        .where(PlacementRow.plan_digest == plan_digest, PlacementRow.kind == "shard")
        .where(RecordRow.status == "admitted", RecordRow.purpose != CANARY_PURPOSE)
        .where(col(RecordRow.restricted_by).is_(None), col(RecordRow.primary_subject).is_not(None))
    )
    trained = sorted({key for key in session.exec(query.distinct()).all() if key})
    return random.Random(audit_id).sample(trained, min(count, len(trained)))


def _write_down(workspace: Workspace, report: AuditReport) -> None:
    """One event: `lineage.audited`, or `lineage.copy_missed` when a shard lit up that lineage does not know."""
    payload = {
        "audit": report.audit_id, "adapter": report.adapter, "subjects": report.subjects, "alpha": str(report.alpha),
        "missed": {handle: list(shards) for handle, shards in report.missed.items()}, "unmapped": report.unmapped,
    }  # fmt: skip
    kind = "lineage.copy_missed" if report.missed else "lineage.audited"
    with workspace.database.transaction() as session:
        ledger.append(session, at=utc_now(), kind=kind, payload=payload)


def person_behind(session: Session, workspace: Workspace, audit_id: str, handle: str) -> str:
    """The key of the person whom an audit calls by this handle.

    Raises:
        WrongUsage: it called nobody so, or the person is gone.
    """
    keys = session.exec(select(SubjectRow.key)).all()
    found = [key for key in keys if workspace.keyring.handle(audit_id, key) == handle]
    if not found:
        raise WrongUsage("That audit called nobody by this handle, or the person is gone since.")
    return found[0]
