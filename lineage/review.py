"""The quarantine as a queue: by reason and age, counted and filtered, one record shown with what was found hidden.

What is shown is read by a reviewer and logged in the ledger, by a handle that means nothing elsewhere. What may be done
about it is in `lineage.rulings`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlmodel import Session, col, func, select
from sqlmodel.sql.expression import Select

from lineage import ledger
from lineage.access import Actor, Role
from lineage.admit import UNREAD
from lineage.catalog import contents_of
from lineage.closure import CHANGING
from lineage.database import in_chunks
from lineage.errors import WrongUsage
from lineage.hidden import MOVED, NOT_SCANNED, still_standing
from lineage.holds import held_of
from lineage.spans import clusters, overlaps, replaced
from lineage.stages import SETTLED
from lineage.tables import CaseRecordRow, CaseRow, FindingRow, QuarantineRow, RecordRow
from lineage.vault import KeyStore
from lineage.workspace import Workspace

__all__ = [
    "REVIEWERS",
    "Seen",
    "Shown",
    "Waiting",
    "Which",
    "counted",
    "look_at",
    "masked",
    "named",
    "queue",
    "sources",
    "tally",
]

REVIEWERS = (Role.DPO, Role.ADMIN)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A record in the queue, without its text.

    `expires` is when it will be blocked by itself (None: never, or blocked already). `in_case`: an open erasure case is
    going to change it, so it is left to that case. `because` and `reviewer` are of a blocked one.
    """

    record_id: str
    source: str
    status: str
    reason: str
    since: datetime
    releasable: bool
    in_case: bool = False
    expires: datetime | None = None
    because: str = ""
    reviewer: str = ""


@dataclass(frozen=True, slots=True)
class Which:
    """Which records are meant; everything when nothing is said. `before`: in quarantine since that time or longer."""

    reason: str = ""
    source: str = ""
    status: str = ""
    before: datetime | None = None

    @property
    def narrowed(self) -> bool:
        """Whether more is said than a status: a bulk ruling upon everything must not happen by leaving a word out."""
        return self != Which(status=self.status)


@dataclass(frozen=True, slots=True)
class Seen:
    """A finding for a reviewer's eyes."""

    entity_type: str
    score: float
    recognizer: str
    action: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A record as a reviewer sees it: (label, text) of its segments, each finding hidden behind its type."""

    waiting: Waiting
    findings: tuple[Seen, ...]
    segments: tuple[tuple[str, str], ...] = field(repr=False)


def queue(
    session: Session, which: Which | None = None, *, keep_days: int = 0, limit: int | None = None
) -> list[Waiting]:
    """What waits, and what was blocked, oldest first. `keep_days` is `[gate] quarantine_days`; 0 is for ever."""
    wanted = which or Which()
    query = _rows()
    if wanted.reason:
        query = query.where(QuarantineRow.reason == wanted.reason)
    if wanted.source:
        query = query.where(RecordRow.source == wanted.source)
    if wanted.status:
        query = query.where(RecordRow.status == wanted.status)
    if wanted.before is not None:
        query = query.where(col(QuarantineRow.since) <= wanted.before)
    rows = session.exec(query.order_by(col(QuarantineRow.since), col(RecordRow.id)).limit(limit)).all()
    return _waiting(session, rows, keep_days)


def named(session: Session, records: Sequence[str], *, keep_days: int = 0) -> list[Waiting]:
    """The records of the queue with these ids, or beginnings of ids, in that order.

    Raises:
        WrongUsage: none begins like that, or more than one does.
    """
    whole = {
        row[1].id: row
        for chunk in in_chunks(records)
        for row in session.exec(_rows().where(col(RecordRow.id).in_(chunk)))
    }
    rows = [whole[record] if record in whole else _find(session, record) for record in dict.fromkeys(records)]
    return _waiting(session, list({record.id: (item, record) for item, record in rows}.values()), keep_days)


def counted(items: Iterable[Waiting]) -> dict[str, Counter[str]]:
    """How many records by status and reason."""
    counts: dict[str, Counter[str]] = {}
    for item in items:
        counts.setdefault(item.status, Counter())[item.reason] += 1
    return counts


def tally(session: Session) -> dict[str, Counter[str]]:
    """`counted` of the whole queue, by the database."""
    query = select(RecordRow.status, QuarantineRow.reason, func.count()).join(
        QuarantineRow, col(QuarantineRow.record_id) == col(RecordRow.id)
    )
    counts: dict[str, Counter[str]] = {}
    for status, reason, number in session.exec(query.group_by(RecordRow.status, QuarantineRow.reason)).all():
        counts.setdefault(status, Counter())[reason] = number
    return counts


def sources(session: Session) -> list[str]:
    """The sources that have records in the queue."""
    query = select(RecordRow.source).join(QuarantineRow, col(QuarantineRow.record_id) == col(RecordRow.id)).distinct()
    return sorted(session.exec(query).all())


def look_at(workspace: Workspace, record: str, *, actor: Actor, now: datetime) -> Shown:
    """A record for a reviewer, and an event in the ledger that they looked.

    Raises:
        RefusedByRule: the actor is no reviewer.
        WrongUsage: no such record in quarantine, or it was blocked and its text is gone.
    """
    actor.require(*REVIEWERS, to="look at a record in quarantine")
    with workspace.database.transaction() as session:
        shown = masked(session, record, keystore=workspace.keystore, keep_days=workspace.settings.gate.quarantine_days)
        handle = workspace.keyring.handle("review", shown.waiting.record_id)
        payload = {"by": actor.name, "record": handle, "reason": shown.waiting.reason}
        ledger.append(session, at=now, kind="review.shown", payload=payload)
    return shown


def masked(session: Session, record: str, *, keystore: KeyStore, keep_days: int = 0) -> Shown:
    """A record of the queue with every finding that is left in its text hidden behind its type.

    A record that was not scanned to its end has no findings to hide, so its text is hidden whole.

    Raises:
        WrongUsage: no such record in quarantine, or it was blocked and its text is gone.
    """
    (item,) = named(session, [record], keep_days=keep_days)
    contents = contents_of(session, [item.record_id], keystore=keystore) if item.status == "quarantined" else []
    if not contents:
        raise WrongUsage("The text of a blocked record is not kept.")
    query = select(FindingRow).where(FindingRow.record_id == item.record_id).order_by(col(FindingRow.id))
    findings = session.exec(query).all()
    content = contents[0].content
    texts = [
        NOT_SCANNED if item.reason in UNREAD else _mask(text, [f for f in findings if f.segment == number])
        for number, text in enumerate(content.segments())
    ]
    seen = tuple(Seen(f.entity_type, f.score, f.recognizer, f.action) for f in findings)
    return Shown(item, seen, tuple(zip(content.labels(), texts, strict=True)))


def _mask(text: str, findings: Sequence[FindingRow]) -> str:
    """What was redacted is a stand-in in the text already; what still stands is hidden where it stands now."""
    placed = still_standing(findings, len(text))
    if placed is None:
        return MOVED
    parts = []
    for cluster in clusters(place for _, place in placed):
        types = {found.entity_type for found, place in placed if overlaps(place, cluster)}
        parts.append((cluster, f"<{'+'.join(sorted(types))}>"))
    return replaced(text, parts)


def _waiting(session: Session, rows: Sequence[tuple[QuarantineRow, RecordRow]], keep_days: int) -> list[Waiting]:
    taken = _in_open_cases(session, [record.id for _, record in rows])
    return [_one(item, record, in_case=record.id in taken, keep_days=keep_days) for item, record in rows]


def _one(item: QuarantineRow, record: RecordRow, *, in_case: bool, keep_days: int) -> Waiting:
    waits = record.status == "quarantined"
    return Waiting(
        record_id=record.id, source=record.source, status=record.status, reason=item.reason, since=item.since,
        releasable=waits and item.releasable and item.reason not in UNREAD, in_case=in_case,
        expires=item.since + timedelta(days=keep_days) if waits and keep_days else None,
        because=item.because, reviewer=item.reviewer,
    )  # fmt: skip


def _in_open_cases(session: Session, record_ids: Sequence[str]) -> set[str]:
    """Records that a case has restricted (Art. 18 GDPR) or holds, or that one which has not ended is going to change."""
    found = held_of(session, record_ids)
    for chunk in in_chunks(record_ids):
        restricted = col(RecordRow.id).in_(chunk), col(RecordRow.restricted_by).is_not(None)
        found |= set(session.exec(select(RecordRow.id).where(*restricted)).all())
        listed = select(CaseRecordRow.record_id).join(CaseRow, col(CaseRow.id) == col(CaseRecordRow.case_id))
        listed = listed.where(col(CaseRecordRow.record_id).in_(chunk), col(CaseRecordRow.decision).in_(CHANGING))
        found |= {r for r in session.exec(listed.where(col(CaseRow.stage).not_in(SETTLED))).all() if r}
    return found


def _rows() -> Select[QuarantineRow, RecordRow]:
    return select(QuarantineRow, RecordRow).join(RecordRow, col(RecordRow.id) == col(QuarantineRow.record_id))


def _find(session: Session, record: str) -> tuple[QuarantineRow, RecordRow]:
    begins = col(QuarantineRow.record_id).startswith(record, autoescape=True)
    found = session.exec(_rows().where(begins).limit(2)).all()
    if len(found) != 1 or not record:
        raise WrongUsage(f"{'No' if not found else 'More than one'} quarantined record begins with that.")
    return found[0]
