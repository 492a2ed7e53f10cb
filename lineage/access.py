"""Who may do what: staff with one role each, one-time login links, browser sessions.

Three roles and at least two people carry a case: intake files it, the DPO approves, approves the purge and signs, the ML
operator rebuilds (`lineage.duties`). The first member of staff is an administrator, who adds the others. Tokens are stored
as SHA-256 only; a link works once.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from sqlmodel import Session, col, select

from lineage import ledger
from lineage.errors import RefusedByRule, WrongPerson, WrongUsage
from lineage.tables import LoginLinkRow, SessionRow, UserRow

__all__ = [
    "Actor", "BrowserSession", "Role", "add_staff", "begin_session", "close_session", "end_sessions", "find_actor", "has_admin",
    "issue_link", "open_session", "redeem_link", "staff", "token_hash",
]  # fmt: skip

LINK_LIFETIME = timedelta(hours=12)
SESSION_LIFETIME = timedelta(hours=8)
SYSTEM_NAME = "lethe"
STAFF_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,40}")


class Role(StrEnum):
    """What a member of staff may do."""

    INTAKE = "intake"  # files requests
    DPO = "dpo"  # previews, approves, approves the purge, signs, refuses
    ML = "ml"  # trains and rebuilds
    AUDITOR = "auditor"  # reads
    ADMIN = "admin"  # manages staff
    SYSTEM = "system"  # sensors, on what a DPO approved; nobody's role, see `lineage.duties`


@dataclass(frozen=True)
class Actor:
    """A member of staff, as decisions know them."""

    name: str
    role: Role

    def require(self, *roles: Role, to: str) -> None:
        """Refuse unless the actor holds one of `roles`.

        Raises:
            WrongPerson: another role is needed; the sentence says which.
        """
        if self.role not in roles:
            needed = " or ".join(role.value for role in roles)
            raise WrongPerson(f"Only the role {needed} may {to}; {self.name} is {self.role.value}.")


@dataclass(frozen=True)
class BrowserSession:
    """A logged-in browser. `form_token` must come back with every form (cross-site request forgery)."""

    actor: Actor
    form_token: str = field(repr=False)


def token_hash(token: str) -> str:
    """What is kept of a link, a cookie or a token: all are drawn at random, so plain SHA-256 tells nobody anything."""
    return hashlib.sha256(token.encode()).hexdigest()


def has_admin(session: Session) -> bool:
    """Whether there is anybody who may add staff."""
    return session.exec(select(UserRow).where(UserRow.role == Role.ADMIN.value).limit(1)).first() is not None


def add_staff(session: Session, *, name: str, role: Role, actor: Actor | None, now: datetime) -> Actor:
    """Add a member of staff, or change nothing if they hold that role already. While there is no administrator, anybody
    with the workspace in their hands may add one, and nobody else.

    Raises:
        RefusedByRule: `actor` is no administrator, or there is none yet and this would not be the first.
        WrongUsage: the name is not a short lower-case handle, nobody holds that role, or the member holds another.
    """
    if not STAFF_NAME.fullmatch(name) or name == SYSTEM_NAME:
        raise WrongUsage("A staff name is a short lower-case handle such as 'dana'.")
    if role is Role.SYSTEM:
        raise WrongUsage("The role system is nobody's.")
    _require_may_add(session, actor, role)
    row = session.get(UserRow, name)
    if row is None:
        session.add(UserRow(name=name, role=role.value, since=now))
        ledger.append(session, at=now, kind="staff.added", payload={"role": role.value})
    elif row.role != role.value:
        raise WrongUsage(f"{name} is {row.role} already; one person holds one role.")
    return Actor(name, role)


def _require_may_add(session: Session, actor: Actor | None, role: Role) -> None:
    if not has_admin(session):
        if role is not Role.ADMIN:
            raise RefusedByRule(
                "The first member of staff is an administrator, who adds the others.",
                hint="lethe staff add NAME --role admin",
            )
    elif actor is None:
        raise RefusedByRule("Only the role admin may add staff; nobody said who is acting.", hint="Say so: --as NAME")
    else:
        actor.require(Role.ADMIN, to="add staff")


def find_actor(session: Session, name: str) -> Actor:
    """The member of staff called `name`.

    Raises:
        RefusedByRule: nobody is.
    """
    row = session.get(UserRow, name)
    if row is None:
        raise RefusedByRule(
            f"No member of staff is called {name!r}.", hint="Add one: lethe staff add NAME --role ROLE --as ADMIN"
        )
    return Actor(row.name, Role(row.role))


def staff(session: Session) -> list[Actor]:
    """Everybody, by name."""
    return [Actor(row.name, Role(row.role)) for row in session.exec(select(UserRow).order_by(col(UserRow.name))).all()]


def issue_link(session: Session, actor: Actor, now: datetime) -> str:
    """A token for one login within `LINK_LIFETIME`."""
    token = secrets.token_urlsafe(32)
    session.add(LoginLinkRow(token_hash=token_hash(token), user=actor.name, expires_at=now + LINK_LIFETIME))
    return token


def redeem_link(session: Session, token: str, now: datetime) -> str:
    """Turn a link's token into a session cookie, once.

    Raises:
        RefusedByRule: unknown, used or expired; the sentence does not say which.
    """
    link = session.get(LoginLinkRow, token_hash(token), with_for_update=True)
    if link is None or link.used_at is not None or link.expires_at <= now:
        raise RefusedByRule("This login link is not valid any more.", hint="Ask for another: lethe staff link NAME")
    link.used_at = now
    return begin_session(session, link.user, now)


def begin_session(session: Session, user: str, now: datetime) -> str:
    """Log somebody in who has shown who they are; returns the cookie."""
    cookie, form_token, until = secrets.token_urlsafe(32), secrets.token_urlsafe(24), now + SESSION_LIFETIME
    session.add(SessionRow(token_hash=token_hash(cookie), user=user, form_token=form_token, expires_at=until))
    return cookie


def end_sessions(session: Session, user: str) -> None:
    """Log somebody out everywhere, and take back the links they have not used."""
    for table in (SessionRow, LoginLinkRow):
        for row in session.exec(select(table).where(table.user == user)).all():
            session.delete(row)


def open_session(session: Session, cookie: str, now: datetime) -> BrowserSession | None:
    """The session behind a cookie, or None for "log in first"."""
    row = session.get(SessionRow, token_hash(cookie))
    if row is None or row.expires_at <= now:
        return None
    return BrowserSession(find_actor(session, row.user), row.form_token)


def close_session(session: Session, cookie: str) -> None:
    """Log out."""
    if row := session.get(SessionRow, token_hash(cookie)):
        session.delete(row)
