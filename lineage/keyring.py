"""The workspace's secrets and every keyed pseudonym made with them.

Two secrets of 32 bytes: the *workspace secret* under all pseudonyms (it never rotates while a plan lives, because record
ids and placements follow from it) and the *vault key* that wraps the per-record keys (it may rotate). Each use derives
its own subkey with HKDF-SHA256 (RFC 5869), so that one pseudonym cannot be matched with another.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lineage.errors import WrongUsage

__all__ = ["Keyring", "PairMac", "create_secret", "load_keyring"]

SECRET_BYTES = 32


@lru_cache(maxsize=256)
def _derive(secret: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), SECRET_BYTES, salt=None, info=b"lethe/" + purpose.encode()).derive(secret)


@lru_cache(maxsize=256)
def _prepared(key: bytes) -> HMAC:
    """HMAC-SHA256 with the key taken in and nothing else; its copies leave that half of the work out."""
    return HMAC(key, SHA256())


@lru_cache(maxsize=1024)
def _begun(key: bytes, first: str) -> HMAC:
    """As `_prepared`, with the first framed word taken in as well: kinds are few."""
    mac = _prepared(key).copy()
    mac.update(_frame(first))
    return mac


def _mac(key: bytes, message: bytes) -> str:
    return _ended(_prepared(key), message)


def _ended(begun: HMAC, message: bytes) -> str:
    mac = begun.copy()
    mac.update(message)
    return mac.finalize().hex()


def _framed(*parts: str) -> bytes:
    """Length-framed UTF-8, so that ("ab", "c") and ("a", "bc") never collide."""
    return b"".join(map(_frame, parts))


def _frame(part: str) -> bytes:
    encoded = part.encode()
    return len(encoded).to_bytes(8, "big") + encoded


@dataclass(frozen=True, slots=True)
class PairMac:
    """A keyed digest of two words, with nothing of the keyring but one subkey; travels to scan workers."""

    key: bytes = field(repr=False)

    def __call__(self, kind: str, value: str) -> str:
        """HMAC-SHA256 under the subkey over the framed words."""
        return _ended(_begun(self.key, kind), _frame(value))


@dataclass(frozen=True)
class Keyring:
    """Both secrets, masked in `repr`. Every method returns lower-case hexadecimal of 32 bytes."""

    workspace_secret: bytes = field(repr=False)
    vault_key: bytes = field(repr=False)

    def mac(self, purpose: str, *parts: str) -> str:
        """HMAC-SHA256 under the subkey of `purpose` over the framed parts."""
        return _mac(_derive(self.workspace_secret, purpose), _framed(*parts))

    def derive(self, purpose: str) -> bytes:
        """A 32-byte subkey for one purpose."""
        return _derive(self.workspace_secret, purpose)

    def subject_key(self, canonical_identifier: str) -> str:
        """The pseudonym of a person (Art. 4(5) GDPR)."""
        return self.mac("subject", canonical_identifier)

    def record_id(self, source: str, given_id_or_content: str, primary_subject: str) -> str:
        """The id of a record. It includes the primary subject: nothing is deduplicated between two people."""
        return self.mac("record", source, given_id_or_content, primary_subject)

    def content(self, canonical: bytes) -> str:
        """Keyed digest of a content: equal contents can be told inside this workspace and nowhere else."""
        return _mac(_derive(self.workspace_secret, "content"), canonical)

    def form(self, kind: str, normalised: str) -> str:
        """Keyed digest of one normalised identifier; what the register index and the suppression list hold."""
        return self.form_mac()(kind, normalised)

    def form_mac(self) -> PairMac:
        """`form` by itself."""
        return PairMac(self.derive("form"))

    def finding_mac(self) -> PairMac:
        """Digests of what was found, by entity type and normalised value."""
        return PairMac(self.derive("finding"))

    def cue_mac(self) -> PairMac:
        """Digests of pieces of forms, of which the suppression list keeps a few bits (`lineage.cues`)."""
        return PairMac(self.derive("cue"))

    def pseudonym(self, entity_type: str, subject_key: str) -> str:
        """What a person is called in a redacted text, before it is written in letters (`lineage.pseudonyms`)."""
        return self.pseudonym_mac()(entity_type, subject_key)

    def pseudonym_mac(self) -> PairMac:
        """`pseudonym` by itself."""
        return PairMac(self.derive("pseudonym"))

    def handle(self, case_id: str, thing: str) -> str:
        """A name for a record or state that means nothing outside its case."""
        return self.mac(f"case/{case_id}", thing)[:24]

    def check_values(self) -> dict[str, str]:
        """What the database stores at birth to notice a wrong secret before anything is read with it."""
        vault = _mac(self.vault_key, b"lethe/check")
        return {"workspace": self.mac("check", "workspace"), "vault": vault}


def create_secret(path: Path, value: bytes | None = None) -> None:
    """Write 32 random bytes (or `value`) as hex, mode 0600, never over an existing file.

    Raises:
        WrongUsage: the file exists already.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise WrongUsage(f"The secret {path.name} exists already and is never overwritten.") from None
    with os.fdopen(descriptor, "w") as stream:
        stream.write((value or secrets.token_bytes(SECRET_BYTES)).hex() + "\n")


def read_secret(path: Path) -> bytes:
    """Read a secret file.

    Raises:
        WrongUsage: missing, readable by others, or not 64 hexadecimal digits.
    """
    try:
        mode = path.stat().st_mode & 0o077
        value = bytes.fromhex(path.read_text().strip())
    except OSError:
        raise WrongUsage(f"The secret {path.name} is missing.", hint="Restore it from your key backup.") from None
    except ValueError:
        raise WrongUsage(f"The secret {path.name} is not hexadecimal.", hint="Restore it from your backup.") from None
    if mode:
        raise WrongUsage(f"The secret {path.name} can be read by others.", hint=f"chmod 600 {path}")
    if len(value) != SECRET_BYTES:
        raise WrongUsage(f"The secret {path.name} does not hold {SECRET_BYTES} bytes.")
    return value


def load_keyring(home: Path) -> Keyring:
    """The keyring of a workspace's data directory. See `read_secret` for the errors."""
    folder = home / "secrets"
    return Keyring(read_secret(folder / "workspace.key"), read_secret(folder / "vault.key"))
