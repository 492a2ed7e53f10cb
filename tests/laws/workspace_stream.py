"""The stream over real workspaces: databases, vault, gate, cases, store. Beside it, a fresh one for every comparison.

The same laws as over the trainer alone (tests/unlearn/stream_world.py), and everything goes the way the commands and
jobs go. Most operations may be cut off by a crash at any boundary (crashes.py) or optimizer step, and are then repeated,
as a user or a sensor would.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import ClassVar

import pytest
from crashes import Killed, Schedule, crashing, let_die
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from road import approved_case, judged_case
from small_world import ADAPTER, Bytes, bytes_in_service, live_states
from stream_books import (
    POOL,
    Books,
    Intake,
    fresh_world,
    register,
    row_about,
    row_about_nobody,
    take_in,
    train,
    write_rows,
)

from lineage.evidence import evidence
from lineage.plans import TRUNK
from lineage.workspace import open_workspace
from pipelines import erasure
from pipelines.collecting import check_store, collect
from pipelines.demo_rows import DemoRow, Person
from pipelines.forecasting import forecast_training
from pipelines.progress import Silent
from pipelines.purging import purge_case
from unlearn.plan import Plan

SEEDS = st.integers(0, 2**32 - 1)
CRASH = st.one_of(st.just(0), st.integers(1, 70))  # 0: none; the n-th boundary or optimizer step, if it comes to that
SIZES = (1, 1, 2, 2, 3, 5)
MAX_INTAKES = 7  # the fresh world replays them all


class Stream(RuleBasedStateMachine):
    """Ingest, train, erase, purge, crash and lose, in any order."""

    template: ClassVar[Path]
    plans: ClassVar[Sequence[Plan]]
    tally: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(mkdtemp(dir=self.template.parent))

    @initialize(which=st.integers(0, 2), seed=SEEDS)
    def begin(self, which: int, seed: int) -> None:
        self.plan = self.plans[which % len(self.plans)]
        shutil.copytree(self.template, self.folder / "ws")
        self.workspace = open_workspace(self.folder / "ws")
        self.books, self.strangers = Books(), list(POOL)
        self.pending, self.to_purge = True, []
        self.fresh: tuple[object, Bytes] | None = None
        rng = self.rng(seed)
        self.bring(rng, people=8, rows=[row_about_nobody(rng) for _ in range(3)], crash=0)
        self.train(seed=seed, crash=0)

    def teardown(self) -> None:
        if self.books.intakes:
            self.train(seed=0, crash=0)
        shutil.rmtree(self.folder)

    # --- the corpus ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.books.intakes) < MAX_INTAKES)
    @rule(people=st.integers(0, 3), seed=SEEDS, crash=CRASH)
    def ingest(self, people: int, seed: int, crash: int) -> None:
        """The next generation: new people, known people again, rows that name others or were derived from others' rows."""
        rng = self.rng(seed)
        rows = [row_about_nobody(rng) for _ in range(rng.randrange(2))]
        self.bring(rng, people=people, rows=rows, crash=crash)

    @precondition(lambda self: len(self.books.intakes) < MAX_INTAKES)
    @rule(seed=SEEDS, crash=CRASH)
    def ingest_into_an_old_generation(self, seed: int, crash: int) -> None:
        """What `--generation` is for; its slices were trained long ago."""
        rng = self.rng(seed)
        old = rng.choice(sorted({intake.generation for intake in self.books.intakes}))
        self.bring(rng, people=1, rows=[], crash=crash, generation=old)
        self.tally["late"] += 1

    def rng(self, seed: int) -> random.Random:
        """The same seed in two ingests must not give two rows the same id."""
        return random.Random(f"{seed} {len(self.books.intakes)}")

    def bring(
        self, rng: random.Random, *, people: int, rows: list[DemoRow], crash: int, generation: int | None = None
    ) -> None:
        known, new = self.books.known(), [self.strangers.pop(rng.randrange(len(self.strangers))) for _ in range(people)]
        again = rng.sample(known, min(len(known), rng.randrange(3)))
        for person in [*new, *again]:
            for _ in range(20 if rng.random() < 0.03 else rng.choice(SIZES)):
                others = [other for other in known if other != person]
                other = rng.choice(others) if others and rng.random() < 0.3 else None
                parent = rng.choice(sorted(self.books.rows)) if self.books.rows and rng.random() < 0.05 else ""
                rows.append(row_about(person, rng, other=other, parent=parent))
        register(self.workspace, new)
        latest = max((intake.generation for intake in self.books.intakes), default=-1)
        into = latest + bool(rows) if generation is None else generation
        if rows:
            path = write_rows(self.workspace, rows)
            self.finish(crash, lambda: take_in(self.workspace, path, generation=generation))
        self.books.rows |= {row.row_id: row for row in rows}
        self.books.intakes.append(Intake(tuple(new), tuple(row.row_id for row in rows), into))
        self.pending = self.pending or bool(rows)
        self.tally["ingests"] += 1

    @precondition(lambda self: self.books.asking())
    @rule(rows=st.integers(1, 4), seed=SEEDS, crash=CRASH)
    def rectify(self, rows: int, seed: int, crash: int) -> None:
        """Art. 16: some rows of one person say something else from now on."""
        rng = random.Random(seed)
        person = rng.choice(self.books.asking())
        own = sorted(row_id for row_id, row in self.books.rows.items() if person.customer_id in row.subjects)
        chosen = [self.books.rows[row_id] for row_id in rng.sample(own, min(rows, len(own)))]
        corrected = [replace(row, turns=row_about(person, rng).turns) for row in chosen]
        path = write_rows(self.workspace, corrected)
        self.finish(crash, lambda: take_in(self.workspace, path, rectify=True))
        self.books.rows |= {row.row_id: row for row in corrected}
        self.pending = True
        self.tally["rectified"] += len(corrected)

    # --- training and the store ---------------------------------------------------------------------------------------

    @rule(seed=SEEDS, crash=CRASH)
    def train(self, seed: int, crash: int) -> None:
        """It trains what was forecast and no more. Then everything equals a fresh world, and training again does nothing."""
        order = random.Random(seed).sample(range(self.plan.shards), self.plan.shards)
        forecast = forecast_training(self.workspace, ADAPTER, self.plan)
        told = {(TRUNK if s.shard is None else s.shard, index) for s in forecast.shards for index in s.rebuild}
        before = self.states()
        self.finish(crash, lambda: train(self.workspace, self.plan, order=order))
        self.pending = False
        after = self.states()
        assert {after[recipe] for recipe in after.keys() - before.keys()} <= told, (
            "LAW a forecast tells all that is trained"
        )
        self.compare()
        train(self.workspace, self.plan)
        assert self.states() == after, "LAW a second training does nothing"
        self.compare()
        assert forecast_training(self.workspace, ADAPTER).steps == 0

    @rule(seed=SEEDS)
    def lose_a_state(self, seed: int) -> None:
        """Its bytes are gone from the store; its row is still there."""
        states = sorted({state.state_digest for state in live_states(self.workspace)})
        if self.workspace.store.destroy("states", random.Random(seed).choice(states)):
            self.pending = True
            self.tally["lost_states"] += 1

    @rule(crash=CRASH)
    def collect_garbage(self, crash: int) -> None:
        """Two days on, what no live recipe reaches is removed; nothing that is needed is."""
        later = datetime.now(UTC) + timedelta(days=2)
        self.finish(crash, lambda: collect(self.workspace, now=later))
        assert check_store(self.workspace).damaged == ()
        if not self.pending:
            self.compare()
            assert forecast_training(self.workspace, ADAPTER).steps == 0, "LAW garbage is what nothing live reaches"
        self.tally["collections"] += 1

    # --- requests -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.books.asking()) > 1)
    @rule(requests=st.integers(1, 4), seed=SEEDS, crash=CRASH, purge=st.booleans())
    def erase(self, requests: int, seed: int, crash: int, *, purge: bool) -> None:
        """Some people ask at once: one window, in which each affected shard is rebuilt once."""
        rng, asking = random.Random(seed), self.books.asking()
        self.carry_out(rng.sample(asking, min(requests, len(asking) - 1)), rng, crash)
        if purge:
            self.purge(crash=0)

    @precondition(lambda self: len(self.books.asking()) > 3)
    @rule(times=st.integers(2, 3), seed=SEEDS)
    def erase_one_after_the_other(self, times: int, seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(times):
            self.carry_out([rng.choice(self.books.asking())], rng, crash=0)

    def carry_out(self, people: Sequence[Person], rng: random.Random, crash: int) -> None:
        cases = [approved_case(self.workspace, person) for person in people]
        old = self.states()
        records = [self.books.forget(person) for person in people]
        first = rng.choice([True, False])
        self.finish(crash if first else 0, lambda: erasure.contain(self.workspace, *cases))
        if not self.pending:
            found, fresh = bytes_in_service(self.folder / "ws").states, self.expected().states
            assert found.items() <= fresh.items(), "LAW what is contained never held another record"
        self.finish(0 if first else crash, lambda: erasure.rebuild(self.workspace, *cases))
        self.to_purge += cases
        if not self.pending:
            self.compare()
            self.assert_minimal(cases, old)
        self.tally.update(erasures=1, requests=len(people), erased_records=sum(records))
        self.most(requests_of_a_window=len(people), records_of_a_request=max(records))

    @precondition(lambda self: self.to_purge)
    @rule(crash=CRASH)
    def purge(self, crash: int) -> None:
        """The judge is left out: its verdict moves no weight."""
        for case_id in self.to_purge:
            judged_case(self.workspace, case_id)
            self.finish(crash, lambda case_id=case_id: purge_case(self.workspace, case_id))
            self.tally["purges"] += 1
        self.to_purge = []
        if not self.pending:
            self.compare()

    # --- the laws -----------------------------------------------------------------------------------------------------

    def expected(self) -> Bytes:
        """A fresh world of what the books hold; kept while they do not change."""
        now = (dict(self.books.rows), tuple(self.books.intakes))
        if self.fresh is None or self.fresh[0] != now:
            self.fresh = (now, fresh_world(self.template, self.books, self.plan, self.folder / "fresh"))
            self.tally["fresh_worlds"] += 1
        return self.fresh[1]

    def compare(self) -> None:
        assert bytes_in_service(self.folder / "ws") == self.expected(), "LAW erased equals never ingested"

    def states(self) -> dict[str, tuple[int, int]]:
        """Where every live state stands, by recipe."""
        return {state.recipe_digest: (state.shard, state.slice) for state in live_states(self.workspace)}

    def assert_minimal(self, cases: Sequence[str], old: Mapping[str, tuple[int, int]]) -> None:
        """Nothing was trained but the suffixes that the previews named."""
        with self.workspace.database.reader() as session:
            forecasts = [evidence(session, case_id, "forecast")["adapters"][ADAPTER]["affected"] for case_id in cases]
        suffixes = {(part["shard"], index) for parts in forecasts for part in parts for index in part["rebuild"]}
        new = {place for recipe, place in self.states().items() if recipe not in old}
        assert new <= suffixes, "LAW forget is minimal"

    def finish(self, at: int, action: Callable[[], object]) -> None:
        """Do it; if it crashes at the n-th boundary, do it again."""
        try:
            with cut_off(at):
                action()
        except Killed:
            self.tally["crashes"] += 1
            let_die(self.workspace)
            action()

    def most(self, **seen: int) -> None:
        for name, number in seen.items():
            self.tally[name] = max(self.tally[name], number)


@contextmanager
def cut_off(at: int) -> Iterator[Schedule]:
    """`crashes.crashing`, where an optimizer step or a scanned row is a boundary too."""
    with crashing(at) as schedule, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Silent, "advance", lambda *_: schedule.boundary())
        yield schedule
