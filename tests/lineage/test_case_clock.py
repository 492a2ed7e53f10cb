"""The clock of a case: it stands still while identity is in doubt, is reckoned from receipt and never from now, and warns."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from case_world import AXEL, DATABASE, file
from hypothesis import given, settings
from hypothesis import strategies as st
from lineage_world import ANN, DANA, INES, MILO, World, row

from lineage import clock, desk, dossier, ledger
from lineage.alarms import ALARM, raise_alarms
from lineage.case import POLICY_GROUND, CaseFile, Filing, file_request
from lineage.case_view import Beside, CaseView
from lineage.clock import AlarmLevel, alarm_level, due
from lineage.closing import Telling, tell_person
from lineage.errors import RefusedByRule, WrongUsage
from lineage.forgetting import COMPLAINT_DAYS, forget_ended
from lineage.letters import Kind
from lineage.pauses import begin_pause, days_paused, end_pause, paused_since
from lineage.stages import Stage
from lineage.tables import RecordRow

RECEIVED = date(2026, 3, 2)


def at(day: date, hour: int = 12) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def filed(world: World, person: str = ANN) -> str:
    world.register(person)
    intake = desk.Intake([person], "b", "a letter", RECEIVED)
    return desk.file_case(world.workspace, intake, actor=INES, now=at(RECEIVED)).id


def doubt(world: World, case_id: str, asked: date, *, now: datetime | None = None, actor=INES) -> CaseView:
    return desk.doubt_identity(world.workspace, case_id, actor=actor, asked_on=asked, now=now or at(asked))


def confirm(world: World, case_id: str, answered: date, *, now: datetime | None = None, actor=INES) -> CaseView:
    return desk.confirm_identity(
        world.workspace, case_id, actor=actor, answered_on=answered, method="signed in", now=now or at(answered)
    )


def look(world: World, case_id: str, now: datetime) -> dossier.Standing:
    return dossier.read_case(world.workspace, case_id, now=now).standing


def set_stage(world: World, case_id: str, stage: Stage) -> None:
    with world.database.transaction() as session:
        case = CaseFile(session, case_id)
        case.preview_ready("p1", now=at(RECEIVED))
        if stage != Stage.PREVIEW_READY:
            case.approve(actor=DANA, digest="p1", now=at(RECEIVED))
        begun = stage not in (Stage.PREVIEW_READY, Stage.APPROVED)
        for step in (Stage.CONTAINED, Stage.EXECUTING, Stage.VERIFYING) if begun else ():
            case.advance(step, now=at(RECEIVED))
        if stage in (Stage.EVIDENCE_READY, Stage.PURGE_APPROVED):
            case.evidence_ready("e1", now=at(RECEIVED))
        if stage == Stage.PURGE_APPROVED:
            case.approve_purge(actor=DANA, digest="e1", now=at(RECEIVED))


# --- pauses --------------------------------------------------------------------------------------------------------------


def test_the_due_date_is_reckoned_from_receipt_with_the_days_of_waiting(world: World) -> None:
    case_id = filed(world)
    assert look(world, case_id, at(RECEIVED)).case.due_on == date(2026, 4, 2)
    view = doubt(world, case_id, date(2026, 3, 10))
    assert (view.stage, view.beside) == (Stage.IDENTITY_CHECK, (Beside.CLOCK_PAUSED,))
    after_it = confirm(world, case_id, date(2026, 3, 20))
    assert (after_it.stage, after_it.identity_method, after_it.beside) == (Stage.ASSESSMENT, "signed in", ())
    assert after_it.due_on == due(RECEIVED, "DE", paused_days=10).date
    assert "10 days added while identity was in doubt" in after_it.due_basis
    with world.database.reader() as session:
        last = ledger.events_of_case(session, case_id)[-1]
    assert dict(last.payload) == {
        "by": "ines", "answered": "2026-03-20", "paused_days": 10, "due": after_it.due_on.isoformat(), "case": case_id
    }  # fmt: skip


@pytest.mark.parametrize("written_down", [0, 1, 30])
def test_when_it_is_written_down_changes_nothing(world: World, written_down: int) -> None:
    """A deadline that is computed from now drifts with every late clerk."""
    case_id, late = filed(world), timedelta(days=written_down)
    doubt(world, case_id, date(2026, 3, 10), now=at(date(2026, 3, 10)) + late)
    view = confirm(world, case_id, date(2026, 3, 20), now=at(date(2026, 3, 20)) + late)
    assert view.due_on == due(RECEIVED, "DE", paused_days=10).date


def test_several_pauses_add_up_and_an_extension_keeps_them(world: World) -> None:
    case_id = filed(world)
    doubt(world, case_id, date(2026, 3, 10))
    confirm(world, case_id, date(2026, 3, 15))
    now = at(date(2026, 3, 16))
    extended = desk.extend(world.workspace, case_id, actor=DANA, reason="Many systems.", now=now)
    assert extended.due_on == due(RECEIVED, "DE", extended=True, paused_days=5).date
    doubt(world, case_id, date(2026, 4, 1))
    view = confirm(world, case_id, date(2026, 4, 8))
    assert view.due_on == due(RECEIVED, "DE", extended=True, paused_days=12).date
    assert view.beside == (Beside.EXTENDED,)


def test_an_extension_waits_until_the_clock_runs(world: World) -> None:
    case_id = filed(world)
    doubt(world, case_id, date(2026, 3, 10))
    with pytest.raises(RefusedByRule, match="stands still"):
        desk.extend(world.workspace, case_id, actor=DANA, reason="Many systems.", now=at(date(2026, 3, 11)))
    assert "extend" not in {step.action for step in dossier.next_steps(look(world, case_id, at(RECEIVED)).case)}


def test_a_pause_makes_an_extension_possible_for_as_long_as_it_lasted(world: World) -> None:
    case_id = filed(world)
    doubt(world, case_id, date(2026, 3, 10))
    confirm(world, case_id, date(2026, 3, 30))
    now = at(date(2026, 4, 20))  # after the first month from receipt, inside it when the pause is left out
    assert desk.extend(world.workspace, case_id, actor=DANA, reason="Many systems.", now=now).extension_reason


@pytest.mark.parametrize(
    ("asked", "answered", "rule"),
    [
        (date(2026, 3, 1), None, RefusedByRule),  # before receipt
        (date(2026, 3, 12), None, WrongUsage),  # not yet
        (date(2026, 3, 10), date(2026, 3, 9), RefusedByRule),
        (date(2026, 3, 10), date(2026, 3, 12), WrongUsage),
    ],
)
def test_days_that_cannot_be_are_refused(world: World, asked: date, answered: date | None, rule: type) -> None:
    case_id, now = filed(world), at(date(2026, 3, 11))
    if answered is None:
        with pytest.raises(rule):
            doubt(world, case_id, asked, now=now)
        return
    doubt(world, case_id, asked, now=now)
    with pytest.raises(rule):
        confirm(world, case_id, answered, now=now)
    assert look(world, case_id, now).case.stage == Stage.IDENTITY_CHECK


def test_no_pause_begins_inside_an_earlier_one(world: World) -> None:
    case_id, now = filed(world), at(date(2026, 4, 1))
    doubt(world, case_id, date(2026, 3, 10), now=now)
    confirm(world, case_id, date(2026, 3, 20), now=now)
    with pytest.raises(RefusedByRule, match="before 2026-03-20"):
        doubt(world, case_id, date(2026, 3, 12), now=now)
    assert doubt(world, case_id, date(2026, 3, 20), now=now).stage == Stage.IDENTITY_CHECK


@pytest.mark.parametrize("stage", [Stage.PREVIEW_READY, Stage.APPROVED])
def test_a_doubt_takes_an_approval_back_and_the_search_begins_anew(world: World, stage: Stage) -> None:
    case_id = filed(world)
    set_stage(world, case_id, stage)
    view = doubt(world, case_id, date(2026, 3, 3))
    assert (view.preview_digest, view.approved_by, view.attempt) == ("", "", 1)
    with world.database.transaction() as session, pytest.raises(RefusedByRule, match="IDENTITY_CHECK"):
        CaseFile(session, case_id).preview_ready("p1", now=at(RECEIVED))


def test_identity_is_not_doubted_once_it_is_carried_out(world: World) -> None:
    case_id = filed(world)
    set_stage(world, case_id, Stage.EVIDENCE_READY)
    with pytest.raises(RefusedByRule, match="it must be at"):
        doubt(world, case_id, date(2026, 3, 3))


@pytest.mark.parametrize("actor", [MILO, AXEL])
def test_who_does_not_speak_with_the_person_decides_nothing_about_them(world: World, actor) -> None:
    case_id = filed(world)
    with pytest.raises(RefusedByRule):
        doubt(world, case_id, date(2026, 3, 3), actor=actor)
    doubt(world, case_id, date(2026, 3, 3))
    with pytest.raises(RefusedByRule):
        confirm(world, case_id, date(2026, 3, 4), actor=actor)
    with pytest.raises(RefusedByRule):
        desk.withdraw(world.workspace, case_id, actor=actor, reason="By phone.", now=at(date(2026, 3, 4)))


def test_the_same_doubt_twice_is_one_event_and_nobody_who_shows_nothing_is_answered(world: World) -> None:
    case_id = filed(world)
    doubt(world, case_id, date(2026, 3, 3))
    doubt(world, case_id, date(2026, 3, 3))
    with world.database.reader() as session:
        kinds = [event.kind for event in ledger.events_of_case(session, case_id)]
    assert kinds == ["case.received", "case.assessment", "case.identity_check"]
    refused = desk.refuse(
        world.workspace, case_id, actor=DANA, reason="Nobody showed who they are.", now=at(date(2026, 6, 1))
    )
    assert refused.stage == Stage.REFUSED


@given(gaps=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 40)), max_size=5))
@settings(deadline=None)
def test_the_pauses_of_a_case_are_the_days_an_oracle_counts(gaps: list[tuple[int, int]]) -> None:
    """Every day is looked at by itself: it stands still if some pause holds it, the day of the answer excluded."""
    case_id, day, still = file(), RECEIVED, set[date]()
    with DATABASE.transaction() as session:
        for run, wait in gaps:
            asked = day + timedelta(days=run)
            begin_pause(session, case_id, received_on=RECEIVED, asked_on=asked)
            assert paused_since(session, case_id) == asked
            day = asked + timedelta(days=wait)
            end_pause(session, case_id, answered_on=day)
            still |= {asked + timedelta(days=n) for n in range(wait)}
        assert days_paused(session, case_id, received_on=RECEIVED) == len(still)
        assert paused_since(session, case_id) is None


# --- alarms --------------------------------------------------------------------------------------------------------------


def test_neither_the_days_left_nor_the_alarm_move_while_the_clock_stands(world: World) -> None:
    case_id = filed(world)
    doubt(world, case_id, date(2026, 3, 10))
    now = [look(world, case_id, at(date(2026, 3, 10), 13) + timedelta(days=n)) for n in (0, 1, 40, 400)]
    assert {(s.days_left, s.alarm) for s in now} == {(23, AlarmLevel.NONE)}
    assert all("who they are" in s.waits_for for s in now)


def test_days_that_stood_still_use_up_nothing(world: World) -> None:
    """Asked after 8 of 31 days, answered 40 days later: of the time that counts, as much is left as before."""
    case_id = filed(world)
    doubt(world, case_id, date(2026, 3, 10))
    confirm(world, case_id, date(2026, 4, 19))
    then = look(world, case_id, at(date(2026, 4, 19)))
    assert (then.alarm, then.days_left) == (AlarmLevel.NONE, (then.case.due_on - date(2026, 4, 19)).days)
    assert look(world, case_id, at(date(2026, 4, 28))).alarm == AlarmLevel.HALF
    assert look(world, case_id, at(then.case.due_on)).alarm == AlarmLevel.NINE_TENTHS
    assert look(world, case_id, at(then.case.due_on + timedelta(days=1))).alarm == AlarmLevel.OVERDUE


@given(total=st.integers(1, 120), still=st.integers(0, 200), hours=st.integers(0, 24 * 130))
def test_a_clock_that_stood_still_warns_when_the_running_time_says_so(total: int, still: int, hours: int) -> None:
    """A pause right after receipt: the alarms of the same case, that many days later."""
    start = at(RECEIVED, 0)
    plain = alarm_level(start + timedelta(hours=hours), RECEIVED, RECEIVED + timedelta(days=total))
    moved = alarm_level(
        start + timedelta(days=still, hours=hours),
        RECEIVED,
        RECEIVED + timedelta(days=total + still),
        paused_days=still,
    )
    assert plain == moved


def told(world: World, case_id: str) -> list[tuple[object, object]]:
    with world.database.reader() as session:
        events = [e for e in ledger.events_of_case(session, case_id) if e.kind == ALARM]
    return [(event.payload["level"], event.payload["due"]) for event in events]


def test_each_level_is_told_once_in_the_ledger(world: World) -> None:
    case_id = filed(world)
    for hours in range(0, 24 * 34, 6):
        raise_alarms(world.workspace, now=at(RECEIVED, 0) + timedelta(hours=hours))
    assert told(world, case_id) == [(level, "2026-04-02") for level in (50, 75, 90, 100)]


def test_levels_that_passed_unseen_are_not_told_one_after_the_other(world: World) -> None:
    case_id, late = filed(world), at(date(2026, 4, 1))
    assert [s.case.id for s in raise_alarms(world.workspace, now=late)] == [case_id]
    assert [s.case.id for s in raise_alarms(world.workspace, now=late)] == [case_id], "it is told to whoever asks"
    assert told(world, case_id) == [(90, "2026-04-02")]


def test_another_due_date_has_alarms_of_its_own(world: World) -> None:
    case_id, now = filed(world), at(date(2026, 3, 20))
    raise_alarms(world.workspace, now=now)
    desk.extend(world.workspace, case_id, actor=DANA, reason="Many systems.", now=now)
    assert raise_alarms(world.workspace, now=now) == []
    raise_alarms(world.workspace, now=at(date(2026, 4, 20)))
    assert told(world, case_id) == [(50, "2026-04-02"), (50, "2026-06-02")]


def test_a_case_that_ended_raises_no_alarm_once_the_person_was_told(world: World) -> None:
    case_id, late = filed(world), at(date(2026, 9, 1))
    desk.refuse(world.workspace, case_id, actor=DANA, reason="An exception applies.", now=at(RECEIVED))
    assert [standing.case.id for standing in raise_alarms(world.workspace, now=late)] == [case_id]
    tell_person(world.workspace, case_id, Telling(Kind.REFUSED, RECEIVED, own=True), actor=DANA, now=late)
    assert raise_alarms(world.workspace, now=late) == []


# --- withdrawal ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stage", [Stage.ASSESSMENT, Stage.PREVIEW_READY, Stage.APPROVED, Stage.VERIFYING, Stage.EVIDENCE_READY]
)
def test_a_request_is_taken_back_until_the_purge_is_approved(world: World, stage: Stage) -> None:
    (own,) = world.ingest(row("A lamp.", ANN))
    case_id = filed(world)
    if stage != Stage.ASSESSMENT:
        set_stage(world, case_id, stage)
    with world.database.transaction() as session:
        session.get_one(RecordRow, own).restricted_by = case_id
    view = desk.withdraw(world.workspace, case_id, actor=INES, reason="Told us by phone.", now=at(RECEIVED))
    assert (view.stage, view.ended, view.problem) == (Stage.WITHDRAWN, True, "Told us by phone.")
    assert world.rows(RecordRow)[0].restricted_by is None, "LAW what a case gives up is learnt from again"
    assert desk.withdraw(world.workspace, case_id, actor=INES, reason="Again.", now=at(RECEIVED)) == view


def test_nothing_is_taken_back_that_may_be_half_destroyed(world: World) -> None:
    case_id = filed(world)
    set_stage(world, case_id, Stage.PURGE_APPROVED)
    for fail in (False, True):
        if fail:
            with world.database.transaction() as session:
                CaseFile(session, case_id).fail("A job gave up.", now=at(RECEIVED))
        with pytest.raises(RefusedByRule, match="to be withdrawn"):
            desk.withdraw(world.workspace, case_id, actor=INES, reason="By phone.", now=at(RECEIVED))


def test_who_took_a_request_back_may_file_another_and_is_forgotten_in_time(world: World) -> None:
    case_id = filed(world)
    desk.withdraw(world.workspace, case_id, actor=INES, reason="By phone.", now=at(RECEIVED))
    assert filed(world) != case_id
    assert forget_ended(world.workspace, now=at(RECEIVED) + timedelta(days=COMPLAINT_DAYS + 1)) == 1


def test_nobody_can_take_back_what_nobody_asked_for(world: World) -> None:
    limit = clock.due(RECEIVED, "DE")
    filing = Filing(
        "case-p", None, None, POLICY_GROUND, "nobody", RECEIVED, limit.date, limit.basis, rescan_id="rescan-1"
    )
    with world.database.transaction() as session:
        file_request(session, filing, actor=INES, now=at(RECEIVED))
        with pytest.raises(RefusedByRule, match="Nobody asked"):
            CaseFile(session, "case-p").withdraw(actor=INES, reason="x", now=at(RECEIVED))
        with pytest.raises(RefusedByRule, match="Nobody asked"):
            CaseFile(session, "case-p").doubt_identity(actor=INES, asked_on=RECEIVED, now=at(RECEIVED))
