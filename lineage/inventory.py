"""The inventory: what Lethe does not reach and must name all the same.

*Backups* with the day on which they end, or the days each is kept; *files* that were made from an adapter or from records
outside the store, of which a purge deletes those that lie at a known place of this machine (`lineage.derived`); *parties*,
who received an adapter's releases (Art. 19 GDPR) or from whose system a source came. The contract of a case names the files
and parties that it concerns, its certificate the backups too. A backup of which nobody says when it ends lets no purge
begin: a certificate would have to be silent about it.

Names are handles that stand on certificates and in the ledger; `whom` is an organisation or a system, never a person.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Literal, get_args

from sqlmodel import Session, col, or_, select

from lineage import ledger
from lineage.access import Actor, Role
from lineage.errors import RefusedByRule, WrongUsage
from lineage.tables import BackupRow, ComposedAdapterRow, DerivedFileRow, PartyRow

__all__ = [
    "KEEPERS", "Backup", "DerivedFile", "Ending", "Inventory", "Party", "everything", "of", "put_backup", "put_file",
    "put_party", "require_dated", "require_locator", "retire",
]  # fmt: skip

KEEPERS = (Role.ADMIN, Role.ML, Role.DPO)
LOCATORS = (Role.ADMIN, Role.ML)
"""Who may say where a file lies. A DPO approves its deletion, so no DPO says which file that is."""
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
MAX_WORDS_CHARS = 200
PartyKind = Literal["recipient", "upstream"]
FileKind = Literal["export", "merged", "quantised", "cache"]
Ending = Literal["deleted", "withdrawn", "not_reached"]


@dataclass(frozen=True)
class Backup:
    """Copies of a store. They are all gone after `expires_on`; or each of them, `keep_days` after it was made."""

    name: str
    store: str
    holds: str
    expires_on: date | None = None
    keep_days: int | None = None

    def gone_after(self, day: date) -> date | None:
        """The last day on which a copy of what was there on `day` may exist; None: nobody has said."""
        kept = day + timedelta(days=self.keep_days) if self.keep_days is not None else None
        said = [end for end in (self.expires_on, kept) if end is not None]
        return min(said, default=None)


@dataclass(frozen=True)
class DerivedFile:
    """A file outside the store, made from a composed adapter (by digest) or, without one, from records.

    `by_purge`, which is read and never put: whether it lies at a known place, where a purge deletes it.
    """

    name: str
    kind: str
    composed_digest: str | None = None
    result: str = ""
    by_purge: bool = False


@dataclass(frozen=True)
class Party:
    """Who is told of erasures. `scope`: the adapter they received or the source that is theirs; empty means all.

    `webhook`, which is read and never put: whether the machine tells them.
    """

    name: str
    kind: str
    whom: str
    scope: str = ""
    webhook: bool = False


@dataclass(frozen=True)
class Inventory:
    """What is outside, each by name."""

    files: tuple[DerivedFile, ...] = ()
    parties: tuple[Party, ...] = ()
    backups: tuple[Backup, ...] = ()

    def as_json(self) -> dict[str, list[dict[str, object]]]:
        """Lists of plain values; days as ISO 8601."""
        plain = asdict(self)
        for backup in plain["backups"]:
            backup["expires_on"] = backup["expires_on"] and backup["expires_on"].isoformat()
        return {kind: list(entries) for kind, entries in plain.items()}


def everything(session: Session) -> Inventory:
    """All that is not retired."""
    files = select(DerivedFileRow).where(col(DerivedFileRow.ended_at).is_(None)).order_by(col(DerivedFileRow.name))
    parties = select(PartyRow).where(col(PartyRow.removed_at).is_(None)).order_by(col(PartyRow.name))
    return Inventory(
        tuple(
            DerivedFile(r.name, r.kind, r.composed_digest, r.result, bool(r.location))
            for r in session.exec(files).all()
        ),
        tuple(Party(r.name, r.kind, r.whom, r.scope, bool(r.endpoint)) for r in session.exec(parties).all()),
        tuple(_backup(row) for row in session.exec(select(BackupRow).order_by(col(BackupRow.name))).all()),
    )


def of(session: Session, adapters: Collection[str], *, sources: Collection[str] = ()) -> Inventory:
    """What concerns an erasure that changes these adapters and records of these sources. Every backup does."""
    found = everything(session)
    made = select(ComposedAdapterRow.digest).where(col(ComposedAdapterRow.adapter).in_(adapters))
    theirs = set(session.exec(made).all())
    scopes = {"recipient": {"", *adapters} if adapters else set(), "upstream": {"", *sources}}
    return Inventory(
        tuple(file for file in found.files if file.composed_digest is None or file.composed_digest in theirs),
        tuple(party for party in found.parties if party.scope in scopes[party.kind]),
        found.backups,
    )


def require_dated(session: Session) -> None:
    """Refuse a purge while nobody says when a backup ends.

    Raises:
        RefusedByRule: there is such a backup.
    """
    endless = or_(col(BackupRow.expires_on).is_not(None), col(BackupRow.keep_days).is_not(None))
    rows = session.exec(select(BackupRow.name).where(~endless).order_by(col(BackupRow.name))).all()
    if rows:
        raise RefusedByRule(
            f"The backup {rows[0]} has neither a day on which it ends nor days that it is kept; it would undo the purge.",
            hint=f"Say when it ends: lethe inventory backup {rows[0]} --until DATE, or --keep-days N",
        )


# --- keeping it ---------------------------------------------------------------------------------------------------------


def put_backup(session: Session, backup: Backup, *, actor: Actor, now: datetime) -> None:
    """Add a backup, or say anew what it is and when it ends.

    Raises:
        RefusedByRule: the actor may not keep the inventory.
        WrongUsage: a malformed name or field.
    """
    _check(backup.name, backup.store, backup.holds, actor=actor)
    if backup.keep_days is not None and backup.keep_days < 0:
        raise WrongUsage("A backup is kept for 0 days or more.")
    row = session.get(BackupRow, backup.name) or BackupRow(**asdict(backup), since=now)
    row.store, row.holds = backup.store, backup.holds
    row.expires_on, row.keep_days = backup.expires_on, backup.keep_days
    session.add(row)
    until = {"until": backup.expires_on.isoformat()} if backup.expires_on else {}
    days = {} if backup.keep_days is None else {"keep_days": backup.keep_days}
    _log(session, "put", ("backup", backup.name), actor=actor, now=now, **until, **days)


def put_file(
    session: Session, file: DerivedFile, *, actor: Actor, now: datetime, location: bytes | None = None
) -> None:
    """Name a file that was made from an adapter, or from records.

    `location` is where it lies (`derived.seal_place`); empty: a purge does not delete it; None: as before.

    Raises:
        RefusedByRule: as `put_backup`; or a file of that name has gone already; or the actor may not say where it lies.
        WrongUsage: as `put_backup`; or no composed adapter has that digest.
    """
    _check(file.name, file.kind, actor=actor)
    if location:
        require_locator(actor)
    if file.kind not in get_args(FileKind):
        raise WrongUsage(f"A file is of a kind of: {', '.join(get_args(FileKind))}.")
    if file.composed_digest is not None and session.get(ComposedAdapterRow, file.composed_digest) is None:
        raise WrongUsage("No composed adapter has that digest.", hint="See them: lethe lineage adapter NAME")
    row = session.get(DerivedFileRow, file.name)
    if row is not None and row.ended_at is not None:
        raise RefusedByRule(f"The file {file.name} was retired; certificates may name it.", hint="Give a new name.")
    row = row or DerivedFileRow(name=file.name, kind=file.kind, since=now)
    row.kind, row.composed_digest, row.result = file.kind, file.composed_digest, ""
    row.location = row.location if location is None else location or None
    session.add(row)
    made_of, located = (file.composed_digest or "records")[:64], {"by_purge": True} if row.location else {}
    _log(session, "put", ("file", file.name), actor=actor, now=now, of=made_of, **located)


def require_locator(actor: Actor) -> None:
    """Only some may say where a file lies that a purge deletes.

    Raises:
        RefusedByRule: the actor is none of them.
    """
    actor.require(*LOCATORS, to="say where a file lies that a purge deletes")


def put_party(session: Session, party: Party, *, actor: Actor, now: datetime, endpoint: bytes | None = None) -> None:
    """Name somebody who is told of erasures; whoever was removed is back.

    `endpoint` is the sealed URL of its webhook (`endpoints.seal_endpoint`); empty: it is told by hand; None: as before.

    Raises:
        RefusedByRule, WrongUsage: as `put_backup`.
    """
    _check(party.name, party.whom, actor=actor)
    if party.kind not in get_args(PartyKind):
        raise WrongUsage(f"A party is one of: {', '.join(get_args(PartyKind))}.")
    row = session.get(PartyRow, party.name) or PartyRow(name=party.name, kind=party.kind, whom=party.whom, since=now)
    row.kind, row.whom, row.scope, row.removed_at = party.kind, party.whom, party.scope, None
    row.endpoint = row.endpoint if endpoint is None else endpoint or None
    session.add(row)
    _log(session, "put", ("party", party.name), actor=actor, now=now, kind=party.kind, webhook=bool(row.endpoint))


def retire(
    session: Session, what: str, name: str, *, actor: Actor, now: datetime, result: Ending = "withdrawn"
) -> None:
    """A backup whose copies are gone, a file that was withdrawn (with a `result`), a party that is told no more.

    Raises:
        RefusedByRule: the actor may not keep the inventory.
        WrongUsage: there is no such entry.
    """
    actor.require(*KEEPERS, to="keep the inventory")
    row: BackupRow | DerivedFileRow | PartyRow | None
    match what:
        case "backup":
            row = session.get(BackupRow, name)
        case "file":
            row = session.get(DerivedFileRow, name)
        case _:
            row = session.get(PartyRow, name)
    match row:
        case BackupRow():
            session.delete(row)
        case DerivedFileRow(ended_at=None):
            row.result, row.location, row.ended_at = result, None, now
        case PartyRow(removed_at=None):
            row.removed_at = now
        case _:
            raise WrongUsage(f"The inventory has no {what} {name!r}.", hint="See it: lethe inventory list")
    ended = {"result": result} if what == "file" else {}
    _log(session, "retired", (what, name), actor=actor, now=now, **ended)


def _backup(row: BackupRow) -> Backup:
    return Backup(row.name, row.store, row.holds, row.expires_on, row.keep_days)


def _check(name: str, *words: str, actor: Actor) -> None:
    actor.require(*KEEPERS, to="keep the inventory")
    if not NAME.fullmatch(name):
        raise WrongUsage("A name has small letters, digits, dots, dashes and underscores, 64 at most.")
    for text in words:
        if not text.strip() or len(text) > MAX_WORDS_CHARS or not text.isprintable():
            raise WrongUsage(f"A description is needed, in one line of at most {MAX_WORDS_CHARS} characters.")


def _log(
    session: Session, verb: str, entry: tuple[str, str], *, actor: Actor, now: datetime, **payload: object
) -> None:
    session.flush()
    what, name = entry
    body = {"what": what, "name": name, "by": actor.name, **payload}
    ledger.append(session, at=now, kind=f"inventory.{verb}", payload=body)
