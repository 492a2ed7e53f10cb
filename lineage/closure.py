"""Find, then forget: every record an erasure must reach.

The vault is searched afresh with the person's register forms and the identifiers they supplied, because links stored at
ingest miss people who were registered later. A record is in the closure because it *declares* the person, *mentions*
them, is an exact *duplicate* of such a record, or was *derived* from one (`parents`, followed to the end). A record of
someone else whose mention was replaced by a constant at ingest holds nothing of the person: it is listed as
`already_redacted` and needs no rebuild.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlmodel import Session, col, select

from lineage.catalog import contents_of
from lineage.database import in_chunks
from lineage.errors import WrongUsage
from lineage.forms import FormKind, normalise
from lineage.register import RegisterForm, RegisterIndex
from lineage.tables import ParentRow, RecordRow, RecordSubjectRow
from lineage.vault import KeyStore

__all__ = ["Closure", "ClosureRecord", "find_closure", "supplied_forms"]


@dataclass(frozen=True, slots=True)
class ClosureRecord:
    """One record of a closure: why it is in it, and what happens to it."""

    record_id: str
    relation: str  # declared | mentioned | duplicate | derived
    decision: str  # erase | already_redacted


@dataclass(frozen=True, slots=True)
class Closure:
    """All records of a closure, sorted by record id, and how many were searched."""

    records: tuple[ClosureRecord, ...]
    searched: dict[str, int] = field(default_factory=dict)

    @property
    def erased_ids(self) -> tuple[str, ...]:
        """The records that go."""
        return tuple(record.record_id for record in self.records if record.decision == "erase")


def supplied_forms(subject_key: str, supplied: Iterable[str]) -> list[RegisterForm]:
    """Identifiers the person wrote in their request, as forms to search for. What cannot be a form is passed over."""
    return [
        RegisterForm(subject_key, kind, value)
        for value in supplied
        for kind in _possible_kinds(value)
        if _can_be(kind, value)
    ]


def _possible_kinds(value: str) -> tuple[FormKind, ...]:
    """Digits alone do not tell a telephone from an account, so they are searched as both."""
    if "@" in value:
        return ("email",)
    return ("phone", "account") if any(c.isdecimal() for c in value) else ("name",)


def _can_be(kind: FormKind, value: str) -> bool:
    try:
        normalise(kind, value)
    except WrongUsage:
        return False
    return True


def find_closure(session: Session, subject_key: str, forms: Sequence[RegisterForm], *, keystore: KeyStore) -> Closure:
    """The closure of one person over vault and quarantine. Quarantined and restricted records are searched too."""
    everything = dict(session.exec(select(RecordRow.id, RecordRow.status)).all())
    relations = _stored_relations(session, subject_key)
    speaking = _records_that_speak_of(session, list(everything), forms, keystore)
    for record_id in speaking - {r for r, kind in relations.items() if kind == "declared"}:
        relations[record_id] = "mentioned"
    erased = {r for r, kind in relations.items() if kind == "declared"} | speaking
    for record_id in _duplicates(session, erased) - set(relations):
        relations[record_id] = "duplicate"
        erased.add(record_id)
    for record_id in _derived(session, erased) - erased:
        relations.setdefault(record_id, "derived")
        erased.add(record_id)
    records = tuple(
        ClosureRecord(record_id, relation, "erase" if record_id in erased else "already_redacted")
        for record_id, relation in sorted(relations.items())
    )
    statuses = list(everything.values())
    return Closure(records, {status: statuses.count(status) for status in ("admitted", "quarantined", "blocked")})


def _stored_relations(session: Session, subject_key: str) -> dict[str, str]:
    rows = session.exec(select(RecordSubjectRow).where(RecordSubjectRow.subject_key == subject_key)).all()
    relations = {row.record_id: row.relation for row in rows if row.relation == "mentioned"}
    return relations | {row.record_id: row.relation for row in rows if row.relation == "declared"}


def _records_that_speak_of(
    session: Session, record_ids: Sequence[str], forms: Sequence[RegisterForm], keystore: KeyStore
) -> set[str]:
    """Records whose text, as it is kept and trained on, holds a form of the person."""
    index = RegisterIndex(forms)
    return {
        record.record_id
        for chunk in in_chunks(record_ids)
        for record in contents_of(session, chunk, keystore=keystore)
        if any(index.link(segment) for segment in record.content.segments())
    }


def _duplicates(session: Session, record_ids: set[str]) -> set[str]:
    """Records with exactly the same content, whoever declares them."""
    digests: set[str] = set()
    for chunk in in_chunks(sorted(record_ids)):
        digests |= set(session.exec(select(RecordRow.given_hmac).where(col(RecordRow.id).in_(chunk))).all())
    found: set[str] = set()
    for chunk in in_chunks(sorted(digests)):
        found |= set(session.exec(select(RecordRow.id).where(col(RecordRow.given_hmac).in_(chunk))).all())
    return found - record_ids


def _derived(session: Session, record_ids: set[str]) -> set[str]:
    """Children, and children's children, by declared parents."""
    found: set[str] = set()
    frontier = set(record_ids)
    while frontier:
        names: set[str] = set()
        for chunk in in_chunks(sorted(frontier)):
            names |= set(session.exec(select(RecordRow.id_hmac).where(col(RecordRow.id).in_(chunk))).all())
        children: set[str] = set()
        for chunk in in_chunks(sorted(names)):
            children |= set(
                session.exec(select(ParentRow.record_id).where(col(ParentRow.parent_id_hmac).in_(chunk))).all()
            )
        frontier = children - found - record_ids
        found |= frontier
    return found
