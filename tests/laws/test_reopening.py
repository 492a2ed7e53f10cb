"""A record that comes in after the containment does not survive the purge: the case is reopened and goes the whole road."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from base64 import b64decode
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from command_line import lethe_here
from crashes import Killed, let_die
from quick_world import PLANS
from road import approve_anew, approved_case, case_of, judged_case, sign, signed, to_purge_approved
from small_world import ADAPTER, PLANTED, SOURCE, bytes_in_service, copy_workspace, values_of
from sqlmodel import select
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
from thief import ciphertexts, every_key, opens

from lineage import desk, verify
from lineage.access import find_actor
from lineage.bytescan import scan_bytes
from lineage.case import CaseFile
from lineage.case_view import CaseView
from lineage.errors import RefusedByRule
from lineage.evidence import evidence, has_evidence, last_filed
from lineage.forms import canonical_identifier
from lineage.stages import Stage
from lineage.tables import RecordRow
from lineage.trusted import load_trusted_keys
from lineage.workspace import Workspace, open_workspace
from pipelines import erasure, purging
from pipelines.collecting import collect
from pipelines.demo_rows import DemoRow, Person
from pipelines.purging import purge_case
from pipelines.rechecking import further

PERSON, WRITER, *OTHERS = POOL[:8]
STRANGER = POOL[9]
PLAN = PLANS[0]


@dataclass
class World:
    """A trained workspace, its books, and the person's case with its purge approved."""

    template: Path
    folder: Path
    workspace: Workspace
    books: Books
    case_id: str = ""

    def bring(self, *rows: DemoRow, people: tuple[Person, ...] = ()) -> None:
        register(self.workspace, people)
        take_in(self.workspace, write_rows(self.workspace, rows))
        self.books.rows |= {row.row_id: row for row in rows}
        self.books.intakes.append(Intake(people, tuple(row.row_id for row in rows), len(self.books.intakes)))

    def execute(self) -> None:
        """From an approved preview to an approved purge."""
        erasure.contain(self.workspace, self.case_id)
        erasure.rebuild(self.workspace, self.case_id)
        judged_case(self.workspace, self.case_id)

    def case(self) -> CaseView:
        with self.workspace.database.reader() as session:
            return CaseFile(session, self.case_id).view

    def sealed(self) -> dict[str, bytes]:
        """Every ciphertext about the person, as it is now."""
        key = self.workspace.keyring.subject_key(canonical_identifier(PERSON.customer_id))
        with self.workspace.database.reader() as session:
            own = select(RecordRow.id).where(RecordRow.primary_subject == key)
            ids = set(session.exec(own).all())
        self.workspace.database.compact()
        return ciphertexts(self.folder / ".lethe" / "lethe.db", ids)

    def stored(self) -> tuple[set[str], set[str], int]:
        store = self.workspace.store
        with self.workspace.database.reader() as session:
            return store.digests("states"), store.digests("adapters"), len(session.exec(select(RecordRow)).all())


@pytest.fixture
def world(template: Path, tmp_path: Path, one_scanner: None) -> World:
    folder = tmp_path / "ws"
    shutil.copytree(template, folder)
    workspace, rng = open_workspace(folder), random.Random(4)
    found = World(template, folder, workspace, Books())
    rows = [row_about(person, rng) for person in (PERSON, WRITER, *OTHERS) for _ in range(2)]
    found.bring(*rows, *(row_about_nobody(rng) for _ in range(3)), people=(PERSON, WRITER, *OTHERS))
    train(workspace, PLAN)
    found.case_id = approved_case(workspace, PERSON)
    found.execute()
    return found


def late(rng: random.Random) -> tuple[DemoRow, ...]:
    """A row of the person, one of somebody else that names them, and one that has nothing to do with it."""
    return row_about(PERSON, rng), row_about(WRITER, rng, other=PERSON), row_about(OTHERS[0], rng)


@pytest.mark.parametrize("learnt", [False, True], ids=["waits", "was learnt"])
def test_what_came_in_after_the_containment_goes_with_the_rest(world: World, *, learnt: bool, tmp_path: Path) -> None:
    world.bring(*late(random.Random(5)))
    if learnt:
        train(world.workspace, PLAN)
    sealed, stored = world.sealed(), world.stored()
    assert len([name for name in sealed if name.startswith("record:")]) == 3
    with pytest.raises(RefusedByRule, match=r"1 record came in .* reopened"):
        purge_case(world.workspace, world.case_id)
    assert world.stored() == stored
    assert opens(sealed, every_key(world.folder / ".lethe")) == set(sealed)
    assert not world.workspace.journal.exists(), "LAW nothing is destroyed that nobody approved"
    assert world.case().stage == Stage.ASSESSMENT
    approve_anew(world.workspace, world.case_id)
    world.execute()
    world.books.forget(PERSON)
    fresh = fresh_world(world.template, world.books, PLAN, tmp_path / "fresh")
    train(world.workspace, PLAN)
    assert bytes_in_service(world.folder) == fresh, "LAW erased equals never ingested"
    purge_case(world.workspace, world.case_id)
    assert_gone(world, sealed)
    assert bytes_in_service(world.folder) == fresh


def assert_gone(world: World, sealed: dict[str, bytes]) -> None:
    assert world.case().stage == Stage.PURGED
    assert opens(sealed, every_key(world.folder / ".lethe")) == set(), "LAW no key opens what is erased"
    assert scan_bytes(world.folder / ".lethe", values_of([PERSON])).hits == ()
    payload = certified(world)
    assert [entry["decision"] for entry in payload["decisions"]].count("erase") == 3
    assert any(limit.startswith("The case was reopened") for limit in payload["limits"])


def certified(world: World) -> dict:
    """The predicate of the signed certificate, after the independent verifier accepted it."""
    return predicate_of(signed(world.workspace, world.case_id), world.folder / ".lethe" / "secrets", world.case_id)


def predicate_of(certificate: Path, keys: Path, case_id: str) -> dict:
    assert verify.verify_file(certificate, trusted=load_trusted_keys(keys=keys), expect_case=case_id).ok
    return json.loads(b64decode(json.loads(certificate.read_text())["payload"]))["predicate"]


def test_the_second_round_tells_both(world: World) -> None:
    """What was in service first stays what the certificate compares with; what was learnt in between is told as it was."""
    world.bring(*late(random.Random(5)))
    train(world.workspace, PLAN)
    with pytest.raises(RefusedByRule):
        purge_case(world.workspace, world.case_id)
    with world.workspace.database.reader() as session:
        assert not has_evidence(session, world.case_id, "containment"), "LAW no round passes for another"
        first = last_filed(session, world.case_id, "containment")["adapters"][ADAPTER]
    collect(world.workspace, now=datetime.now(UTC) + timedelta(days=2))
    assert all(world.workspace.store.holds("adapters", digest) for digest in first["shard_adapters"].values())
    approve_anew(world.workspace, world.case_id)
    world.execute()
    with world.workspace.database.reader() as session:
        second = evidence(session, world.case_id, "containment")["adapters"][ADAPTER]
        changes = evidence(session, world.case_id, "rebuild")["adapters"][ADAPTER]["slices"]
    assert second["before"] == first["before"]
    hit = {str(part["shard"]) for part in first["affected"]}
    assert {s: second["shard_adapters"][s] for s in hit} == {s: first["shard_adapters"][s] for s in hit}
    taken = {(s, i): c["before"][0] - c.get("after", [0])[0] for s, found in changes.items() for i, c in found.items()}
    assert sum(taken.values()) == 3, "two records of the first round, one of the second"


def dies_in(step: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A purge that is killed as this step of it begins."""

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(purging, step, die)
        with pytest.raises(Killed):
            purge_case(world.workspace, world.case_id)
    let_die(world.workspace)


def test_a_purge_that_destroyed_rows_is_finished_and_not_reopened(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the byte scan; then a record comes in, and the purge is repeated."""
    dies_in("scan_bytes", world, monkeypatch)
    world.bring(row_about(PERSON, random.Random(5)))
    purge_case(world.workspace, world.case_id)
    assert world.case().stage == Stage.PURGED


def test_a_purge_that_only_stands_in_the_journal_searches_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was destroyed, by a crash here or by a hold: what came in since reopens the case, and the old line in the
    journal decides nothing in the next round."""
    dies_in("_destroy", world, monkeypatch)
    world.bring(row_about(PERSON, random.Random(5)))
    with pytest.raises(RefusedByRule, match="Nothing was destroyed"):
        purge_case(world.workspace, world.case_id)
    assert world.case().stage == Stage.ASSESSMENT
    approve_anew(world.workspace, world.case_id)
    world.execute()
    purge_case(world.workspace, world.case_id)
    assert world.case().stage == Stage.PURGED


def test_who_is_registered_after_the_approval_reopens_the_case(world: World) -> None:
    """The contract was of a stranger's mentions; whose register entry goes with them nobody has approved."""
    world.bring(row_about(WRITER, random.Random(6), other=STRANGER))
    with world.workspace.database.reader() as session:
        ines = find_actor(session, "ines")
    asked = desk.Intake([STRANGER.name], "b", "portal", date(2026, 1, 31))
    world.case_id = desk.file_case(world.workspace, asked, actor=ines, now=datetime.now(UTC)).id
    approve_anew(world.workspace, world.case_id)
    world.execute()
    register(world.workspace, [STRANGER])
    stored = world.stored()
    with pytest.raises(RefusedByRule, match="The person was registered after the preview was approved"):
        purge_case(world.workspace, world.case_id)
    assert world.case().stage == Stage.ASSESSMENT
    assert world.stored() == stored
    approve_anew(world.workspace, world.case_id)
    world.execute()
    assert keys_destroyed(world) == 2, "the former text's and the register entry's"
    assert world.case().stage == Stage.PURGED
    assert not scan_bytes(world.folder / ".lethe", [STRANGER.name, STRANGER.account]).hits


def test_a_purge_counts_the_keys_that_it_destroyed(world: World) -> None:
    assert keys_destroyed(world) == 3, "two records' and the register entry's"


def keys_destroyed(world: World) -> int:
    """By a purge, as its evidence says; counted again in the key store, where the case's own key, which goes last, is gone too."""
    before = keys_of(world.folder)
    counted = purge_case(world.workspace, world.case_id)["keys"]
    assert counted == len(before) - len(keys_of(world.folder)) - 1
    return counted


def keys_of(folder: Path) -> set[str]:
    """The names of all keys in the key store, asked from outside."""
    with closing(sqlite3.connect(folder / ".lethe" / "keys.db")) as keys:
        return {name for (name,) in keys.execute("SELECT name FROM data_key")}


def test_a_mention_that_came_in_as_a_constant_needs_no_further_round(world: World) -> None:
    world.bring(row_about(WRITER, random.Random(5), other=PERSON))
    purge_case(world.workspace, world.case_id)
    assert world.case().stage == Stage.PURGED


DECISIONS = ("already_redacted", "keep", "redact", "erase", "candidate")  # from the least to the furthest


@pytest.mark.parametrize("now", DECISIONS)
@pytest.mark.parametrize("was", [None, *DECISIONS[:-1]])
def test_a_case_is_reopened_for_what_goes_further_and_for_nothing_else(was: str | None, now: str) -> None:
    approved = [{"handle": "r1", "decision": was}] if was else []
    goes_further = DECISIONS.index(now) > (DECISIONS.index(was) if was else 0)
    assert bool(further(approved, [{"handle": "r1", "decision": now}])) == goes_further
    assert further(approved, []) == [], "what is gone needs nothing"


# --- by the commands, with the second process and the judge ---------------------------------------------------------------


def new_row(folder: Path) -> Path:
    """A further row of the planted person."""
    said = f"I am {PLANTED.name}, account {PLANTED.account}; the lamp arrived broken."
    row = {"id": "late-1", "subjects": [PLANTED.customer_id], "lawful_basis": "consent", "messages": [
        {"role": "user", "content": said}, {"role": "assistant", "content": "We will send another lamp."}]}  # fmt: skip
    (folder / "late.jsonl").write_text(json.dumps(row))
    return folder / "late.jsonl"


@pytest.mark.slow
def test_a_reopened_case_goes_the_whole_road_again(erased, tmp_path, here) -> None:
    folder = copy_workspace(erased.folder, tmp_path / "ws")
    to_purge_approved(folder, erased.case_id)
    lethe_here("ingest", new_row(tmp_path), "--source", SOURCE, workspace=folder)
    lethe_here("train", ADAPTER, workspace=folder)
    said = lethe_here("erase", "purge", erased.case_id, workspace=folder, code=3)
    assert "the case was reopened" in said.err
    assert not [value for value in values_of([PLANTED]) if value in said.err]
    shown = lethe_here("erase", "show", erased.case_id, workspace=folder).out
    assert "reopened: 1 record came in" in shown
    previewed = lethe_here("erase", "preview", erased.case_id, "--json", workspace=folder).json()
    lethe_here("erase", "purge", erased.case_id, workspace=folder, code=3)
    lethe_here("erase", "approve", erased.case_id, "--as", "dana", "--digest", previewed["digest"], workspace=folder)
    lethe_here("erase", "run", erased.case_id, workspace=folder)
    assert case_of(folder, erased.case_id)["stage"] == "EVIDENCE_READY"
    workspace = open_workspace(folder)
    with workspace.database.reader() as session:
        ids = {row.id for row in session.exec(select(RecordRow)).all() if row.restricted_by == erased.case_id}
        assert evidence(session, erased.case_id, "rederivation")["adapters"][ADAPTER]["equal"]
    workspace.database.compact()
    sealed = ciphertexts(folder / ".lethe" / "lethe.db", ids)
    assert len(ids) == 5
    to_purge_approved(folder, erased.case_id)
    lethe_here("erase", "purge", erased.case_id, workspace=folder)
    sign(folder, erased.case_id)
    assert scan_bytes(folder, values_of([PLANTED])).hits == ()
    assert opens(sealed, every_key(folder / ".lethe")) == set()
    secrets = folder / ".lethe" / "secrets"
    told = predicate_of(folder / ".lethe" / "cases" / erased.case_id / "certificate.json", secrets, erased.case_id)
    assert [entry["decision"] for entry in told["decisions"]].count("erase") == 5
    assert {adapter["rederivation"]["grade"] for adapter in told["adapters"]} == {"A"}
