"""What a plan of another shape would cost: the grid over shards and slices from which a team chooses. Pure, no torch.

The share of the training that an erasure repeats follows from the shape alone (`unlearn.erase.expected_cost`). How large
a state is follows from the shapes of the base's matrices, so it can be told before anything is trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from unlearn.erase import ExpectedCost, expected_cost
from unlearn.plan import Plan

__all__ = ["REQUESTS", "SHARDS", "SLICES", "ExtraCost", "GridRow", "cost_grid", "estimated_state_bytes", "extra_cost"]

REQUESTS = (1, 5, 20)
SHARDS = tuple(range(1, 17))
SLICES = tuple(range(1, 9))
BYTES_PER_NUMBER = 4  # LoRA weights and moments are float32 under every plan
ADAM_MOMENTS = 2
OUTSIDE_THE_DECODER = ("embed", "lm_head", "wte", "wpe", "norm", "ln_")


@dataclass(frozen=True)
class GridRow:
    """One shape: what 1, 5 and 20 requests in one window repeat, and what it keeps.

    `states` counts a generation's slices and the trunk; `state_bytes` is what they take together, None where the size
    of a state is not known. `rank` is that of the composed adapter; `own` marks the plan's own shape.
    """

    shards: int
    slices: int
    costs: tuple[ExpectedCost, ...]
    states: int
    state_bytes: int | None
    rank: int
    own: bool


@dataclass(frozen=True)
class ExtraCost:
    """What extra out-adapters cost: their number, optimizer steps, and these as a share of the training of all shards."""

    adapters: int
    steps: int
    fraction: float


def extra_cost(plan: Plan, adapters: int, *, generations: int = 1) -> ExtraCost:
    """Each extra adapter is trained like a shard, over all its slices; the trunk is there already."""
    return ExtraCost(adapters, adapters * generations * plan.slices * plan.steps(0), adapters / plan.shards)


def cost_grid(
    plan: Plan,
    *,
    bytes_per_state: int | None,
    shards: Sequence[int] = SHARDS,
    slices: Sequence[int] = SLICES,
    requests: Sequence[int] = REQUESTS,
) -> tuple[GridRow, ...]:
    """A row for every shape, shards first. Only fractions and counts of a row's costs are of its shape: its steps are
    those of the plan's own schedule."""
    return tuple(
        _row(replace(plan, shards=s, slices=r), plan, requests, bytes_per_state) for s in shards for r in slices
    )


def _row(shape: Plan, own: Plan, requests: Iterable[int], bytes_per_state: int | None) -> GridRow:
    states = shape.shards * shape.slices + shape.trunk
    return GridRow(
        shards=shape.shards,
        slices=shape.slices,
        costs=tuple(expected_cost(shape, requests=count) for count in requests),
        states=states,
        state_bytes=None if bytes_per_state is None else states * bytes_per_state,
        rank=shape.shards * shape.lora_r,
        own=(shape.shards, shape.slices) == (own.shards, own.slices),
    )


def estimated_state_bytes(plan: Plan, shapes: Mapping[str, Sequence[int]]) -> int:
    """Bytes of one state of this plan over a base whose tensors have these names and shapes.

    A LoRA has r (in + out) numbers for each matrix it adapts (LoRA, 2106.09685). A carried optimizer keeps two moments
    of each. File headers are left out; they are small.
    """
    numbers = sum(plan.lora_r * sum(shape) for name, shape in shapes.items() if _adapted(plan, name, shape))
    return BYTES_PER_NUMBER * numbers * (1 + ADAM_MOMENTS * (plan.optimizer == "carry"))


def _adapted(plan: Plan, name: str, shape: Sequence[int]) -> bool:
    module = name.removesuffix(".weight")
    if len(shape) != 2 or math.prod(shape) == 0 or module == name:
        return False
    if plan.target_modules:
        return module.rpartition(".")[2] in plan.target_modules
    return not any(part in module for part in OUTSIDE_THE_DECODER)
