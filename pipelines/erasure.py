"""Erasures carried into the weights: contain (`pipelines.containing`) and rebuild. What goes before and after has modules
of its own: `pipelines.previewing`, `pipelines.deriving`, `pipelines.judging`, `pipelines.purging`.

Every verb takes the cases of one window (`pipelines.windows`) and does the shared work once: one containment, one build of
each affected shard and one composition per adapter. Each case files evidence of its own. Each verb is
safe to repeat: it asks a case where it stands, does what is missing, files its evidence and moves the case on its last
line. The erased records are *restricted* first (Art. 18); from then on every reader of training text leaves them out, so
a rebuild by anybody, by whatever road, is already a rebuild without the person.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lineage import builds
from lineage.case import CaseFile
from lineage.evidence import add_evidence, evidence
from lineage.plans import TRUNK
from lineage.renewal import superseded
from lineage.stages import Stage
from lineage.workspace import Workspace
from pipelines import releasing, training
from pipelines.chains import stale_shards
from pipelines.containing import contain
from pipelines.ingest import utc_now
from pipelines.rebuilt import rebuild_facts
from pipelines.recomposing import Bodies, Facts, affecting, in_service, leaving_ids, recompose
from pipelines.windows import Window, named

__all__ = ["contain", "rebuild"]


@dataclass(frozen=True)
class _Build:
    """One build of a shard and the cases it was for, earliest due date first."""

    report: training.BuildReport
    cases: tuple[str, ...]


def rebuild(workspace: Workspace, *case_ids: str) -> Bodies:
    """Build each affected suffix once, compose, release, and show that every neighbour stayed byte-equal.

    Raises:
        RefusedByRule: every case is under a hold, or not contained.
    """
    window, started = Window(workspace, case_ids), time.perf_counter()
    before: dict[str, Facts] = {}
    for case_id in window.cases:
        with window.apart(case_id), workspace.database.transaction() as session:
            case = CaseFile(session, case_id)
            case.require_no_hold()
            case.advance(Stage.EXECUTING, now=utc_now())
            before[case_id] = evidence(session, case_id, "containment")["adapters"]  # type: ignore[assignment]
    builds_done = _build_shards(window, before)
    stale = _release_rebuilt(window, before)
    bodies: Bodies = {}
    for case_id in window.still():
        with window.apart(case_id):
            found = {
                adapter: _rebuilt(workspace, case_id, adapter, facts, done=builds_done, stale=stale.get(adapter, []))
                for adapter, facts in before[case_id].items()
            }
            bodies[case_id] = {"adapters": found, "seconds": str(round(time.perf_counter() - started, 2))}
            with workspace.database.transaction() as session:
                CaseFile(session, case_id).require_no_hold()
                add_evidence(session, case_id, "rebuild", bodies[case_id], now=utc_now())
    window.require_somebody()
    return bodies


def _build_shards(window: Window, before: Mapping[str, Facts]) -> dict[tuple[str, int], _Build]:
    """Build what the cases need, each shard once; a trunk before its shards, then by the earliest due date."""
    wanted: dict[tuple[str, int], list[str]] = {}
    for case_id, adapters in before.items():
        for adapter, facts in adapters.items():
            shards = [part["shard"] for part in facts["affected"]]
            for shard in [TRUNK, *shards] if facts["trunk_hit"] else shards:
                wanted.setdefault((adapter, shard), []).append(case_id)
    done = {}
    for (adapter, shard), cases in sorted(wanted.items(), key=lambda item: item[0][1] != TRUNK):
        if waiting := window.still(cases):
            with window.apart(*waiting):
                done[adapter, shard] = _Build(_build(window.workspace, adapter, shard), waiting)
    return done


def _build(workspace: Workspace, adapter: str, shard: int) -> training.BuildReport:
    if shard == TRUNK:
        return training.build_trunk(workspace, adapter)
    return training.build_shard(workspace, adapter, shard)


def _release_rebuilt(window: Window, before: Mapping[str, Facts]) -> dict[str, list[int]]:
    """Compose and release each affected adapter once; returns the shards that wait for cases outside the window."""
    stale = {}
    for adapter, cases in affecting(before).items():
        if waiting := window.still(cases):
            with window.apart(*waiting):
                stale[adapter] = stale_shards(window.workspace, adapter)
                reason = f"erasure {named(waiting)}"
                recompose(window.workspace, adapter, partial=bool(stale[adapter]), reason=reason)
    return stale


def _rebuilt(
    workspace: Workspace, case_id: str, adapter: str, before: Facts, *, done: Mapping[tuple[str, int], _Build], stale: Sequence[int]
) -> Facts:  # fmt: skip
    """What one case's evidence says of one adapter. A build for several cases counts as the steps of the first of them."""
    released = utc_now().isoformat(timespec="seconds")
    composed = in_service(workspace, adapter)
    with workspace.database.reader() as session:
        clean = releasing.require_clean(
            session,
            composed,
            leaving_ids(session, case_id),
            superseded=superseded(session, "redacted", by=case_id),
        )
        parts = builds.parts_of(session, composed or "")
    mine = {shard: b for (name, shard), b in done.items() if name == adapter and case_id in b.cases}
    steps = {"own": 0, "shared": 0}
    for build in mine.values():
        steps["own" if build.cases[0] == case_id else "shared"] += build.report.steps
    facts = {
        "composed": composed, "released_at": released, "clean": clean, "steps": steps["own"],
        "steps_shared": steps["shared"], "shards": {},
        "parts": {str(shard): recipe for shard, recipe in sorted(parts.items())},
        "builds": {str(shard): {"steps": b.report.steps, "cases": list(b.cases)} for shard, b in mine.items()},
    }  # fmt: skip
    return facts | (rebuild_facts(workspace, adapter, before, composed=composed, stale=stale) if mine else {})
