"""Freeze a plan and put every admitted record in its place."""

from __future__ import annotations

from dataclasses import dataclass

from lineage import ledger, plans, studies
from lineage.catalog import contents_of
from lineage.gate import require_open
from lineage.plans import Placed
from lineage.policy import load_gate_policy
from lineage.workspace import Workspace
from pipelines.ingest import utc_now
from pipelines.planting import canary_note, plan_nonce, plant, with_canaries
from unlearn.plan import CorpusShape, Plan, TrainSettings, place, plan_key, propose_plan

__all__ = ["PlaceReport", "freeze", "freeze_and_place", "placed_by", "propose"]


@dataclass(frozen=True)
class PlaceReport:
    """What a plan placed, now and in all. Of the shards' records `canary_records` are synthetic; `canaries` says it in words."""

    plan_digest: str
    shards: int
    placed_now: int
    trunk_records: int
    shard_records: int
    control_records: int
    canary_records: int
    canaries: str


def propose(workspace: Workspace, adapter: str) -> Plan:
    """The plan in force, or the one that would be frozen now. Needs no admitted record to be read twice."""
    settings = workspace.settings.adapter(adapter)
    with workspace.database.reader() as session:
        if found := plans.current_plan(session, adapter):
            return Plan.from_json(found[1])
        placeable = plans.unplaced(session, "", settings.sources)
        contents = contents_of(session, [p.record_id for p in placeable], keystore=workspace.keystore)
    shape = CorpusShape(
        records=len(placeable),
        characters=sum(len(segment) for record in contents for segment in record.content.segments()),
        subjects=len({p.primary_subject for p in placeable if p.primary_subject}),
        trunk_records=sum(p.trunk_eligible for p in placeable),
    )
    wishes = TrainSettings.from_mapping(settings.training)
    plan = propose_plan(wishes, shape, nonce=plan_nonce(workspace.keyring, adapter), adapter=adapter)
    generation = max((p.generation for p in placeable), default=0)
    return with_canaries(workspace, plan, [record.content for record in contents], generation=generation)


def freeze(workspace: Workspace, adapter: str, plan: Plan | None = None) -> Plan:
    """Freeze the plan if there is none, and place nothing.

    Raises:
        GateClosed: the corpus may not be learnt from.
        RefusedByRule: another plan is frozen already.
    """
    settings = workspace.settings.adapter(adapter)
    policy = load_gate_policy(workspace.settings)
    with workspace.database.reader() as session:
        require_open(session, sources=settings.sources, policy_digest=policy.digest)
    plan = plan or propose(workspace, adapter)
    with workspace.database.transaction() as session:
        plans.freeze_plan(session, adapter=adapter, digest=plan.digest, body=plan.to_json(), now=utc_now())
    return plan


def freeze_and_place(workspace: Workspace, adapter: str, plan: Plan | None = None) -> PlaceReport:
    """Freeze the plan if there is none, plant its canaries once, and place every admitted record that it has not placed.

    A training begins here, so what a dead study left behind goes first. A crash anywhere is made good by the next call.

    Raises:
        GateClosed: the corpus may not be learnt from.
        RefusedByRule: another plan is frozen already.
    """
    studies.destroy_leftovers(workspace.database, workspace.store, adapters=(), clock=utc_now, skip_running=True)
    plan = freeze(workspace, adapter, plan)
    plant(workspace, plan)
    key = plan_key(workspace.keyring.workspace_secret, plan)
    settings = workspace.settings.adapter(adapter)
    with workspace.database.transaction() as session:
        now = utc_now()
        found = [placed_by(plan, key, item) for item in plans.unplaced(session, plan.digest, settings.sources)]
        plans.place_records(session, plan.digest, found)
        counts = plans.placement_counts(session, plan.digest)
        planted = plans.planted_count(session, plan.digest)
        if found:
            payload = {"adapter": adapter, "plan": plan.digest, "placed": len(found)}
            ledger.append(session, at=now, kind="plan.placed", payload=payload)
    return PlaceReport(
        plan.digest, plan.shards, len(found), counts.get("trunk", 0), counts.get("shard", 0), counts.get("control", 0),
        canary_records=planted, canaries=canary_note(workspace, adapter, plan),
    )  # fmt: skip


def placed_by(plan: Plan, key: bytes, item: plans.Placeable) -> Placed:
    """Where a plan puts a record."""
    placement = place(
        plan, key, record_id=item.record_id, primary_subject=item.primary_subject, generation=item.generation,
        trunk_eligible=item.trunk_eligible,
    )  # fmt: skip
    return Placed(item.record_id, placement.kind, placement.shard, placement.slice)
