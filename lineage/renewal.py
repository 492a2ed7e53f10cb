"""A record gets a new content: rectified by the controller (Art. 16 GDPR), or freed of a mention by an erasure.

It keeps its id, its ingest generation and, while it may be learnt under the same rules, its place; so to a training it
is the same record with another content, which is another slice manifest. The new text is sealed under a key of its own
*before* the row that names that key is committed, and the old key is shredded after: a crash between leaves a key that
opens nothing, never a live record without a readable text.

What the record said before is remembered as a pair (record id, content digest) until no weights that were trained on it
are left: `superseded`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Literal, TypeVar

from sqlmodel import Session, SQLModel, col, or_, select
from sqlmodel.sql.expression import SelectOfScalar

from lineage.admit import Decision
from lineage.aftermath import aftermath_of
from lineage.catalog import STATUS, GateStamp, Judged, given_id, parents_of, store_contents
from lineage.database import in_chunks
from lineage.holds import held_of
from lineage.identity import Identity, held_already
from lineage.keyring import Keyring
from lineage.records import Content, RawRecord, canonical_bytes
from lineage.subjects import ensure_subjects
from lineage.tables import (
    AdmissionRow,
    FindingRow,
    FindingSubjectRow,
    NearEdgeRow,
    ParentRow,
    PlacementRow,
    QuarantineRow,
    RecordRow,
    RecordSubjectRow,
    SupersededRow,
    VaultRow,
)
from lineage.vault import KeyStore, record_key

__all__ = [
    "before_redaction", "declared_of", "displace", "forget_superseded", "judged_anew", "keys_left", "locked_ids",
    "mark_shredded", "mentions_kept", "old_keys", "rectify", "redact", "renew", "standing", "supersede", "superseded",
]  # fmt: skip

Row = TypeVar("Row", bound=SQLModel)
Why = Literal["rectified", "redacted", "unredacted"]


def standing(session: Session, identities: Sequence[Identity]) -> dict[Identity, str]:
    """Which records may not be rectified, and why: "same", "erased", "unknown" or "restricted" (Art. 18)."""
    held = held_already(session, identities)
    locked = locked_ids(session, [identity.record_id for identity in identities])
    found = {identity: held.get(identity, "unknown") for identity in identities}
    found |= {i: "restricted" for i, why in found.items() if why == "conflict" and i.record_id in locked}
    return {identity: why for identity, why in found.items() if why != "conflict"}


def rectify(
    session: Session, batch: Sequence[Judged], *, stamp: GateStamp, keyring: Keyring, keystore: KeyStore
) -> set[str]:
    """Replace what records say, whom they declare and why they are held; returns those a case restricted meanwhile."""
    locked = locked_ids(session, [judged.identity.record_id for judged in batch])
    free = [judged for judged in batch if judged.identity.record_id not in locked]
    ensure_subjects(session, (key for judged in free for key in judged.identity.declared), stamp.at)
    for judged in free:
        row, raw = session.get_one(RecordRow, judged.identity.record_id), judged.raw
        row.purpose, row.lawful_basis, row.language = raw.purpose, raw.lawful_basis, raw.language
        _delete(session, select(ParentRow).where(ParentRow.record_id == row.id))
        session.add_all(parents_of(judged, keyring))
    renew(session, free, why="rectified", stamp=stamp, keyring=keyring, keystore=keystore)
    return locked


def renew(
    session: Session, batch: Sequence[Judged], *, why: Why, stamp: GateStamp, keyring: Keyring, keystore: KeyStore
) -> None:
    """Give records that are held the contents that were judged. `stamp.ingest_id` names the ingest, or the case, that did it."""
    for judged in batch:
        row = session.get_one(RecordRow, judged.identity.record_id)
        supersede(session, row, why=why, by=stamp.ingest_id, at=stamp.at)
        admissible = row.status, row.trunk_eligible
        row.given_hmac = judged.identity.given_hmac
        row.content_hmac = keyring.content(canonical_bytes(judged.decision.content))
        row.status, row.trunk_eligible = STATUS[judged.decision.verdict], judged.decision.trunk_eligible
        row.version += 1
        if (row.status, row.trunk_eligible) != admissible:
            displace(session, row.id)
        forget_superseded(session, [(row.id, row.content_hmac)])  # it may be what it was before
    store_contents(session, batch, stamp=stamp, keyring=keyring, keystore=keystore)


def redact(
    session: Session,
    batch: Sequence[Judged],
    *,
    subject_key: str,
    stamp: GateStamp,
    keyring: Keyring,
    keystore: KeyStore,
) -> None:
    """Free records of others of one person."""
    with mentions_kept(session, [judged.identity.record_id for judged in batch], except_of=subject_key):
        renew(session, batch, why="redacted", stamp=stamp, keyring=keyring, keystore=keystore)


@contextmanager
def mentions_kept(session: Session, record_ids: Sequence[str], *, except_of: str = "") -> Iterator[None]:
    """Whom the records mention stays known through the block: what became a constant is still somebody's mention."""
    mentioned = select(RecordSubjectRow).where(
        col(RecordSubjectRow.record_id).in_(record_ids),
        RecordSubjectRow.relation == "mentioned", RecordSubjectRow.subject_key != except_of,
    )  # fmt: skip
    people = [row.model_dump() for row in session.exec(mentioned).all()]
    yield
    for fields in people:
        session.merge(RecordSubjectRow(**fields))
    session.flush()


def declared_of(session: Session, row: RecordRow) -> list[str]:
    """The subjects that a record declares, the primary one first."""
    query = select(RecordSubjectRow.subject_key).where(
        RecordSubjectRow.record_id == row.id, RecordSubjectRow.relation == "declared"
    )
    first = [row.primary_subject] if row.primary_subject else []
    return first + sorted(set(session.exec(query).all()) - set(first))


def judged_anew(
    session: Session, row: RecordRow, content: Content, decision: Decision, *, given_hmac: str, keystore: KeyStore
) -> Judged:
    """A held record as an ingest would hand it on, had it been given with this content."""
    raw = RawRecord(
        line=0, content=content, given_id=given_id(session, row.id, keystore=keystore), subjects=(),
        source=row.source, purpose=row.purpose, lawful_basis=row.lawful_basis, language=row.language,
    )  # fmt: skip
    return Judged(raw, Identity(row.id, given_hmac, row.id_hmac, tuple(declared_of(session, row))), decision)


def before_redaction(session: Session, case_id: str, record_ids: Sequence[str]) -> list[SupersededRow]:
    """What records said up to the time when a case freed them of a person: all of it may hold the person."""
    found: list[SupersededRow] = []
    for chunk in in_chunks(record_ids):
        rows = session.exec(select(SupersededRow).where(col(SupersededRow.record_id).in_(chunk))).all()
        last = {row.record_id: row.version for row in rows if row.by == case_id}
        found += [row for row in rows if row.version <= last.get(row.record_id, -1)]
    return found


def superseded(session: Session, *why: Why, by: str | None = None) -> tuple[tuple[str, str], ...]:
    """Pairs (record id, content digest) that records had before; with `by`, those that one ingest or case replaced."""
    query = select(SupersededRow.record_id, SupersededRow.content_hmac).where(col(SupersededRow.reason).in_(why))
    if by is not None:
        query = query.where(SupersededRow.by == by)
    return tuple(sorted(session.exec(query).all()))


def forget_superseded(session: Session, pairs: Iterable[tuple[str, str]]) -> None:
    """Nothing is left that was trained on these contents, so nothing has to be remembered of them."""
    for record_id, content_hmac in pairs:
        if row := session.get(SupersededRow, (record_id, content_hmac)):
            session.delete(row)
    session.flush()


def keys_left(session: Session) -> list[str]:
    """Names of the keys of replaced texts that no case keeps and that were not shredded yet: their ciphertext is gone already."""
    names: set[str] = set()
    for row in _unshredded(session):
        older = range(row.version) if row.reason == "unredacted" else ()  # the text that came back has a new key
        names |= {record_key(row.record_id, version) for version in (row.version, *older)}
    return sorted(names - _sealed(session, sorted({row.record_id for row in _unshredded(session)})))


def mark_shredded(session: Session, names: Collection[str]) -> None:
    """The keys of these names are gone."""
    for row in _unshredded(session):
        row.key_shredded = record_key(row.record_id, row.version) in names
    session.flush()


def _unshredded(session: Session) -> Sequence[SupersededRow]:
    query = select(SupersededRow).where(SupersededRow.reason != "redacted", col(SupersededRow.key_shredded).is_(False))
    return session.exec(query.order_by(col(SupersededRow.record_id), col(SupersededRow.version))).all()


def _sealed(session: Session, record_ids: Sequence[str]) -> set[str]:
    """Names of the keys of what these records said before and cases keep until they end."""
    names: set[str] = set()
    for chunk in in_chunks(record_ids):
        kept = select(SupersededRow.record_id, SupersededRow.version).where(
            col(SupersededRow.record_id).in_(chunk), SupersededRow.reason == "redacted"
        )
        names |= {record_key(record_id, version) for record_id, version in session.exec(kept).all()}
    return names


def old_keys(session: Session, record_ids: Sequence[str]) -> set[str]:
    """Names of the keys of what records said before, less what cases keep until their purge: to be shredded.

    A newer key is never among them, so whoever gives a record another content meanwhile loses nothing.
    """
    names: set[str] = set()
    for chunk in in_chunks(record_ids):
        now = session.exec(select(RecordRow.id, RecordRow.version).where(col(RecordRow.id).in_(chunk))).all()
        names |= {record_key(record_id, older) for record_id, version in now for older in range(version)}
    return names - _sealed(session, record_ids)


def locked_ids(session: Session, record_ids: Sequence[str]) -> set[str]:
    """Records that an erasure has restricted, or has freed of a mention and not purged yet, or that are under a legal hold."""
    restricted = select(RecordRow.id).where(
        col(RecordRow.id).in_(record_ids), col(RecordRow.restricted_by).is_not(None)
    )
    redacted = select(SupersededRow.record_id).where(
        col(SupersededRow.record_id).in_(record_ids), SupersededRow.reason == "redacted"
    )
    return {*session.exec(restricted).all(), *session.exec(redacted).all(), *held_of(session, record_ids)}


def supersede(session: Session, row: RecordRow, *, why: Why, by: str, at: datetime) -> None:
    """The content that a record has is one that it had before; what followed from it is taken out of the tables.

    Text and aftermath stay only if it was redacted for a case, until that case ends.
    """
    sealed = session.get(VaultRow, row.id) if why == "redacted" else None
    kept = aftermath_of(session, row) if why == "redacted" else None
    session.merge(
        SupersededRow(
            record_id=row.id, content_hmac=row.content_hmac, given_hmac=row.given_hmac, version=row.version, reason=why,
            by=by, ciphertext=sealed.ciphertext if sealed else None, aftermath=kept, at=at,
        )
    )  # fmt: skip
    findings = select(FindingRow.id).where(FindingRow.record_id == row.id)
    _delete(session, select(FindingSubjectRow).where(col(FindingSubjectRow.finding_id).in_(findings)))
    for table in (FindingRow, RecordSubjectRow, AdmissionRow, QuarantineRow, VaultRow):
        _delete(session, select(table).where(table.record_id == row.id))
    _delete(session, select(NearEdgeRow).where(or_(NearEdgeRow.a == row.id, NearEdgeRow.b == row.id)))


def displace(session: Session, record_id: str) -> None:
    """A record that may be learnt under other rules than before has no place; the next training gives it one."""
    _delete(session, select(PlacementRow).where(PlacementRow.record_id == record_id))


def _delete(session: Session, query: SelectOfScalar[Row]) -> None:
    """Delete rows so that the session knows of it: new ones with the same keys follow in the same transaction."""
    for row in session.exec(query).all():
        session.delete(row)
    session.flush()
