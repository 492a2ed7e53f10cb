"""What other people's erasure systems got wrong: one small test for each, under its name.

The laws that make these impossible are tested at length elsewhere; a reader who asks "can this happen here?" finds the answer
by the name. "Only the one road destroys" is in tests/test_architecture.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from exported import copy_world
from faults import Disturbance, Kind, disturbed
from small_world import values_of
from sqlmodel import SQLModel
from stream_books import take_in
from whole_road import CASE, DANA, INES, MAX, NOW, WHO, asked, make_small_world, standing_still, walk

from lineage import journal
from lineage.access import Actor, Role
from lineage.case import CaseFile, Filing, file_request
from lineage.case_view import CaseView
from lineage.database import Database, open_engine
from lineage.errors import Fault, RefusedByRule
from lineage.stages import Stage
from lineage.store import Store
from lineage.workspace import create_workspace, open_workspace

DUE = date(2026, 3, 2)
AUDITOR = Actor("axel", Role.AUDITOR)
INES_AS_DPO = Actor("ines", Role.DPO)


@dataclass
class Desk:
    """One case in a database in memory, moved by one step in one transaction."""

    database: Database

    def file(self, case_id: str = CASE, *, subject: str = "a key") -> CaseView:
        filing = Filing(case_id, subject, b"sealed", "b", "portal", date(2026, 1, 31), DUE, "Art. 12(3)")
        with self.database.transaction() as session:
            return file_request(session, filing, actor=INES, now=NOW)

    def act(self, step: str, *arguments: object, **named: object) -> CaseView:
        with self.database.transaction() as session:
            return getattr(CaseFile(session, CASE), step)(*arguments, **{"now": NOW, **named})

    def cut_off(self, step: str) -> None:
        """A step whose transaction does not come to its end."""
        with self.database.transaction() as session:
            getattr(CaseFile(session, CASE), step)(now=NOW)
            raise ZeroDivisionError

    def stage(self) -> Stage:
        with self.database.reader() as session:
            return CaseFile(session, CASE).view.stage

    def bring_to(self, stage: Stage) -> CaseView:
        """Along the road, each step by whoever may take it."""
        steps = (
            ("file",), ("preview_ready", "p"), ("approve", {"actor": DANA, "digest": "p"}),
            *(("advance", done) for done in (Stage.CONTAINED, Stage.EXECUTING, Stage.VERIFYING)),
            ("evidence_ready", "e"), ("approve_purge", {"actor": DANA, "digest": "e"}), ("purged",),
        )  # fmt: skip
        view = self.file()
        for name, *given in steps[1:]:
            if view.stage == stage:
                break
            named = given[0] if given and isinstance(given[0], dict) else {}
            view = self.act(name, *([] if named else given), **named)
        return view


@pytest.fixture
def desk() -> Desk:
    database = Database(open_engine("sqlite://"))
    with database.transaction() as session:
        SQLModel.metadata.create_all(session.connection())
    return Desk(database)


def test_a_key_that_is_set_by_the_first_of_several_statements_reports_complete(desk: Desk) -> None:
    """What is told and what is done are one transaction: cut off after the first statement, neither is there."""
    desk.bring_to(Stage.PURGE_APPROVED)
    with pytest.raises(ZeroDivisionError):
        desk.cut_off("purged")
    assert desk.stage() == Stage.PURGE_APPROVED


@pytest.mark.parametrize("kind", [Kind.STORE_REFUSES, Kind.STORE_LIES])
def test_a_store_that_is_missing_is_skipped_and_the_case_is_complete(tmp_path: Path, kind: Kind) -> None:
    """Out of reach, or it says yes and does nothing: a fault either way, and no "there was nothing to delete"."""
    store = Store(str(tmp_path / "store"), tmp_path / "cache")
    store.publish("states", "ab" * 32, {"weights": b"1"})
    with disturbed(Disturbance(kind, 1, lasting=True)), pytest.raises(Fault):
        store.destroy("states", "ab" * 32)
    assert store.destroy("states", "ab" * 32) is True


def test_a_hold_is_read_once(desk: Desk) -> None:
    desk.bring_to(Stage.PURGE_APPROVED)
    desk.act("hold", actor=DANA, reason="a court asked for it")
    with desk.database.reader() as session, pytest.raises(RefusedByRule, match="legal hold"):
        CaseFile(session, CASE).require_nothing_held()


@pytest.mark.parametrize("stage", [Stage.APPROVED, Stage.CONTAINED, Stage.EXECUTING])
def test_a_run_that_is_half_finished_is_marked_done(desk: Desk, stage: Stage) -> None:
    desk.bring_to(stage)
    with pytest.raises(RefusedByRule):
        desk.act("evidence_ready", "e")
    assert desk.stage() == stage


@pytest.mark.parametrize("anybody", [INES, MAX, AUDITOR, Actor("root", Role.ADMIN)], ids=lambda actor: actor.role)
def test_any_member_of_the_team_can_approve(desk: Desk, anybody: Actor) -> None:
    desk.bring_to(Stage.PREVIEW_READY)
    with pytest.raises(RefusedByRule):
        desk.act("approve", actor=anybody, digest="p")


def test_whoever_filed_a_request_approves_it(desk: Desk) -> None:
    """Also when they have become a DPO since."""
    desk.bring_to(Stage.PREVIEW_READY)
    with pytest.raises(RefusedByRule, match="filed"):
        desk.act("approve", actor=INES_AS_DPO, digest="p")


def test_a_backup_that_is_restored_brings_the_person_back(tmp_path: Path) -> None:
    """The journal outside the database knows of an erasure that the database does not: nothing is served."""
    create_workspace(tmp_path, controller="Test GmbH")
    told = journal.Entry(CASE, "e" * 64, NOW.isoformat(), ("ab" * 32,), "cd" * 32)
    for kind in (journal.BEGUN, journal.DESTROYED):
        journal.append(tmp_path / ".lethe" / "journal.jsonl", replace(told, kind=kind))
    with pytest.raises(RefusedByRule, match="restored backup has undone"):
        open_workspace(tmp_path)


def test_a_hold_that_is_released_never_runs(desk: Desk) -> None:
    """Lifting it is a new attempt, and the sensor's run key has the attempt in it."""
    before = desk.bring_to(Stage.APPROVED).attempt
    desk.act("hold", actor=DANA, reason="a court asked for it")
    assert desk.act("hold", actor=DANA, reason="").attempt == before + 1


@pytest.mark.parametrize("stage", [Stage.EVIDENCE_READY, Stage.PURGE_APPROVED])
def test_a_certificate_is_issued_while_copies_survive(desk: Desk, stage: Stage) -> None:
    desk.bring_to(stage)
    with pytest.raises(RefusedByRule, match="PURGED"):
        desk.act("signed_off", actor=DANA)


def test_a_deadline_drifts_because_it_is_computed_from_now(desk: Desk) -> None:
    desk.bring_to(Stage.APPROVED)
    for days in (10, 100, 1000):
        later = NOW + timedelta(days=days)
        desk.act("fail", "The disk was full.", now=later)
        assert desk.act("retry", now=later).due_on == DUE


def test_a_second_request_is_approved_without_looking_who_asks(desk: Desk) -> None:
    desk.bring_to(Stage.PREVIEW_READY)
    with pytest.raises(RefusedByRule, match="open case"):
        desk.file("case-00000002")
    desk.act("doubt_identity", actor=INES, asked_on=NOW.date())
    with pytest.raises(RefusedByRule, match="IDENTITY_CHECK"):
        desk.act("approve", actor=DANA, digest="p")


# --- over a world that has learnt -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def at_evidence(template: Path) -> Iterator[Path]:
    """The small world with its case at EVIDENCE_READY."""
    with standing_still():
        folder = make_small_world(template, template.parent / "world")
        walk(folder, until=Stage.EVIDENCE_READY)
        yield folder


def test_a_soft_delete_is_undone_by_the_next_event(at_evidence: Path, tmp_path: Path) -> None:
    """The same file again, as new rows and as corrections: what is restricted stays so, and what serves stays without it."""
    folder = copy_world(at_evidence, tmp_path / "ws")
    questions = (
        "SELECT id, content_hmac, restricted_by FROM record WHERE restricted_by IS NOT NULL ORDER BY id",
        "SELECT composed_digest FROM release WHERE withdrawn_at IS NULL",
    )
    before = [asked(folder, question) for question in questions]
    assert len(before[0]) == 3
    workspace = open_workspace(folder)
    (rows,) = folder.glob("rows-*.jsonl")
    for rectify in (False, True):
        take_in(workspace, rows, rectify=rectify)
    assert [asked(folder, question) for question in questions] == before


def test_a_log_keeps_the_erased_text(at_evidence: Path, tmp_path: Path) -> None:
    """Neither the ledger, nor the evidence, nor any other byte of the workspace says who it was."""
    folder = copy_world(at_evidence, tmp_path / "ws")
    walk(folder)
    told = asked(folder, "SELECT payload FROM ledger UNION ALL SELECT body FROM evidence")
    for value in values_of([WHO]):
        assert not [line for (line,) in told if value in line]
        assert not [p for p in (folder / ".lethe").rglob("*") if p.is_file() and value.encode() in p.read_bytes()]
