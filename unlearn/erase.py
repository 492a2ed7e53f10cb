"""What an erasure rebuilds, decided from the plan and the placements alone: pure code, no model, no torch.

A record in slice k of a shard left its mark on the states from k on and on nothing else. So each affected shard is cut
back to its last state before the first affected slice (containment) and rebuilt from there. A record in the trunk left
its mark on everything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from lineage.errors import WrongUsage
from unlearn.plan import Placement, Plan

__all__ = ["AffectedShard", "ErasurePlan", "ExpectedCost", "SliceLoad", "expected_cost", "plan_erasure"]

Keep = Literal["state", "trunk", "zero"]


@dataclass(frozen=True)
class SliceLoad:
    """A slice with members before the erasure; shard None is the trunk. `tokens` counts one epoch."""

    shard: int | None
    slice: int
    records: int
    tokens: int


@dataclass(frozen=True)
class AffectedShard:
    """A shard that must be rebuilt from `first_slice` on.

    Until then it stands for its state after `keep_slice` ("state"), for the trunk ("trunk"), or for nothing ("zero").
    `drifted` says that it is rebuilt from its start because the environment is no longer the one it was built in.
    """

    shard: int
    first_slice: int
    keep: Keep
    keep_slice: int | None
    rebuild: tuple[int, ...]
    steps: int
    tokens: int
    drifted: bool


@dataclass(frozen=True)
class ErasurePlan:
    """What an erasure costs and touches. Steps and tokens are upper bounds: they count the closure's own records too.

    `full_steps` and `full_tokens` are a full retrain, trunk included. `fraction` is steps / full_steps.
    `expected_fraction` is what one subject costs on average, (R + 1) / (2 R S), of the shards' training.
    """

    affected: tuple[AffectedShard, ...]
    trunk_hit: bool
    control_records: int
    trained_records: int
    steps: int
    tokens: int
    full_steps: int
    full_tokens: int
    expected_fraction: float

    @property
    def fraction(self) -> float:
        """The share of a full retrain's steps; 0 when there is nothing to retrain."""
        return self.steps / self.full_steps if self.full_steps else 0.0

    @property
    def shards(self) -> tuple[int, ...]:
        """The affected shards, in order."""
        return tuple(part.shard for part in self.affected)


@dataclass(frozen=True)
class ExpectedCost:
    """The expected cost of several subjects erased in one window, before anything is trained.

    `fraction` is of the shards' training, `steps` of one generation. Subjects among the controls cost nothing; these
    numbers are for subjects that were trained on.
    """

    requests: int
    fraction: float
    affected_shards: float
    steps: float
    full_steps: int
    trunk_steps: int


def plan_erasure(
    plan: Plan, closure: Sequence[Placement], *, loads: Iterable[SliceLoad], drifted: Collection[int] = ()
) -> ErasurePlan:
    """Plan the erasure of records placed as in `closure`, given what every slice holds now.

    `drifted` names the shards whose states carry another fingerprint than the machine that will rebuild. Unaffected
    shards stay as they are, drifted or not.

    Raises:
        WrongUsage: a record of the closure lies in a slice that holds nothing.
    """
    by_place = {(load.shard, load.slice): load for load in loads if load.records}
    trained = [(p.shard, p.slice) for p in closure if p.kind != "control"]
    if not set(trained) <= set(by_place):
        raise WrongUsage(
            "A record of the closure was placed in a slice without members.", hint="Compute the loads again."
        )
    trunk_hit = any(shard is None for shard, _ in trained)
    first = {shard: 0 for shard, _ in by_place if shard is not None} if trunk_hit else _first_slices(trained)
    affected = tuple(
        _affected(plan, shard, first[shard], by_place, trunk_hit=trunk_hit, drifted=shard in drifted)
        for shard in sorted(first)
    )
    trunk = [load for load in by_place.values() if load.shard is None]
    rebuilt_trunk = trunk if trunk_hit else []
    return ErasurePlan(
        affected=affected,
        trunk_hit=trunk_hit,
        control_records=len(closure) - len(trained),
        trained_records=len(trained),
        steps=sum(part.steps for part in affected) + _steps(plan, rebuilt_trunk),
        tokens=sum(part.tokens for part in affected) + _tokens(plan, rebuilt_trunk),
        full_steps=_steps(plan, by_place.values()),
        full_tokens=_tokens(plan, by_place.values()),
        expected_fraction=expected_cost(plan, requests=1).fraction,
    )


def expected_cost(plan: Plan, *, requests: int) -> ExpectedCost:
    """The expected cost of `requests` subjects, each in one uniformly drawn shard and slice of one generation.

    A shard's suffix has at least m slices when one of them fell into the first R - m + 1 of its R slices, so its
    expected length is sum over m of 1 - (1 - (R - m + 1) / (R S))**k. For k = 1 the fraction is (R + 1) / (2 R S).

    Raises:
        WrongUsage: fewer than one request.
    """
    if requests < 1:
        raise WrongUsage("The number of requests must be at least 1.")
    shards, slices = plan.shards, plan.slices
    suffix = sum(1 - (1 - reach / (shards * slices)) ** requests for reach in range(1, slices + 1))
    full_steps = shards * slices * plan.steps(0)
    return ExpectedCost(
        requests=requests,
        fraction=suffix / slices,
        affected_shards=shards * (1 - (1 - 1 / shards) ** requests),
        steps=full_steps * suffix / slices,
        full_steps=full_steps,
        trunk_steps=plan.steps(None) if plan.trunk else 0,
    )


def _first_slices(trained: Iterable[tuple[int | None, int | None]]) -> dict[int, int]:
    first: dict[int, int] = {}
    for shard, slice_index in trained:
        if shard is not None and slice_index is not None:
            first[shard] = min(first.get(shard, slice_index), slice_index)
    return first


def _affected(
    plan: Plan,
    shard: int,
    first: int,
    by_place: dict[tuple[int | None, int], SliceLoad],
    *,
    trunk_hit: bool,
    drifted: bool,
) -> AffectedShard:
    own = sorted(load.slice for load in by_place.values() if load.shard == shard)
    clean = [index for index in own if index < first and not trunk_hit]
    start = 0 if drifted else first
    rebuild = tuple(index for index in own if index >= start)
    loads = [by_place[shard, index] for index in rebuild]
    has_trunk = not trunk_hit and (None, 0) in by_place
    return AffectedShard(
        shard=shard,
        first_slice=first,
        keep="state" if clean else "trunk" if has_trunk else "zero",
        keep_slice=clean[-1] if clean else None,
        rebuild=rebuild,
        steps=_steps(plan, loads),
        tokens=_tokens(plan, loads),
        drifted=drifted,
    )


def _steps(plan: Plan, loads: Iterable[SliceLoad]) -> int:
    return sum(plan.steps(load.shard) for load in loads)


def _tokens(plan: Plan, loads: Iterable[SliceLoad]) -> int:
    return sum(load.tokens * (plan.trunk_epochs if load.shard is None else plan.epochs) for load in loads)
