"""The DPO's signing key: on the disk only under a passphrase, which every signature asks for again and nothing keeps.

::

    MISSING  --make_dpo_key-->  LOCKED
    PLAIN    --make_dpo_key-->  LOCKED      (a key that an older `lethe init` made: the same key, so that what it signed holds)

A PLAIN key signs nothing unless `[staff] plain_dpo_key` allows it, which is for trials. The PEM file stretches its
passphrase by 2,048 rounds of PBKDF2 only (PKCS #8 as OpenSSL writes it), so the length of the passphrase protects it.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lineage import ledger
from lineage.access import Actor, Role
from lineage.errors import RefusedByRule, WrongUsage
from lineage.keys import create_key_pair, key_id, load_private_key, lock_private_key, private_path
from lineage.workspace import Workspace

__all__ = ["KeyState", "dpo_key_state", "make_dpo_key", "open_dpo_key", "require_dpo_key"]

DPO = "dpo"
MIN_PASSPHRASE_CHARS, MAX_PASSPHRASE_CHARS = 15, 1000  # NIST SP 800-63B-4, 3.1.1.2: 15 where nothing else is asked for
MAKE_IT = "The DPO makes it, under a passphrase: lethe keys dpo --as NAME"


class KeyState(StrEnum):
    """What lies where the DPO's private key belongs."""

    MISSING = "missing"
    PLAIN = "plain"
    LOCKED = "locked"


def dpo_key_state(workspace: Workspace) -> KeyState:
    """The state of the key file. What does not say that it is encrypted counts as plain."""
    try:
        head = _key_file(workspace).read_bytes()[:40]
    except FileNotFoundError:
        return KeyState.MISSING
    except OSError as error:
        raise WrongUsage(f"The DPO's key cannot be read ({type(error).__name__}).") from None
    return KeyState.LOCKED if head.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY") else KeyState.PLAIN


def make_dpo_key(workspace: Workspace, *, actor: Actor, passphrase: str | None, now: datetime) -> str:
    """Make the DPO's key pair, or put a plain key under a passphrase; returns the id of the key.

    Raises:
        RefusedByRule: the actor is no DPO, or no passphrase is given where `plain_dpo_key` does not allow that.
        WrongUsage: a key under a passphrase exists, or the passphrase is too short or too long.
    """
    actor.require(Role.DPO, to="make the DPO's key")
    state = dpo_key_state(workspace)
    if passphrase is None:
        _require_plain_allowed(workspace)
    else:
        _require_fit(passphrase)
    if state is KeyState.LOCKED or (state is KeyState.PLAIN and passphrase is None):
        raise WrongUsage("There is a DPO key already; it is never overwritten.", hint="See dpo.pub beside it.")
    with workspace.database.transaction() as session:
        if state is KeyState.PLAIN and passphrase is not None:
            made, kind = lock_private_key(_key_file(workspace), passphrase=passphrase), "key.locked"
        else:
            made, kind = create_key_pair(workspace.home / "secrets", DPO, passphrase=passphrase), "key.made"
        ledger.append(session, at=now, kind=kind, payload={"key": key_id(made), "role": DPO})
    return key_id(made)


def require_dpo_key(workspace: Workspace) -> KeyState:
    """LOCKED, or PLAIN where that is allowed: whether a signature can be asked for, before anybody types a passphrase.

    Raises:
        WrongUsage: there is no key.
        RefusedByRule: it lies there without a passphrase.
    """
    state = dpo_key_state(workspace)
    if state is KeyState.MISSING:
        raise WrongUsage("This workspace has no DPO key yet.", hint=MAKE_IT)
    if state is KeyState.PLAIN:
        _require_plain_allowed(workspace)
    return state


def open_dpo_key(workspace: Workspace, passphrase: str | None) -> Ed25519PrivateKey:
    """The key, for one signature; neither it nor the passphrase is kept.

    Raises:
        WrongUsage: as `require_dpo_key`, or the passphrase does not open it.
        RefusedByRule: as `require_dpo_key`, or none is given for a key that has one.
    """
    if require_dpo_key(workspace) is KeyState.PLAIN:
        return load_private_key(_key_file(workspace))
    if not passphrase:
        raise RefusedByRule("The DPO's key opens with its passphrase only, each time anew.", hint="Give it.")
    return load_private_key(_key_file(workspace), passphrase=passphrase)


def _key_file(workspace: Workspace) -> Path:
    return private_path(workspace.home / "secrets", DPO)


def _require_plain_allowed(workspace: Workspace) -> None:
    if not workspace.settings.staff.plain_dpo_key:
        raise RefusedByRule(
            "A DPO key without a passphrase signs nothing.",
            hint="The DPO puts it under one: lethe keys dpo --as NAME ([staff] plain_dpo_key is for trials only).",
        )


def _require_fit(passphrase: str) -> None:
    if not MIN_PASSPHRASE_CHARS <= len(passphrase) <= MAX_PASSPHRASE_CHARS:
        raise WrongUsage(
            f"A passphrase has {MIN_PASSPHRASE_CHARS} to {MAX_PASSPHRASE_CHARS} characters.",
            hint="Five or six words drawn at random are easier to keep in mind than signs.",
        )
