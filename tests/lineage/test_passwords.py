"""Passwords: ten tries, the same work for whoever is not there, and no word about which part was wrong."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import argon2
import pytest
from lineage_world import NOW, World
from sqlmodel import select

from lineage import passwords
from lineage.access import Actor, Role, add_staff, find_actor, issue_link, open_session, redeem_link
from lineage.errors import RefusedByRule, WrongUsage
from lineage.passwords import LOCKED_FOR, MAX_TRIES, Cost, forget_password, is_password, log_in, set_password
from lineage.tables import LedgerRow, UserRow

PASSWORD, WRONG = "four kettles sing at dawn", "five kettles sing at dawn"
ROOT, DANA, INES = Actor("root", Role.ADMIN), Actor("dana", Role.DPO), Actor("ines", Role.INTAKE)
CHEAP = Cost(passes=1, memory_kib=64, lanes=1)


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Laws about counting do not need the real cost; the one about the real cost sets it back."""
    monkeypatch.setattr(passwords, "COST", CHEAP)


@pytest.fixture
def desk(world: World) -> World:
    """Dana has a password, Ines has none."""
    with world.database.transaction() as session:
        for actor in (ROOT, DANA, INES):
            add_staff(session, name=actor.name, role=actor.role, actor=ROOT, now=NOW)
    set_password(world.database, DANA, password=PASSWORD, now=NOW)
    return world


def tried(world: World, password: str, *, name: str = "dana", at: datetime = NOW) -> bool:
    return log_in(world.database, name, password, now=at) is not None


def row_of(world: World, name: str = "dana") -> UserRow:
    with world.database.reader() as session:
        return session.get_one(UserRow, name)


def events(world: World, kind: str) -> list[dict]:
    with world.database.reader() as session:
        return [json.loads(row.payload) for row in session.exec(select(LedgerRow).where(LedgerRow.kind == kind)).all()]


def test_the_right_password_opens_a_session_of_its_owner(desk: World) -> None:
    cookie = log_in(desk.database, "dana", PASSWORD, now=NOW)
    with desk.database.reader() as session:
        browser = open_session(session, cookie, NOW)
    assert browser.actor == DANA


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("dana", WRONG), ("dana", ""), ("dana", PASSWORD + " "), ("dana", PASSWORD * 10), ("ines", PASSWORD), ("ines", ""),
        ("mallory", PASSWORD), ("", ""), ("DANA", PASSWORD), ("d" * 10_000, PASSWORD), ("dana\0", PASSWORD), ("dana\ud800", PASSWORD),
    ],
)  # fmt: skip
def test_anything_else_opens_none(desk: World, name: str, password: str) -> None:
    assert not tried(desk, password, name=name)


def test_the_same_letters_typed_on_another_keyboard_are_the_same_password(desk: World) -> None:
    set_password(desk.database, DANA, password="fünf Kessel singen früh", now=NOW)
    assert tried(desk, "fu\u0308nf Kessel singen fru\u0308h")


# --- the lock -----------------------------------------------------------------------------------------------------------------


def test_the_tenth_wrong_try_locks_for_a_while_even_for_the_right_password(desk: World) -> None:
    for _ in range(MAX_TRIES - 1):
        assert not tried(desk, WRONG)
    assert row_of(desk).locked_until is None
    assert not tried(desk, WRONG)
    assert row_of(desk).locked_until == NOW + LOCKED_FOR
    assert not tried(desk, PASSWORD)
    assert not tried(desk, PASSWORD, at=NOW + LOCKED_FOR - timedelta(seconds=1))
    assert tried(desk, PASSWORD, at=NOW + LOCKED_FOR)
    assert (row_of(desk).failed_logins, row_of(desk).locked_until) == (0, None)


def test_a_lock_that_ended_leaves_ten_new_tries(desk: World) -> None:
    for _ in range(MAX_TRIES):
        tried(desk, WRONG)
    later = NOW + LOCKED_FOR
    for _ in range(MAX_TRIES - 1):
        assert not tried(desk, WRONG, at=later)
    assert tried(desk, PASSWORD, at=later)


def test_a_right_password_ends_the_count(desk: World) -> None:
    for _ in range(2):
        for _ in range(MAX_TRIES - 1):
            tried(desk, WRONG)
        assert tried(desk, PASSWORD)


def test_a_hundred_tries_at_once_are_ten(desk: World, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = []
    real = passwords._verify
    decoy = passwords._decoy()
    monkeypatch.setattr(passwords, "_verify", lambda h, p: (h == decoy or judged.append(h)) or real(h, p))
    with ThreadPoolExecutor(16) as pool:
        assert not any(pool.map(lambda _: tried(desk, WRONG), range(100)))
    assert len(judged) <= MAX_TRIES


def test_a_locked_person_still_gets_in_by_a_link(desk: World) -> None:
    for _ in range(MAX_TRIES):
        tried(desk, WRONG)
    with desk.database.transaction() as session:
        assert redeem_link(session, issue_link(session, DANA, NOW), NOW)


# --- nobody learns who is on the staff ------------------------------------------------------------------------------------------


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The hashes that Argon2 was asked about."""
    asked: list[str] = []
    real = argon2.PasswordHasher.verify

    def ask(self: argon2.PasswordHasher, hashed: str, password: str) -> bool:
        asked.append(hashed)
        return real(self, hashed, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", ask)
    return asked


def lock_dana(world: World) -> None:
    for _ in range(MAX_TRIES):
        tried(world, WRONG)


@pytest.mark.parametrize(
    ("name", "before"), [("dana", None), ("dana", lock_dana), ("ines", None), ("mallory", None), ("", None)],
    ids=["wrong", "locked", "without a password", "unknown", "empty"],
)  # fmt: skip
def test_whoever_tries_costs_one_verification_at_the_same_price(desk: World, verified: list[str], name, before) -> None:
    if before:
        before(desk)
    verified.clear()
    assert not tried(desk, WRONG, name=name)
    (hashed,) = verified
    found = argon2.extract_parameters(hashed)
    assert (found.time_cost, found.memory_cost, found.parallelism) == CHEAP
    assert (found.hash_len, found.salt_len) == (passwords.HASH_BYTES, passwords.SALT_BYTES)


@pytest.mark.parametrize("name", ["dana", "ines", "mallory"])
def test_whoever_tries_costs_one_written_row(desk: World, name: str) -> None:
    from lineage.tables import MetaRow

    at = NOW + timedelta(minutes=3)
    tried(desk, WRONG, name=name, at=at)
    with desk.database.reader() as session:
        assert session.get_one(MetaRow, passwords.TRIED).value == at.isoformat()


def test_the_ledger_names_nobody_and_holds_no_password(desk: World) -> None:
    lock_dana(desk)
    tried(desk, PASSWORD, at=NOW + LOCKED_FOR)
    forget_password(desk.database, "dana", actor=ROOT, now=NOW)
    assert events(desk, "staff.locked") == [{"tries": MAX_TRIES}]
    assert events(desk, "staff.password_set") == [{"role": "dpo"}]
    assert events(desk, "staff.password_forgotten") == [{"role": "dpo"}]
    with desk.database.reader() as session:
        told = "".join(session.exec(select(LedgerRow.payload)).all())
    assert not [word for word in ("dana", PASSWORD, WRONG, "argon2") if word in told]


# --- setting it -----------------------------------------------------------------------------------------------------------------


def test_the_real_cost_is_that_of_rfc_9106(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with world.database.transaction() as session:
        add_staff(session, name="root", role=Role.ADMIN, actor=None, now=NOW)
    set_password(world.database, ROOT, password=PASSWORD, now=NOW)
    found = argon2.extract_parameters(row_of(world, "root").password_hash)
    assert (found.type, found.time_cost, found.memory_cost, found.parallelism) == (argon2.Type.ID, 3, 65_536, 4)
    assert is_password(world.database, "root", PASSWORD, now=NOW)


def test_a_login_renews_a_hash_of_another_cost(desk: World, monkeypatch: pytest.MonkeyPatch) -> None:
    old = row_of(desk).password_hash
    dearer = Cost(passes=2, memory_kib=128, lanes=1)
    monkeypatch.setattr(passwords, "COST", dearer)
    assert not tried(desk, WRONG)
    assert row_of(desk).password_hash == old, "a wrong password renews nothing"
    assert tried(desk, PASSWORD)
    found = argon2.extract_parameters(row_of(desk).password_hash)
    assert (found.time_cost, found.memory_cost, found.parallelism) == dearer
    assert tried(desk, PASSWORD)


@pytest.mark.parametrize("password", ["", "fourteen chars", "a" * 20, "abab" * 5, "x" * 129, "kettle" * 30])
def test_a_weak_password_is_refused(desk: World, password: str) -> None:
    with pytest.raises(WrongUsage, match="15 to 128"):
        set_password(desk.database, DANA, password=password, now=NOW)
    assert tried(desk, PASSWORD), "the old one stays"


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_long_password_that_was_taken_opens_in_every_spelling(desk: World, form: str) -> None:
    """Spelt apart, a hundred letters with marks are three hundred code points, and are no longer than before."""
    long = "\u01d6\u1e17\u00e9\u00f1\u00e5" * 20
    set_password(desk.database, DANA, password=unicodedata.normalize(form, long), now=NOW)
    for spelling in ("NFC", "NFD"):
        assert tried(desk, unicodedata.normalize(spelling, long))
    assert not tried(desk, unicodedata.normalize("NFD", long)[:-1])


def test_a_new_password_ends_sessions_links_and_the_old_one(desk: World) -> None:
    cookie = log_in(desk.database, "dana", PASSWORD, now=NOW)
    with desk.database.transaction() as session:
        link, other = issue_link(session, DANA, NOW), issue_link(session, INES, NOW)
    set_password(desk.database, DANA, password=WRONG, now=NOW)
    with desk.database.transaction() as session:
        assert open_session(session, cookie, NOW) is None
        with pytest.raises(RefusedByRule):
            redeem_link(session, link, NOW)
        assert redeem_link(session, other, NOW), "somebody else's stays"
    assert not tried(desk, PASSWORD)
    assert tried(desk, WRONG)


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.ADMIN}))
def test_only_an_administrator_takes_a_password_away(desk: World, role: Role) -> None:
    with pytest.raises(RefusedByRule, match="Only the role admin"):
        forget_password(desk.database, "dana", actor=Actor("dana", role), now=NOW)
    assert tried(desk, PASSWORD)


def test_a_password_that_was_taken_away_opens_nothing(desk: World) -> None:
    forget_password(desk.database, "dana", actor=ROOT, now=NOW)
    assert not tried(desk, PASSWORD)
    assert not tried(desk, "")
    with pytest.raises(RefusedByRule, match="No member of staff"):
        forget_password(desk.database, "mallory", actor=ROOT, now=NOW)


def test_a_password_that_changed_between_the_try_and_its_judgement_opens_nothing(
    desk: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = passwords._verify

    def slow(hashed: str, password: str) -> bool:
        right = real(hashed, password)
        monkeypatch.setattr(passwords, "_verify", real)
        with desk.database.transaction() as session:
            session.get_one(UserRow, "dana").password_hash = ""
        return right

    monkeypatch.setattr(passwords, "_verify", slow)
    assert not tried(desk, PASSWORD)


def test_nobody_sets_a_password_for_who_is_not_there(desk: World) -> None:
    with pytest.raises(RefusedByRule, match="No member of staff"):
        set_password(desk.database, Actor("mallory", Role.DPO), password=PASSWORD, now=NOW)
    with desk.database.reader() as session:
        assert find_actor(session, "dana") == DANA
