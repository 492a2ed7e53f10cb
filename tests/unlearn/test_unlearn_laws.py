"""The law of the house: what was erased and what was never ingested are the same bytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from unlearn_world import SECRET, MemoryStore, build, people, plan, slices_of, without

from unlearn.plan import plan_key
from unlearn.train import State, build_chain, initial_state, train_slice

PLANS = [plan(), plan(optimizer="reset", trunk=False, controls=0.3), plan(shards=3, slices=1, microbatch_tokens=40)]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    closure=st.sets(st.sampled_from([f"s{n}" for n in range(6)] + [None]), min_size=1, max_size=5),
    chosen=st.sampled_from(PLANS),
)
def test_erased_equals_never_ingested(small_base, closure, chosen) -> None:
    rows, store = people(), MemoryStore()
    before = build(small_base, chosen, rows, store)
    erased = build(small_base, chosen, without(rows, closure), store)
    never = build(small_base, chosen, without(rows, closure), MemoryStore())
    assert erased.digests == never.digests
    # The law would be empty if every corpus gave the same adapter.
    if chosen.controls == 0:
        assert erased.composed.digest != before.composed.digest


def test_order_of_erasures_does_not_matter(small_base) -> None:
    rows, chosen = people(), plan()

    def erase_in(order: list[set[str]]) -> object:
        store, left = MemoryStore(), rows
        build(small_base, chosen, left, store)
        for closure in order:
            left = without(left, closure)
            built = build(small_base, chosen, left, store)
        return built.digests

    assert erase_in([{"s1"}, {"s4"}]) == erase_in([{"s4"}, {"s1"}]) == erase_in([{"s1", "s4"}])


def test_forget_is_minimal_and_a_second_training_does_nothing(small_base) -> None:
    rows, chosen, store = people(), plan(), MemoryStore()
    build(small_base, chosen, rows, store)
    built_once = len(store.published)
    build(small_base, chosen, rows, store)
    assert len(store.published) == built_once
    build(small_base, chosen, without(rows, {"s2"}), store)
    places = {
        (shard, item.slice)
        for shard in range(chosen.shards)
        for item in slices_of(chosen, [row for row in rows if row.subject == "s2"], shard=shard)
    }
    first = {shard: min(index for other, index in places if other == shard) for shard, _ in places}
    rebuilt = store.published[built_once:]
    assert rebuilt
    assert all(built.shard in first and built.slice >= first[built.shard] for built in rebuilt)


def test_record_order_does_not_matter(small_base) -> None:
    rows, chosen = people(), plan()
    one = build(small_base, chosen, rows, MemoryStore())
    assert one.digests == build(small_base, chosen, rows[::-1], MemoryStore()).digests


def test_one_weight_or_one_seed_changes_the_digest(small_base) -> None:
    chosen = plan()
    key = plan_key(SECRET, chosen)
    state = initial_state(small_base, chosen, key, shard=0)
    tensors = load(state.weights)
    name = min(tensors)
    tensors[name].view(-1)[0] = torch.nextafter(tensors[name].view(-1)[0], torch.tensor(9.0))
    flipped = State(save(tensors, metadata={"fan_in_fan_out": "false"}), state.optimizer)
    assert flipped.digest != state.digest
    assert (
        State(save(load(state.weights), metadata={"fan_in_fan_out": "false"}), state.optimizer).digest == state.digest
    )
    records = [row.record for row in people()[:4]]
    trained = {
        train_slice(small_base, chosen, k, shard=0, slice=0, records=records, parent=p).digest
        for k, p in ((key, state), (key, flipped), (bytes(32), state))
    }
    assert len(trained) == 3


def test_empty_slice_returns_the_parent(small_base) -> None:
    chosen = plan()
    key = plan_key(SECRET, chosen)
    parent = initial_state(small_base, chosen, key, shard=1)
    assert train_slice(small_base, chosen, key, shard=1, slice=0, records=[], parent=parent) is parent


def test_a_crash_resumes_to_the_same_bytes(small_base) -> None:
    """Stop after any number of optimizer steps, start again with what was published."""
    rows, chosen = people(), plan()
    key, slices = plan_key(SECRET, chosen), slices_of(chosen, people(), shard=0)
    whole = build_chain(small_base, chosen, key, shard=0, slices=slices, store=MemoryStore(), start=None)
    assert len(whole) >= 2, rows

    class PowerCutError(Exception):
        pass

    for stop_at in range(1, sum(built.steps for built in whole), 3):
        store, left = MemoryStore(), [stop_at]

        def tick(_progress: object, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise PowerCutError

        with pytest.raises(PowerCutError):
            build_chain(small_base, chosen, key, shard=0, slices=slices, store=store, start=None, progress=tick)
        again = build_chain(small_base, chosen, key, shard=0, slices=slices, store=store, start=None)
        assert [built.state_digest for built in again] == [built.state_digest for built in whole]


def test_another_shard_in_the_same_process_leaves_no_trace(small_base) -> None:
    chosen = plan()
    key = plan_key(SECRET, chosen)
    records = [row.record for row in people()[:5]]
    parent = initial_state(small_base, chosen, key, shard=0)
    once = train_slice(small_base, chosen, key, shard=0, slice=0, records=records, parent=parent)
    other = plan(lora_r=3, target_modules=("q_proj",))
    train_slice(
        small_base,
        other,
        key,
        shard=1,
        slice=1,
        records=records[2:],
        parent=initial_state(small_base, other, key, shard=1),
    )
    torch.manual_seed(5)
    assert train_slice(small_base, chosen, key, shard=0, slice=0, records=records, parent=parent).digest == once.digest


FRESH = """
import sys
sys.path.insert(0, sys.argv[1])
from unlearn.base import BaseSpec, load_base
from unlearn_world import MemoryStore, build, people, plan, without
built = build(load_base(BaseSpec(sys.argv[2])), plan(), without(people(), {"s0", "s3"}), MemoryStore())
print(built.composed.digest)
"""


def test_a_fresh_process_agrees(small_base, small_folder) -> None:
    store = MemoryStore()
    build(small_base, plan(), people(), store)
    erased = build(small_base, plan(), without(people(), {"s0", "s3"}), store)
    command = [sys.executable, "-c", FRESH, str(Path(__file__).parent), str(small_folder)]
    fresh = subprocess.run(command, capture_output=True, text=True, check=True)
    assert fresh.stdout.strip() == erased.composed.digest
