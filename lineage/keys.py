"""Ed25519 key pairs in PEM files: one for the pipeline, one for the DPO, never overwritten.

::

    <folder>/pipeline.pem   PKCS #8, mode 0600               <folder>/pipeline.pub   SubjectPublicKeyInfo, for everybody
    <folder>/dpo.pem        PKCS #8 under the DPO's passphrase   <folder>/dpo.pub

The id of a key is the SHA-256 of its public key in DER, so that anybody can compute it:
`openssl pkey -pubin -in dpo.pub -outform DER | sha256sum`.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from lineage.errors import Fault, WrongUsage
from lineage.trusted import key_id, load_public_key

__all__ = [
    "create_key_pair", "key_id", "load_private_key", "load_public_key", "lock_private_key", "private_path", "public_path",
]  # fmt: skip

_ROLE = re.compile(r"[a-z][a-z0-9-]{0,31}")


def private_path(folder: Path, role: str) -> Path:
    """Where the private key of a role lies."""
    return folder / f"{role}.pem"


def public_path(folder: Path, role: str) -> Path:
    """Where its public key lies."""
    return folder / f"{role}.pub"


def create_key_pair(folder: Path, role: str, *, passphrase: str | None = None) -> Ed25519PublicKey:
    """Write a new key pair for a role such as `pipeline` or `dpo`; with a passphrase the private key is encrypted.

    Raises:
        WrongUsage: a key of that role exists (it is left as it is), a malformed role, or an empty passphrase.
        Fault: the disk refused.
    """
    if not _ROLE.fullmatch(role):
        raise WrongUsage("The role of a key is a short lower-case word.", hint="Lethe uses pipeline and dpo.")
    if passphrase is not None and not passphrase:
        raise WrongUsage("A passphrase cannot be empty.")
    private, public = private_path(folder, role), public_path(folder, role)
    if private.exists() or public.exists():
        raise WrongUsage(f"There is a {role} key already; it is never overwritten.", hint=f"See {role}.pub beside it.")
    key = Ed25519PrivateKey.generate()
    _write_once(private, _pem(key, passphrase), mode=0o600)
    _write_once(public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), mode=0o644)
    return key.public_key()


def load_private_key(path: Path, *, passphrase: str | None = None) -> Ed25519PrivateKey:
    """Read a private key; the passphrase is used for this one call and not kept.

    Raises:
        WrongUsage: unreadable, readable by others, not Ed25519, or the passphrase does not open it.
    """
    pem = _read(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise WrongUsage(f"Other users can read the private key {path.name}.", hint="chmod 600 it.")
    try:
        key = load_pem_private_key(pem, None if passphrase is None else passphrase.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise WrongUsage(
            f"The private key {path.name} does not open.", hint="Check the passphrase, and that it is a PEM file."
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise WrongUsage(f"{path.name} is not an Ed25519 private key.")
    return key


def lock_private_key(path: Path, *, passphrase: str) -> Ed25519PublicKey:
    """Put a key that has no passphrase under one, in one step; the key itself stays. What lay there before may still be
    in backups and in free blocks of the disk.

    Raises:
        WrongUsage: as `load_private_key`.
        Fault: the disk refused; the old file is untouched.
    """
    key = load_private_key(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _write_durably(temporary, _pem(key, passphrase), mode=0o600)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise Fault(f"The key file {path.name} could not be written.", hint="Check the disk and try again.") from None
    return key.public_key()


def _pem(key: Ed25519PrivateKey, passphrase: str | None) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, _lock(passphrase))


def _lock(passphrase: str | None) -> KeySerializationEncryption:
    return NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase.encode())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise WrongUsage(f"The key file {path.name} cannot be read.", hint="Check the path.") from None


def _write_once(path: Path, content: bytes, *, mode: int) -> None:
    """Whole or not at all, and never over an existing file: a hard link fails where a rename would replace."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            _write_durably(temporary, content, mode=mode)
            os.link(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except FileExistsError:
        raise WrongUsage(f"The key file {path.name} exists; it is never overwritten.") from None
    except OSError:
        raise Fault(f"The key file {path.name} could not be written.", hint="Check the disk and try again.") from None


def _write_durably(path: Path, content: bytes, *, mode: int) -> None:
    path.unlink(missing_ok=True)  # what a killed process with the same number left behind
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
