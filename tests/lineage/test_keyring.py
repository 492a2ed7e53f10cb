"""Pseudonyms: framed, bound to their purpose, and worthless with another secret. Secrets: read by their owner alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lineage.database import Database, migrate
from lineage.errors import WrongUsage
from lineage.keyring import Keyring, create_secret, load_keyring, read_secret

KEYS = Keyring(b"\x01" * 32, b"\x02" * 32)
PARTS = st.lists(st.text(max_size=6), min_size=1, max_size=4)


@given(one=PARTS, other=PARTS)
def test_two_lists_of_parts_never_share_a_pseudonym(one: list[str], other: list[str]) -> None:
    assert (KEYS.mac("p", *one) == KEYS.mac("p", *other)) == (one == other)


@pytest.mark.parametrize(("one", "other"), [(("ab", "c"), ("a", "bc")), (("", "a"), ("a", "")), (("a",), ("a", ""))])
def test_parts_are_framed_not_joined(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert KEYS.mac("p", *one) != KEYS.mac("p", *other)


@given(source=st.text(max_size=8), name=st.text(max_size=8), a=st.text(max_size=8), b=st.text(max_size=8))
def test_the_same_row_of_two_people_is_two_records(source: str, name: str, a: str, b: str) -> None:
    assume(a != b)
    assert KEYS.record_id(source, name, a) != KEYS.record_id(source, name, b)
    assert KEYS.record_id(source, name, a) == KEYS.record_id(source, name, a)


@given(thing=st.text(max_size=12))
def test_a_handle_means_nothing_in_another_case(thing: str) -> None:
    handles = {KEYS.handle(case, thing) for case in ("case-1", "case-2", "case-11")}
    assert len(handles) == 3
    assert {len(handle) for handle in handles} == {24}


def test_one_thing_has_another_pseudonym_for_every_purpose_and_every_secret() -> None:
    other = Keyring(b"\x03" * 32, b"\x02" * 32)
    told = [
        made
        for keys in (KEYS, other)
        for made in (
            keys.subject_key("x"), keys.form("name", "x"), keys.form("email", "x"), keys.mac("finding", "x"),
            keys.content(b"x"), keys.record_id("x", "", ""), keys.mac("subject2", "x"),
        )
    ]  # fmt: skip
    assert len(set(told)) == len(told)
    assert {len(made) for made in told} == {64}


def test_rotating_the_vault_key_moves_no_pseudonym() -> None:
    rotated = Keyring(KEYS.workspace_secret, b"\x09" * 32)
    assert rotated.record_id("s", "1", "p") == KEYS.record_id("s", "1", "p")
    assert rotated.check_values()["workspace"] == KEYS.check_values()["workspace"]
    assert rotated.check_values()["vault"] != KEYS.check_values()["vault"]


def test_no_secret_in_any_repr() -> None:
    keys = Keyring(b"quaggaquaggaquaggaquaggaquagga!!", b"zebrazebrazebrazebrazebrazebra!!")
    assert "quagga" not in f"{keys!r} {keys}"
    assert "zebra" not in f"{keys!r} {keys}"


# --- files --------------------------------------------------------------------------------------------------------------


def test_a_secret_comes_back_and_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "workspace.key"
    create_secret(path)
    value = read_secret(path)
    assert len(value) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(WrongUsage, match="never overwritten"):
        create_secret(path, b"\x00" * 32)
    assert read_secret(path) == value


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644])
def test_a_secret_that_others_can_touch_is_refused(tmp_path: Path, mode: int) -> None:
    create_secret(tmp_path / "vault.key")
    (tmp_path / "vault.key").chmod(mode)
    with pytest.raises(WrongUsage, match="read by others") as refusal:
        read_secret(tmp_path / "vault.key")
    assert "chmod 600" in refusal.value.hint


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"ab" * 31, "32 bytes"), (b"", "32 bytes"), (b"zz" * 32, "not hexadecimal"), (b"\xff\xfe", "not hexadecimal")],
)
def test_a_damaged_secret_is_refused_without_being_shown(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "vault.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(WrongUsage, match=words) as refusal:
        read_secret(path)
    assert "abab" not in str(refusal.value)


def test_a_missing_secret_is_not_made_anew(tmp_path: Path) -> None:
    create_secret(tmp_path / "secrets" / "workspace.key")
    with pytest.raises(WrongUsage, match="is missing"):
        load_keyring(tmp_path)
    assert not (tmp_path / "secrets" / "vault.key").exists()


# --- and the database that was made with them -------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [Keyring(b"\x01" * 32, b"\x05" * 32), Keyring(b"\x05" * 32, b"\x02" * 32)])
def test_a_wrong_secret_is_noticed_before_anything_is_read(tmp_path: Path, wrong: Keyring) -> None:
    url = f"sqlite:///{tmp_path / 'lethe.db'}"
    migrate(url, KEYS)
    Database.open(url, KEYS)
    with pytest.raises(WrongUsage, match="not the ones its database was made with"):
        Database.open(url, wrong)
    with pytest.raises(WrongUsage, match="not the ones its database was made with"):
        migrate(url, wrong)
    Database.open(url, KEYS)
