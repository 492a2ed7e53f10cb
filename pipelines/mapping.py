"""People on the shard map: what the probes need of the workspace to say where somebody is.

What lineage knows is asked afresh, as for an erasure: records that declare the person, copies, what was derived, and
every record that speaks of them by a registered form. A shard without any of these that lights up is a copy it missed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlmodel import Session, col, select

from lineage import builds, plans
from lineage.catalog import contents_of
from lineage.closure import find_closure
from lineage.evidence import evidence, has_evidence
from lineage.records import TrainingRecord
from lineage.stages import Stage
from lineage.subjects import load_forms
from lineage.tables import CaseRow, RecordRow
from pipelines.bases import base_for_probes
from pipelines.judging import controls_of
from pipelines.progress import bar
from pipelines.sealing import seal_of
from pipelines.states import Atelier

if TYPE_CHECKING:
    from probes.dossier import Panel
    from probes.where import Whereabouts

__all__ = ["PlacedPerson", "map_people", "person_in"]

BETWEEN = (Stage.VERIFYING, Stage.EVIDENCE_READY, Stage.PURGE_APPROVED, Stage.FAILED)  # rebuilt, not yet purged


@dataclass(frozen=True)
class PlacedPerson:
    """A person's records under a plan, and the shards in which lineage knows of them.

    `old` are the digests of all shards before the erasure, while a case of the person stands between rebuild and purge.
    """

    records: tuple[TrainingRecord, ...] = field(repr=False)
    known: tuple[int, ...]
    old: Mapping[int, str]


def person_in(atelier: Atelier, subject_key: str) -> PlacedPerson:
    """One person, as the workspace has them now; without records if the plan placed none of theirs."""
    workspace, plan = atelier.workspace, atelier.plan.digest
    with workspace.database.reader() as session:
        forms = load_forms(session, workspace.keystore, subject_key)
        closure = find_closure(session, subject_key, forms, keystore=workspace.keystore)
        own = session.exec(select(RecordRow.id).where(RecordRow.primary_subject == subject_key)).all()
        placed = plans.placements_of(session, plan, sorted(own))
        known = plans.placements_of(session, plan, [record.record_id for record in closure.records])
        records = contents_of(session, [p.record_id for p in placed], keystore=workspace.keystore)
        old = _before(session, atelier.adapter, subject_key)
    shards = sorted({p.shard for p in known if p.kind == "shard" and p.shard is not None})
    return PlacedPerson(tuple(records), tuple(shards), old)


def _before(session: Session, adapter: str, subject_key: str) -> dict[int, str]:
    """The shards before a case's rebuild; empty when no case has rebuilt any, or its old weights are purged."""
    query = select(CaseRow.id).where(CaseRow.subject_key == subject_key, col(CaseRow.stage).in_(BETWEEN))
    for case_id in session.exec(query.order_by(col(CaseRow.id))).all():
        if has_evidence(session, case_id, "rebuild") and has_evidence(session, case_id, "containment"):
            found = evidence(session, case_id, "containment")["adapters"].get(adapter)  # type: ignore[attr-defined]
            return {int(shard): digest for shard, digest in found["shard_adapters"].items()} if found else {}
    return {}


def map_people(
    atelier: Atelier, people: Mapping[str, PlacedPerson], *, old: Mapping[int, str], tests: int = 1
) -> dict[str, Whereabouts]:
    """The maps of people by handle. `tests`: how many maps share the map's alpha (Bonferroni).

    Raises:
        WrongUsage: a shard's adapter is missing.
    """
    from probes.dossier import Protocol
    from probes.shard_map import MAP_ALPHA
    from probes.where import survey

    workspace = atelier.workspace
    with workspace.database.reader() as session:
        now = builds.shard_adapters(session, atelier.adapter)
        controls = controls_of(session, atelier, "map")
    panel = _panel(atelier, now, old)
    protocol = Protocol(max(2, len(now) - 1), max_length=atelier.plan.max_length, map_alpha=MAP_ALPHA / tests)
    records = {handle: person.records for handle, person in people.items()}
    known = {handle: person.known for handle, person in people.items()}
    with bar(f"Mapping {atelier.adapter}", None, unit="readings") as progress:
        return survey(
            records, controls, panel, protocol, known=known, progress=lambda _done, _steps, _what: progress.advance()
        )


def _panel(atelier: Atelier, now: Mapping[int, str], old: Mapping[int, str]) -> Panel:
    """Shards that an erasure changed stand on two sides, all others on one."""
    from probes.dossier import Panel

    store = atelier.workspace.store
    kept = {shard for shard, digest in now.items() if old.get(shard, digest) == digest}
    changed = [s for s in now if s not in kept and store.holds("adapters", old[s])]
    return Panel(
        base=base_for_probes(atelier.settings),
        revision=atelier.settings.revision or None,
        seal=seal_of(atelier, [*now.values(), *(old[shard] for shard in changed)]),
        pre={shard: store.directory("adapters", old[shard]) for shard in changed},
        post={shard: store.directory("adapters", now[shard]) for shard in changed},
        outs={shard: store.directory("adapters", digest) for shard, digest in now.items() if shard not in changed},
    )
