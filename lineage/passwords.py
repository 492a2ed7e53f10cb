"""Passwords of members of staff: Argon2id, ten tries, and the same work for whoever is not there.

::

    count the try  ->  verify, outside every transaction  ->  right: forget the tries, hash anew if the cost changed
    (the tenth locks)      (unknown, locked or without a password: a decoy of the same cost)

The try is counted before it is judged, so that a hundred at once are ten. Nobody is told whether the name, the password or
the lock was wrong. A login link (`lineage.access`) opens the door while a password is locked, so that a stranger who
knows a name cannot keep its owner out. The ledger says what happened and to nobody by name.
"""

from __future__ import annotations

import unicodedata
from base64 import b64encode
from datetime import datetime, timedelta
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, NamedTuple

from sqlmodel import Session

from lineage import ledger
from lineage.access import STAFF_NAME, Actor, Role, begin_session, end_sessions
from lineage.database import Database
from lineage.errors import RefusedByRule, WrongUsage
from lineage.tables import MetaRow, UserRow

if TYPE_CHECKING:
    from argon2 import PasswordHasher

__all__ = ["COST", "LOCKED_FOR", "MAX_TRIES", "MIN_CHARS", "Cost", "forget_password", "has_password", "is_password", "log_in", "set_password"]  # fmt: skip


class Cost(NamedTuple):
    """What one guess costs: passes over the memory, its size, and lanes that may be filled in parallel."""

    passes: int
    memory_kib: int
    lanes: int


COST = Cost(passes=3, memory_kib=64 * 1024, lanes=4)  # RFC 9106, section 4, second recommended option
SALT_BYTES, HASH_BYTES = 16, 32
MIN_CHARS, MAX_CHARS, MIN_DIFFERENT = 15, 128, 5  # NIST SP 800-63B-4, 3.1.1.2: 15 where nothing else is asked for
MAX_TRIES, LOCKED_FOR = 10, timedelta(minutes=15)
AT_ONCE = BoundedSemaphore(2)  # each takes 64 MiB: strangers at the door must not take the machine's memory
TRIED = "login.tried"


def set_password(database: Database, actor: Actor, *, password: str, now: datetime) -> None:
    """Set one's own password. It ends every session and unused login link of this person, and a lock.

    Raises:
        WrongUsage: too short, too long, or of too few different characters.
        RefusedByRule: the actor is not on the staff.
    """
    normal = _normal(password)
    if not MIN_CHARS <= len(normal) <= MAX_CHARS or len(set(normal)) < MIN_DIFFERENT:
        raise WrongUsage(
            f"A password has {MIN_CHARS} to {MAX_CHARS} characters, {MIN_DIFFERENT} of them different.",
            hint="Four or five words drawn at random are easier to keep in mind than signs.",
        )
    with AT_ONCE:
        hashed = _hasher().hash(normal)
    with database.transaction() as session:
        _write(session, actor.name, hashed)
        ledger.append(session, at=now, kind="staff.password_set", payload={"role": actor.role.value})


def forget_password(database: Database, name: str, *, actor: Actor, now: datetime) -> None:
    """An administrator takes a password away; its owner needs a login link then. Nobody sets somebody else's.

    Raises:
        RefusedByRule: the actor is no administrator, or nobody has this name.
    """
    actor.require(Role.ADMIN, to="take a password away")
    with database.transaction() as session:
        role = _write(session, name, "")
        ledger.append(session, at=now, kind="staff.password_forgotten", payload={"role": role})


def has_password(session: Session, name: str) -> bool:
    """Whether this person has set a password."""
    row = session.get(UserRow, name)
    return row is not None and bool(row.password_hash)


def log_in(database: Database, name: str, password: str, *, now: datetime) -> str | None:
    """The cookie of a new session, or None for "name or password is wrong, or there were too many tries"."""
    if not is_password(database, name, password, now=now):
        return None
    with database.transaction() as session:
        return begin_session(session, name, now)


def is_password(database: Database, name: str, password: str, *, now: datetime) -> bool:
    """Whether this is the password of that person; a wrong one counts towards the lock, a right one ends the count."""
    kept = _count_try(database, name, now)
    normal = _normal(password)
    with AT_ONCE:
        right = _verify(kept or _decoy(), normal) and bool(kept)
        renewed = _hasher().hash(normal) if right and _hasher().check_needs_rehash(kept) else kept
    return right and _end_count(database, name, (kept, renewed), now)


def _normal(password: str) -> str:
    """However a keyboard spells it (NFKC), and no longer than may be hashed: one letter is four code points at most."""
    return unicodedata.normalize("NFKC", password[: 4 * MAX_CHARS + 1])


def _count_try(database: Database, name: str, now: datetime) -> str:
    """Count a try; returns the hash to verify against, or nothing where there is none to be right about.

    Whoever tries, one row is written and committed: a stranger must not see by the time it takes who is on the staff.
    """
    with database.transaction() as session:
        session.merge(MetaRow(name=TRIED, value=now.isoformat()))
        row = session.get(UserRow, name, with_for_update=True) if STAFF_NAME.fullmatch(name) else None
        if row is None or not row.password_hash or (row.locked_until and row.locked_until > now):
            return ""
        if row.locked_until:
            row.failed_logins, row.locked_until = 0, None
        row.failed_logins += 1
        if row.failed_logins >= MAX_TRIES:
            row.locked_until = now + LOCKED_FOR
            ledger.append(session, at=now, kind="staff.locked", payload={"tries": row.failed_logins})
        return row.password_hash


def _end_count(database: Database, name: str, hashes: tuple[str, str], now: datetime) -> bool:
    """The password was right, unless somebody changed it meanwhile."""
    kept, renewed = hashes
    with database.transaction() as session:
        row = session.get(UserRow, name, with_for_update=True)
        if row is None or row.password_hash != kept:
            return False
        if row.locked_until:
            ledger.append(session, at=now, kind="staff.unlocked", payload={"tries": row.failed_logins})
        row.password_hash, row.failed_logins, row.locked_until = renewed, 0, None
    return True


def _write(session: Session, name: str, hashed: str) -> str:
    row = session.get(UserRow, name, with_for_update=True)
    if row is None:
        raise RefusedByRule(f"No member of staff is called {name!r}.")
    row.password_hash, row.failed_logins, row.locked_until = hashed, 0, None
    end_sessions(session, name)
    return row.role


def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher(COST.passes, COST.memory_kib, COST.lanes, HASH_BYTES, SALT_BYTES)


def _verify(hashed: str, password: str) -> bool:
    from argon2.exceptions import Argon2Error, InvalidHashError

    try:
        return _hasher().verify(hashed, password)
    except (Argon2Error, InvalidHashError):
        return False


def _decoy() -> str:
    """A hash that no password is known to have, as dear to verify as a real one of today."""
    salt, digest = (b64encode(bytes(count)).decode().rstrip("=") for count in (SALT_BYTES, HASH_BYTES))
    return f"$argon2id$v=19$m={COST.memory_kib},t={COST.passes},p={COST.lanes}${salt}${digest}"
