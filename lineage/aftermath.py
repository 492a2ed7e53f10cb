"""What followed from a content: who is in it, what was found in it, the gate's leave to learn from it, what is near to it.

A redaction keeps this beside the sealed old content, so that the record can become what it was without another scan, which
might decide otherwise by now. It holds what the tables it comes from hold: places, keyed digests and pseudonyms, no value;
and like them it forgets a person who is purged meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, or_, select

from lineage.tables import (
    AdmissionRow,
    FindingRow,
    FindingSubjectRow,
    NearEdgeRow,
    RecordRow,
    RecordSubjectRow,
    SupersededRow,
)

__all__ = ["Aftermath", "aftermath_of", "forget_in_aftermaths", "near_again", "write_again"]

Aftermath = dict[str, Any]  # JSON


def aftermath_of(session: Session, row: RecordRow) -> Aftermath:
    """What followed from the content that a record has now."""
    people = session.exec(select(RecordSubjectRow).where(RecordSubjectRow.record_id == row.id)).all()
    admission = session.get(AdmissionRow, row.id)
    return {
        "status": row.status,
        "trunk_eligible": row.trunk_eligible,
        "admission": admission.model_dump(mode="json") if admission else None,
        "people": sorted([person.subject_key, person.relation] for person in people),
        "findings": _findings(session, row.id),
        "near": _near(session, row.id),
    }


def write_again(session: Session, row: RecordRow, kept: Mapping[str, Any]) -> None:
    """Make a record follow from the old content again, but for what is near to it. What followed from the new one is gone."""
    row.status, row.trunk_eligible = kept["status"], kept["trunk_eligible"]
    session.add_all(
        RecordSubjectRow(record_id=row.id, subject_key=key, relation=relation) for key, relation in kept["people"]
    )
    if admission := kept["admission"]:
        at = datetime.fromisoformat(admission["admitted_at"])
        session.add(AdmissionRow(**{**admission, "admitted_at": at}))
    for found in kept["findings"]:
        finding = FindingRow(record_id=row.id, **{name: value for name, value in found.items() if name != "people"})
        session.add(finding)
        session.flush()
        session.add_all(
            FindingSubjectRow(finding_id=finding.id or 0, subject_key=key, declared=declared)
            for key, declared in found["people"]
        )
    session.flush()


def near_again(session: Session, record_id: str, kept: Mapping[str, Any]) -> None:
    """The near pairs of the old content, as far as the other record says what it said then.

    If that is sealed as well, for another redaction, the pair waits with it.
    """
    says = session.get_one(RecordRow, record_id).content_hmac
    for other, similarity, said in kept["near"]:
        row, sealed = session.get(RecordRow, other), session.get(SupersededRow, (other, said))
        if row is not None and row.content_hmac == said:
            a, b = sorted((record_id, other))
            session.merge(NearEdgeRow(a=a, b=b, similarity=similarity))
        elif sealed is not None and sealed.aftermath is not None:
            near = [*sealed.aftermath["near"], [record_id, similarity, says]]
            sealed.aftermath = {**sealed.aftermath, "near": near}
    session.flush()


def forget_in_aftermaths(session: Session, subject_key: str) -> None:
    """A purged person is in no aftermath: as in findings of records of others, place and type stay."""
    for row in session.exec(select(SupersededRow).where(SupersededRow.reason == "redacted")).all():
        if row.aftermath and (without := _without(row.aftermath, subject_key)) != row.aftermath:
            row.aftermath = without
    session.flush()


def _without(kept: Aftermath, subject_key: str) -> Aftermath:
    people = [[key, relation] for key, relation in kept["people"] if key != subject_key]
    return {**kept, "people": people, "findings": [_unlinked(found, subject_key) for found in kept["findings"]]}


def _unlinked(found: dict[str, Any], subject_key: str) -> dict[str, Any]:
    if all(key != subject_key for key, _ in found["people"]):
        return found
    people = [[key, declared] for key, declared in found["people"] if key != subject_key]
    return {**found, "value_hmac": "", "people": people}


def _findings(session: Session, record_id: str) -> list[dict[str, Any]]:
    query = select(FindingRow).where(FindingRow.record_id == record_id).order_by(col(FindingRow.id))
    return [
        {**found.model_dump(exclude={"id", "record_id"}), "people": _people_of(session, found.id)}
        for found in session.exec(query).all()
    ]


def _people_of(session: Session, finding_id: int | None) -> list[list[Any]]:
    rows = session.exec(select(FindingSubjectRow).where(FindingSubjectRow.finding_id == finding_id)).all()
    return sorted([row.subject_key, row.declared] for row in rows)


def _near(session: Session, record_id: str) -> list[list[Any]]:
    """The other record, how near it is, and the digest of what it says."""
    query = select(NearEdgeRow).where(or_(NearEdgeRow.a == record_id, NearEdgeRow.b == record_id))
    pairs = sorted((edge.b if edge.a == record_id else edge.a, edge.similarity) for edge in session.exec(query).all())
    return [[other, near, session.get_one(RecordRow, other).content_hmac] for other, near in pairs]
