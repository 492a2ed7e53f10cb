from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unlearn_world import plan

from lineage.errors import WrongUsage
from unlearn.erase import SliceLoad, expected_cost, plan_erasure
from unlearn.plan import Placement

PLAN = plan(shards=4, slices=2, epochs=3, steps_per_epoch=4, trunk_epochs=1, trunk_steps_per_epoch=8)
LOADS = [SliceLoad(shard, index, 5, 100) for shard in range(4) for index in range(2)] + [SliceLoad(None, 0, 20, 400)]


def at(shard: int, slice_index: int) -> Placement:
    return Placement("shard", shard, slice_index)


def test_a_late_record_costs_its_suffix() -> None:
    planned = plan_erasure(PLAN, [at(2, 1), at(2, 1)], loads=LOADS)
    (part,) = planned.affected
    assert (part.shard, part.first_slice, part.rebuild) == (2, 1, (1,))
    assert (part.keep, part.keep_slice) == ("state", 0)
    assert (planned.steps, planned.full_steps) == (12, 4 * 2 * 12 + 8)
    assert (planned.tokens, planned.full_tokens) == (300, 8 * 300 + 400)
    assert planned.fraction == 12 / 104
    assert planned.trained_records == 2


def test_containment_falls_back_to_trunk_or_zero() -> None:
    assert plan_erasure(PLAN, [at(1, 0)], loads=LOADS).affected[0].keep == "trunk"
    assert plan_erasure(PLAN, [at(1, 0)], loads=LOADS[:-1]).affected[0].keep == "zero"


def test_an_empty_slice_is_no_place_to_stand() -> None:
    loads = [load for load in LOADS if (load.shard, load.slice) != (1, 0)]
    (part,) = plan_erasure(PLAN, [at(1, 1)], loads=loads).affected
    assert (part.keep, part.keep_slice) == ("trunk", None)


def test_the_trunk_costs_everything() -> None:
    planned = plan_erasure(PLAN, [Placement("trunk", None, 0)], loads=LOADS)
    assert planned.trunk_hit
    assert planned.fraction == 1.0
    assert planned.shards == (0, 1, 2, 3)
    assert {part.keep for part in planned.affected} == {"zero"}


def test_a_control_costs_nothing() -> None:
    planned = plan_erasure(PLAN, [Placement("control", None, None)], loads=LOADS)
    assert (planned.affected, planned.steps, planned.control_records) == ((), 0, 1)


def test_a_drifted_shard_starts_over_and_its_neighbours_stay() -> None:
    planned = plan_erasure(PLAN, [at(2, 1)], loads=LOADS, drifted={0, 2})
    (part,) = planned.affected
    assert (part.rebuild, part.drifted, part.keep_slice) == ((0, 1), True, 0)


def test_a_closure_outside_the_loads_is_refused() -> None:
    with pytest.raises(WrongUsage):
        plan_erasure(PLAN, [at(3, 5)], loads=LOADS)


@given(shards=st.integers(1, 16), slices=st.integers(1, 8))
def test_one_subject_costs_the_known_fraction(shards, slices) -> None:
    cost = expected_cost(plan(shards=shards, slices=slices), requests=1)
    assert cost.fraction == pytest.approx((slices + 1) / (2 * slices * shards))
    assert cost.affected_shards == pytest.approx(1)


def test_several_subjects_cost_what_a_simulation_says() -> None:
    rng, total, rounds = random.Random(1), 0, 4000
    for _ in range(rounds):
        closure = [at(rng.randrange(4), rng.randrange(2)) for _ in range(5)]
        total += sum(len(part.rebuild) for part in plan_erasure(PLAN, closure, loads=LOADS).affected)
    assert expected_cost(PLAN, requests=5).fraction == pytest.approx(total / rounds / 8, rel=0.03)


@given(few=st.integers(1, 20), more=st.integers(1, 20))
def test_more_requests_cost_more_but_less_than_each_alone(few, more) -> None:
    one, both = expected_cost(PLAN, requests=few), expected_cost(PLAN, requests=few + more)
    assert one.fraction < both.fraction <= 1
    assert both.fraction <= one.fraction + expected_cost(PLAN, requests=more).fraction


def test_no_request_is_no_question() -> None:
    with pytest.raises(WrongUsage):
        expected_cost(PLAN, requests=0)
