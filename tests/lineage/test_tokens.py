"""API tokens: shown once, kept as a hash, for one purpose and a time, and taken back for good."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from lineage_world import NOW, World
from sqlmodel import Session, select

from lineage.access import Actor, Role, add_staff, token_hash
from lineage.errors import RefusedByRule, WrongUsage
from lineage.tables import ApiTokenRow, LedgerRow
from lineage.tokens import Scope, bearer, list_tokens, new_token, revoke_token

ROOT, DANA, AXEL = Actor("root", Role.ADMIN), Actor("dana", Role.DPO), Actor("axel", Role.AUDITOR)
LATER = NOW + timedelta(days=30)


@pytest.fixture
def session(world: World):
    with world.database.transaction() as session:
        for actor in (ROOT, DANA, AXEL):
            add_staff(session, name=actor.name, role=actor.role, actor=ROOT, now=NOW)
        yield session


def token_of(session: Session, actor: Actor = AXEL, scope: Scope = Scope.CASES) -> str:
    return new_token(session, actor, scope=scope, days=30, now=NOW)


def id_of(token: str) -> str:
    return token_hash(token)[:12]


def test_a_token_reads_in_its_owners_name_until_it_expires(session: Session) -> None:
    token = token_of(session)
    assert bearer(session, token, scope=Scope.CASES, now=NOW) == AXEL
    assert bearer(session, token, scope=Scope.CASES, now=LATER - timedelta(seconds=1)) == AXEL
    assert bearer(session, token, scope=Scope.CASES, now=LATER) is None


@pytest.mark.parametrize("guess", ["", "lethe_", "guess", "' OR 1=1"])
def test_a_guess_is_nobody(session: Session, guess: str) -> None:
    token_of(session)
    assert bearer(session, guess, scope=Scope.INBOX, now=NOW) is None


def test_the_hash_of_a_token_is_no_token(session: Session) -> None:
    assert bearer(session, token_hash(token_of(session)), scope=Scope.INBOX, now=NOW) is None


def test_a_revoked_token_opens_nothing_ever_after(session: Session) -> None:
    token, other = token_of(session), token_of(session)
    for _ in range(2):
        revoke_token(session, id_of(token), actor=AXEL, now=NOW)
    assert bearer(session, token, scope=Scope.INBOX, now=NOW) is None
    assert bearer(session, other, scope=Scope.INBOX, now=NOW) == AXEL
    kinds = [row.kind for row in session.exec(select(LedgerRow)).all()]
    assert kinds.count("token.revoked") == 1


@pytest.mark.parametrize(
    ("scope", "asked", "opens"),
    [
        (Scope.INBOX, Scope.INBOX, True), (Scope.INBOX, Scope.CASES, False),
        (Scope.CASES, Scope.INBOX, True), (Scope.CASES, Scope.CASES, True),
    ],
)  # fmt: skip
def test_a_token_is_for_its_scope(session: Session, scope: Scope, asked: Scope, opens: bool) -> None:
    token = token_of(session, scope=scope)
    if opens:
        assert bearer(session, token, scope=asked, now=NOW) == AXEL
    else:
        with pytest.raises(RefusedByRule, match="needs one for cases"):
            bearer(session, token, scope=asked, now=NOW)


def test_an_expired_or_revoked_token_is_not_told_its_scope(session: Session) -> None:
    token = token_of(session, scope=Scope.INBOX)
    assert bearer(session, token, scope=Scope.CASES, now=LATER) is None


def test_only_a_hash_is_kept_and_no_list_or_event_shows_more(session: Session) -> None:
    token = token_of(session)
    (row,) = session.exec(select(ApiTokenRow)).all()
    assert row.token_hash == token_hash(token)
    told = [json.loads(r.payload) for r in session.exec(select(LedgerRow).where(LedgerRow.kind == "token.made")).all()]
    assert [set(payload) for payload in told] == [{"token", "scope", "until"}]
    text = f"{row} {list_tokens(session, AXEL)} {told}"
    assert token not in text
    assert token.removeprefix("lethe_") not in text
    assert "axel" not in str(told)


@pytest.mark.parametrize("days", [-1, 0, 366])
def test_a_token_lives_for_a_day_to_a_year(session: Session, days: int) -> None:
    with pytest.raises(WrongUsage, match="1 to 365"):
        new_token(session, AXEL, scope=Scope.INBOX, days=days, now=NOW)
    assert not session.exec(select(ApiTokenRow)).all()


def test_everybody_sees_and_revokes_their_own_and_an_administrator_all(session: Session) -> None:
    own, foreign = token_of(session), token_of(session, DANA)
    assert [t.user for t in list_tokens(session, AXEL)] == ["axel"]
    assert {t.user for t in list_tokens(session, ROOT)} == {"axel", "dana"}
    for role in set(Role) - {Role.ADMIN}:
        with pytest.raises(RefusedByRule, match="Only the role admin"):
            revoke_token(session, id_of(foreign), actor=Actor("axel", role), now=NOW)
    assert bearer(session, foreign, scope=Scope.INBOX, now=NOW) == DANA
    revoke_token(session, id_of(own), actor=ROOT, now=NOW)
    assert [t.standing(NOW) for t in list_tokens(session, AXEL)] == ["revoked"]


@pytest.mark.parametrize("token_id", ["", "%", "_" * 12, "0" * 12, "ab"])
def test_what_names_no_token_revokes_none(session: Session, token_id: str) -> None:
    token = token_of(session)
    with pytest.raises(WrongUsage, match="no such token"):
        revoke_token(session, token_id, actor=ROOT, now=NOW)
    assert bearer(session, token, scope=Scope.INBOX, now=NOW) == AXEL
