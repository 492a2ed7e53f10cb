"""A small world that walks the real road: 14 invented people, a few mentions of others, ten rows about nobody.

Every identifier in a text is marked (`pipelines.demo_rows.Mention`), so the corpus *without* a person is written from
the marks and not by the gate that is under test. `PLANTED` has names and numbers that occur nowhere else; `SECOND` and
`ELSEWHERE` also ask to be erased, one in the planted person's shard, one in another.
"""

from __future__ import annotations

import csv
import hashlib
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlmodel import col, select

from lineage import builds
from lineage.forms import canonical_identifier
from lineage.tables import StateRow
from lineage.workspace import Workspace, open_workspace
from pipelines.demo_corpus import DemoCorpus, without_subject, write_jsonl
from pipelines.demo_rows import KINDS, Person
from pipelines.demo_writer import Writer, draw_people
from pipelines.placing import propose
from unlearn.plan import Placement, Plan, place, plan_key

PLANTED = Person(
    "C-9001", "Quillonia Vastergaard", "q.vastergaard@quillonia.example", "+44 20 7946 0731", "AC-7731-5542"
)
ADAPTER = "support"
SOURCE = "tickets"
TRAINING = """\
shards = 3
slices = 2
epochs = 1
trunk_epochs = 1
batch = 6
lora_r = 4
lora_alpha = 8
max_length = 128
"""
SECRET = bytes(range(32)).hex() + "\n"


def small_corpus(seed: int = 5) -> DemoCorpus:
    """57 rows or so; the planted person has four and is named in three rows of others."""
    rng = random.Random(seed)
    people = (*draw_people(rng, count=13), PLANTED)
    writer = Writer(rng)
    rows = []
    for i, person in enumerate(people):
        for j in range(2 + i % 4 if person is not PLANTED else 4):
            other = PLANTED if i in (1, 4, 5) and j == 0 else people[(i + 3) % 7] if j == 1 and i % 3 == 0 else None
            rows.append(writer.conversation(person, other=other if other is not person else None))
    rows += [writer.row_about_nobody() for _ in range(10)]
    rng.shuffle(rows)
    return DemoCorpus(people, tuple(rows), (), ())


CORPUS = small_corpus()
SECOND, ELSEWHERE = CORPUS.people[2], CORPUS.people[3]


def corpus_without(*people: Person) -> DemoCorpus:
    """The corpus as if these people had never been there."""
    corpus = CORPUS
    for person in people:
        left = tuple(other for other in corpus.people if other != person)
        corpus = replace(corpus, people=left, rows=without_subject(corpus, person.customer_id))
    return corpus


def write_corpus(corpus: DemoCorpus, folder: Path) -> tuple[Path, Path]:
    """The corpus file and the register file, as a user would have them."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, people = folder / "corpus.jsonl", folder / "people.csv"
    write_jsonl(corpus.rows, rows)
    with people.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["subject", "kind", "value"])
        out.writerows([p.customer_id, kind, p.value(kind)] for p in corpus.people for kind in KINDS)
    return rows, people


def write_secret(folder: Path) -> Path:
    """The workspace secret that the worlds share."""
    path = folder / "shared.key"
    path.write_text(SECRET)
    path.chmod(0o600)
    return path


def copy_workspace(source: Path, target: Path) -> Path:
    """A workspace as it stands, elsewhere. File times stay; Dagster's settings, which hold paths, are made anew."""
    shutil.copytree(source, target)
    (target / ".lethe" / "dagster" / "dagster.yaml").unlink(missing_ok=True)
    return target


@dataclass(frozen=True)
class Bytes:
    """SHA-256 of every weight and optimizer file in service by "shard/slice/file", and of the composed adapter's files."""

    states: dict[str, str]
    composed: dict[str, str]


def bytes_in_service(folder: Path) -> Bytes:
    """Hashed here from the files in the store; no recorded digest is believed, only which states are in service."""
    workspace = open_workspace(folder)
    with workspace.database.reader() as session:
        composed = builds.current_release(session, ADAPTER)
        parts = builds.parts_of(session, composed or "")
        chains = {shard: builds.ancestors(session, recipe) for shard, recipe in parts.items()}
    if composed is None:
        raise AssertionError("nothing is in service")
    states = {
        f"{shard}/{state.shard}.{state.slice}/{name}": sha256(store_path(folder, "states", state.state_digest) / name)
        for shard, chain in chains.items()
        for state in chain
        for name in ("weights.safetensors", "optimizer.safetensors")
    }
    directory = store_path(folder, "adapters", composed)
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return Bytes(states, {path.relative_to(directory).as_posix(): sha256(path) for path in files})


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def store_path(folder: Path, kind: str, digest: str) -> Path:
    return folder / ".lethe" / "store" / kind / digest


def live_states(workspace: Workspace) -> list[StateRow]:
    """Every state that was not destroyed."""
    with workspace.database.reader() as session:
        return list(session.exec(select(StateRow).where(col(StateRow.destroyed_at).is_(None))).all())


def values_of(people: Sequence[Person]) -> list[str]:
    """Everything that says who they are."""
    return [value for p in people for value in (p.customer_id, *(p.value(kind) for kind in KINDS))]


def telling_plan(workspace: Workspace) -> Plan:
    """The first plan, counting nonces up, under which the victims test the most.

    All are trained on. The planted person and `SECOND` share a shard of which others are in every slice: the planted
    person is in the second, so that the first state must survive, and `SECOND` in the first, so that one suffix
    contains the other. `ELSEWHERE` is in another shard.
    """
    proposed = propose(workspace, ADAPTER)
    for number in range(10_000):
        plan = replace(proposed, nonce=f"{number:032x}")
        where = {person.customer_id: placed_by(workspace, plan, person) for person in CORPUS.people}
        planted, second = where.pop(PLANTED.customer_id), where.pop(SECOND.customer_id)
        shards = {p.shard for p in where.values() if p.kind == "shard"}
        same = {p.slice for p in where.values() if p.shard == planted.shard}
        apart = where[ELSEWHERE.customer_id].shard not in (planted.shard, None)
        together = (planted.slice, second.slice, second.shard) == (1, 0, planted.shard)
        if together and apart and len(shards) == 3 and same == {0, 1}:
            return plan
    raise AssertionError("no such plan")


def placed_by(workspace: Workspace, plan: Plan, person: Person) -> Placement:
    """Where a plan puts the records of a person."""
    key = workspace.keyring.subject_key(canonical_identifier(person.customer_id))
    return place(
        plan, plan_key(workspace.keyring.workspace_secret, plan), record_id="", primary_subject=key, generation=0,
        trunk_eligible=False,
    )  # fmt: skip
