"""A case that ended without an erasure forgets whom it was about when no complaint needs it any more, and not before."""

from __future__ import annotations

from datetime import datetime

import pytest
from lineage_world import ANN, BOB, DANA, INES, NOW, World, after, filing_dates, row

from lineage import desk, ledger
from lineage.case import CaseFile
from lineage.closure import find_closure
from lineage.evidence import save_closure
from lineage.forgetting import COMPLAINT_DAYS, forget_ended
from lineage.sought import open_supplied
from lineage.stages import Stage
from lineage.subjects import load_forms
from lineage.tables import CaseRecordRow, CaseRow
from lineage.vault import Shredded

IN_TIME, TOO_LATE = after(days=COMPLAINT_DAYS, seconds=-1), after(days=COMPLAINT_DAYS)


def filed(world: World, person: str = ANN) -> str:
    intake = desk.Intake([person], "b", "portal", filing_dates()["received_on"])
    return desk.file_case(world.workspace, intake, actor=INES, now=NOW).id


def refused(world: World) -> str:
    """A known person's case with a closure, refused by the DPO."""
    world.register(ANN)
    world.ingest(row("The lamp is broken.", ANN))
    case_id, key = filed(world), world.key(ANN)
    with world.database.transaction() as session:
        closure = find_closure(session, key, load_forms(session, world.keystore, key), keystore=world.keystore)
        save_closure(session, case_id, closure, world.keyring)
        CaseFile(session, case_id).preview_ready("p1", now=NOW)
        CaseFile(session, case_id).refuse(actor=DANA, reason="Needed for a claim.", now=NOW)
    return case_id


def not_found(world: World) -> str:
    """Somebody nobody knows, decided on the report."""
    case_id = filed(world, "otilia@brennecke.example")
    with world.database.transaction() as session:
        CaseFile(session, case_id).searched("r1", now=NOW)
        CaseFile(session, case_id).not_found(actor=DANA, digest="r1", now=NOW)
    return case_id


def look(world: World, case_id: str) -> CaseRow:
    with world.database.reader() as session:
        return session.get_one(CaseRow, case_id)


def told(world: World, case_id: str) -> list[str]:
    with world.database.reader() as session:
        return [event.kind for event in ledger.events_of_case(session, case_id)]


def key_is_gone(world: World, case_id: str, sealed: bytes) -> bool:
    """Even with a copy of the ciphertext nothing opens."""
    try:
        world.keystore.open([(f"case:{case_id}", sealed)])
    except Shredded:
        return True
    return False


@pytest.mark.parametrize("end", [refused, not_found])
def test_identifiers_and_key_stay_for_the_time_of_a_complaint_and_are_gone_after_it(world: World, end) -> None:
    case_id = end(world)
    before = look(world, case_id)
    assert forget_ended(world.workspace, now=IN_TIME) == 0
    assert look(world, case_id) == before
    assert open_supplied(world.workspace, case_id)
    assert forget_ended(world.workspace, now=TOO_LATE) == 1
    row_ = look(world, case_id)
    assert (row_.subject_key, row_.supplied, row_.stage) == (None, None, before.stage)
    assert key_is_gone(world, case_id, before.supplied or b"")
    assert not [line.record_id for line in world.rows(CaseRecordRow) if line.record_id]
    assert told(world, case_id)[-1] == "case.forgotten"
    assert forget_ended(world.workspace, now=TOO_LATE) == 0, "said once"


def test_a_legal_hold_keeps_what_a_complaint_needs(world: World) -> None:
    case_id = refused(world)
    desk.hold(world.workspace, case_id, actor=DANA, reason="Complaint 7/26", now=NOW)
    assert forget_ended(world.workspace, now=TOO_LATE) == 0
    assert open_supplied(world.workspace, case_id) == [ANN]
    desk.hold(world.workspace, case_id, actor=DANA, reason="", now=TOO_LATE)
    assert forget_ended(world.workspace, now=TOO_LATE) == 1


def test_a_case_that_goes_on_forgets_nothing_however_old_it_is(world: World) -> None:
    world.register(BOB)
    case_id = filed(world, BOB)
    assert forget_ended(world.workspace, now=datetime(2099, 1, 1, tzinfo=NOW.tzinfo)) == 0
    assert look(world, case_id).stage == Stage.ASSESSMENT
    assert look(world, case_id).subject_key


def test_a_crash_after_the_key_went_is_made_good_by_the_next_night(world: World) -> None:
    case_id = not_found(world)
    world.keystore.shred([f"case:{case_id}"])
    assert forget_ended(world.workspace, now=TOO_LATE) == 1
    assert look(world, case_id).supplied is None
