"""What a training will rebuild and why, from values alone."""

from __future__ import annotations

import pytest
from unlearn_world import plan

from unlearn.staleness import LastTraining, WantedSlice, forecast

PLAN = plan(shards=2, slices=2)
A, B, C = {"a": "11aa"}, {"b": "22bb"}, {"c": "33cc"}
BEFORE = {0: LastTraining(1, {"a": "11"}), 1: LastTraining(1, {"b": "22"})}


def told(*wanted: WantedSlice, last=BEFORE, **more):
    return forecast(PLAN, 0, wanted=wanted, last=last, **more)


def stands(index: int, members: dict[str, str]) -> WantedSlice:
    return WantedSlice(index, members, "stands")


def test_what_stands_is_left_alone_whatever_machine_built_it() -> None:
    for drifted in (False, True):
        found = told(stands(0, A), stands(1, B), drifted=drifted)
        assert (found.first_slice, found.rebuild, found.steps, found.tokens, found.reasons) == (None, (), 0, 0, ())
        assert found.kept == (0, 1)


@pytest.mark.parametrize(
    ("second", "reasons"),
    [
        ({**B, **C}, ("1 new record(s) in generation 0",)),
        (C, ("1 new record(s) in generation 0", "1 record(s) erased or withdrawn")),
        ({"b": "44dd"}, ("1 content(s) changed",)),
    ],
)
def test_the_reason_is_read_off_the_first_slice_that_moved(second, reasons) -> None:
    found = told(stands(0, A), WantedSlice(1, second), WantedSlice(2, C))
    assert (found.first_slice, found.kept, found.rebuild) == (1, (0,), (1, 2))
    assert found.reasons == reasons
    assert found.steps == 2 * PLAN.steps(0)


def test_a_record_whose_row_is_gone_is_counted_as_erased() -> None:
    last = {0: LastTraining(3, {"a": "11"})}
    assert told(WantedSlice(0, A), last=last).reasons == ("2 record(s) erased or withdrawn",)


def test_a_later_ingest_names_its_generation_and_leaves_the_earlier_slices() -> None:
    found = told(stands(0, A), stands(1, B), WantedSlice(3, C))
    assert (found.rebuild, found.reasons) == ((3,), ("1 new record(s) in generation 1",))


def test_a_slice_that_was_emptied_moves_what_follows_it() -> None:
    found = told(WantedSlice(1, B))
    assert found.reasons == ("an earlier slice changed",)


def test_a_lost_state_comes_back_alone() -> None:
    found = told(WantedSlice(0, A, "lost"), stands(1, B))
    assert (found.first_slice, found.rebuild, found.kept) == (0, (0,), (1,))
    assert found.reasons == ("1 state(s) lost from the store",)


def test_a_stale_shard_that_drifted_and_one_above_a_moved_trunk_start_anew() -> None:
    drifted = told(stands(0, A), WantedSlice(1, {**B, **C}), drifted=True)
    moved = told(stands(0, A), stands(1, B), trunk_moves=True)
    assert drifted.rebuild == moved.rebuild == (0, 1)
    assert drifted.reasons[-1] == "its environment changed, so it starts anew"
    assert moved.reasons == ("the trunk is rebuilt",)


def test_a_shard_that_was_never_trained() -> None:
    assert told(WantedSlice(0, A), last={}).reasons == ("never trained",)
