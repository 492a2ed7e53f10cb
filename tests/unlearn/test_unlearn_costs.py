"""The grid of costs: laws of its numbers, and an estimate of a state's size that a real state confirms."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from unlearn_world import SECRET, plan

from unlearn.adapters import attach
from unlearn.base import Base
from unlearn.costs import REQUESTS, cost_grid, estimated_state_bytes
from unlearn.erase import expected_cost
from unlearn.loop import make_optimizer, optimizer_bytes
from unlearn.plan import plan_key
from unlearn.train import initial_state

GRID = cost_grid(plan(shards=8, slices=2), bytes_per_state=1000)


def test_the_grid_has_every_shape_once_and_marks_the_plans_own() -> None:
    shapes = [(row.shards, row.slices) for row in GRID]
    assert shapes == [(s, r) for s in range(1, 17) for r in range(1, 9)]
    assert [(row.shards, row.slices) for row in GRID if row.own] == [(8, 2)]


def test_one_request_costs_the_closed_form() -> None:
    for row in GRID:
        assert row.costs[0].fraction == pytest.approx((row.slices + 1) / (2 * row.slices * row.shards))
        assert row.rank == row.shards * 2
        assert row.state_bytes == 1000 * (row.shards * row.slices + 1)


@given(shards=st.integers(1, 16), slices=st.integers(1, 8), requests=st.sampled_from(REQUESTS))
def test_the_expected_cost_is_that_of_drawn_requests(shards, slices, requests) -> None:
    """The formula against 600 drawn windows; six standard errors of a mean of numbers in [0, 1]."""
    rng = random.Random(1)
    drawn = []
    for _ in range(600):
        first: dict[int, int] = {}
        for _ in range(requests):
            shard, index = rng.randrange(shards), rng.randrange(slices)
            first[shard] = min(index, first.get(shard, index))
        drawn.append(sum(slices - index for index in first.values()) / (shards * slices))
    expected = expected_cost(replace(plan(), shards=shards, slices=slices), requests=requests).fraction
    assert abs(sum(drawn) / len(drawn) - expected) < 6 * 0.5 / len(drawn) ** 0.5


@pytest.mark.parametrize("optimizer", ["carry", "reset"])
@pytest.mark.parametrize("targets", [(), ("q_proj", "down_proj")])
def test_the_estimate_of_a_state_is_its_size(
    small_base: Base, small_folder: Path, optimizer: str, targets: tuple[str, ...]
) -> None:
    the_plan = plan(optimizer=optimizer, target_modules=targets, lora_r=16)
    lora = attach(small_base, the_plan)
    state = initial_state(small_base, the_plan, plan_key(SECRET, the_plan), shard=0)
    adam = make_optimizer(lora, the_plan, state.optimizer)
    lora.load(state.weights)
    adam.step()
    size = len(state.weights) + len(optimizer_bytes(adam, lora, the_plan))
    with safe_open(small_folder / "model.safetensors", "numpy") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 - not a dict
    estimate = estimated_state_bytes(the_plan, shapes)
    assert estimate <= size <= estimate + 8000  # the headers
