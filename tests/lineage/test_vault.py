"""The vault: what was sealed comes back under its own name only, and never after its key was shredded."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lineage_world import World

from lineage.database import Database, open_engine
from lineage.errors import Fault, NotAcceptable
from lineage.vault import _METADATA, KeyStore, Shredded, open_keystore

VAULT_KEY = b"\x02" * 32
TEXT = b"Anneliese Quistgaard, ACC-7741-2290"


def in_memory() -> KeyStore:
    return open_keystore("sqlite://", VAULT_KEY)


@given(plains=st.lists(st.tuples(st.text(min_size=1, max_size=6), st.binary(max_size=50)), max_size=6))
def test_what_was_sealed_opens_again(plains: list[tuple[str, bytes]]) -> None:
    keys = in_memory()
    names = [name for name, _ in plains]
    sealed = keys.seal(plains)
    again = keys.seal(plains)
    assert keys.open(list(zip(names, sealed, strict=True))) == [plain for _, plain in plains]
    assert keys.open(list(zip(names, again, strict=True))) == [plain for _, plain in plains]
    assert not set(sealed) & set(again), "a nonce was used twice"


def test_the_ciphertext_shows_nothing(world: World) -> None:
    (sealed,) = world.keystore.seal([("record:a", TEXT)])
    assert TEXT not in sealed
    assert len(sealed) == len(TEXT) + 12 + 16


def test_ciphertexts_cannot_be_swapped_or_renamed() -> None:
    keys = in_memory()
    one, other = keys.seal([("record:a", TEXT), ("record:b", TEXT)])
    for name, value in (("record:a", other), ("record:b", one)):
        with pytest.raises(NotAcceptable, match="does not open"):
            keys.open([(name, value)])


def test_a_key_that_was_put_under_another_name_opens_nothing(tmp_path: Path) -> None:
    """Even with the database in hand, wrapped keys cannot be exchanged between two records."""
    keys = open_keystore(f"sqlite:///{tmp_path / 'keys.db'}", VAULT_KEY)
    one, _ = keys.seal([("record:a", TEXT), ("record:b", b"other")])
    raw = sqlite3.connect(tmp_path / "keys.db")
    raw.execute(
        "UPDATE data_key SET wrapped = (SELECT wrapped FROM data_key WHERE name = 'record:b') WHERE name = 'record:a'"
    )
    raw.commit()
    raw.close()
    with pytest.raises(NotAcceptable):
        keys.open([("record:a", one)])


@given(at=st.integers(0, len(TEXT) + 27), flip=st.integers(1, 255))
def test_a_changed_byte_is_noticed(at: int, flip: int) -> None:
    keys = in_memory()
    sealed = bytearray(keys.seal([("record:a", TEXT)])[0])
    sealed[at] ^= flip
    with pytest.raises(NotAcceptable) as refusal:
        keys.open([("record:a", bytes(sealed))])
    assert "Quistgaard" not in str(refusal.value)


@pytest.mark.parametrize("length", [0, 1, 7, 11, 12, 27, 40])
def test_a_shortened_ciphertext_is_noticed(length: int) -> None:
    keys = in_memory()
    (sealed,) = keys.seal([("record:a", TEXT)])
    with pytest.raises(NotAcceptable):
        keys.open([("record:a", sealed[:length])])


def test_what_was_shredded_is_gone_also_for_a_copy_taken_before() -> None:
    keys = in_memory()
    copy, other = keys.seal([("record:a", TEXT), ("record:b", b"stays")])
    assert keys.shred(["record:a"]) == 1
    with pytest.raises(Shredded) as refusal:
        keys.open([("record:a", copy), ("record:b", other)])
    assert str(refusal.value) == "1 of 2 texts were shredded."
    assert keys.open([("record:b", other)]) == [b"stays"]
    assert keys.shred(["record:a", "record:never"]) == 0


def test_a_new_key_under_the_old_name_does_not_bring_the_text_back() -> None:
    keys = in_memory()
    (copy,) = keys.seal([("record:a", TEXT)])
    keys.shred(["record:a"])
    keys.seal([("record:a", b"something else")])
    with pytest.raises(NotAcceptable):
        keys.open([("record:a", copy)])


def test_of_a_shredded_key_no_byte_is_left_in_the_files(tmp_path: Path) -> None:
    keys = open_keystore(f"sqlite:///{tmp_path / 'keys.db'}", VAULT_KEY)
    keys.seal([(f"record:{i}", TEXT) for i in range(50)])
    raw = sqlite3.connect(tmp_path / "keys.db")
    wrapped = [row[0] for row in raw.execute("SELECT wrapped FROM data_key")]
    raw.close()
    keys.shred(f"record:{i}" for i in range(50))
    left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert len(wrapped) == 50
    assert not [value for value in wrapped if value in left]


def test_the_wrapped_keys_are_useless_without_the_vault_key(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'keys.db'}"
    (sealed,) = open_keystore(url, VAULT_KEY).seal([("record:a", TEXT)])
    with pytest.raises(NotAcceptable):
        open_keystore(url, b"\x03" * 32).open([("record:a", sealed)])
    assert open_keystore(url, VAULT_KEY).open([("record:a", sealed)]) == [TEXT]


class Watched(Database):
    """Counts the data keys that another connection can see, each time a transaction ends; may refuse to commit."""

    refuses = False

    def transaction(self):  # type: ignore[no-untyped-def]
        if self.refuses:
            raise Fault("The database cannot be written.")
        return super().transaction()


def test_the_keys_are_committed_before_a_ciphertext_exists(tmp_path: Path) -> None:
    """Whoever holds a ciphertext can open it, whatever crashed in between: a second process sees the key already."""
    url = f"sqlite:///{tmp_path / 'keys.db'}"
    (sealed,) = open_keystore(url, VAULT_KEY).seal([("record:a", TEXT)])
    assert open_keystore(url, VAULT_KEY).open([("record:a", sealed)]) == [TEXT]


def test_without_a_commit_there_is_no_ciphertext() -> None:
    database = Watched(open_engine("sqlite://"))
    with database.transaction() as session:
        _METADATA.create_all(session.connection())
    database.refuses = True
    with pytest.raises(Fault):
        KeyStore(database, VAULT_KEY).seal([("record:a", TEXT)])


def test_many_names_at_once() -> None:
    """More names than one statement carries parameters for."""
    keys = in_memory()
    plains = [(f"record:{i}", str(i).encode()) for i in range(1201)]
    sealed = keys.seal(plains)
    assert keys.open([(name, value) for (name, _), value in zip(plains, sealed, strict=True)]) == [p for _, p in plains]
    assert keys.shred(name for name, _ in plains) == 1201
