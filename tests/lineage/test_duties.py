"""Separation of duties as one table: who may do what, and that everybody else is refused before anything happens."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from case_world import DATABASE, ROAD, act, file, look
from lineage_world import DANA, DORA, INES, MILO, NOW, World
from sqlmodel import select

from lineage.access import Actor, Role
from lineage.case import CaseFile
from lineage.case_view import view
from lineage.duties import MAY, SYSTEM, Duty, begin, require_duty, require_may_start
from lineage.errors import RefusedByRule, WrongPerson, WrongUsage
from lineage.stages import Stage
from lineage.tables import CaseRow, LedgerRow

# what is done            intake  dpo    ml     auditor  admin  system
TABLE = {
    Duty.PREVIEW: (False, True, True, False, False, True),
    Duty.ERASE: (False, True, True, False, False, True),
    Duty.PURGE: (False, True, True, False, False, True),
    Duty.REGISTER: (True, True, True, False, False, False),
}
ROLES = (Role.INTAKE, Role.DPO, Role.ML, Role.AUDITOR, Role.ADMIN, Role.SYSTEM)
DECISIONS: dict[str, tuple[Stage, Callable[[str, Actor], object]]] = {
    "approve": (Stage.PREVIEW_READY, lambda c, who: act(c, "approve", actor=who, digest="p1")),
    "approve_purge": (Stage.EVIDENCE_READY, lambda c, who: act(c, "approve_purge", actor=who, digest="e1")),
    "sign": (Stage.PURGED, lambda c, who: act(c, "signed_off", actor=who)),
    "refuse": (Stage.PREVIEW_READY, lambda c, who: act(c, "refuse", actor=who, reason="r")),
    "hold": (Stage.APPROVED, lambda c, who: act(c, "hold", actor=who, reason="r")),
}


def at(stage: Stage) -> str:
    case_id = file()
    for reached, step in ROAD:
        step(case_id)
        if reached == stage:
            return case_id
    raise AssertionError(stage)


def may_start(case_id: str, duty: Duty, actor: Actor) -> None:
    with DATABASE.transaction() as session:
        require_may_start(CaseFile(session, case_id).view, duty, actor)


def test_the_table_is_whole() -> None:
    assert set(ROLES) == set(Role)
    assert set(TABLE) == set(Duty) == set(MAY)


@pytest.mark.parametrize("duty", Duty)
@pytest.mark.parametrize("role", ROLES)
def test_a_duty_is_that_of_its_roles(duty: Duty, role: Role) -> None:
    actor = Actor("somebody", role)
    if TABLE[duty][ROLES.index(role)]:
        require_duty(duty, actor)
        return
    with pytest.raises(RefusedByRule, match="Only the role"):
        require_duty(duty, actor)


@pytest.mark.parametrize("decision", DECISIONS)
@pytest.mark.parametrize("role", sorted(set(ROLES) - {Role.DPO}))
def test_a_decision_is_a_dpos_and_nobody_elses_not_even_the_systems(decision: str, role: Role) -> None:
    stage, decide = DECISIONS[decision]
    case_id = at(stage)
    with pytest.raises(RefusedByRule, match="Only the role dpo"):
        decide(case_id, Actor("somebody", role))
    assert look(case_id).stage == stage


@pytest.mark.parametrize("decision", ["approve", "approve_purge", "sign"])
def test_whoever_filed_decides_nothing_even_as_a_dpo_since(decision: str) -> None:
    """Two people at least: intake and DPO are never one in a case."""
    stage, decide = DECISIONS[decision]
    case_id = at(stage)
    with pytest.raises(WrongPerson, match="Whoever filed"):
        decide(case_id, Actor(INES.name, Role.DPO))
    decide(case_id, DANA)


@pytest.mark.parametrize("role", sorted(set(ROLES) - {Role.INTAKE, Role.ADMIN}))
def test_only_intake_and_admin_file(role: Role) -> None:
    with pytest.raises(RefusedByRule, match="Only the role intake or admin"):
        file(actor=Actor("somebody", role))


# --- the system carries out what was approved, and nothing else --------------------------------------------------------------

EXECUTION = (Stage.APPROVED, Stage.CONTAINED, Stage.EXECUTING, Stage.VERIFYING)


@pytest.mark.parametrize("stage", EXECUTION)
def test_the_system_erases_what_was_approved(stage: Stage) -> None:
    may_start(at(stage), Duty.ERASE, SYSTEM)


def test_the_system_previews_what_was_filed_and_purges_what_was_approved() -> None:
    may_start(file(), Duty.PREVIEW, SYSTEM)
    may_start(at(Stage.PURGE_APPROVED), Duty.PURGE, SYSTEM)


SPOILT = {
    "another preview": ("preview_digest", "p2"), "no approval": ("approved_digest", ""), "nobody": ("approved_by", ""),
    "who filed": ("approved_by", INES.name),
}  # fmt: skip
SPOILT_PURGE = {
    "other evidence": ("evidence_digest", "e2"), "no approval": ("purge_digest", ""), "nobody": ("purge_approved_by", ""),
    "who filed": ("purge_approved_by", INES.name),
}  # fmt: skip


def spoil(case_id: str, change: tuple[str, str]) -> None:
    with DATABASE.transaction() as session:
        setattr(session.get_one(CaseRow, case_id), *change)


@pytest.mark.parametrize("stage", EXECUTION)
@pytest.mark.parametrize("how", SPOILT)
def test_the_system_does_not_erase_what_is_not_approved_as_it_stands(stage: Stage, how: str) -> None:
    case_id = at(stage)
    spoil(case_id, SPOILT[how])
    with pytest.raises(RefusedByRule, match="not approved as it stands"):
        may_start(case_id, Duty.ERASE, SYSTEM)


@pytest.mark.parametrize("how", SPOILT_PURGE)
def test_the_system_does_not_purge_what_is_not_approved_as_it_stands(how: str) -> None:
    case_id = at(Stage.PURGE_APPROVED)
    spoil(case_id, SPOILT_PURGE[how])
    with pytest.raises(RefusedByRule, match="not approved as it stands"):
        may_start(case_id, Duty.PURGE, SYSTEM)


# --- a person starts a job ---------------------------------------------------------------------------------------------------


@pytest.fixture
def case_id(world: World) -> str:
    from case_world import filing

    from lineage.case import file_request

    with world.database.transaction() as session:
        return file_request(session, filing("case-1", subject=None), actor=INES, now=NOW).id


def started(world: World) -> list[dict]:
    with world.database.reader() as session:
        rows = session.exec(select(LedgerRow).where(LedgerRow.kind == "case.started")).all()
    return [json.loads(row.payload) for row in rows]


@pytest.mark.parametrize("actor", [MILO, DANA, DORA], ids=lambda a: a.name)
def test_the_ledger_says_who_started_what(world: World, case_id: str, actor: Actor) -> None:
    begin(world.workspace, Duty.PREVIEW, [case_id], actor=actor, now=NOW)
    assert started(world) == [{"by": actor.name, "case": case_id, "duty": "preview"}]
    with world.database.reader() as session:
        assert view(session.get_one(CaseRow, case_id)).stage == Stage.ASSESSMENT, "saying so moves nothing"


def test_who_may_not_start_leaves_no_event(world: World, case_id: str) -> None:
    for duty in (Duty.PREVIEW, Duty.ERASE, Duty.PURGE):
        for role in (Role.INTAKE, Role.AUDITOR, Role.ADMIN):
            with pytest.raises(RefusedByRule):
                begin(world.workspace, duty, [case_id], actor=Actor("somebody", role), now=NOW)
    with pytest.raises(WrongUsage, match="no case"):
        begin(world.workspace, Duty.ERASE, [case_id, "case-2"], actor=MILO, now=NOW)
    assert started(world) == []
