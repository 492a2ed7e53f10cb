"""Why a record is in a closure: which of the person's forms stand in it, by type and number. Never the text.

What stands in a record is searched afresh, like the closure itself; what became a constant at ingest is told by the stored
findings, because nothing of it is left to search. *Ambiguous* is a form that other registered people share.

Sightings stand beside the contract and outside its digest: they change with who else is registered, and with the
redactions of the case itself, and an approval must not go stale with them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, func, select

from lineage.catalog import contents_of
from lineage.closure import ClosureRecord
from lineage.database import in_chunks
from lineage.errors import WrongUsage
from lineage.findings import TYPE_OF
from lineage.forms import FormKind, normal_forms
from lineage.keyring import Keyring
from lineage.register import RegisterForm, RegisterIndex
from lineage.tables import FindingRow, FindingSubjectRow, RegisterRow
from lineage.workspace import Workspace

__all__ = ["Sharing", "Sighting", "find_sightings", "sighting_bodies", "why_found"]

RELATIONS = {
    "declared": "declared",
    "mentioned": "mentioned",
    "duplicate": "the same text as a record of the person",
    "near_duplicate": "nearly the same text as a record of the person",
    "derived": "derived from a record that goes",
}


@dataclass(frozen=True, slots=True)
class Sighting:
    """The spans of one type that are the person's in one record.

    Of the `count`, `redacted` are constants already. `also_fits` is the largest number of other registered people who
    share the form of one of the spans.
    """

    entity_type: str
    count: int
    redacted: int = 0
    also_fits: int = 0


class Sharing:
    """How many other registered people have the same form as the person."""

    def __init__(self, session: Session, subject_key: str, forms: Iterable[RegisterForm], *, keyring: Keyring) -> None:
        names = {(f.kind, form): keyring.form(f.kind, form) for f in forms for form in _canonical(f.kind, f.value)}
        people: dict[str, int] = {}
        for chunk in in_chunks(sorted(set(names.values()))):
            query = select(RegisterRow.form_hmac, func.count(col(RegisterRow.subject_key).distinct())).where(
                col(RegisterRow.form_hmac).in_(chunk), RegisterRow.subject_key != subject_key
            )
            people |= dict(session.exec(query.group_by(RegisterRow.form_hmac)).all())
        self._others = {name: people[mac] for name, mac in names.items() if mac in people}

    def others(self, kind: FormKind, written: str) -> int:
        """The number of other people whom this stretch of text fits too."""
        return max((self._others.get((kind, form), 0) for form in _canonical(kind, written)), default=0)


def find_sightings(
    workspace: Workspace, session: Session, subject_key: str, forms: Sequence[RegisterForm], records: Sequence[ClosureRecord]
) -> dict[str, tuple[Sighting, ...]]:  # fmt: skip
    """What of the person stands, or stood, in each record of a closure, by record id. Records without any are left out."""
    index, sharing = RegisterIndex(forms), Sharing(session, subject_key, forms, keyring=workspace.keyring)
    found: dict[str, tuple[Sighting, ...]] = {}
    for chunk in in_chunks([record.record_id for record in records]):
        texts = {
            record.record_id: record.content for record in contents_of(session, chunk, keystore=workspace.keystore)
        }
        gone = _stored(session, subject_key, chunk)
        for record_id in chunk:
            spans = list(gone.get(record_id, ()))
            if record_id in texts:
                spans = [span for span in spans if span.redacted] + list(
                    _standing(texts[record_id].segments(), index, sharing)
                )
            if spans:
                found[record_id] = _summed(spans)
    return found


def sighting_bodies(sightings: Iterable[Sighting]) -> list[dict[str, object]]:
    """The form of `--json` and of the evidence."""
    return [
        {"type": s.entity_type, "count": s.count, "redacted": s.redacted, "also_fits": s.also_fits} for s in sightings
    ]


def why_found(relation: str, sightings: Sequence[Mapping[str, Any]]) -> str:
    """One line for people: `mentioned: EMAIL_ADDRESS x1, PERSON x2 (1 redacted); ambiguous name: also fits 1 other person`."""
    spans = ", ".join(f"{s['type']} x{s['count']}{_redacted(s)}" for s in sightings)
    line = f"{RELATIONS.get(relation, relation)}{': ' if spans else ''}{spans}"
    for shared in (s for s in sightings if s["also_fits"]):
        others = f"{shared['also_fits']} other {'person' if shared['also_fits'] == 1 else 'people'}"
        line += f"; ambiguous {'name' if shared['type'] == 'PERSON' else shared['type']}: also fits {others}"
    return line


def _redacted(sighting: Mapping[str, Any]) -> str:
    if not sighting["redacted"]:
        return ""
    return " (redacted)" if sighting["redacted"] == sighting["count"] else f" ({sighting['redacted']} redacted)"


def _standing(segments: Iterable[str], index: RegisterIndex, sharing: Sharing) -> Iterator[Sighting]:
    for segment in segments:
        for link in index.link(segment):
            written = segment[link.start : link.end_exclusive]
            yield Sighting(TYPE_OF[link.kind], 1, also_fits=sharing.others(link.kind, written))


def _stored(session: Session, subject_key: str, record_ids: Sequence[str]) -> dict[str, list[Sighting]]:
    """The findings that name the person, one sighting each; a part of a longer finding is none of its own."""
    query = select(FindingRow).join(FindingSubjectRow, col(FindingSubjectRow.finding_id) == col(FindingRow.id))
    query = query.where(FindingSubjectRow.subject_key == subject_key, col(FindingRow.record_id).in_(record_ids))
    by_record: dict[str, list[FindingRow]] = defaultdict(list)
    for row in session.exec(query).all():
        by_record[row.record_id].append(row)
    whole = [row for rows in by_record.values() for row in rows if not any(_inside(row, other) for other in rows)]
    others = _people_beside(session, subject_key, [row.id or 0 for row in whole])
    found: dict[str, list[Sighting]] = defaultdict(list)
    for row in whole:
        one = Sighting(row.entity_type, 1, int(row.action == "redact"), others.get(row.id or 0, 0))
        found[row.record_id].append(one)
    return found


def _people_beside(session: Session, subject_key: str, finding_ids: Sequence[int]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for chunk in in_chunks(finding_ids):
        query = select(FindingSubjectRow.finding_id, func.count()).where(
            col(FindingSubjectRow.finding_id).in_(chunk), FindingSubjectRow.subject_key != subject_key
        )
        counts |= dict(session.exec(query.group_by(col(FindingSubjectRow.finding_id))).all())
    return counts


def _inside(row: FindingRow, other: FindingRow) -> bool:
    same_place = (row.record_id, row.segment) == (other.record_id, other.segment)
    inner, outer = (row.span_start, row.span_end_exclusive), (other.span_start, other.span_end_exclusive)
    return same_place and inner != outer and outer[0] <= inner[0] and inner[1] <= outer[1]


def _summed(spans: Sequence[Sighting]) -> tuple[Sighting, ...]:
    counts = Counter(span.entity_type for span in spans)
    return tuple(
        Sighting(
            entity_type, count, sum(s.redacted for s in spans if s.entity_type == entity_type),
            max(s.also_fits for s in spans if s.entity_type == entity_type),
        )
        for entity_type, count in sorted(counts.items())
    )  # fmt: skip


def _canonical(kind: FormKind, value: str) -> frozenset[str]:
    try:
        return normal_forms(kind, value)
    except WrongUsage:
        return frozenset()
