"""Records on their way in: ingests, the rows they leave, the texts in the vault, the queue of the quarantine.

Everything here runs inside a caller's transaction. Only `training_contents` gives text out for learning, and it checks
the admission of every record it opens: the gate is enforced where data is read, not only where it is shown.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import insert
from sqlmodel import Session, SQLModel, col, func, select

from lineage.admit import Decision, FoundSpan, finding_digests, mentions
from lineage.database import in_chunks
from lineage.errors import GateClosed
from lineage.identity import Identity, given_id_hmac
from lineage.keyring import Keyring
from lineage.records import RawRecord, TrainingRecord, canonical_bytes, content_from_json
from lineage.subjects import ensure_subjects
from lineage.tables import (
    AdmissionRow,
    FindingRow,
    FindingSubjectRow,
    ParentRow,
    QuarantineRow,
    RecordRow,
    RecordSubjectRow,
    VaultRow,
)
from lineage.vault import KeyStore, record_key

__all__ = [
    "GateStamp", "Judged", "counts_by_status", "given_id", "parents_of", "store_contents", "store_judged", "training_contents",
]  # fmt: skip

_Sealed = tuple[str, int, bytes]  # record id, version, ciphertext
_Row = dict[str, object]
STATUS = {"allow": "admitted", "redact": "admitted", "quarantine": "quarantined", "block": "blocked"}


@dataclass(frozen=True, slots=True)
class Judged:
    """A raw record with the gate's decision about it."""

    raw: RawRecord = field(repr=False)
    identity: Identity
    decision: Decision = field(repr=False)


@dataclass(frozen=True, slots=True)
class GateStamp:
    """Under which rules a batch was judged, by which tier, and when."""

    ingest_id: str
    generation: int
    policy_digest: str
    scanner_digest: str
    at: datetime
    tier: str = ""
    blind_spots: str = ""


def store_judged(
    session: Session, batch: Sequence[Judged], *, stamp: GateStamp, keyring: Keyring, keystore: KeyStore
) -> None:
    """Write a batch: records, people, findings, admission or quarantine, and the text under its own key."""
    ensure_subjects(session, (key for judged in batch for key in judged.identity.declared), stamp.at)
    _insert(session, RecordRow, [_record(judged, stamp, keyring) for judged in batch])
    _insert(session, ParentRow, [row.model_dump() for judged in batch for row in parents_of(judged, keyring)])
    store_contents(session, batch, stamp=stamp, keyring=keyring, keystore=keystore)


def store_contents(
    session: Session, batch: Sequence[Judged], *, stamp: GateStamp, keyring: Keyring, keystore: KeyStore
) -> None:
    """Write what follows from the contents of records that have a row: text, people, findings, admission or quarantine."""
    kept = [judged for judged in batch if judged.decision.verdict != "block"]  # of a blocked record no text is kept
    ids = [judged.identity.record_id for judged in kept]
    versions = _versions(session, ids)
    sealed = keystore.seal(
        [(record_key(i, versions[i]), _sealed_body(judged)) for i, judged in zip(ids, kept, strict=True)]
    )
    texts: list[_Row] = [{"record_id": i, "ciphertext": ciphertext} for i, ciphertext in zip(ids, sealed, strict=True)]
    _insert(session, VaultRow, texts)
    _insert(session, RecordSubjectRow, [person for judged in batch for person in _people(judged)])
    _store_findings(session, batch, keyring)
    stopped = [judged for judged in batch if judged.decision.verdict in ("quarantine", "block")]
    _insert(session, QuarantineRow, [_quarantine(judged, stamp) for judged in stopped])
    passed = [judged for judged in batch if judged.decision.verdict in ("allow", "redact")]
    _insert(session, AdmissionRow, [_admission(judged, stamp) for judged in passed])


def _insert(session: Session, table: type[SQLModel], rows: Sequence[_Row]) -> None:
    """Many rows in one statement: an object for each would cost more than the scan."""
    if rows:
        session.execute(insert(table), rows)


def _versions(session: Session, record_ids: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for chunk in in_chunks(record_ids):
        found |= dict(session.exec(select(RecordRow.id, RecordRow.version).where(col(RecordRow.id).in_(chunk))).all())
    return found


def training_contents(session: Session, record_ids: Sequence[str], *, keystore: KeyStore) -> list[TrainingRecord]:
    """Decrypt records for learning or probing, in the given order.

    Raises:
        GateClosed: one of them has no admission, or was restricted by a case.
        Shredded: one of them was purged.
    """
    found: dict[str, _Sealed] = {}
    for chunk in in_chunks(record_ids):
        query = (
            select(VaultRow.record_id, RecordRow.version, VaultRow.ciphertext)
            .join(AdmissionRow, col(AdmissionRow.record_id) == col(VaultRow.record_id))
            .join(RecordRow, col(RecordRow.id) == col(VaultRow.record_id))
            .where(col(RecordRow.status) == "admitted", col(RecordRow.restricted_by).is_(None))
            .where(col(VaultRow.record_id).in_(chunk))
        )
        found |= {sealed[0]: sealed for sealed in session.exec(query).all()}
    if missing := sum(record_id not in found for record_id in record_ids):
        raise GateClosed(
            f"{missing} of {len(record_ids)} records have no admission.", hint="Ingest or review them first."
        )
    return _open_contents([found[record_id] for record_id in record_ids], keystore)


def contents_of(session: Session, record_ids: Sequence[str], *, keystore: KeyStore) -> list[TrainingRecord]:
    """Decrypt records of a case, restricted or quarantined ones too: for the closure search and the probes only."""
    by_id: dict[str, _Sealed] = {}
    for chunk in in_chunks(record_ids):
        query = (
            select(VaultRow.record_id, RecordRow.version, VaultRow.ciphertext)
            .join(RecordRow, col(RecordRow.id) == col(VaultRow.record_id))
            .where(col(VaultRow.record_id).in_(chunk))
        )
        by_id |= {sealed[0]: sealed for sealed in session.exec(query).all()}
    return _open_contents([by_id[record_id] for record_id in record_ids if record_id in by_id], keystore)


def restricted_ids(session: Session) -> list[str]:
    """The records that a case has restricted (Art. 18) and not purged yet."""
    return list(session.exec(select(RecordRow.id).where(col(RecordRow.restricted_by).is_not(None))).all())


def _open_contents(sealed: Sequence[_Sealed], keystore: KeyStore) -> list[TrainingRecord]:
    plains = keystore.open([(record_key(record_id, version), body) for record_id, version, body in sealed])
    return [
        TrainingRecord(record_id, content_from_json(json.loads(plain)["content"]))
        for (record_id, _, _), plain in zip(sealed, plains, strict=True)
    ]


def given_id(session: Session, record_id: str, *, keystore: KeyStore) -> str | None:
    """The id that a record was given, if it was given one."""
    sealed, version = session.get_one(VaultRow, record_id), session.get_one(RecordRow, record_id).version
    (plain,) = keystore.open([(record_key(record_id, version), sealed.ciphertext)])
    found: str | None = json.loads(plain)["id"]
    return found


def counts_by_status(session: Session) -> dict[str, int]:
    """How many records are admitted, quarantined and blocked."""
    return dict(session.exec(select(RecordRow.status, func.count()).group_by(RecordRow.status)).all())


def _sealed_body(judged: Judged) -> bytes:
    """What lies in the vault: the content as it is trained on, and the given id (it may be an e-mail address)."""
    body = {"content": judged.decision.content.as_json(), "id": judged.raw.given_id}
    return json.dumps(body, ensure_ascii=False, sort_keys=True).encode()


def _record(judged: Judged, stamp: GateStamp, keyring: Keyring) -> _Row:
    raw, identity, decision = judged.raw, judged.identity, judged.decision
    content_hmac = identity.given_hmac  # most contents pass as they came
    if decision.content != raw.content:
        content_hmac = keyring.content(canonical_bytes(decision.content))
    return {
        "id": identity.record_id, "ingest_id": stamp.ingest_id, "source": raw.source, "generation": stamp.generation,
        "primary_subject": identity.primary_subject, "purpose": raw.purpose, "lawful_basis": raw.lawful_basis,
        "language": raw.language, "given_hmac": identity.given_hmac, "content_hmac": content_hmac,
        "id_hmac": identity.id_hmac, "status": STATUS[decision.verdict], "trunk_eligible": decision.trunk_eligible,
        "version": 0,
    }  # fmt: skip


def _people(judged: Judged) -> list[_Row]:
    record_id, declared = judged.identity.record_id, judged.identity.declared
    named = sorted(mentions(judged.decision) - set(declared))
    relations = [(key, "declared") for key in declared] + [(key, "mentioned") for key in named]
    return [{"record_id": record_id, "subject_key": key, "relation": relation} for key, relation in relations]


def parents_of(judged: Judged, keyring: Keyring) -> list[ParentRow]:
    """The rows that say what a record was derived from."""
    digests = {given_id_hmac(keyring, judged.raw.source, parent) for parent in judged.raw.parents}
    return [ParentRow(record_id=judged.identity.record_id, parent_id_hmac=digest) for digest in sorted(digests)]


def _store_findings(session: Session, batch: Sequence[Judged], keyring: Keyring) -> None:
    found = [(judged, finding) for judged in batch for finding in judged.decision.findings]
    if not found:
        return
    mac = keyring.finding_mac()
    digests = [d for judged in batch for d in finding_digests(judged.raw.content, judged.decision.findings, mac)]
    rows = [_finding(judged, finding, digest) for (judged, finding), digest in zip(found, digests, strict=True)]
    statement = insert(FindingRow).returning(col(FindingRow.id), sort_by_parameter_order=True)
    ids = session.scalars(statement, rows).all()
    people: list[_Row] = [
        {"finding_id": number, "subject_key": key, "declared": finding.declared}
        for number, (_, finding) in zip(ids, found, strict=True)
        for key in sorted(finding.subject_keys)
    ]
    _insert(session, FindingSubjectRow, people)


def _finding(judged: Judged, found: FoundSpan, digest: str) -> _Row:
    kept_start, kept_end_exclusive = found.kept or (None, None)
    return {
        "record_id": judged.identity.record_id, "segment": found.segment, "span_start": found.start,
        "span_end_exclusive": found.end_exclusive, "kept_start": kept_start, "kept_end_exclusive": kept_end_exclusive,
        "entity_type": found.entity_type, "score": found.score,
        "action": found.action, "recognizer": found.recognizer,
        "value_hmac": digest,
    }  # fmt: skip


def _quarantine(judged: Judged, stamp: GateStamp) -> _Row:
    decision = judged.decision
    return {
        "record_id": judged.identity.record_id, "reason": decision.reason, "since": stamp.at,
        "releasable": decision.verdict == "quarantine",
    }  # fmt: skip


def _admission(judged: Judged, stamp: GateStamp) -> _Row:
    return {
        "record_id": judged.identity.record_id, "policy_digest": stamp.policy_digest,
        "scanner_digest": stamp.scanner_digest, "verdict": judged.decision.verdict, "reviewer": "",
        "admitted_at": stamp.at,
    }  # fmt: skip
