"""The register of data subjects, at rest: every identifier encrypted under a key of its subject, findable by digest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from sqlmodel import Session, col, func, select

from lineage.database import in_chunks
from lineage.errors import NotAcceptable, WrongUsage
from lineage.forms import FormKind, canonical_identifier, normal_forms, normalise
from lineage.keyring import Keyring
from lineage.register import RegisterForm, SuppressionList
from lineage.tables import RegisterRow, SubjectRow, SuppressionRow
from lineage.vault import KeyStore

__all__ = ["SubjectEntry", "add_forms", "find_subject", "load_forms", "load_suppression", "subject_counts"]

KINDS: tuple[FormKind, ...] = ("name", "email", "phone", "account")


@dataclass(frozen=True)
class SubjectEntry:
    """One line of a register import: a subject's identifier, and one form it is known by."""

    identifier: str = field(repr=False)
    kind: FormKind
    value: str = field(repr=False)


def ensure_subjects(session: Session, keys: Iterable[str], now: datetime) -> None:
    """Make rows for subjects that have none yet."""
    wanted = sorted(set(keys))
    known: set[str] = set()
    for chunk in in_chunks(wanted):
        known |= set(session.exec(select(SubjectRow.key).where(col(SubjectRow.key).in_(chunk))).all())
    session.add_all(SubjectRow(key=key, since=now) for key in wanted if key not in known)
    session.flush()


def add_forms(
    session: Session, entries: Sequence[SubjectEntry], *, keyring: Keyring, keystore: KeyStore, now: datetime
) -> int:
    """Add forms to the register; returns how many were new.

    Raises:
        WrongUsage: an unknown kind or an empty value; the sentence names the line, not the value.
    """
    for number, entry in enumerate(entries, start=1):
        if entry.kind not in KINDS or not entry.value.strip() or not entry.identifier.strip():
            raise WrongUsage(f"Register line {number}: needs a subject, a kind ({', '.join(KINDS)}) and a value.")
    keys = [keyring.subject_key(canonical_identifier(entry.identifier)) for entry in entries]
    ensure_subjects(session, keys, now)
    known = set(session.exec(select(RegisterRow.subject_key, RegisterRow.form_hmac)).all())
    digests = [keyring.form(entry.kind, normalise(entry.kind, entry.value)) for entry in entries]
    new = {(key, digest): entry for key, digest, entry in zip(keys, digests, entries, strict=True)}
    new = {pair: entry for pair, entry in new.items() if pair not in known}
    sealed = keystore.seal([(f"subject:{key}", entry.value.encode()) for (key, _), entry in new.items()])
    session.add_all(
        RegisterRow(subject_key=key, kind=entry.kind, form_hmac=digest, ciphertext=ciphertext)
        for ((key, digest), entry), ciphertext in zip(new.items(), sealed, strict=True)
    )
    return len(new)


def load_forms(session: Session, keystore: KeyStore, subject_key: str | None = None) -> list[RegisterForm]:
    """The register in the clear, in memory only: all of it, or one subject's."""
    query = select(RegisterRow).order_by(col(RegisterRow.id))
    if subject_key is not None:
        query = query.where(RegisterRow.subject_key == subject_key)
    rows = session.exec(query).all()
    values = keystore.open([(f"subject:{row.subject_key}", row.ciphertext) for row in rows])
    return [
        RegisterForm(subject_key=row.subject_key, kind=cast("FormKind", row.kind), value=value.decode())
        for row, value in zip(rows, values, strict=True)
    ]


def load_suppression(session: Session, keyring: Keyring) -> SuppressionList:
    """The keyed digests of erased people's identifiers."""
    return SuppressionList(session.exec(select(SuppressionRow.hmac)).all(), hmac=keyring.form_mac())


def find_subject(session: Session, text: str, keyring: Keyring) -> str | None:
    """The subject meant by an identifier, name, e-mail, phone or account number; None when nobody is.

    Raises:
        NotAcceptable: several people share this form; another one is needed.
    """
    key = keyring.subject_key(canonical_identifier(text))
    if session.get(SubjectRow, key):
        return key
    digests = [keyring.form(kind, form) for kind in KINDS for form in _possible_forms(kind, text)]
    found = set(session.exec(select(RegisterRow.subject_key).where(col(RegisterRow.form_hmac).in_(digests))).all())
    if len(found) > 1:
        raise NotAcceptable(f"{len(found)} people share this identifier.", hint="Give one that only this person has.")
    return found.pop() if found else None


def _possible_forms(kind: FormKind, text: str) -> frozenset[str]:
    try:
        return normal_forms(kind, text)
    except WrongUsage:  # this text cannot be of that kind
        return frozenset()


def subject_counts(session: Session) -> Mapping[str, int]:
    """Forms by kind, and the number of subjects."""
    rows = session.exec(select(RegisterRow.kind, func.count()).group_by(RegisterRow.kind)).all()
    return {**dict(rows), "subjects": session.exec(select(func.count()).select_from(SubjectRow)).one()}


def remove_forms(session: Session, subject_key: str) -> int:
    """Delete a subject's register entries; returns how many there were."""
    rows = session.exec(select(RegisterRow).where(RegisterRow.subject_key == subject_key)).all()
    for row in rows:
        session.delete(row)
    return len(rows)
