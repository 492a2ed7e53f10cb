"""What a corpus went through, kept so that a fresh workspace can go through it without those who are gone by now.

The books hold the rows as a controller would spell them today, had the erased never been there: their rows are missing,
what was derived from those is missing, and in the rows of others the gate's constants stand for them. `fresh_world`
replays register and ingests in their order and generations, trains, and hashes the bytes.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from small_world import ADAPTER, SOURCE, Bytes, bytes_in_service

from lineage.subjects import SubjectEntry, add_forms
from lineage.workspace import Workspace, open_workspace
from pipelines import placing, releasing, training
from pipelines.demo_rows import DemoRow, Mention, Person, Turn, row_without, write_jsonl
from pipelines.demo_writer import draw_people
from pipelines.ingest import request_ingest, run_ingest, utc_now
from unlearn.plan import Plan

POOL = [
    person for n, person in enumerate(draw_people(random.Random(3), count=320)) if n != 8
]  # the ninth is a namesake
FORMS = ("name", "account")
_files = count()


@dataclass(frozen=True)
class Intake:
    """People who were registered, and the rows that came in right after, by id."""

    people: tuple[Person, ...]
    rows: tuple[str, ...]
    generation: int


@dataclass
class Books:
    """The truth: `rows` by id as they would be spelt today, `intakes` in their order."""

    rows: dict[str, DemoRow] = field(default_factory=dict)
    intakes: list[Intake] = field(default_factory=list)
    gone: set[Person] = field(default_factory=set)

    def known(self) -> list[Person]:
        """Everybody who is registered and not gone."""
        return [person for intake in self.intakes for person in intake.people if person not in self.gone]

    def asking(self) -> list[Person]:
        """Everybody who can still ask to be erased because there is a row about them."""
        subjects = {subject for row in self.rows.values() for subject in row.subjects}
        return [person for person in self.known() if person.customer_id in subjects]

    def forget(self, person: Person) -> int:
        """As if the person had never been there; how many rows went."""
        lost = without_derived(self.rows, {r for r, row in self.rows.items() if person.customer_id in row.subjects})
        self.rows = {r: row_without(row, person.customer_id) for r, row in self.rows.items() if r not in lost}
        self.gone.add(person)
        return len(lost)


def without_derived(rows: dict[str, DemoRow], lost: set[str]) -> set[str]:
    """The lost rows and everything that was derived from them, to the end."""
    while more := {r for r, row in rows.items() if lost.intersection(row.parents)} - lost:
        lost = lost | more
    return lost


def row_about(person: Person, rng: random.Random, *, other: Person | None = None, parent: str = "") -> DemoRow:
    """A short chat of a person, which may name somebody else or be derived from another row."""
    also = (" and ", Mention(other.customer_id, "name", other.value("name"))) if other else ()
    name = Mention(person.customer_id, "name", person.value("name"))
    asked = Turn("user", ("I am ", name, *also, f", order {rng.randrange(20_000, 100_000)}."))
    basis = "consent" if rng.random() < 0.4 else "contract"
    return DemoRow(
        f"r{rng.getrandbits(48):012x}", (asked, _answer(rng)), (person.customer_id,), lawful_basis=basis,
        parents=(parent,) if parent else (),
    )  # fmt: skip


def row_about_nobody(rng: random.Random) -> DemoRow:
    """A row that may form the trunk."""
    return DemoRow(f"n{rng.getrandbits(48):012x}", (Turn("user", ("Do you deliver?",)), _answer(rng)))


def _answer(rng: random.Random) -> Turn:
    return Turn("assistant", (f"Order {rng.randrange(20_000, 100_000)} is on its way.",))


def register(workspace: Workspace, people: Iterable[Person]) -> None:
    """What `lethe register add` does."""
    entries = [SubjectEntry(p.customer_id, kind, p.value(kind)) for p in people for kind in FORMS]
    with workspace.database.transaction() as session:
        add_forms(session, entries, keyring=workspace.keyring, keystore=workspace.keystore, now=utc_now())


def write_rows(workspace: Workspace, rows: Iterable[DemoRow]) -> Path:
    """A corpus file of its own."""
    path = workspace.settings.workspace / f"rows-{next(_files)}.jsonl"
    write_jsonl(rows, path)
    return path


def take_in(workspace: Workspace, path: Path, *, generation: int | None = None, **how: bool) -> None:
    """What `lethe ingest` does; the same file again ends what a crash interrupted."""
    run_ingest(workspace, request_ingest(workspace, path, source=SOURCE, generation=generation, **how))


def train(workspace: Workspace, plan: Plan, *, order: Sequence[int] = ()) -> None:
    """What `lethe train` does, by the functions its assets call; shards in any order."""
    placing.freeze_and_place(workspace, ADAPTER, plan)
    training.build_trunk(workspace, ADAPTER)
    for shard in order or range(plan.shards):
        training.build_shard(workspace, ADAPTER, shard)
    releasing.compose(workspace, ADAPTER)
    releasing.put_in_service(workspace, ADAPTER)


def fresh_world(template: Path, books: Books, plan: Plan, folder: Path) -> Bytes:
    """The bytes of a fresh workspace with the same plan and secrets that only ever saw what the books hold now."""
    shutil.copytree(template, folder)
    workspace = open_workspace(folder)
    for intake in books.intakes:
        register(workspace, [person for person in intake.people if person not in books.gone])
        if rows := [books.rows[row_id] for row_id in intake.rows if row_id in books.rows]:
            take_in(workspace, write_rows(workspace, rows), generation=intake.generation)
    train(workspace, plan)
    found = bytes_in_service(folder)
    shutil.rmtree(folder)
    return found
