"""The quarantine as a queue: list, show masked, release with a reviewer, block for good."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, delete, select

from lineage import ledger
from lineage.access import Actor, Role
from lineage.catalog import contents_of
from lineage.errors import RefusedByRule, WrongUsage
from lineage.spans import clusters, overlaps, replaced
from lineage.tables import AdmissionRow, FindingRow, QuarantineRow, RecordRow, VaultRow
from lineage.vault import KeyStore

__all__ = ["Waiting", "block", "masked", "queue", "release"]

# A scan that failed left nothing redacted: nobody has seen what is in the record, so it cannot be waved through.
NOT_RELEASABLE = frozenset({"scan_failed", "scan_timeout", "oversize", "redaction_unstable", "language_not_covered"})
NOT_SCANNED = "[hidden: the scan did not end, so nobody can say what is in it]"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A record in the queue, without its text."""

    record_id: str
    source: str
    status: str
    reason: str
    since: datetime
    releasable: bool


def queue(session: Session) -> list[Waiting]:
    """Everything that waits, oldest first."""
    query = select(QuarantineRow, RecordRow).join(RecordRow, col(RecordRow.id) == col(QuarantineRow.record_id))
    rows = session.exec(query.order_by(col(QuarantineRow.since), col(RecordRow.id))).all()
    return [
        Waiting(record.id, record.source, record.status, item.reason, item.since, _may_release(item))
        for item, record in rows
    ]


def masked(session: Session, record: str, *, keystore: KeyStore) -> list[str]:
    """A record's segments with every finding replaced by its type, one line per segment.

    A record that was not scanned to its end has no findings to hide, so its text is hidden whole.

    Raises:
        WrongUsage: no such record in quarantine, or it was blocked and its text is gone.
    """
    item = _find(session, record)
    findings = session.exec(select(FindingRow).where(FindingRow.record_id == item.record_id)).all()
    contents = contents_of(session, [item.record_id], keystore=keystore)
    if not contents:
        raise WrongUsage("The text of a blocked record is not kept.")
    lines = [f"record {item.record_id[:16]}: {item.reason}"]
    lines += [f"  {f.entity_type} (score {f.score:.2f}, {f.recognizer}) -> {f.action}" for f in findings]
    for number, segment in enumerate(contents[0].content.segments()):
        here = [f for f in findings if f.segment == number]
        shown = NOT_SCANNED if item.reason in NOT_RELEASABLE else _mask(segment, here)
        lines.append(f"  [{number}] {shown}")
    return lines


def _mask(segment: str, findings: list[FindingRow]) -> str:
    """Positions are those of the record as it came; a redaction in the segment has moved them, so all of it is hidden."""
    if any(f.action == "redact" or f.span_end_exclusive > len(segment) for f in findings):
        return "[hidden: positions moved by redaction]"
    places = {f.id: (f.span_start, f.span_end_exclusive) for f in findings}
    parts = []
    for cluster in clusters(places.values()):
        types = sorted({f.entity_type for f in findings if overlaps(places[f.id], cluster)})
        parts.append((cluster, f"<{'+'.join(types)}>"))
    return replaced(segment, parts)


def release(session: Session, record: str, *, actor: Actor, policy_digest: str, now: datetime) -> str:
    """Admit a quarantined record under a reviewer's name; returns its id.

    Raises:
        RefusedByRule: the actor may not, or nobody could say what is in the record.
    """
    actor.require(Role.DPO, Role.ADMIN, to="release a record")
    item = _find(session, record)
    row = session.get_one(RecordRow, item.record_id)
    if not _may_release(item) or row.status != "quarantined":
        raise RefusedByRule(
            f"A record with the reason {item.reason!r} cannot be released.", hint="Mend it and ingest it again."
        )
    row.status = "admitted"
    session.add(AdmissionRow(record_id=row.id, policy_digest=policy_digest, scanner_digest="", verdict="released",
                             reviewer=actor.name, admitted_at=now))  # fmt: skip
    session.delete(item)
    ledger.append(session, at=now, kind="review.released", payload={"by": actor.name, "reason": item.reason})
    return row.id


def block(session: Session, record: str, *, actor: Actor, now: datetime) -> str:
    """Refuse a quarantined record for good and drop its ciphertext; the caller shreds its key. Returns its id."""
    actor.require(Role.DPO, Role.ADMIN, to="block a record")
    item = _find(session, record)
    session.get_one(RecordRow, item.record_id).status = "blocked"
    item.releasable = False
    session.connection().execute(delete(VaultRow).where(col(VaultRow.record_id) == item.record_id))
    ledger.append(session, at=now, kind="review.blocked", payload={"by": actor.name, "reason": item.reason})
    return item.record_id


def _may_release(item: QuarantineRow) -> bool:
    return item.releasable and item.reason not in NOT_RELEASABLE


def _find(session: Session, record: str) -> QuarantineRow:
    begins = col(QuarantineRow.record_id).startswith(record, autoescape=True)
    found = session.exec(select(QuarantineRow).where(begins).limit(2)).all()
    if len(found) != 1 or not record:
        raise WrongUsage(f"{'No' if not found else 'More than one'} quarantined record begins with {record[:12]!r}.")
    return found[0]
