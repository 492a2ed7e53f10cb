"""The vault: every admitted or quarantined text, encrypted under a key of its own, and the key store that can forget.

AES-256-GCM twice: a record's *data key* encrypts its text, the workspace's *vault key* wraps the data key. Data keys live
in the key store, a database of their own, so that shredding one (deleting the row, overwriting the page) leaves every
copy of the ciphertext unreadable, also one taken before. The name of the sealed thing is authenticated with the text,
so two ciphertexts cannot be swapped.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Column, LargeBinary, MetaData, String, Table, delete, insert, select

from lineage.database import Database, in_chunks, open_engine
from lineage.errors import BadData, NotAcceptable

__all__ = ["KeyStore", "Shredded", "open_keystore", "record_key"]

NONCE_BYTES = 12

_METADATA = MetaData()
_KEYS = Table("data_key", _METADATA, Column("name", String, primary_key=True), Column("wrapped", LargeBinary))


class Shredded(BadData):
    """The data key is gone, so the text is gone."""

    exit_code = 1


def record_key(record_id: str, version: int = 0) -> str:
    """The name of the data key of a record's content; every version of the content has a key of its own."""
    return f"record:{record_id}/{version}" if version else f"record:{record_id}"


def _seal(key: bytes, plain: bytes, name: str) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, name.encode())


def _open(key: bytes, sealed: bytes, name: str) -> bytes:
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], name.encode())
    except (InvalidTag, ValueError):  # a ValueError: too short to hold a nonce
        raise NotAcceptable(
            "A ciphertext of the vault does not open with its key.", hint="Restore the vault."
        ) from None


class KeyStore:
    """Data keys by name (`record:<id>`, `record:<id>/<version>`, `subject:<key>`, `case:<id>`, `held:<case>/<handle>`, `ingest:<id>`, `party:<name>`, `derived:<name>`), each wrapped by the vault key."""

    def __init__(self, database: Database, vault_key: bytes) -> None:
        self._database = database
        self._vault_key = vault_key

    def seal(self, plains: Sequence[tuple[str, bytes]]) -> list[bytes]:
        """Encrypt each (name, plain) under the data key of its name, making keys where there are none yet.

        The keys are committed before the ciphertexts are returned: a crash between leaves a key that opens nothing,
        never a text without a key.
        """
        keys = self._find({name for name, _ in plains})
        fresh = {name: os.urandom(32) for name, _ in plains if name not in keys}
        if fresh:
            rows = [{"name": name, "wrapped": _seal(self._vault_key, key, name)} for name, key in fresh.items()]
            with self._database.transaction() as session:
                session.execute(insert(_KEYS), rows)
        keys |= fresh
        return [_seal(keys[name], plain, name) for name, plain in plains]

    def open(self, sealed: Sequence[tuple[str, bytes]]) -> list[bytes]:
        """Decrypt each (name, ciphertext).

        Raises:
            Shredded: a key was destroyed.
            NotAcceptable: a ciphertext does not belong to its name.
        """
        names = {name for name, _ in sealed}
        keys = self._find(names)
        if missing := len(names) - len(keys):
            raise Shredded(f"{missing} of {len(names)} texts were shredded.")
        return [_open(keys[name], value, name) for name, value in sealed]

    def shred(self, names: Iterable[str]) -> int:
        """Destroy data keys for good; returns how many there were. Safe to repeat."""
        gone = 0
        with self._database.transaction() as session:
            for chunk in in_chunks(sorted(set(names))):
                result: Any = session.execute(delete(_KEYS).where(_KEYS.c.name.in_(chunk)))
                gone += result.rowcount
        self._database.compact()
        return gone

    def shred_records(self, record_ids: Iterable[str]) -> int:
        """Destroy the keys of every version of these records, whose rows are gone. Safe to repeat."""
        return self.shred(self.of_records(record_ids))

    def of_records(self, record_ids: Iterable[str]) -> set[str]:
        """The names of the keys of every version of these records that there are."""
        wanted = set(record_ids)
        with self._database.reader() as session:
            versions = session.scalars(select(_KEYS.c.name).where(_KEYS.c.name.like("record:%/%"))).all()
        older = {name for name in versions if name.removeprefix("record:").rpartition("/")[0] in wanted}
        return older | self.holding(record_key(record_id) for record_id in wanted)

    def holding(self, names: Iterable[str]) -> set[str]:
        """Those of the names that have a key, which is not opened."""
        found: set[str] = set()
        with self._database.reader() as session:
            for chunk in in_chunks(sorted(set(names))):
                found |= set(session.scalars(select(_KEYS.c.name).where(_KEYS.c.name.in_(chunk))).all())
        return found

    def _find(self, names: set[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        with self._database.reader() as session:
            for chunk in in_chunks(sorted(names)):
                for name, wrapped in session.execute(select(_KEYS).where(_KEYS.c.name.in_(chunk))):
                    found[name] = _open(self._vault_key, wrapped, name)
        return found


def open_keystore(url: str, vault_key: bytes) -> KeyStore:
    """Open the key store, making its one table if it is new."""
    engine = open_engine(url)
    database = Database(engine)
    with database.transaction() as session:
        _METADATA.create_all(session.connection())
    return KeyStore(database, vault_key)
