"""Lines of an approved comparison carried out: new stamps, and new decisions about records that are held.

What a record says of people in places that are constants by now stays known: a mention that became a constant is still
somebody's mention. A line is done in the transaction that carries it out, and only if it would be the same line today: the
record is what it was, nothing learnt from it since, no case took it. Otherwise it stays as it is, under its old stamp, and
so keeps the gate closed until the next rescan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from sqlmodel import Session, col, select

from lineage.admit import Decision, finding_digests
from lineage.catalog import GateStamp, Judged
from lineage.keyring import Keyring
from lineage.manifests import ever_learnt
from lineage.near_tombstones import held_back
from lineage.records import TrainingRecord, canonical_bytes
from lineage.renewal import judged_anew, locked_ids, mentions_kept, renew
from lineage.rescan import Line, Was, line_in, lines_of, outcome, still_as_compared, stops_unlearnt
from lineage.tables import AdmissionRow, FindingRow, QuarantineRow, RecordRow, RescanRecordRow
from lineage.vault import KeyStore

__all__ = ["Held", "keep_stamped", "line_of", "put_new_decision", "still_near_erased"]

Held: TypeAlias = tuple[RecordRow, TrainingRecord, Decision]
"""A record, its text as it is held, and what the gate says of it now."""


def line_of(session: Session, held: Held, *, learnt: bool, locked: bool, keyring: Keyring) -> Line:
    """What a comparison says of a record. `learnt`: weights were trained on it; `locked`: a case has not ended with it."""
    row, record, decision = held
    after = keyring.content(canonical_bytes(decision.content))
    changed = after != row.content_hmac or decision.trunk_eligible != row.trunk_eligible
    seen = _released_as_seen(session, record, decision, keyring)
    was = Was(admitted=row.status == "admitted", learnt=learnt, locked=locked, released_as_seen=seen)
    return Line(
        record_id=row.id, source=row.source, was=row.status, verdict=decision.verdict, reason=decision.reason,
        outcome=outcome(was, decision.verdict, changed=changed), content_before=row.content_hmac, content_after=after,
    )  # fmt: skip


def _released_as_seen(session: Session, record: TrainingRecord, decision: Decision, keyring: Keyring) -> bool:
    """Whether a reviewer released the record and saw everything that would stop it now."""
    admission = session.get(AdmissionRow, record.record_id)
    stopping = [found for found in decision.findings if found.action == "quarantine"]
    if admission is None or admission.verdict != "released" or not stopping:
        return False
    query = select(FindingRow.entity_type, FindingRow.value_hmac).where(
        FindingRow.record_id == record.record_id, FindingRow.action == "quarantine"
    )
    seen = set(session.exec(query).all())
    digests = finding_digests(record.content, stopping, keyring.finding_mac())
    return seen.issuperset(zip((f.entity_type for f in stopping), digests, strict=True))


def still_near_erased(session: Session, record_id: str, decision: Decision) -> Decision:
    """The decision, but for a record that waits as a near copy of an erased one: no policy can say that it is none."""
    waiting = session.get(QuarantineRow, record_id)
    near = waiting is not None and waiting.releasable and waiting.reason == "near_erased"
    return held_back(decision) if near else decision


def keep_stamped(session: Session, record_ids: Sequence[str], *, stamp: GateStamp) -> None:
    """New stamps for what stays as it is. Who admitted or released it, and how, stays too."""
    for record_id, line in lines_of(session, stamp.ingest_id, record_ids).items():
        row, admission = session.get_one(RecordRow, record_id), session.get(AdmissionRow, record_id)
        if admission is not None and still_as_compared(row, line):
            admission.policy_digest, admission.scanner_digest = stamp.policy_digest, stamp.scanner_digest
            admission.admitted_at, line.done = stamp.at, True


def put_new_decision(
    session: Session, judged: Sequence[Held], *, stamp: GateStamp, keyring: Keyring, keystore: KeyStore
) -> None:
    """Give records what their lines say, with the decision that was made again for it."""
    lines = lines_of(session, stamp.ingest_id, [record.record_id for _, record, _ in judged])
    learnt = ever_learnt(session, [line.record_id for line in lines.values() if stops_unlearnt(line)])
    locked = locked_ids(session, list(lines))
    batch = []
    for _, record, decision in judged:
        row, line = session.get_one(RecordRow, record.record_id), lines[record.record_id]
        held = row, record, decision
        now = line_of(session, held, learnt=row.id in learnt, locked=row.id in locked, keyring=keyring)
        if line.done or now != line_in(line):
            continue
        line.done = True
        if not _waits_as_before(session, line):
            known_by = row.given_hmac  # what it was given as, not what it says by now
            anew = judged_anew(session, row, record.content, decision, given_hmac=known_by, keystore=keystore)
            batch.append(anew)
    _renew_keeping(session, batch, lines, stamp=stamp, keyring=keyring, keystore=keystore)


def _waits_as_before(session: Session, line: RescanRecordRow) -> bool:
    waiting = session.get(QuarantineRow, line.record_id)
    same = line.content_before == line.content_after
    return line.outcome == "wait" and waiting is not None and waiting.reason == line.reason and same


def _renew_keeping(
    session: Session, batch: Sequence[Judged], lines: Mapping[str, RescanRecordRow], *, stamp: GateStamp, keyring: Keyring,
    keystore: KeyStore,
) -> None:  # fmt: skip
    """`renew`, but mentions stay known, and what goes on waiting has waited since it did."""
    ids = [judged.identity.record_id for judged in batch]
    queued = session.exec(select(QuarantineRow).where(col(QuarantineRow.record_id).in_(ids))).all()
    since = {row.record_id: row.since for row in queued if lines[row.record_id].outcome == "wait"}
    with mentions_kept(session, ids):
        renew(session, batch, why="rectified", stamp=stamp, keyring=keyring, keystore=keystore)
    for record_id, when in since.items():
        session.get_one(QuarantineRow, record_id).since = when
    session.flush()
