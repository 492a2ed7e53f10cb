"""Erasures carried into the weights: contain and rebuild. What goes before and after has modules of its own:
`pipelines.previewing`, `pipelines.deriving`, `pipelines.judging`, `pipelines.purging`.

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
from typing import Any

from sqlmodel import Session, col, select

from lineage import builds, plans
from lineage.case import CaseFile, Stage
from lineage.closure import CHANGING
from lineage.database import in_chunks
from lineage.errors import RefusedByRule, WrongUsage
from lineage.evidence import add_evidence, case_records, contract, digest_of, evidence, has_evidence
from lineage.plans import TRUNK
from lineage.renewal import superseded
from lineage.tables import RecordRow
from lineage.workspace import Workspace
from pipelines import releasing, training
from pipelines.chains import stale_shards
from pipelines.ingest import utc_now
from pipelines.previewing import erasure_plan, make_preview, search_closure
from pipelines.rebuilt import rebuild_facts
from pipelines.redacting import redact_mentions
from pipelines.windows import Window, named
from unlearn.plan import Plan

__all__ = ["contain", "rebuild"]

Facts = dict[str, Any]
Bodies = dict[str, Facts]
"""The evidence of each case of a window that went on, by case."""


def contain(workspace: Workspace, *case_ids: str) -> Bodies:
    """Restrict the records, cut the affected shards back to clean states, recompose, release. Seconds, not hours.

    Raises:
        RefusedByRule: no case could be contained: a hold, or a preview that is no longer true (a new one was made).
        NotAcceptable: what was recomposed descends from a record of a closure, so it was not released.
    """
    window, started = Window(workspace, case_ids), time.perf_counter()
    bodies: Bodies = {}
    before: dict[str, Facts] = {}
    for case_id in window.cases:
        with window.apart(case_id):
            if done := _contained_before(workspace, case_id):
                bodies[case_id] = done
                continue
            _require_contract(workspace, case_id)
            before[case_id] = _remember(workspace, case_id)
    for case_id in window.still(before):
        with window.apart(case_id):
            _restrict(workspace, case_id)
    after = _contain_adapters(window, before)
    for case_id in window.still(before):
        with window.apart(case_id):
            bodies[case_id] = _file_containment(
                workspace, case_id, before[case_id], after=after, window=window.still(before), started=started
            )
    window.require_somebody()
    return bodies


def _contained_before(workspace: Workspace, case_id: str) -> Facts | None:
    """The evidence of a containment that was done already, if it was."""
    with workspace.database.reader() as session:
        contained = CaseFile(session, case_id).view.stage != Stage.APPROVED
        return evidence(session, case_id, "containment") if contained and has_evidence(session, case_id, "containment") else None  # fmt: skip


def _require_contract(workspace: Workspace, case_id: str) -> None:
    closure = search_closure(workspace, case_id)
    with workspace.database.transaction() as session:
        case = CaseFile(session, case_id)
        case.require(Stage.APPROVED, to="execute")
        case.require_no_hold()
        stale = digest_of(contract(session, case_id, closure, workspace.keyring)) != case.view.approved_digest
    if stale:
        make_preview(workspace, case_id)
        raise RefusedByRule("The approved preview is no longer true; a new one was made.", hint="Read and approve it.")


def _remember(workspace: Workspace, case_id: str) -> Facts:
    """What was in service and what the affected shards held, before anything changes; filed once, then kept."""
    with workspace.database.transaction() as session:
        if has_evidence(session, case_id, "before"):
            return evidence(session, case_id, "before")["adapters"]  # type: ignore[return-value]
        changed = _ids(session, case_id, *CHANGING)
        found = {}
        for adapter in sorted(workspace.settings.adapters):
            if plan := plans.current_plan(session, adapter):
                found[adapter] = _adapter_before(session, adapter, Plan.from_json(plan[1]), changed)
        add_evidence(session, case_id, "before", {"adapters": found}, now=utc_now())
    return found


def _adapter_before(session: Session, adapter: str, plan: Plan, erased: tuple[str, ...]) -> Facts:
    composed = builds.current_release(session, adapter) or ""
    parts = builds.parts_of(session, composed) if composed else {}
    cost = erasure_plan(session, plan, erased)
    shards = builds.shard_adapters(session, adapter)
    return {
        "before": composed,
        "trunk_hit": cost.trunk_hit,
        "affected": [{"shard": part.shard, "first_slice": part.first_slice} for part in cost.affected],
        "parts": {str(shard): recipe or "" for shard, recipe in parts.items()},
        "shard_adapters": {str(shard): digest for shard, digest in shards.items()},
    }


def _ids(session: Session, case_id: str, *decisions: str) -> tuple[str, ...]:
    return tuple(r.record_id for r in case_records(session, case_id) if r.decision in decisions)


def _restrict(workspace: Workspace, case_id: str) -> None:
    with workspace.database.transaction() as session:
        for chunk in in_chunks(_ids(session, case_id, "erase")):
            for row in session.exec(select(RecordRow).where(col(RecordRow.id).in_(chunk))).all():
                row.restricted_by = case_id
    redact_mentions(workspace, case_id)


def _affecting(before: Mapping[str, Facts]) -> dict[str, list[str]]:
    """The cases that affect each adapter."""
    found: dict[str, list[str]] = {}
    for case_id, adapters in before.items():
        for adapter, facts in adapters.items():
            if facts["affected"]:
                found.setdefault(adapter, []).append(case_id)
    return found


def _contain_adapters(window: Window, before: Mapping[str, Facts]) -> dict[str, str]:
    """The digest in service for each adapter after containment; one composition for all cases of the window."""
    for adapter, cases in _affecting(before).items():
        waiting = window.still(cases)
        if waiting and _in_service(window.workspace, adapter):
            with window.apart(*waiting):
                _recompose(window.workspace, adapter, partial=True, reason=f"contained {named(waiting)}")
    return {name: _in_service(window.workspace, name) for name in window.workspace.settings.adapters}


def _in_service(workspace: Workspace, adapter: str) -> str:
    with workspace.database.reader() as session:
        return builds.current_release(session, adapter) or ""


def _recompose(workspace: Workspace, adapter: str, *, partial: bool, reason: str) -> None:
    """Compose and release what stands for the shards. When nothing is left to compose, the base model serves alone."""
    try:
        digest = releasing.compose(workspace, adapter, partial=partial).composed_digest
    except WrongUsage:  # no state is left to compose
        with workspace.database.transaction() as session:
            builds.withdraw(session, adapter=adapter, now=utc_now())
    else:
        releasing.put_in_service(workspace, adapter, digest=digest, reason=reason)


def _file_containment(
    workspace: Workspace,
    case_id: str,
    before: Facts,
    *,
    after: Mapping[str, str],
    window: Sequence[str],
    started: float,
) -> Facts:
    now = utc_now()
    with workspace.database.transaction() as session:
        case, erased = CaseFile(session, case_id), _ids(session, case_id, "erase")
        old = superseded(session, "redacted", by=case_id)
        adapters = {
            adapter: {
                **facts, "after": after[adapter], "at": now.isoformat(timespec="seconds"),
                "clean": releasing.require_clean(session, after[adapter], erased, superseded=old),
            }
            for adapter, facts in before.items()
        }  # fmt: skip
        body = {
            "adapters": adapters, "window": list(window), "seconds": str(round(time.perf_counter() - started, 2)),
            "seconds_since_approval": str(round((now - case.view.stage_since).total_seconds(), 1)),
        }  # fmt: skip
        add_evidence(session, case_id, "containment", body, now=now)
        case.advance(Stage.CONTAINED, now=now, adapters=len(adapters))
    return body


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
    for adapter, cases in _affecting(before).items():
        if waiting := window.still(cases):
            with window.apart(*waiting):
                stale[adapter] = stale_shards(window.workspace, adapter)
                reason = f"erasure {named(waiting)}"
                _recompose(window.workspace, adapter, partial=bool(stale[adapter]), reason=reason)
    return stale


def _rebuilt(
    workspace: Workspace, case_id: str, adapter: str, before: Facts, *, done: Mapping[tuple[str, int], _Build], stale: Sequence[int]
) -> Facts:  # fmt: skip
    """What one case's evidence says of one adapter. A build for several cases counts as the steps of the first of them."""
    released = utc_now().isoformat(timespec="seconds")
    composed = _in_service(workspace, adapter)
    with workspace.database.reader() as session:
        clean = releasing.require_clean(
            session, composed, _ids(session, case_id, "erase"), superseded=superseded(session, "redacted", by=case_id)
        )
    mine = {shard: b for (name, shard), b in done.items() if name == adapter and case_id in b.cases}
    steps = {"own": 0, "shared": 0}
    for build in mine.values():
        steps["own" if build.cases[0] == case_id else "shared"] += build.report.steps
    facts = {
        "composed": composed, "released_at": released, "clean": clean, "steps": steps["own"],
        "steps_shared": steps["shared"], "shards": {},
        "builds": {str(shard): {"steps": b.report.steps, "cases": list(b.cases)} for shard, b in mine.items()},
    }  # fmt: skip
    return facts | (rebuild_facts(workspace, adapter, before, composed=composed, stale=stale) if mine else {})
