"""Staff hold one role each; a link works once and for a time; of tokens only hashes are kept."""

from __future__ import annotations

from datetime import timedelta

import pytest
from lineage_world import NOW, World, after
from sqlmodel import Session, select

from lineage.access import (
    LINK_LIFETIME,
    SESSION_LIFETIME,
    Actor,
    Role,
    add_staff,
    close_session,
    find_actor,
    issue_link,
    open_session,
    redeem_link,
    staff,
)
from lineage.errors import RefusedByRule, WrongUsage
from lineage.tables import LoginLinkRow, SessionRow

ROOT = Actor("root", Role.ADMIN)


@pytest.fixture
def session(world: World):
    with world.database.transaction() as session:
        add_staff(session, name="root", role=Role.ADMIN, actor=None, now=NOW)
        add_staff(session, name="dana", role=Role.DPO, actor=ROOT, now=NOW)
        add_staff(session, name="ines", role=Role.INTAKE, actor=ROOT, now=NOW)
        yield session


def dana_link(session: Session) -> str:
    return issue_link(session, find_actor(session, "dana"), NOW)


def test_a_link_works_once(session: Session) -> None:
    token = dana_link(session)
    cookie = redeem_link(session, token, NOW)
    assert open_session(session, cookie, NOW).actor == Actor("dana", Role.DPO)
    with pytest.raises(RefusedByRule):
        redeem_link(session, token, NOW)
    assert open_session(session, cookie, NOW), "the failed second use does not end the session of the first"


def test_a_link_expires_and_no_refusal_says_why(session: Session) -> None:
    in_time, late, used = dana_link(session), dana_link(session), dana_link(session)
    redeem_link(session, in_time, NOW + LINK_LIFETIME - timedelta(seconds=1))
    redeem_link(session, used, NOW)
    said = set()
    for token, at in ((late, NOW + LINK_LIFETIME), (used, NOW), ("guess", NOW), ("", NOW)):
        with pytest.raises(RefusedByRule) as refusal:
            redeem_link(session, token, at)
        said.add((str(refusal.value), refusal.value.hint))
    assert len(said) == 1


def test_a_session_ends_by_time_and_by_hand(session: Session) -> None:
    cookie = redeem_link(session, dana_link(session), NOW)
    almost = NOW + SESSION_LIFETIME - timedelta(seconds=1)
    assert open_session(session, cookie, almost)
    assert open_session(session, cookie, NOW + SESSION_LIFETIME) is None
    close_session(session, cookie)
    session.flush()
    close_session(session, cookie)
    assert open_session(session, cookie, NOW) is None
    assert open_session(session, "guess", NOW) is None


def test_sessions_of_two_people_stay_apart(session: Session) -> None:
    one = redeem_link(session, dana_link(session), NOW)
    other = redeem_link(session, issue_link(session, find_actor(session, "ines"), NOW), NOW)
    assert open_session(session, one, NOW).actor.name == "dana"
    assert open_session(session, other, NOW).actor.name == "ines"
    assert open_session(session, one, NOW).form_token != open_session(session, other, NOW).form_token
    close_session(session, other)
    assert open_session(session, one, NOW)


def test_no_token_is_kept_or_shown(session: Session) -> None:
    token = dana_link(session)
    cookie = redeem_link(session, token, NOW)
    session.flush()
    kept = [str(row.model_dump()) for table in (LoginLinkRow, SessionRow) for row in session.exec(select(table)).all()]
    assert len(kept) == 2
    assert not [text for text in kept if token in text or cookie in text]
    browser = open_session(session, cookie, NOW)
    assert browser.form_token not in repr(browser)


def test_one_person_holds_one_role(session: Session) -> None:
    again = add_staff(session, name="dana", role=Role.DPO, actor=ROOT, now=after(days=1))
    assert again == Actor("dana", Role.DPO)
    for role in set(Role) - {Role.DPO, Role.SYSTEM}:
        with pytest.raises(WrongUsage, match="one person holds one role"):
            add_staff(session, name="dana", role=role, actor=ROOT, now=NOW)
    assert staff(session) == [Actor("dana", Role.DPO), Actor("ines", Role.INTAKE), ROOT]


def test_the_first_is_an_administrator_and_adds_the_others(world: World) -> None:
    with world.database.transaction() as session:
        for role in set(Role) - {Role.ADMIN, Role.SYSTEM}:
            with pytest.raises(RefusedByRule, match="first member of staff"):
                add_staff(session, name="early", role=role, actor=None, now=NOW)
            with pytest.raises(RefusedByRule, match="first member of staff"):
                add_staff(session, name="early", role=role, actor=ROOT, now=NOW)
        add_staff(session, name="root", role=Role.ADMIN, actor=None, now=NOW)
        for role in set(Role) - {Role.SYSTEM}:
            with pytest.raises(RefusedByRule, match="nobody said who is acting"):
                add_staff(session, name="late", role=role, actor=None, now=NOW)
            for other in set(Role) - {Role.ADMIN}:
                with pytest.raises(RefusedByRule, match="Only the role admin may add staff"):
                    add_staff(session, name="late", role=role, actor=Actor("dana", other), now=NOW)
        assert staff(session) == [ROOT]


def test_the_system_is_nobody(session: Session) -> None:
    with pytest.raises(WrongUsage, match="nobody's"):
        add_staff(session, name="robot", role=Role.SYSTEM, actor=ROOT, now=NOW)
    with pytest.raises(WrongUsage, match="handle"):
        add_staff(session, name="lethe", role=Role.ADMIN, actor=ROOT, now=NOW)


@pytest.mark.parametrize(
    "name", ["", "Dana", "dana@firm.example", "d" * 42, "1dana", "dana ", "dana\n", "dana/x", "dána"]
)
def test_a_staff_name_is_a_handle(session: Session, name: str) -> None:
    with pytest.raises(WrongUsage, match="handle"):
        add_staff(session, name=name, role=Role.ML, actor=ROOT, now=NOW)


def test_a_stranger_is_nobody(session: Session) -> None:
    with pytest.raises(RefusedByRule, match="No member of staff"):
        find_actor(session, "mallory")


@pytest.mark.parametrize("role", Role)
def test_a_role_is_required_by_name(role: Role) -> None:
    actor = Actor("somebody", role)
    actor.require(role, to="do it")
    others = [other for other in Role if other is not role]
    with pytest.raises(RefusedByRule, match=f"may do it; somebody is {role.value}"):
        actor.require(*others, to="do it")
