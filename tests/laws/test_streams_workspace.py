"""Random streams over real workspaces: after each operation the bytes in service are those of a fresh workspace."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from crashes import Killed
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from quick_world import PLANS
from road import approved_case
from sqlmodel import Session, col, select
from workspace_stream import Stream

from lineage import builds, plans
from lineage.errors import LetheError
from lineage.tables import StateRow
from pipelines import ingest, placing, states
from unlearn.plan import Placement

SETTINGS = settings(
    deadline=None, database=None, print_blob=True, report_multiple_bugs=False, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
pytestmark = pytest.mark.usefixtures("one_scanner")


def machine_over(template: Path) -> type[Stream]:
    return type("Run", (Stream,), {"template": template, "plans": PLANS, "tally": Counter()})


def run(template: Path, *, erasures: int, examples: int = 6, steps: int) -> Counter[str]:
    """Round after round, each with the next seed, until so many erasures were carried out; what else happened."""
    machine = machine_over(template)
    with_settings = settings(SETTINGS, max_examples=examples, stateful_step_count=steps)
    while machine.tally["erasures"] < erasures:
        machine.tally["rounds"] += 1
        run_state_machine_as_test(seed(machine.tally["rounds"])(machine), settings=with_settings)
    return machine.tally


def told(capsys, what: str, tally: Counter[str]) -> None:
    with capsys.disabled():
        print(f"\nstreams over workspaces, {what}: {dict(tally)}")


def test_a_sample_of_streams(template, capsys) -> None:
    tally = run(template, erasures=3, examples=2, steps=6)
    told(capsys, "a sample", tally)
    assert tally["erasures"] >= 3


@pytest.mark.slow
def test_many_streams(template, capsys) -> None:
    tally = run(template, erasures=50, steps=10)
    told(capsys, "many", tally)
    assert tally["erasures"] >= 50
    for what in ("crashes", "purges", "late", "lost_states", "collections"):
        assert tally[what] >= 3, what


@pytest.mark.slow
def test_a_window_of_fifty_requests(template, capsys) -> None:
    stream, rng = machine_over(template)(), random.Random(50)
    stream.begin(which=0, seed=50)
    stream.bring(stream.rng(50), people=50, rows=[], crash=0)
    stream.train(seed=50, crash=0)
    stream.carry_out(rng.sample(stream.books.asking(), 50), rng, crash=9)
    stream.purge(crash=0)
    stream.teardown()
    told(capsys, "a large window", stream.tally)
    assert stream.tally["requests"] == stream.tally["purges"] == 50


@pytest.mark.slow
def test_rectifications_between_erasures_and_crashes(template) -> None:
    stream = machine_over(template)()
    stream.begin(which=0, seed=7)
    stream.rectify(rows=3, seed=5, crash=0)
    stream.ingest(people=2, seed=11, crash=0)
    stream.rectify(rows=2, seed=6, crash=9)
    stream.train(seed=1, crash=0)
    stream.carry_out(stream.books.asking()[:2], random.Random(1), crash=5)
    stream.purge(crash=7)
    stream.teardown()
    assert stream.tally["rectified"] >= 2


@pytest.mark.parametrize("erased", [False, True])
def test_an_ingest_killed_behind_its_last_batch_has_its_generation(template, monkeypatch, erased) -> None:
    """Repeated, it finds every row held. The next ingest is the next generation all the same, whoever is gone by then."""
    stream = machine_over(template)()
    stream.begin(which=1, seed=7)
    whole, killed = ingest._end, []

    def _end(*given: Any, **named: Any) -> None:
        if not killed:
            killed.append(True)
            raise Killed
        whole(*given, **named)

    monkeypatch.setattr(ingest, "_end", _end)
    stream.bring(stream.rng(1), people=2, rows=[], crash=0)
    monkeypatch.undo()
    assert killed
    if erased:
        stream.carry_out(list(stream.books.intakes[-1].people), random.Random(1), crash=0)
        stream.purge(crash=0)
    stream.bring(stream.rng(2), people=2, rows=[], crash=0)
    stream.train(seed=1, crash=0)
    stream.teardown()


ERASE = """
import sys
from pathlib import Path
from lineage.workspace import open_workspace
from pipelines import erasure
workspace = open_workspace(Path(sys.argv[1]))
erasure.contain(workspace, *sys.argv[2:])
erasure.rebuild(workspace, *sys.argv[2:])
"""


@pytest.mark.slow
def test_kill_9_in_an_erasure_again_and_again(template) -> None:
    """A process of its own is killed after a random number of further files in the store, twice; then it may end."""
    stream, rng = machine_over(template)(), random.Random(9)
    stream.begin(which=0, seed=9)
    people = rng.sample(stream.books.asking(), 4)
    cases = [approved_case(stream.workspace, person) for person in people]
    for person in people:
        stream.books.forget(person)
    command = [sys.executable, "-c", ERASE, str(stream.folder / "ws"), *cases]
    store, kills = stream.folder / "ws" / ".lethe" / "store", 0
    for more in (rng.randint(1, 3), rng.randint(1, 3)):
        already, process = len(list(store.glob("*/*"))), subprocess.Popen(command)
        while process.poll() is None and len(list(store.glob("*/*"))) < already + more:
            time.sleep(0.002)
        kills += process.poll() is None
        process.kill()
        process.wait()
    assert kills
    subprocess.run(command, check=True)
    stream.pending = False
    stream.compare()
    stream.teardown()


# --- the laws can fail --------------------------------------------------------------------------------------------------


def a_rebuild_that_reads_restricted_records(patch: pytest.MonkeyPatch) -> None:
    whole = plans.live_members
    patch.setattr(states, "live_members", lambda *given, **_: whole(*given, restricted_too=True))


def a_placement_in_turn(patch: pytest.MonkeyPatch) -> None:
    """The n-th record that is placed goes to shard n mod S."""
    whole, turn = placing.place, count()
    patch.setattr(placing, "place", lambda plan, key, **of: in_turn(whole(plan, key, **of), next(turn) % plan.shards))


def in_turn(place: Placement, shard: int) -> Placement:
    return replace(place, shard=shard) if place.kind == "shard" else place


def a_chain_that_looks_at_places_only(patch: pytest.MonkeyPatch) -> None:
    """What was trained for a slice is taken for current, whatever its records were."""

    def newest(session: Session, *, plan_digest: str, place: int, **_: object) -> builds.StateFacts | None:
        query = select(StateRow.recipe_digest).where(StateRow.shard == place)
        recipe = session.exec(query.order_by(col(StateRow.built_at).desc())).first()
        return builds.find_state(session, recipe) if recipe else None

    patch.setattr(builds, "child_state", newest)


def an_ingest_without_generations(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ingest, "_next_generation", lambda _session: 0)


MUTANTS = [
    a_rebuild_that_reads_restricted_records, a_placement_in_turn, a_chain_that_looks_at_places_only,
    an_ingest_without_generations,
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_road_is_noticed(template, monkeypatch, mutant) -> None:
    """By the comparison, or before it by a guard of the product."""
    mutant(monkeypatch)
    with pytest.raises((AssertionError, LetheError), match=r"LAW|must be gone|no admission"):
        run(template, erasures=9, examples=3, steps=6)
