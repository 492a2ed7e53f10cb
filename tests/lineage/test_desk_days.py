"""The days of a case are the controller's: of receipt, of the last telling of an extension, and those that are left."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from lineage_world import ANN, DANA, INES, World

from lineage import desk, dossier
from lineage.case_view import CaseView
from lineage.clock import AlarmLevel
from lineage.errors import RefusedByRule, WrongUsage
from lineage.workspace import Workspace

NOON = datetime(2026, 1, 30, 12, 0, tzinfo=UTC)
THERE = date(2026, 1, 31)  # in Kiritimati it is two in the morning of the next day
LAST_EVENING = datetime(2026, 3, 2, 9, 59, tzinfo=UTC)  # the last minute of 2 March there, the due day
IN_TIME, TOO_LATE = LAST_EVENING, datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


def at_home_in(zone: str, world: World) -> Workspace:
    world.register(ANN)
    return replace(world.workspace, settings=world.settings.model_copy(update={"zone": zone}))


def file(workspace: Workspace) -> CaseView:
    return desk.file_case(workspace, desk.Intake([ANN], "b", "portal", THERE), actor=INES, now=NOON)


def test_a_request_may_have_come_today_where_today_has_begun(world: World) -> None:
    assert file(at_home_in("Pacific/Kiritimati", world)).due_on == date(2026, 3, 2)


def test_a_request_cannot_have_come_tomorrow(world: World) -> None:
    with pytest.raises(WrongUsage, match="future") as refusal:
        file(at_home_in("UTC", world))
    assert "2026-01-30 in UTC" in refusal.value.hint


def test_an_extension_is_told_on_the_last_day_and_not_after_it(world: World) -> None:
    workspace = at_home_in("Pacific/Kiritimati", world)
    case_id = file(workspace).id
    with pytest.raises(RefusedByRule, match="between 2026-01-31 and 2026-03-02"):
        desk.extend(workspace, case_id, actor=DANA, reason="Many systems", now=TOO_LATE)
    assert desk.extend(workspace, case_id, actor=DANA, reason="Many systems", now=IN_TIME).due_on == date(2026, 4, 30)


def test_days_left_and_overdue_begin_at_midnight_there(world: World) -> None:
    workspace = at_home_in("Pacific/Kiritimati", world)
    case_id = file(workspace).id
    before, after = (dossier.read_case(workspace, case_id, now=now).standing for now in (IN_TIME, TOO_LATE))
    assert (before.days_left, before.alarm) == (0, AlarmLevel.NINE_TENTHS)
    assert (after.days_left, after.alarm) == (-1, AlarmLevel.OVERDUE)
    assert dossier.inbox(workspace, now=TOO_LATE) == [after]
