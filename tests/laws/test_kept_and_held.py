"""What a DPO keeps is learnt from as before, byte for byte; what is held is not destroyed; what is let go is erased after all."""

from __future__ import annotations

import json
import random
import shutil
from base64 import b64decode
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from quick_world import PLANS
from road import approve_anew, approved_case, judged_case, signed
from small_world import bytes_in_service, values_of
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

from lineage import desk, purge
from lineage.access import find_actor
from lineage.bytescan import scan_bytes
from lineage.case import CaseFile
from lineage.case_view import Beside, CaseView
from lineage.catalog import contents_of, given_id
from lineage.decisions import Choice
from lineage.errors import RefusedByRule
from lineage.evidence import case_records, evidence
from lineage.forms import canonical_identifier
from lineage.holds import held_of
from lineage.stages import Stage
from lineage.subjects import load_forms
from lineage.tables import HeldBackRow, RecordRow
from lineage.workspace import Workspace, open_workspace
from pipelines import containing, erasure
from pipelines.purging import purge_case
from pipelines.replaying import replay

PERSON, *OTHERS = POOL[:8]
PLAN = PLANS[0]
TAX = Choice("keep", "b", "Tax law, six years.")


@dataclass
class World:
    """A trained workspace, its books, and the case of somebody with two records whose preview is approved."""

    template: Path
    folder: Path
    workspace: Workspace
    books: Books
    case_id: str
    one: str
    other: str

    def case(self) -> CaseView:
        with self.workspace.database.reader() as session:
            return CaseFile(session, self.case_id).view

    def execute(self) -> None:
        erasure.contain(self.workspace, self.case_id)
        erasure.rebuild(self.workspace, self.case_id)

    def decide(self, record_id: str, choice: Choice = TAX) -> CaseView:
        with self.workspace.database.reader() as session:
            dana = find_actor(session, "dana")
        handle = self.workspace.keyring.handle(self.case_id, record_id)
        now = datetime.now(UTC)
        return desk.decide_record(self.workspace, self.case_id, handle, choice, actor=dana, now=now)

    def hold(self, record_id: str, reason: str = "court") -> CaseView:
        with self.workspace.database.reader() as session:
            dana = find_actor(session, "dana")
        handle = self.workspace.keyring.handle(self.case_id, record_id)
        now = datetime.now(UTC)
        return desk.hold_record(self.workspace, self.case_id, handle, reason=reason, actor=dana, now=now)

    def without(self, folder: Path, *record_ids: str, person: bool = False) -> object:
        """The bytes of a training that never held these records, or the person at all."""
        books = Books(dict(self.books.rows), list(self.books.intakes))
        if person:
            books.forget(PERSON)
        for record_id in record_ids:
            with self.workspace.database.reader() as session:
                books.rows.pop(given_id(session, record_id, keystore=self.workspace.keystore) or "")
        return fresh_world(self.template, books, PLAN, folder)

    def stored(self) -> tuple[set[str], set[str], int]:
        store = self.workspace.store
        with self.workspace.database.reader() as session:
            return store.digests("states"), store.digests("adapters"), len(session.exec(select(RecordRow)).all())

    def restricted(self) -> set[str]:
        with self.workspace.database.reader() as session:
            query = select(RecordRow.id).where(RecordRow.restricted_by == self.case_id)
            return set(session.exec(query).all())

    def opens(self, record_id: str) -> bool:
        with self.workspace.database.reader() as session:
            return len(contents_of(session, [record_id], keystore=self.workspace.keystore)) == 1


@pytest.fixture
def world(template: Path, tmp_path: Path, one_scanner: None) -> World:
    folder = tmp_path / "ws"
    shutil.copytree(template, folder)
    workspace, rng = open_workspace(folder), random.Random(4)
    rows = [*(row_about(person, rng) for person in (PERSON, *OTHERS) for _ in range(2))]
    rows += [row_about_nobody(rng) for _ in range(3)]
    people = (PERSON, *OTHERS)
    register(workspace, people)
    take_in(workspace, write_rows(workspace, rows))
    books = Books({row.row_id: row for row in rows}, [Intake(people, tuple(row.row_id for row in rows), 0)])
    train(workspace, PLAN)
    case_id = approved_case(workspace, PERSON)
    with workspace.database.reader() as session:
        one, other = [record.record_id for record in case_records(session, case_id) if record.decision == "erase"]
    return World(template, folder, workspace, books, case_id, one, other)


def certified_without_the_rest(world):
    """What the certificate says, once the other record is gone, the person still known, and not a byte of theirs in the clear."""
    key = world.workspace.keyring.subject_key(canonical_identifier(PERSON.customer_id))
    with world.workspace.database.reader() as session:
        assert session.get(RecordRow, world.other) is None
        assert load_forms(session, world.workspace.keystore, key), "who stays in a record stays in the register"
    assert scan_bytes(world.folder / ".lethe", values_of([PERSON])).hits == ()
    path = signed(world.workspace, world.case_id)
    predicate: dict = json.loads(b64decode(json.loads(path.read_text())["payload"]))["predicate"]
    return predicate


def test_a_kept_record_is_learnt_from_as_if_the_others_had_never_been_there(world: World, tmp_path: Path) -> None:
    world.decide(world.one)
    with pytest.raises(RefusedByRule):
        erasure.contain(world.workspace, world.case_id)
    approve_anew(world.workspace, world.case_id)
    world.execute()
    assert world.restricted() == {world.other}
    fresh = world.without(tmp_path / "fresh", world.other)
    assert bytes_in_service(world.folder) == fresh, "LAW executed is what was previewed"
    judged_case(world.workspace, world.case_id)
    purge_case(world.workspace, world.case_id)
    assert bytes_in_service(world.folder) == fresh
    assert world.opens(world.one), "LAW what is kept can be read"
    told = certified_without_the_rest(world)
    assert sorted((d["decision"], "Art. 17(3)(b)" in d["ground"]) for d in told["decisions"]) == [
        ("erase", False), ("keep", True),
    ]  # fmt: skip
    assert any("refused in part" in limit for limit in told["limits"])
    assert any("Art. 17(3)(b)" in kept["legal_basis"] for kept in told["kept"])


def test_records_that_are_kept_only_after_they_were_contained_come_back_without_a_train(world: World) -> None:
    """All of them here, so that nothing else of the case makes their shard be built again."""
    before = bytes_in_service(world.folder)
    world.execute()
    assert bytes_in_service(world.folder) != before
    world.decide(world.one)
    world.decide(world.other)
    approve_anew(world.workspace, world.case_id)
    world.execute()
    assert world.restricted() == set()
    assert bytes_in_service(world.folder) == before


def test_a_record_that_is_kept_only_after_it_was_contained_comes_back(world: World, tmp_path: Path) -> None:
    world.execute()
    assert world.restricted() == {world.one, world.other}
    assert world.decide(world.one).stage == Stage.ASSESSMENT
    approve_anew(world.workspace, world.case_id)
    world.execute()
    assert world.restricted() == {world.other}
    assert bytes_in_service(world.folder) == world.without(tmp_path / "fresh", world.other), (
        "LAW without a train between"
    )


def test_a_held_record_is_left_out_and_erased_once_it_is_let_go(world: World, tmp_path: Path) -> None:
    world.hold(world.one)
    approve_anew(world.workspace, world.case_id)
    world.execute()
    assert bytes_in_service(world.folder) == world.without(tmp_path / "held", world.other)
    with pytest.raises(RefusedByRule, match="under legal hold"):
        judged_case(world.workspace, world.case_id)
    assert world.hold(world.one, "").stage == Stage.ASSESSMENT
    approve_anew(world.workspace, world.case_id)
    world.execute()
    assert bytes_in_service(world.folder) == world.without(tmp_path / "fresh", person=True)
    judged_case(world.workspace, world.case_id)
    purge_case(world.workspace, world.case_id)
    assert world.case().stage == Stage.PURGED
    with world.workspace.database.reader() as session:
        assert [session.get(RecordRow, r) for r in (world.one, world.other)] == [None, None]
        assert evidence(session, world.case_id, "destruction")["byte_scan"]["hits"] == 0  # type: ignore[index]


def test_a_hold_after_the_purge_was_approved_wins(world: World) -> None:
    world.execute()
    judged_case(world.workspace, world.case_id)
    stored = world.stored()
    world.hold(world.one)
    assert world.case().beside == (Beside.ON_HOLD,)
    with pytest.raises(RefusedByRule, match="nothing is destroyed"):
        purge_case(world.workspace, world.case_id)
    assert world.stored() == stored, "LAW nothing is destroyed while a record is held"
    assert world.opens(world.one)
    assert not world.workspace.journal.exists()
    assert world.hold(world.one, "").stage == Stage.ASSESSMENT
    with pytest.raises(RefusedByRule):
        purge_case(world.workspace, world.case_id)
    assert world.stored() == stored, "LAW a lifted hold needs a new preview"


def test_a_decision_while_the_purge_destroys_weights_spares_the_rows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sends the case back to its search, so no approval covers what would be destroyed."""
    world.execute()
    judged_case(world.workspace, world.case_id)
    original = purge.destroy_weights

    def decided_meanwhile(*given: object) -> object:
        world.decide(world.one, Choice("erase"))
        return original(*given)

    monkeypatch.setattr(purge, "destroy_weights", decided_meanwhile)
    with pytest.raises(RefusedByRule, match="is at ASSESSMENT"):
        purge_case(world.workspace, world.case_id)
    assert world.opens(world.one)
    assert world.opens(world.other)


def test_another_contract_of_the_same_round_builds_what_it_needs(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A run dies once it has remembered what there was for a contract that keeps nearly all; the next contract is wider."""
    world.decide(world.one)
    world.decide(world.other)
    approve_anew(world.workspace, world.case_id)

    def dies(*_: object) -> None:
        raise RefusedByRule("The run ends here.")

    with monkeypatch.context() as patch:
        patch.setattr(containing, "_restrict", dies)
        with pytest.raises(RefusedByRule, match="ends here"):
            erasure.contain(world.workspace, world.case_id)
    world.hold(world.one)
    with pytest.raises(RefusedByRule, match="no longer true"):
        erasure.contain(world.workspace, world.case_id)
    assert world.case().stage == Stage.PREVIEW_READY
    world.decide(world.other, Choice("as-found"))
    approve_anew(world.workspace, world.case_id)
    world.execute()
    assert bytes_in_service(world.folder) == world.without(tmp_path / "fresh", world.other)


@pytest.mark.parametrize("step", ["_restrict", "redact_mentions"])
def test_a_hold_between_the_check_and_the_restriction_is_seen(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The containment has found its contract to be true; then a DPO holds a record of it."""
    original = getattr(containing, step)

    def held_meanwhile(workspace: Workspace, case_id: str) -> object:
        world.hold(world.one)
        return original(workspace, case_id)

    monkeypatch.setattr(containing, step, held_meanwhile)
    before = bytes_in_service(world.folder)
    if step == "_restrict":
        with pytest.raises(RefusedByRule, match="keeps or holds"):
            erasure.contain(world.workspace, world.case_id)
        assert (world.restricted(), bytes_in_service(world.folder)) == (set(), before)
    else:  # it is restricted already, and stays so; the purge will ask
        erasure.contain(world.workspace, world.case_id)
        assert world.restricted() == {world.one, world.other}
    with pytest.raises(RefusedByRule), world.workspace.database.transaction() as session:
        CaseFile(session, world.case_id).require_nothing_held()
    assert world.hold(world.one, "").stage == Stage.ASSESSMENT


def test_a_held_record_is_left_out_of_the_purge_and_erased_by_a_case_of_its_own(world: World, tmp_path: Path) -> None:
    """Held before the containment, so that it would have stayed in training; nobody files the second case."""
    world.hold(world.one)
    world.decide(world.one, Choice("leave-out"))
    approve_anew(world.workspace, world.case_id)
    world.execute()
    nobody = world.without(tmp_path / "nobody", person=True)
    assert bytes_in_service(world.folder) == nobody, "LAW what is held is out of training"
    assert world.restricted() == {world.one, world.other}
    judged_case(world.workspace, world.case_id)
    before = world.stored()
    purge_case(world.workspace, world.case_id)
    assert bytes_in_service(world.folder) == nobody
    assert world.stored()[2] == before[2] - 1
    assert world.opens(world.one), "LAW what is held can be read"
    told = certified_without_the_rest(world)
    assert [kept["what"] for kept in told["kept"] if "legal hold" in kept["legal_basis"]] == [
        "records of the person: 1"
    ]
    assert any("legal hold were left out" in limit for limit in told["limits"])
    assert not any("learnt from under" in limit for limit in told["limits"])
    _erased_by_the_case_that_follows(world, world.hold(world.one, "").id)
    assert bytes_in_service(world.folder) == nobody


def test_a_replay_after_a_restored_backup_keeps_the_hold_of_what_was_left_out(world: World, tmp_path: Path) -> None:
    """All that the case has is left out here, so that nothing but the holds can make weights be destroyed."""
    both = {world.one, world.other}
    for record_id in sorted(both):
        world.hold(record_id)
        world.decide(record_id, Choice("leave-out"))
    approve_anew(world.workspace, world.case_id)
    world.execute()
    judged_case(world.workspace, world.case_id)
    backup = shutil.copytree(world.folder, tmp_path / "backup")
    purge_case(world.workspace, world.case_id)
    _require_in_no_weights(world, both)
    world.folder, journal = backup, world.workspace.journal
    world.workspace = open_workspace(backup)
    shutil.copy2(journal, world.workspace.journal)
    world.workspace = open_workspace(backup, even_restored=True)
    replay(world.workspace)
    world.workspace = open_workspace(world.folder)
    _require_in_no_weights(world, both)
    assert world.restricted() == both, "LAW they are learnt by nothing"
    with world.workspace.database.reader() as session:
        assert held_of(session) == both
    follows = world.hold(world.other, "").id
    assert world.hold(world.one, "").id == follows, "the person has one case"
    _erased_by_the_case_that_follows(world, follows)


def _require_in_no_weights(world: World, record_ids: set[str]) -> None:
    with world.workspace.database.reader() as session:
        assert purge.tainted(session, sorted(record_ids)).states == (), "LAW no weights are left that had learnt them"


def _erased_by_the_case_that_follows(world: World, case_id: str) -> None:
    assert case_id != world.case_id
    with world.workspace.database.reader() as session:
        assert CaseFile(session, case_id).view.stage == Stage.ASSESSMENT
    approve_anew(world.workspace, case_id)
    erasure.contain(world.workspace, case_id)
    erasure.rebuild(world.workspace, case_id)
    judged_case(world.workspace, case_id)
    purge_case(world.workspace, case_id)
    assert not world.opens(world.one)
    signed(world.workspace, case_id)
    with world.workspace.database.reader() as session:
        key = world.workspace.keyring.subject_key(canonical_identifier(PERSON.customer_id))
        assert not load_forms(session, world.workspace.keystore, key), "LAW by then the person is forgotten"
        assert session.exec(select(HeldBackRow)).all() == []
