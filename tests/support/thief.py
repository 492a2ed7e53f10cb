"""What somebody who takes a whole workspace, and has old copies of its ciphertexts, can open."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def ciphertexts(database: Path, record_ids: set[str]) -> dict[str, bytes]:
    """Every ciphertext about the person in a copy of lethe.db, by the name of its key."""
    with sqlite3.connect(database) as connection:
        vault = dict(connection.execute("SELECT record_id, ciphertext FROM vault"))
        (case,) = connection.execute("SELECT id, subject_key, supplied FROM erasure_case").fetchall()
        register = connection.execute(
            "SELECT ciphertext FROM register_form WHERE subject_key = ?", (case[1],)
        ).fetchall()
    connection.close()
    found = {f"record:{record_id}": vault[record_id] for record_id in record_ids}
    found |= {f"subject:{case[1]}#{i}": row[0] for i, row in enumerate(register)}
    return found | {f"case:{case[0]}": case[2]}


def every_key(home: Path) -> list[bytes]:
    """All keys a thief of the workspace has: the secrets themselves, and every data key the vault key unwraps."""
    secrets = [bytes.fromhex((home / "secrets" / name).read_text()) for name in ("workspace.key", "vault.key")]
    with sqlite3.connect(home / "keys.db") as connection:
        wrapped = connection.execute("SELECT name, wrapped FROM data_key").fetchall()
    connection.close()
    return secrets + [AESGCM(secrets[1]).decrypt(w[:12], w[12:], name.encode()) for name, w in wrapped]


def opens(sealed: dict[str, bytes], keys: list[bytes]) -> set[str]:
    """The names of the ciphertexts that some key opens."""
    return {name for name, value in sealed.items() if any(_opens(key, value, name.split("#")[0]) for key in keys)}


def _opens(key: bytes, sealed: bytes, name: str) -> bool:
    try:
        AESGCM(key).decrypt(sealed[:12], sealed[12:], name.encode())
    except InvalidTag:
        return False
    return True
