"""Counting one ingest: from the rows it left, not from what a run remembers, so that a crash in the middle loses nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, func, select

from lineage.scan_report import VERDICTS, ScanCounts, TypeCount
from lineage.tables import AdmissionRow, FindingRow, IngestRow, QuarantineRow, RecordRow, SupersededRow

__all__ = ["count_ingest", "earlier_ingests"]

_STOPPED = {"quarantined": "quarantine", "blocked": "block"}
# Released by a reviewer since: the scan had stopped it.
_ADMITTED = {"allow": "allow", "redact": "redact", "released": "quarantine"}


def count_ingest(session: Session, ingest: IngestRow) -> ScanCounts:
    """What an ingest's scan said of the records that are held from it; of a rectifying one, of those it replaced."""
    sources: dict[str, Counter[str]] = defaultdict(Counter)
    for source, verdict, count in _judged(session, _of(ingest)):
        sources[source][verdict] += count
    verdicts = sum(sources.values(), Counter[str]())
    types, finders = _findings(session, _of(ingest))
    return ScanCounts(
        verdicts={verdict: verdicts[verdict] for verdict in VERDICTS},
        reasons=_reasons(session, _of(ingest)),
        types=types,
        finders=finders,
        sources={source: dict(counts) for source, counts in sorted(sources.items())},
    )


def earlier_ingests(session: Session, ingest: IngestRow) -> list[IngestRow]:
    """Finished ingests of the same source and kind that ended before this one, the last first."""
    query = select(IngestRow).where(
        IngestRow.source == ingest.source, IngestRow.status == "finished", col(IngestRow.id) != ingest.id,
        col(IngestRow.rectify).is_(ingest.rectify), col(IngestRow.ended_at) <= ingest.ended_at,
    )  # fmt: skip
    return list(session.exec(query.order_by(col(IngestRow.ended_at).desc())).all())


def _of(ingest: IngestRow) -> ColumnElement[bool]:
    if ingest.rectify:
        return col(RecordRow.id).in_(select(SupersededRow.record_id).where(SupersededRow.by == ingest.id))
    return col(RecordRow.ingest_id) == ingest.id


def _judged(session: Session, mine: ColumnElement[bool]) -> Iterator[tuple[str, str, int]]:
    """(source, verdict, records)."""
    source, status, admitted = col(RecordRow.source), col(RecordRow.status), col(AdmissionRow.verdict)
    query = select(source, status, admitted, func.count()).select_from(RecordRow)
    query = query.join(AdmissionRow, col(AdmissionRow.record_id) == col(RecordRow.id), isouter=True).where(mine)
    for name, stands, verdict, count in session.exec(query.group_by(source, status, admitted)).all():
        yield name, _STOPPED.get(stands) or _ADMITTED.get(verdict, "quarantine"), count


def _reasons(session: Session, mine: ColumnElement[bool]) -> dict[str, int]:
    reason, count = col(QuarantineRow.reason), func.count()
    query = select(reason, count).join(RecordRow, col(QuarantineRow.record_id) == col(RecordRow.id)).where(mine)
    return dict(session.exec(query.group_by(reason).order_by(count.desc(), reason)).all())


def _findings(session: Session, mine: ColumnElement[bool]) -> tuple[dict[str, TypeCount], dict[str, int]]:
    """Counts by type, the type in most records first; and findings by recogniser."""
    joined = col(FindingRow.record_id) == col(RecordRow.id)
    kind = col(FindingRow.entity_type)
    actions: dict[str, Counter[str]] = defaultdict(Counter)
    finders = Counter[str]()
    action, finder = col(FindingRow.action), col(FindingRow.recognizer)
    detail = select(kind, action, finder, func.count()).join(RecordRow, joined).where(mine)
    for entity_type, done, recognizer, count in session.exec(detail.group_by(kind, action, finder)).all():
        actions[entity_type][done] += count
        finders[recognizer] += count
    spread = select(kind, func.count(func.distinct(col(FindingRow.record_id)))).join(RecordRow, joined).where(mine)
    records = dict(session.exec(spread.group_by(kind)).all())
    types = {
        name: TypeCount(records[name], sum(actions[name].values()), dict(actions[name]))
        for name in sorted(actions, key=lambda name: (-records[name], name))
    }
    return types, dict(finders.most_common())
