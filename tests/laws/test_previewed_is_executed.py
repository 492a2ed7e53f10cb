"""What a preview says is what is done: over random corpora the executed set is the previewed one, and neighbours keep every byte.

No model is trained: rows and store entries are those that a training would leave. Search, contract, redaction, journal and
destruction are the product's; the gate's scanner is a fake that finds nothing, and the certificate's proof of absence, which
needs a rebuild, is left out.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from pathlib import Path

import pytest
from lineage_world import (
    ANN,
    BOB,
    CLEO,
    DANA,
    DEFAULT,
    FORMS,
    INES,
    NOW,
    STRICT,
    Scans,
    World,
    open_world,
    record_training,
    row,
    state,
)
from small_world import write_secret
from sqlmodel import select

from lineage import desk, journal
from lineage.admit import Gate
from lineage.case import CaseFile
from lineage.catalog import GateStamp, contents_of
from lineage.closure import Closure, Reach, find_closure
from lineage.decisions import Choice, decided_as, lay_over
from lineage.evidence import add_evidence, contract, digest_of, evidence, save_closure
from lineage.nearness import Near
from lineage.plans import TRUNK
from lineage.records import RawRecord, canonical_bytes
from lineage.register import RegisterIndex
from lineage.sought import searched_forms
from lineage.stages import Stage
from lineage.subjects import load_forms, load_suppression
from lineage.tables import NearTombstoneRow, RecordRow, RecordSubjectRow, SliceManifestRow, VaultRow
from lineage.workspace import create_workspace
from pipelines import purging, redacting

IN_TEST, IN_ALL, BLOCK = 60, 1000, 20
STORIES = (
    "On Sunday the violet kettle whistled until the neighbours in the attic knocked and its handle fell into the marmalade",
    "My lamp blinks whenever the tram passes and the electrician from the village says that the wiring is far too old",
    "Please send the blue parcel to the bakery because nobody opens the door at home before the children leave school",
    "Thank you",
)
WORDS = ("quiet", "yellow", "Friday", "garden", "window", "letter")
KEEP = Choice("keep", "b", "Tax law, six years.")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty")
    create_workspace(folder / "ws", controller="Test GmbH", workspace_secret=write_secret(folder))
    return folder / "ws"


def random_rows(rng: random.Random) -> list[RawRecord]:
    """5 to 30 rows of three people and nobody: stories, some told again, changed or mentioning Ann, some derived."""
    rows: list[RawRecord] = []
    for number in range(rng.randint(5, 30)):
        words = rng.choice(STORIES).split(" ")
        for _ in range(rng.choice((0, 0, 1, 2, 9))):
            words[rng.randrange(len(words))] = rng.choice(WORDS)
        text = " ".join(words) + rng.choice(("", "", f", says {FORMS[ANN]['name']}", f", says {FORMS[BOB]['name']}"))
        people = rng.choice(((), (ANN,), (BOB,), (CLEO,), (BOB, ANN), (CLEO,))) if number else (ANN,)
        parents = [str(rng.randrange(number))] if number and rng.random() < 0.15 else []
        rows.append(row(text, *people, given_id=str(number), parents=parents))
    return rows


@dataclass(frozen=True)
class Seen:
    """A workspace, as far as an erasure may change it: each record, each slice's manifest, each state's files."""

    rows: dict[str, tuple[object, ...]]
    sealed: dict[str, bytes]
    contents: dict[str, bytes]
    manifests: dict[tuple[int, int], bytes]
    states: dict[str, str] = field(default_factory=dict)


def look(world: World) -> Seen:
    with world.database.reader() as session:
        records = session.exec(select(RecordRow)).all()
        links = {(p.record_id, p.subject_key, p.relation) for p in session.exec(select(RecordSubjectRow)).all()}
        ann = world.key(ANN)
        texts = contents_of(session, [r.id for r in records], keystore=world.keystore)
        return Seen(
            {
                r.id: (
                    *((k, v) for k, v in sorted(r.model_dump().items())),
                    *sorted(p for p in links if p[0] == r.id and p[1] != ann),
                )
                for r in records
            },
            {v.record_id: v.ciphertext for v in session.exec(select(VaultRow)).all()},
            {t.record_id: canonical_bytes(t.content) for t in texts},
            {(m.shard, m.slice): bytes(m.members) for m in session.exec(select(SliceManifestRow)).all()},
            {d: _bytes_of(world.store.directory("states", d)) for d in world.store.digests("states")},
        )


def _bytes_of(folder: Path) -> str:
    return sha256(b"".join(p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())).hexdigest()


@dataclass
class Road:
    """A case from its filing to the destruction, in one small world."""

    world: World
    rng: random.Random
    places: dict[tuple[int, int], list[str]]
    case_id: str = ""

    def gate(self) -> Gate:
        with self.world.database.reader() as session:
            known = RegisterIndex(load_forms(session, self.world.keystore))
            return Gate(Scans(), known, load_suppression(session, self.world.keyring), DEFAULT, STRICT)

    def search(self) -> Closure:
        world, case_id = self.world, self.case_id
        key, forms = searched_forms(world.workspace, case_id)
        with world.database.reader() as session:
            reach = Reach(
                gate=self.gate, free=decided_as(session, case_id, "redact"),
                near=Near.of(session, world.keyring, DEFAULT.near), unrelated=decided_as(session, case_id, "unrelated"),
            )  # fmt: skip
            found = find_closure(session, key, forms, keystore=world.keystore, reach=reach)
            return lay_over(session, case_id, found, handle=lambda r: world.keyring.handle(case_id, r))

    def preview(self) -> tuple[Closure, str]:
        closure = self.search()
        with self.world.database.transaction() as session:
            body = contract(session, self.case_id, closure, self.world.keyring)
            digest = add_evidence(session, self.case_id, "contract", body, now=NOW)
            save_closure(session, self.case_id, closure, self.world.keyring)
            CaseFile(session, self.case_id).preview_ready(digest, now=NOW)
        return closure, digest

    def decide(self, closure: Closure) -> None:
        """A DPO decides about every candidate, and now and then about something else."""
        for line in closure.records:
            choices = {
                "candidate": [Choice("erase"), Choice("unrelated")], "redact": [None, Choice("erase"), KEEP],
                "erase": [None, None, KEEP],
            }.get(line.decision, [None])  # fmt: skip
            if choice := self.rng.choice(choices):
                handle = self.world.keyring.handle(self.case_id, line.record_id)
                desk.decide_record(self.world.workspace, self.case_id, handle, choice, actor=DANA, now=NOW)

    def approve(self) -> Mapping[str, str]:
        """Preview, decisions, approval; returns the approved decision of each listed record."""
        closure, digest = self.preview()
        self.decide(closure)
        closure, digest = self.preview()
        while any(line.decision == "candidate" for line in closure.records):
            self.decide(closure)
            closure, digest = self.preview()
        desk.approve(self.world.workspace, self.case_id, actor=DANA, digest=digest, now=NOW)
        with self.world.database.reader() as session:
            again = contract(session, self.case_id, self.search(), self.world.keyring)
            assert digest_of(again) == digest, "the contract is asked once more before anything is done"
            lines = {
                line["handle"]: line["decision"] for line in evidence(session, self.case_id, "contract")["records"]
            }
        return {r.record_id: lines[self.world.keyring.handle(self.case_id, r.record_id)] for r in closure.records}

    def execute(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Redaction, purge approval, journal, destruction."""
        workspace, case_id = self.world.workspace, self.case_id
        stamp = GateStamp(case_id, 0, DEFAULT.digest, "scanner", NOW)
        monkeypatch.setattr(redacting, "open_gate", lambda *_, **__: (self.gate(), stamp))
        monkeypatch.setattr(purging, "_require_absent", lambda *_: {})
        redacting.redact_mentions(workspace, case_id)
        with self.world.database.transaction() as session:
            case = CaseFile(session, case_id)
            for stage in (Stage.CONTAINED, Stage.EXECUTING, Stage.VERIFYING):
                case.advance(stage, now=NOW)
            case.evidence_ready("e1", now=NOW)
            case.approve_purge(actor=DANA, digest="e1", now=NOW)
        key, forms = purging._whom(workspace, case_id)
        ids = purging._ids(workspace, case_id, "erase"), purging._ids(workspace, case_id, "redact")
        begun = purging._write_journal(workspace, case_id, key, ids, forms)
        purging._destroy(workspace, begun, forms)
        workspace.keystore.shred_records(ids[0])


def random_road(empty: Path, folder: Path, seed: int) -> Road:
    rng = random.Random(seed)
    world = open_world(shutil.copytree(empty, folder))
    known_before = rng.random() < 0.5
    world.register(*((ANN, BOB, CLEO) if known_before else (BOB, CLEO)))
    rows = random_rows(rng)
    ids = dict.fromkeys(world.ingest(*rows))
    if not known_before:
        world.register(ANN)
    places: dict[tuple[int, int], list[str]] = {(TRUNK, 0): [], (0, 0): [], (0, 1): [], (1, 0): [], (1, 1): []}
    about = {r: raw.subjects for r, raw in zip(ids, rows, strict=True)}
    for record_id in ids:
        place = (TRUNK, 0) if not about[record_id] and rng.random() < 0.5 else rng.choice(list(places)[1:])
        places[place].append(record_id)
    record_training(world, places)
    intake = desk.Intake([ANN], "b", "portal", date(2026, 1, 31))
    case_id = desk.file_case(world.workspace, intake, actor=INES, now=NOW).id
    return Road(world, rng, places, case_id)


def holds_the_law(empty: Path, folder: Path, seed: int) -> set[str]:
    """Walk one road; returns what occurred on it, so that the tests can say that everything did."""
    road = random_road(empty, folder, seed)
    before = look(road.world)
    approved = road.approve()
    with pytest.MonkeyPatch.context() as patch:
        road.execute(patch)
    after = look(road.world)
    erased = {r for r, decision in approved.items() if decision == "erase"}
    redacted = {r for r, decision in approved.items() if decision == "redact"}
    assert before.rows.keys() - after.rows.keys() == erased, f"seed {seed}: previewed to go, and gone"
    changed = {r for r in after.contents if after.contents[r] != before.contents[r]}
    assert changed == redacted, f"seed {seed}: previewed to be redacted, and changed"
    neighbours = before.rows.keys() - erased - redacted
    assert {r: after.sealed[r] for r in neighbours} == {r: before.sealed[r] for r in neighbours}
    assert {r: after.rows[r] for r in neighbours} == {r: before.rows[r] for r in neighbours}
    touched = {place for place, members in road.places.items() if (erased | redacted).intersection(members)}
    gone = {place for place in road.places if any(_descends(place, other) for other in touched)}
    left = {state(*place) for place in road.places if place not in gone}
    assert after.states == {d: before.states[d] for d in left}, (
        f"seed {seed}: what never saw the records keeps its bytes"
    )
    clean = road.places.keys() - touched
    assert {p: after.manifests[p] for p in clean} == {p: before.manifests[p] for p in clean}
    marked = {mark[0] for entry in journal.entries(road.world.journal) for mark in entry.near}
    laid = {grave.handle for grave in road.world.rows(NearTombstoneRow)}
    assert laid == marked <= {road.world.keyring.handle(road.case_id, r) for r in erased}, (
        "the journal can lay them again"
    )
    road.world.database.engine.dispose()
    shutil.rmtree(folder)
    return {*approved.values(), *(("near tombstone",) if laid else ())}


def _descends(place: tuple[int, int], other: tuple[int, int]) -> bool:
    return other[0] == TRUNK or (place[0] == other[0] and place[1] >= other[1])


@pytest.mark.parametrize("block", range(IN_TEST // BLOCK))
def test_what_is_previewed_is_executed(empty: Path, tmp_path: Path, block: int) -> None:
    kinds = [holds_the_law(empty, tmp_path / str(n), n) for n in range(block * BLOCK, (block + 1) * BLOCK)]
    assert set().union(*kinds) == {
        "erase",
        "redact",
        "keep",
        "already_redacted",
        "unrelated",
        "near tombstone",
    }, "every kind occurs"


@pytest.mark.slow
@pytest.mark.parametrize("block", range(IN_TEST // BLOCK, IN_ALL // BLOCK))
def test_what_is_previewed_is_executed_a_thousand_times(empty: Path, tmp_path: Path, block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        holds_the_law(empty, tmp_path / str(seed), seed)
