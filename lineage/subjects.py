"""The register of data subjects, at rest: every identifier encrypted under a key of its subject, findable by digest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from sqlmodel import Session, col, func, insert, select

from lineage.cues import Cues
from lineage.database import in_chunks
from lineage.errors import NotAcceptable, WrongUsage
from lineage.forms import FormKind, canonical_identifier, normal_forms, normalise
from lineage.keyring import Keyring
from lineage.plans import planted_subjects
from lineage.register import RegisterForm
from lineage.suppression import SuppressionList
from lineage.tables import CueRow, RegisterRow, SubjectRow, SuppressionRow
from lineage.vault import KeyStore

__all__ = [
    "KINDS", "CheckedForm", "SubjectEntry", "add_forms", "check_entry", "find_subject", "forms_without_cues", "load_forms",
    "load_suppression", "remove_forms", "store_forms", "subject_by_key", "subject_counts",
]  # fmt: skip

KINDS: tuple[FormKind, ...] = ("name", "email", "phone", "account")


@dataclass(frozen=True)
class SubjectEntry:
    """One line of a register import: a subject's identifier, and one form it is known by."""

    identifier: str = field(repr=False)
    kind: FormKind
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CheckedForm:
    """An entry that can be registered: the person's pseudonym, and the keyed digest of the canonical form."""

    subject_key: str
    kind: FormKind
    value: str = field(repr=False)
    digest: str


def check_entry(entry: SubjectEntry, keyring: Keyring) -> CheckedForm:
    """The entry as it can be stored.

    Raises:
        WrongUsage: an unknown kind, an empty cell, or a value that cannot be of its kind. The sentence holds no value.
    """
    if entry.kind not in KINDS:
        raise WrongUsage(f"The kind is none of {', '.join(KINDS)}.")
    if not entry.identifier.strip() or not entry.value.strip():
        raise WrongUsage("The subject or the value is empty.")
    key = keyring.subject_key(canonical_identifier(entry.identifier))
    return CheckedForm(key, entry.kind, entry.value, keyring.form(entry.kind, normalise(entry.kind, entry.value)))


def ensure_subjects(session: Session, keys: Iterable[str], now: datetime) -> None:
    """Make rows for subjects that have none yet."""
    wanted = sorted(set(keys))
    known: set[str] = set()
    for chunk in in_chunks(wanted):
        known |= set(session.exec(select(SubjectRow.key).where(col(SubjectRow.key).in_(chunk))).all())
    if new := [{"key": key, "since": now} for key in wanted if key not in known]:
        session.execute(insert(SubjectRow), new)


def add_forms(
    session: Session, entries: Sequence[SubjectEntry], *, keyring: Keyring, keystore: KeyStore, now: datetime
) -> int:
    """Add forms to the register; returns how many were new. All of them or none.

    Raises:
        WrongUsage: as `check_entry`.
    """
    forms = [check_entry(entry, keyring) for entry in entries]
    return store_forms(session, forms, keystore=keystore, now=now)


def store_forms(session: Session, forms: Sequence[CheckedForm], *, keystore: KeyStore, now: datetime) -> int:
    """Write the forms that are not registered yet, each sealed under its subject's key; returns how many were new.

    What is asked of the database and held in memory follows from the number of forms given, not from the register's size.
    """
    ensure_subjects(session, (form.subject_key for form in forms), now)
    given = {(form.subject_key, form.digest): form for form in reversed(forms)}  # the first of two spellings stays
    known: set[tuple[str, str]] = set()
    for chunk in in_chunks(sorted({form.digest for form in forms})):
        query = select(RegisterRow.subject_key, RegisterRow.form_hmac).where(col(RegisterRow.form_hmac).in_(chunk))
        known |= set(session.exec(query).all())
    new = [form for pair, form in reversed(given.items()) if pair not in known]
    sealed = keystore.seal([(f"subject:{form.subject_key}", form.value.encode()) for form in new])
    if new:
        rows = [
            {"subject_key": form.subject_key, "kind": form.kind, "form_hmac": form.digest, "ciphertext": ciphertext}
            for form, ciphertext in zip(new, sealed, strict=True)
        ]
        session.execute(insert(RegisterRow), rows)
    return len(new)


def load_forms(session: Session, keystore: KeyStore, subject_key: str | None = None) -> list[RegisterForm]:
    """The register in the clear, in memory only: all of it, or one subject's."""
    query = select(RegisterRow.subject_key, RegisterRow.kind, RegisterRow.ciphertext).order_by(col(RegisterRow.id))
    if subject_key is not None:
        query = query.where(RegisterRow.subject_key == subject_key)
    rows = session.exec(query).all()
    values = keystore.open([(f"subject:{key}", ciphertext) for key, _, ciphertext in rows])
    return [
        RegisterForm(subject_key=key, kind=cast("FormKind", kind), value=value.decode())
        for (key, kind, _), value in zip(rows, values, strict=True)
    ]


def load_suppression(session: Session, keyring: Keyring) -> SuppressionList:
    """The keyed digests of erased people's identifiers, with their cues where every one of them has been digested for some."""
    hmacs = session.exec(select(SuppressionRow.hmac)).all()
    tags = session.exec(select(CueRow.tag)).all()
    cues = None if forms_without_cues(session) else Cues(tags, mac=keyring.cue_mac())
    return SuppressionList(hmacs, hmac=keyring.form_mac(), cues=cues)


def forms_without_cues(session: Session) -> int:
    """Suppressed forms of which nobody can tell the cue: they were erased before there were any."""
    return session.exec(select(func.count()).where(~col(SuppressionRow.cued)).select_from(SuppressionRow)).one()


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


def subject_by_key(session: Session, given: str) -> str:
    """The subject key that is meant by a key or its beginning. A whole one stands for itself, also when its person is gone.

    Raises:
        WrongUsage: it is no key, or the beginning of none or of several. What was given may be a name and is not repeated.
    """
    if re.fullmatch(r"[0-9a-f]{64}", given):
        return given
    if not re.fullmatch(r"[0-9a-f]+", given):
        raise WrongUsage("That is no subject key.", hint="An identifier is asked for where no key is given.")
    found = session.exec(select(SubjectRow.key).where(col(SubjectRow.key).startswith(given)).limit(2)).all()
    if len(found) != 1:
        whose = "More than one person's" if found else "Nobody's"
        raise WrongUsage(f"{whose} subject key begins so.", hint="The whole key is printed by: lethe register find")
    return found[0]


def _possible_forms(kind: FormKind, text: str) -> frozenset[str]:
    try:
        return normal_forms(kind, text)
    except WrongUsage:  # this text cannot be of that kind
        return frozenset()


def subject_counts(session: Session) -> Mapping[str, int]:
    """Forms by kind, and the number of subjects. Planted canaries are nobody."""
    rows = session.exec(select(RegisterRow.kind, func.count()).group_by(RegisterRow.kind)).all()
    subjects = session.exec(select(func.count()).select_from(SubjectRow)).one()
    return {**dict(rows), "subjects": subjects - len(planted_subjects(session))}


def remove_forms(session: Session, subject_key: str) -> int:
    """Delete a subject's register entries; returns how many there were."""
    rows = session.exec(select(RegisterRow).where(RegisterRow.subject_key == subject_key)).all()
    for row in rows:
        session.delete(row)
    return len(rows)
