"""A DPO looks at one record of a case: on their own name, with a reason, and never without a trace.

The event `record.viewed` is committed before the text is decrypted, so whatever goes wrong afterwards, the look is on
record. It names the record by its handle, which means nothing outside the case and nothing at all after the purge.

What is shown is the content as it is kept and trained on. The person's forms are marked; what belongs to others is
masked: everybody registered or suppressed, what the gate found, and whatever looks like an address or a long number. What
nobody could scan is not shown.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlmodel import Session, col, select

from lineage import ledger
from lineage.access import Actor, Role
from lineage.admit import UNREAD
from lineage.case_view import view
from lineage.catalog import contents_of
from lineage.database import in_chunks
from lineage.desk import reason_for
from lineage.dossier import case_row
from lineage.errors import RefusedByRule
from lineage.findings import TYPE_OF
from lineage.hidden import MOVED, NOT_SCANNED, still_standing
from lineage.holds import find_record
from lineage.keyring import Keyring
from lineage.register import RegisterForm, RegisterIndex
from lineage.sought import searched_forms
from lineage.spans import Interval, clusters, difference, overlaps
from lineage.subjects import load_forms
from lineage.suppression import SuppressionList
from lineage.tables import (
    CaseRecordRow,
    FindingRow,
    FindingSubjectRow,
    QuarantineRow,
    RecordSubjectRow,
    RegisterRow,
    SuppressionRow,
    VaultRow,
)
from lineage.vault import Shredded
from lineage.workspace import Workspace

__all__ = ["ListedRecord", "OpenedRecord", "Piece", "Segment", "listed_record", "open_record"]

LOOKS_PERSONAL = (
    ("EMAIL_ADDRESS", re.compile(r"[^\s@＠<>()\[\],;:\"]+[@＠][^\s@＠<>()\[\],;:\"]*\w")),
    ("NUMBER", re.compile(r"\+?\d(?:[\s().\-/]{0,2}\d){5,}")),
)
NO_TEXT = "The text of this record is destroyed, or was never kept."

_Mark = tuple[Interval, str]


@dataclass(frozen=True, slots=True)
class ListedRecord:
    """A record of a case's closure, without its text. `destroyed` means that there is no text any more."""

    case_id: str
    handle: str
    relation: str
    decision: str
    ground: str
    destroyed: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text. With a type it is a form of the person, or, `masked`, somebody else's, of which only the type is told."""

    text: str = field(repr=False)
    entity_type: str = ""
    masked: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """One string of a content, such as a chat message, in pieces. `name` is its role."""

    name: str
    pieces: tuple[Piece, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class OpenedRecord:
    """What the DPO sees."""

    listed: ListedRecord
    segments: tuple[Segment, ...] = field(repr=False)


def listed_record(workspace: Workspace, case_id: str, handle: str) -> ListedRecord:
    """The record of a case that a handle, or its beginning, means.

    Raises:
        WrongUsage: no such case, or the beginning is too short or means several records.
        RefusedByRule: the record is not one of the case's.
    """
    with workspace.database.reader() as session:
        case_row(session, case_id)
        return _listed(find_record(session, case_id, handle))


def open_record(
    workspace: Workspace, case_id: str, handle: str, *, actor: Actor, reason: str, now: datetime
) -> OpenedRecord:
    """Write down who looks and why, then open the record.

    Raises:
        RefusedByRule: the actor is no DPO, the case has ended, or the record is not one of its closure.
        Shredded: the text is destroyed, or was never kept.
        WrongUsage: no such case, no reason, or a reason that names somebody.
    """
    actor.require(Role.DPO, to="open a record of a case")
    with workspace.database.reader() as session:
        case = view(case_row(session, case_id))
        found = find_record(session, case_id, handle)
        if case.settled:
            raise RefusedByRule(f"Case {case_id} has ended; its records are not opened any more.")
        record_id = found.record_id
        if record_id is None or session.get(VaultRow, record_id) is None:
            raise Shredded(NO_TEXT)
        beside = _people_beside(session, workspace, case_id, record_id)
    sentence = reason_for(workspace, case_id, reason, also=[form.value for form in beside])
    with workspace.database.transaction() as session:
        payload = {"record": found.handle, "by": actor.name, "reason": sentence}
        ledger.append(session, at=now, kind="record.viewed", case_id=case_id, payload=payload)
    return OpenedRecord(_listed(found), _opened(workspace, case_id, record_id, beside))


# --- finding it -----------------------------------------------------------------------------------------------------------


def _listed(row: CaseRecordRow) -> ListedRecord:
    return ListedRecord(row.case_id, row.handle, row.relation, row.decision, row.ground, row.record_id is None)


def _people_beside(session: Session, workspace: Workspace, case_id: str, record_id: str) -> list[RegisterForm]:
    """The forms of everybody else whom the record declares or mentions."""
    person = case_row(session, case_id).subject_key
    query = select(RecordSubjectRow.subject_key).where(RecordSubjectRow.record_id == record_id).distinct()
    others = sorted(set(session.exec(query).all()) - {person})
    return [form for key in others for form in load_forms(session, workspace.keystore, key)]


# --- showing it -----------------------------------------------------------------------------------------------------------


def _opened(
    workspace: Workspace, case_id: str, record_id: str, beside: Sequence[RegisterForm]
) -> tuple[Segment, ...]:  # fmt: skip
    person, forms = searched_forms(workspace, case_id)
    own, others = RegisterIndex(forms), RegisterIndex(beside)
    with workspace.database.reader() as session:
        found = contents_of(session, [record_id], keystore=workspace.keystore)
        if not found:
            raise Shredded(NO_TEXT)
        content = found[0].content
        queued = session.get(QuarantineRow, record_id)
        unscanned = queued is not None and queued.reason in UNREAD
        findings = _findings_of_others(session, record_id, person)
        shown = []
        for number, (label, text) in enumerate(zip(content.labels(), content.segments(), strict=True)):
            placed = still_standing([f for f in findings if f.segment == number], len(text))
            if unscanned or placed is None:
                shown.append(Segment(label, (Piece(NOT_SCANNED if unscanned else MOVED, masked=True),)))
                continue
            masks = [(place, finding.entity_type) for finding, place in placed]
            masks += [((m.start, m.end_exclusive), TYPE_OF[m.kind]) for m in others.link(text)]
            masks += _of_anybody_known(session, text, workspace.keyring)
            masks += [(match.span(), kind) for kind, pattern in LOOKS_PERSONAL for match in pattern.finditer(text)]
            shown.append(Segment(label, tuple(_pieces(text, own, masks))))
    return tuple(shown)


def _findings_of_others(session: Session, record_id: str, person: str) -> list[FindingRow]:
    """The gate's findings that are not the person's, and either somebody's or more than information."""
    rows = session.exec(select(FindingRow).where(FindingRow.record_id == record_id)).all()
    query = select(FindingSubjectRow).where(col(FindingSubjectRow.finding_id).in_([row.id for row in rows]))
    people: dict[int | None, set[str]] = defaultdict(set)
    for link in session.exec(query).all():
        people[link.finding_id].add(link.subject_key)
    return [row for row in rows if person not in people[row.id] and (row.action != "allow" or people[row.id])]


def _of_anybody_known(session: Session, text: str, keyring: Keyring) -> list[_Mark]:
    """Forms of anybody registered or suppressed, looked up by keyed digest: the register need not be decrypted."""
    asked: set[str] = set()

    def ask(kind: str, form: str) -> str:
        digest = keyring.form(kind, form)
        asked.add(digest)
        return digest

    SuppressionList({""}, hmac=ask).link(text)
    known: set[str] = set()
    for chunk in in_chunks(sorted(asked)):
        known |= set(session.exec(select(RegisterRow.form_hmac).where(col(RegisterRow.form_hmac).in_(chunk))).all())
        known |= set(session.exec(select(SuppressionRow.hmac).where(col(SuppressionRow.hmac).in_(chunk))).all())
    links = SuppressionList(known, hmac=keyring.form).link(text)
    return [((link.start, link.end_exclusive), TYPE_OF[link.kind]) for link in links]


def _pieces(text: str, own: RegisterIndex, masks: Sequence[_Mark]) -> Iterator[Piece]:
    """The text cut at the person's forms and at what is masked; where both meet, the person's form is shown."""
    mine = [((link.start, link.end_exclusive), TYPE_OF[link.kind]) for link in own.link(text)]
    marks = [(place, Piece(text[slice(*place)], _types(mine, place))) for place in clusters(p for p, _ in mine)]
    for cluster in clusters(place for place, _ in masks):
        for place in difference(cluster, [taken for taken, _ in mine]):
            if any(character.isalnum() for character in text[slice(*place)]):
                kinds = _types(masks, place)
                marks.append((place, Piece(f"<{kinds}>", kinds, masked=True)))
    position = 0
    for (start, end), piece in sorted(marks, key=lambda mark: mark[0]):
        if position < start:
            yield Piece(text[position:start])
        yield piece
        position = end
    if position < len(text):
        yield Piece(text[position:])


def _types(marks: Sequence[_Mark], place: Interval) -> str:
    return "+".join(sorted({kind for where, kind in marks if overlaps(where, place)}))
