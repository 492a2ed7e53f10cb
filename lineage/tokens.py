"""API tokens: how a program reads the desk in the name of a member of staff, for a time and for one purpose.

A token is drawn at random and shown once; its SHA-256 is kept. It reads and never decides. People make their own; an
administrator can take back anybody's. A token that is unknown, expired or revoked is refused without saying which.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlmodel import Session, col, select

from lineage import ledger
from lineage.access import Actor, Role, find_actor, token_hash
from lineage.errors import RefusedByRule, WrongUsage
from lineage.tables import ApiTokenRow

__all__ = ["DEFAULT_DAYS", "MAX_DAYS", "Scope", "Token", "bearer", "list_tokens", "new_token", "revoke_token"]

PREFIX = "lethe_"  # so that scanners of repositories and logs know one when they see it
DEFAULT_DAYS, MAX_DAYS, ID_CHARS = 90, 365, 12


class Scope(StrEnum):
    """What a token may read; `cases` includes the inbox."""

    INBOX = "inbox"  # every case's stage, due date and alarm
    CASES = "cases"  # and a whole case with its evidence


COVERS = {Scope.INBOX: {Scope.INBOX}, Scope.CASES: {Scope.INBOX, Scope.CASES}}


@dataclass(frozen=True)
class Token:
    """A token as its list shows it: `id` begins its hash and opens nothing."""

    id: str
    user: str
    scope: Scope
    since: datetime
    expires_at: datetime
    revoked_at: datetime | None

    def standing(self, now: datetime) -> str:
        """`valid`, `expired` or `revoked`."""
        if self.revoked_at:
            return "revoked"
        return "valid" if now < self.expires_at else "expired"


def new_token(session: Session, actor: Actor, *, scope: Scope, days: int, now: datetime) -> str:
    """A token of the actor's own; the only time it can be seen.

    Raises:
        WrongUsage: it would live for less than a day or longer than a year.
    """
    if not 1 <= days <= MAX_DAYS:
        raise WrongUsage(f"A token lives for 1 to {MAX_DAYS} days.")
    token, until = PREFIX + secrets.token_urlsafe(32), now + timedelta(days=days)
    hashed = token_hash(token)
    session.add(ApiTokenRow(token_hash=hashed, user=actor.name, scope=scope.value, since=now, expires_at=until))
    payload = {"token": hashed[:ID_CHARS], "scope": scope.value, "until": until.isoformat(timespec="seconds")}
    ledger.append(session, at=now, kind="token.made", payload=payload)
    return token


def list_tokens(session: Session, actor: Actor) -> list[Token]:
    """The actor's own, or everybody's for an administrator; oldest first."""
    query = select(ApiTokenRow).order_by(col(ApiTokenRow.since), col(ApiTokenRow.token_hash))
    if actor.role is not Role.ADMIN:
        query = query.where(ApiTokenRow.user == actor.name)
    return [_shown(row) for row in session.exec(query).all()]


def revoke_token(session: Session, token_id: str, *, actor: Actor, now: datetime) -> None:
    """Take a token back, from now on and for good. Safe to repeat.

    Raises:
        WrongUsage: no such token, or the beginning of several.
        RefusedByRule: it is somebody else's, and the actor is no administrator.
    """
    found = session.exec(select(ApiTokenRow).where(col(ApiTokenRow.token_hash).startswith(token_id, autoescape=True)))
    rows = found.all() if len(token_id) >= ID_CHARS else []
    if len(rows) != 1:
        raise WrongUsage("There is no such token.", hint="See them: lethe staff token list")
    (row,) = rows
    if row.user != actor.name:
        actor.require(Role.ADMIN, to="revoke somebody else's token")
    if row.revoked_at is None:
        row.revoked_at = now
        ledger.append(session, at=now, kind="token.revoked", payload={"token": row.token_hash[:ID_CHARS]})


def bearer(session: Session, token: str, *, scope: Scope, now: datetime) -> Actor | None:
    """Who reads with this token, or None for "it is not valid".

    Raises:
        RefusedByRule: it is valid, and not for this.
    """
    row = session.get(ApiTokenRow, token_hash(token))
    if row is None or _shown(row).standing(now) != "valid":
        return None
    if scope not in COVERS[Scope(row.scope)]:
        raise RefusedByRule(f"This token is for {row.scope}; this needs one for {scope.value}.")
    return find_actor(session, row.user)


def _shown(row: ApiTokenRow) -> Token:
    return Token(
        row.token_hash[:ID_CHARS], row.user, Scope(row.scope), row.since, row.expires_at, row.revoked_at
    )  # fmt: skip
