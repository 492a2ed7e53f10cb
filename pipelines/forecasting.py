"""What `lethe train` will place and rebuild, and why, read from the tables and the store. Nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlmodel import Session

from lineage import builds, manifests, plans
from lineage.builds import StateFacts
from lineage.gate import require_open
from lineage.plans import TRUNK, Member
from lineage.policy import load_gate_policy
from lineage.workspace import Workspace
from pipelines.chains import drifted_shards
from pipelines.placing import placed_by, propose
from pipelines.planting import canary_note
from unlearn.plan import Plan, plan_key
from unlearn.staleness import LastTraining, ShardForecast, WantedSlice, forecast

__all__ = ["TrainForecast", "forecast_training"]


@dataclass(frozen=True)
class TrainForecast:
    """What a training of an adapter would do now. `seconds` is None before anything was trained under the plan.

    Canaries that a new plan will plant are not in the numbers: `canaries` says what of them to expect.
    """

    plan_digest: str
    plan_is_new: bool
    to_place: int
    shards: tuple[ShardForecast, ...]
    steps: int
    tokens: int
    seconds: float | None
    canaries: str


def forecast_training(workspace: Workspace, adapter: str, plan: Plan | None = None) -> TrainForecast:
    """Forecast a training, record by record, without doing any of it.

    Raises:
        GateClosed: the corpus may not be learnt from.
    """
    settings = workspace.settings.adapter(adapter)
    with workspace.database.reader() as session:
        policy = load_gate_policy(workspace.settings)
        require_open(session, sources=settings.sources, policy_digest=policy.digest)
        known = plans.current_plan(session, adapter)
    plan = Plan.from_json(known[1]) if known else plan or propose(workspace, adapter)
    with workspace.database.reader() as session:
        to_place, wanted = _wanted(session, workspace, plan, settings.sources)
        places = _places(session, workspace, adapter, plan, wanted)
        seconds, steps = builds.build_pace(session, plan.digest)
    total = sum(place.steps for place in places)
    return TrainForecast(
        plan.digest, known is None, to_place, places, total, sum(place.tokens for place in places),
        round(total * seconds / steps, 1) if steps else None, canary_note(workspace, adapter, plan),
    )  # fmt: skip


Slices = Mapping[int, Mapping[int, list[Member]]]
"""Members by place (TRUNK, or a shard) and slice."""


def _wanted(session: Session, workspace: Workspace, plan: Plan, sources: list[str]) -> tuple[int, Slices]:
    """How many records would be placed, and what every slice would then hold."""
    wanted = {
        place: {index: list(found) for index, found in plans.live_members(session, plan.digest, place).items()}
        for place in (TRUNK, *range(plan.shards))
    }
    key = plan_key(workspace.keyring.workspace_secret, plan)
    waiting = plans.unplaced(session, plan.digest, sources)
    contents = plans.live_contents(session, [item.record_id for item in waiting])
    for item in waiting:
        placed = placed_by(plan, key, item)
        if placed.kind != "control" and item.record_id in contents:
            place = TRUNK if placed.shard is None else placed.shard
            wanted[place].setdefault(placed.slice or 0, []).append(Member(item.record_id, contents[item.record_id]))
    return len(waiting), {place: dict(sorted(slices.items())) for place, slices in wanted.items()}


def _places(
    session: Session, workspace: Workspace, adapter: str, plan: Plan, wanted: Slices
) -> tuple[ShardForecast, ...]:
    device = workspace.settings.adapter(adapter).device
    drifted = drifted_shards(session, adapter, plan, device=device)
    trunk, ground = _walk(session, workspace, plan, TRUNK, wanted[TRUNK], parent=None) if plan.trunk else ([], None)
    found = [forecast(plan, None, wanted=trunk, last=_last(session, plan, TRUNK))] if plan.trunk else []
    moves = any(item.state == "missing" for item in trunk)
    for shard in range(plan.shards):
        slices, _ = _walk(session, workspace, plan, shard, wanted[shard], parent=ground)
        last = _last(session, plan, shard)
        found.append(forecast(plan, shard, wanted=slices, last=last, trunk_moves=moves and bool(last), drifted=shard in drifted))  # fmt: skip
    return tuple(found)


def _walk(
    session: Session, workspace: Workspace, plan: Plan, place: int, slices: Mapping[int, list[Member]],
    *, parent: StateFacts | None,
) -> tuple[list[WantedSlice], StateFacts | None]:  # fmt: skip
    """Each slice of a place with what stands for it, and the last state that is known."""
    from unlearn.states import slice_manifest

    walked: list[WantedSlice] = []
    broken = False
    for index, found in slices.items():
        manifest = slice_manifest([(m.record_id, m.content_hmac) for m in found])
        state = None if broken else builds.child_state(
            session, plan_digest=plan.digest, place=place, manifest_digest=manifest,
            parent_recipe=parent.recipe_digest if parent else None,
        )  # fmt: skip
        members = {m.record_id: m.content_hmac for m in found}
        if state is None:
            broken = True
            walked.append(WantedSlice(index, members))
            continue
        held = workspace.store.holds("states", state.state_digest)
        walked.append(WantedSlice(index, members, "stands" if held else "lost"))
        parent = state
    return walked, parent


def _last(session: Session, plan: Plan, place: int) -> dict[int, LastTraining]:
    """What each slice of a place was trained on when it was built last, whether it stands or not."""
    newest = builds.newest_state(session, plan.digest, place)
    chain = builds.ancestors(session, newest.recipe_digest) if newest else []
    return {
        state.slice: LastTraining(
            manifests.manifest_facts(session, state.manifest_digest)[0],
            manifests.members_of(session, state.manifest_digest),
        )
        for state in chain
        if state.shard == place
    }
