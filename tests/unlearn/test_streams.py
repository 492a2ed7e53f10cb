"""Random streams of requests, growth, rectification and crashes: what is left is what would have been without the erased.

`Stream` (stream_world.py) is the machine. Here it runs, briefly in `make test` and long in `make test-all`, and here it
is shown that it would notice: each broken trainer below must be caught. Rounds have the seeds 1, 2, 3,
... and so are the same every time; a failure prints the steps that lead to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import SimpleNamespace

import pytest
import stream_world
import test_unlearn_plan
import test_unlearn_train
import unlearn_world
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test
from stream_world import Stream
from unlearn_world import MemoryStore, Row

from unlearn import loop, train
from unlearn.base import Base
from unlearn.batches import schedule
from unlearn.plan import Plan

SETTINGS = settings(
    deadline=None, database=None, print_blob=True, report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


def run(base: Base, *, erasures: int, examples: int = 10, steps: int, **more: object) -> Counter[str]:
    """Round after round, each with the next seed, until so many erasures were carried out; what else happened."""
    machine = type("Run", (Stream,), {"base": base, "tally": Counter()})
    with_settings = settings(SETTINGS, max_examples=examples, stateful_step_count=steps, **more)
    while machine.tally["erasures"] < erasures:
        machine.tally["rounds"] += 1
        run_state_machine_as_test(seed(machine.tally["rounds"])(machine), settings=with_settings)
    return machine.tally


def test_a_sample_of_streams(small_base, capsys) -> None:
    tally = run(small_base, erasures=25, examples=4, steps=12)
    with capsys.disabled():
        print(f"\nstreams, a sample: {dict(tally)}")
    assert tally["erasures"] >= 25


@pytest.mark.slow
def test_many_streams(small_base, capsys) -> None:
    tally = run(small_base, erasures=250, steps=24)
    with capsys.disabled():
        print(f"\nstreams: {dict(tally)}")
    assert tally["erasures"] >= 200
    assert tally["requests_of_a_window"] == 50
    assert tally["records_of_a_request"] == 20
    for what in ("crashes", "withdrawals", "rectified", "releases", "emptied_generations", "lost_states"):
        assert tally[what] >= 5, what


# --- the laws can fail --------------------------------------------------------------------------------------------------


def dropout_with_a_history(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(loop, "reseed", lambda *_, **__: None)


def momentum_with_a_history(patch: pytest.MonkeyPatch) -> None:
    made, last = loop.make_optimizer, [b""]

    def remember(*given: object) -> bytes:
        last[0] = loop.optimizer_bytes(*given)
        return last[0]

    patch.setattr(train, "make_optimizer", lambda lora, plan, optimizer: made(lora, plan, last[0] or optimizer))
    patch.setattr(train, "optimizer_bytes", remember)


def a_recipe_without(ingredient: str) -> Callable[[pytest.MonkeyPatch], None]:
    def break_it(patch: pytest.MonkeyPatch) -> None:
        whole = train.recipe_digest
        patch.setattr(train, "recipe_digest", lambda origin, **place: whole(origin, **{**place, ingredient: ""}))

    return break_it


def a_store_that_gives_a_stale_state(patch: pytest.MonkeyPatch) -> None:
    """It looks at the first digit of a recipe only, so now and then it finds what was built for something else."""

    def find(store: MemoryStore, recipe: str) -> object:
        return next((state for known, state in store.states.items() if known[0] == recipe[0]), None)

    patch.setattr(MemoryStore, "find", find)


def a_placement_that_counts_the_records(patch: pytest.MonkeyPatch) -> None:
    whole = unlearn_world.all_slices

    def moved(the_plan: Plan, rows: Iterable[Row]) -> object:
        rows = list(rows)
        return whole(replace(the_plan, nonce=f"{len(rows) % 2}"), rows)

    for module in (unlearn_world, stream_world):
        patch.setattr(module, "all_slices", moved)


def a_denominator_of_the_corpus(patch: pytest.MonkeyPatch) -> None:
    """The loss of a step is divided by the number of records there are, which no recipe knows of."""
    whole, summed, count = stream_world.build, loop.cross_entropy, [1]

    def build(base: Base, the_plan: Plan, rows: Iterable[Row], store: MemoryStore, **more: object) -> object:
        rows = list(rows)
        count[0] = len(rows)
        return whole(base, the_plan, rows, store, **more)

    patch.setattr(stream_world, "build", build)
    patch.setattr(loop, "cross_entropy", lambda *given, **named: summed(*given, **named) / count[0])


def a_plan_that_follows_the_corpus(patch: pytest.MonkeyPatch) -> None:
    """The denominator is told in the plan, so the bytes agree; but everybody is trained again when anybody leaves."""

    def followed(whole: Callable) -> Callable:
        def follow(base: Base, the_plan: Plan, rows: Iterable[Row], *rest: object, **more: object) -> object:
            rows = list(rows)
            return whole(base, replace(the_plan, expected_tokens=64 + len(rows)), rows, *rest, **more)

        return follow

    for name in ("build", "standing"):
        patch.setattr(stream_world, name, followed(getattr(stream_world, name)))


MUTANTS = {
    "dropout with a history": dropout_with_a_history,
    "momentum with a history": momentum_with_a_history,
    "a recipe without its members": a_recipe_without("manifest_digest"),
    "a recipe without its parent": a_recipe_without("parent_digest"),
    "a store that gives a stale state": a_store_that_gives_a_stale_state,
    "a placement that counts the records": a_placement_that_counts_the_records,
    "a denominator of the corpus": a_denominator_of_the_corpus,
    "a plan that follows the corpus": a_plan_that_follows_the_corpus,
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_trainer_is_noticed(small_base, monkeypatch, mutant) -> None:
    MUTANTS[mutant](monkeypatch)
    with pytest.raises((AssertionError, Flaky), match=r"LAW|[Ff]laky"):
        run(small_base, erasures=20, steps=12, phases=[Phase.generate])


# What happens inside one slice is retrained with it, so a stream cannot see it: these laws are asked directly.


def test_a_mean_over_the_batch_is_noticed(small_base, monkeypatch) -> None:
    law = test_unlearn_train.test_a_batch_weighs_what_its_records_weigh_alone
    law(small_base)
    summed = loop.cross_entropy
    monkeypatch.setattr(loop, "cross_entropy", lambda *given, **_: summed(*given, reduction="mean"))
    with pytest.raises(AssertionError):
        law(small_base)


def test_as_many_steps_as_records_is_noticed(monkeypatch) -> None:
    """`T = N`: an epoch as long as the slice moves the neighbours of whoever leaves to other steps."""
    records = [(f"r{number}", None) for number in range(9)]
    law = test_unlearn_plan.test_removal_moves_no_neighbour.hypothesis.inner_test
    one_leaves = SimpleNamespace(draw=lambda _: {records[0]})
    law(records=records, data=one_leaves)

    def counted(the_plan: Plan, key: bytes, ids: list[str]) -> list[list[str]]:
        return schedule(replace(the_plan, steps_per_epoch=len(ids)), key, ids)

    monkeypatch.setattr(test_unlearn_plan, "schedule", counted)
    with pytest.raises(AssertionError):
        law(records=records, data=one_leaves)
