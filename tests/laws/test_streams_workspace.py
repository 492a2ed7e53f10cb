"""Random streams over real workspaces: after each operation the bytes in service are those of a fresh workspace."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from road import approved_case, hire
from small_base import write_small_base
from small_world import write_secret
from sqlmodel import Session, col, select
from workspace_stream import Stream

from lineage import builds, languages, plans
from lineage.errors import LetheError
from lineage.policy import load_policy
from lineage.scan import Scanner, Span
from lineage.tables import StateRow
from lineage.workspace import create_workspace
from pipelines import ingest, placing, states
from unlearn.plan import CorpusShape, Placement, TrainSettings, propose_plan

SETTINGS = settings(
    deadline=None, database=None, print_blob=True, report_multiple_bugs=False, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


PLANS = [
    propose_plan(
        TrainSettings(
            shards=shards, slices=slices, controls=controls, epochs=1, trunk="on", trunk_epochs=1, batch=8 * shards, lora_r=2,
            lora_alpha=4, lora_dropout=0.1, target_modules=("q_proj",), max_length=64, optimizer=optimizer,
        ),
        CorpusShape(records=16 * shards * slices, characters=10_000, subjects=20, trunk_records=16), nonce="00ff",
    )
    for shards, slices, controls, optimizer in ((2, 2, 0.0, "carry"), (3, 1, 0.2, "reset"))
]  # fmt: skip


class OnceProven(Scanner):
    """The real scanner, which proves itself once and remembers what it found in a text: it holds no other state."""

    seen: ClassVar[dict[str, tuple[Span, ...]]] = {}

    def scan(self, text: str) -> tuple[Span, ...]:
        if text not in self.seen:
            self.seen[text] = super().scan(text)
        return self.seen[text]

    def self_test(self) -> None:
        _ = self._proven


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """A workspace with staff and a very small base, and nothing in it. In memory, where there is a place for that: a
    third of the time would go into syncing small transactions to the disk."""
    memory = Path("/dev/shm")  # noqa: S108 - a fresh folder is made in it
    with TemporaryDirectory(prefix="lethe-streams-", dir=memory if memory.is_dir() else None) as folder:
        yield make_template(Path(folder))


def make_template(root: Path) -> Path:
    create_workspace(root / "template", controller="Test GmbH", workspace_secret=write_secret(root))
    settings_file = root / "template" / "lethe.toml"
    settings_file.write_text(settings_file.read_text().replace('"tiny"', f'"{write_small_base(root / "base")}"'))
    hire(root / "template")
    return root / "template"


@pytest.fixture(autouse=True)
def one_scanner(monkeypatch) -> None:
    """Starting Presidio takes half a second, so every workspace of a test shares one that was started."""
    scanner = cache(lambda _: OnceProven(load_policy("default")))
    monkeypatch.setattr(languages, "Scanner", lambda policy: scanner(policy.digest))


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
