"""What a training will rebuild, and why: decided from values alone, before anything is done. No model, no IO.

A slice whose records are those it was trained on, on a parent that stands, is current. From the first slice that is not,
the rest of its shard is built again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from unlearn.plan import Plan

__all__ = ["LastTraining", "ShardForecast", "WantedSlice", "forecast"]


@dataclass(frozen=True)
class WantedSlice:
    """A slice as it would be trained now: content digest by record id, and whether a state of exactly this stands.

    A "lost" state was built, but its bytes are gone from the store: it comes back as it was, so what follows it stands.
    """

    slice: int
    members: Mapping[str, str]
    state: Literal["stands", "lost", "missing"] = "missing"


@dataclass(frozen=True)
class LastTraining:
    """A slice as it was trained last. `members` are those of its `records` that are still held; the digests may be cut short."""

    records: int
    members: Mapping[str, str]


@dataclass(frozen=True)
class ShardForecast:
    """What happens to one shard (None: the trunk). `first_slice` is None when it is left alone.

    `kept` are the slices whose states stay and that it stands for until then. Tokens are an estimate from the plan.
    `drifted` says that its states come from another environment, which alone rebuilds nothing.
    """

    shard: int | None
    first_slice: int | None
    kept: tuple[int, ...]
    rebuild: tuple[int, ...]
    reasons: tuple[str, ...]
    steps: int
    tokens: int
    drifted: bool


def forecast(
    plan: Plan,
    shard: int | None,
    *,
    wanted: Sequence[WantedSlice],
    last: Mapping[int, LastTraining],
    trunk_moves: bool = False,
    drifted: bool = False,
) -> ShardForecast:
    """Forecast one shard. When the trunk moves, or when it is stale and drifted, it is built from its start."""
    missing = next((n for n, item in enumerate(wanted) if item.state == "missing"), len(wanted))
    missing = 0 if trunk_moves else missing
    lost = [item for item in wanted[:missing] if item.state == "lost"]
    reasons = list(_reasons(plan, wanted[missing], last, trunk_moves=trunk_moves)) if missing < len(wanted) else []
    reasons += [f"{len(lost)} state(s) lost from the store"] if lost else []
    rebuild = [*lost, *wanted[missing:]]
    if rebuild and drifted:
        rebuild = list(wanted)
        reasons.append("its environment changed, so it starts anew")
    records = sum(len(item.members) for item in rebuild)
    epochs = plan.trunk_epochs if shard is None else plan.epochs
    return ShardForecast(
        shard=shard,
        first_slice=rebuild[0].slice if rebuild else None,
        kept=tuple(item.slice for item in wanted if item not in rebuild),
        rebuild=tuple(item.slice for item in rebuild),
        reasons=tuple(reasons),
        steps=plan.steps(shard) * len(rebuild),
        tokens=records * epochs * plan.expected_tokens // plan.expected_batch,
        drifted=drifted,
    )


def _reasons(plan: Plan, first: WantedSlice, last: Mapping[int, LastTraining], *, trunk_moves: bool) -> tuple[str, ...]:
    """Why the first stale slice is stale."""
    if trunk_moves:
        return ("the trunk is rebuilt",)
    if not last:
        return ("never trained",)
    before = last.get(first.slice, LastTraining(0, {}))
    both = first.members.keys() & before.members.keys()
    new, gone = len(first.members) - len(both), before.records - len(both)
    changed = sum(not first.members[r].startswith(before.members[r]) for r in both)
    generation = first.slice // plan.slices
    told = (
        f"{new} new record(s) in generation {generation}" if new else "",
        f"{gone} record(s) erased or withdrawn" if gone else "",
        f"{changed} content(s) changed" if changed else "",
    )
    return tuple(reason for reason in told if reason) or ("an earlier slice changed",)
