"""Rows through the gate in batches: look what is held, judge what is new, write it down. Pure order, bounded memory.

While one batch is written, the next ones are being judged, so what is held is asked twice: before a record is judged, to
spare the work, and again in the transaction that writes it, which decides. So the outcome is that of one row after the
other, for any number of workers, and a person erased meanwhile stays out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice

from sqlmodel import Session

from lineage import renewal
from lineage.admit import Gate
from lineage.catalog import STATUS, GateStamp, Judged, store_judged
from lineage.corpus import Reject, RejectReason
from lineage.identity import Identity, held_already, identify
from lineage.near_tombstones import NearGuard
from lineage.pool import Question, Workers, in_order, usable_cores
from lineage.records import RawRecord
from lineage.settings import GateSettings
from lineage.tables import IngestRow
from lineage.workspace import Workspace
from pipelines.progress import Progress

__all__ = ["Intake", "Taken", "take_in"]

BATCH_ROWS = 64
REFUSED = {
    "erased": RejectReason.ERASED, "conflict": RejectReason.OTHER_CONTENT, "unknown": RejectReason.UNKNOWN_RECORD,
    "restricted": RejectReason.RESTRICTED,
}  # fmt: skip


@dataclass(frozen=True)
class Intake:
    """Where rows go and by which rules. With `rectify` each replaces the content of a record that is held."""

    workspace: Workspace
    gate: Gate
    stamp: GateStamp
    clock: Callable[[], datetime]
    rectify: bool = False


@dataclass
class Taken:
    """What came of the rows so far."""

    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    rejects: list[Reject] = field(default_factory=list)

    def add(self, judged: Sequence[Judged], refused: Iterable[Reject]) -> None:
        """A batch was written."""
        self.rejects += refused
        self.counts.update(_verdicts(judged))
        self.reasons.update(_reasons(judged))


@dataclass(frozen=True)
class _Looked:
    """A batch after the first look: what is new, what names a record that is new in this batch, what is refused at once."""

    rows: int
    new: list[tuple[RawRecord, Identity]]
    again: list[tuple[RawRecord, Identity]]
    refused: list[Reject]
    held: int

    @property
    def questions(self) -> list[Question]:
        return [Question(raw.content, identity.declared, raw.language) for raw, identity in self.new]


def take_in(intake: Intake, rows: Iterable[RawRecord | Reject], progress: Progress) -> Taken:
    """Take rows through the gate. What was written before a crash stays written; the same rows again go on behind it.

    Raises:
        GateClosed: the scanner's self-test does not pass in a worker.
        Fault: the database is out of reach, or scan workers do not start.
    """
    taken = Taken(Counter(rows=0, held=0))
    said: dict[str, str] | None = {} if intake.rectify else None
    with intake.workspace.database.reader() as session:  # no purge comes between: both hold the ingest's lease
        guard = NearGuard.of(session, intake.workspace.keyring, intake.gate.policy.near)
    looked = (_look(intake, batch, said) for batch in _batches(rows))
    with _workers(intake) as workers:
        asked = ((batch, batch.questions) for batch in looked)
        for batch, decisions in in_order(asked, gate=intake.gate, workers=workers, ahead=not intake.rectify):
            judged = [Judged(*pair, decision) for pair, decision in zip(batch.new, decisions, strict=True)]
            going, near = guard.sift(judged)
            stored, late, held = _store(intake, going, batch.again)
            taken.add(stored, batch.refused + late + [Reject(item.raw.line, RejectReason.NEAR_ERASED) for item in near])
            taken.counts.update(rows=batch.rows, held=batch.held + held)
            progress.advance(batch.rows)
    return taken


def _verdicts(judged: Iterable[Judged]) -> Counter[str]:
    return Counter(item.decision.verdict for item in judged)


def _reasons(judged: Iterable[Judged]) -> Counter[str]:
    """Why records were stopped."""
    return Counter(item.decision.reason for item in judged if STATUS[item.decision.verdict] != "admitted")


def _workers(intake: Intake) -> AbstractContextManager[Workers | None]:
    settings: GateSettings = intake.workspace.settings.gate
    count = settings.workers or usable_cores()
    if count == 1:
        return nullcontext()
    return Workers(intake.gate, count=count, record_limit_s=settings.record_limit_s)


def _batches(rows: Iterable[RawRecord | Reject]) -> Iterator[list[RawRecord | Reject]]:
    source = iter(rows)
    while batch := list(islice(source, BATCH_ROWS)):
        yield batch


def _look(intake: Intake, batch: Sequence[RawRecord | Reject], said: dict[str, str] | None) -> _Looked:
    """What of a batch is new. `said` holds what a rectifying file said so far, by record id: it may change a record once."""
    workspace = intake.workspace
    refused = [item for item in batch if isinstance(item, Reject)]
    raws = [item for item in batch if isinstance(item, RawRecord)]
    identities = [identify(raw, workspace.keyring) for raw in raws]
    with workspace.database.reader() as session:
        known = (held_already if said is None else renewal.standing)(session, identities)
    before = {} if said is None else said
    looked = _Looked(len(batch), [], [], refused, 0)
    held = 0
    for raw, identity in zip(raws, identities, strict=True):
        earlier = before.get(identity.record_id)
        standing = known.get(identity) or _standing_before(earlier, identity)
        if standing == "new" or said is not None:
            before.setdefault(identity.record_id, identity.given_hmac)
        if standing == "new":
            looked.new.append((raw, identity))
        elif said is None and earlier is not None:
            looked.again.append((raw, identity))
        elif standing == "same":
            held += 1
        else:
            refused.append(Reject(raw.line, REFUSED[standing]))
    return replace(looked, held=held)


def _standing_before(given_hmac: str | None, identity: Identity) -> str:
    if given_hmac is None:
        return "new"
    return "same" if given_hmac == identity.given_hmac else "conflict"


def _store(
    intake: Intake, judged: list[Judged], again: Sequence[tuple[RawRecord, Identity]]
) -> tuple[list[Judged], list[Reject], int]:
    """Write a batch: what was stored, what is refused after all, and how many are held by now.

    The standing of `again`, rows that name a record of the same batch, is known when that one is written.
    """
    workspace, stamp = intake.workspace, replace(intake.stamp, at=intake.clock())
    rows = [(item.raw, item.identity) for item in judged]
    after: dict[Identity, str] = {}
    with workspace.database.transaction() as session:
        if intake.rectify:
            locked = renewal.rectify(
                session, judged, stamp=stamp, keyring=workspace.keyring, keystore=workspace.keystore
            )
            late = {identity: "restricted" for _, identity in rows if identity.record_id in locked}
        else:
            late = held_already(session, [identity for _, identity in rows])
            free = [item for item in judged if item.identity not in late]
            store_judged(session, free, stamp=stamp, keyring=workspace.keyring, keystore=workspace.keystore)
            after = held_already(session, [identity for _, identity in again])
        stored = [item for item in judged if item.identity not in late]
        _write_down(session, stamp.ingest_id, stored)
    standings = [(raw, late[identity]) for raw, identity in rows if identity in late]
    standings += [(raw, after.get(identity, "conflict")) for raw, identity in again]
    refused = [Reject(raw.line, REFUSED[standing]) for raw, standing in standings if standing != "same"]
    return stored, refused, len(standings) - len(refused)


def _write_down(session: Session, ingest_id: str, stored: Sequence[Judged]) -> None:
    """What the gate said of a batch is counted with it, so that a crash behind it loses no count and no generation."""
    row = session.get_one(IngestRow, ingest_id)
    why = {f"why/{reason}": count for reason, count in _reasons(stored).items()}
    row.counts = dict(Counter(row.counts) + _verdicts(stored) + Counter(why))
