"""A changed policy, compared with what the gate decided before, and only then applied.

::

    open_rescan -> scanning -> compared  --(approve, bound to the digest that was read)-->  applying -> applied

A comparison has one line a record: what it was, what the policy in force says of it, and what follows. It holds ids and
keyed digests, never a text. `outcome` decides; it is pure:

========== =================================================================================================
keep       what may be learnt stays as it is and gets a new stamp; what a human released and saw stays released
admit      it waited in quarantine and may be learnt now
redact     it may still be learnt, with less in it: another content of the same record
wait       it waits in quarantine and goes on waiting, perhaps for another reason
quarantine it was admitted, nothing has learnt from it, and now a human must look at it
block      it is refused for good before anything learnt from it; its text is shredded
withdraw   it may not be learnt any more and something has learnt from it: an erasure of the record
locked     an open case has freed it of a person and not been purged: it can change only after that
========== =================================================================================================

The vault keeps what the gate let through, so a looser policy brings no text back. Records that a case has restricted are
left alone, and of blocked ones no text is kept.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from datetime import datetime
from typing import Literal, TypeAlias

from sqlmodel import Session, col, delete, func, select
from sqlmodel.sql.expression import SelectOfScalar

from lineage import ledger
from lineage.access import Actor, Role
from lineage.admit import Verdict
from lineage.database import in_chunks
from lineage.errors import RefusedByRule, WrongUsage
from lineage.manifests import ever_learnt
from lineage.tables import RecordRow, RegisterRow, RescanRecordRow, RescanRow, SuppressionRow

__all__ = [
    "APPLIERS", "Line", "Outcome", "Rules", "Was", "add_lines", "approve", "current", "finish_comparison", "line_in",
    "open_rescan", "outcome", "records_with", "register_digest", "todo", "uncompared",
]  # fmt: skip

Outcome: TypeAlias = Literal["keep", "admit", "redact", "wait", "quarantine", "block", "withdraw", "locked"]
APPLIERS = (Role.ML, Role.DPO, Role.ADMIN)
OPEN = ("scanning", "compared", "applying")
STOPPED: tuple[Outcome, ...] = ("quarantine", "block")


@dataclass(frozen=True, slots=True)
class Rules:
    """What a comparison depends on besides the records: one that was made under other rules is made again."""

    policy_digest: str
    scanner_digest: str
    register_digest: str


@dataclass(frozen=True, slots=True)
class Was:
    """A held record before the rescan. `learnt`: weights were trained on it. `locked`: a case has not ended with it."""

    admitted: bool
    learnt: bool
    locked: bool = False
    released_as_seen: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a comparison, to be written down. `content_*` are keyed digests."""

    record_id: str
    source: str
    was: str
    verdict: Verdict
    reason: str
    outcome: Outcome
    content_before: str
    content_after: str


def outcome(was: Was, verdict: Verdict, *, changed: bool) -> Outcome:
    """What follows for one record; `changed`: what may be learnt of it is not what it was."""
    if verdict in ("allow", "redact"):
        found: Outcome = "redact" if changed else "keep"
        found = found if was.admitted else "admit"
    elif not was.admitted:
        found = "block" if verdict == "block" else "wait"
    elif was.released_as_seen and verdict == "quarantine":
        found = "keep"
    else:
        found = "withdraw" if was.learnt else verdict  # type: ignore[assignment]  # quarantine or block
    return "locked" if was.locked and found != "keep" else found


def register_digest(session: Session) -> str:
    """SHA-256 (hex) over the keyed digests of everybody the gate knows, erased people included."""
    known = session.exec(select(RegisterRow.subject_key, RegisterRow.kind, RegisterRow.form_hmac)).all()
    gone = session.exec(select(SuppressionRow.kind, SuppressionRow.hmac)).all()
    lines = sorted("/".join(row) for row in (*known, *gone))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def current(session: Session, *statuses: str) -> RescanRow | None:
    """The newest rescan at one of the statuses (all, if none is given)."""
    query = select(RescanRow).where(col(RescanRow.status).in_(statuses or (*OPEN, "applied")))
    return session.exec(query.order_by(col(RescanRow.requested_at).desc(), col(RescanRow.id)).limit(1)).first()


def open_rescan(session: Session, rules: Rules, *, now: datetime) -> str:
    """The rescan to go on with: one that is being applied, one that was begun under the same rules, or a new one.

    A comparison that was made under other rules, or that was finished and not applied, gives way to a new one.
    """
    if applying := current(session, "applying"):
        return applying.id
    begun = current(session, "scanning")
    if begun and Rules(begun.policy_digest, begun.scanner_digest, begun.register_digest) == rules:
        return begun.id
    _forget_old(session)
    row = RescanRow(
        id=f"rescan-{secrets.token_hex(4)}", status="scanning", policy_digest=rules.policy_digest,
        scanner_digest=rules.scanner_digest, register_digest=rules.register_digest, requested_at=now,
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row.id


def _forget_old(session: Session) -> None:
    """Drop comparisons that were not applied; of applied ones, which records were withdrawn is all that is still needed."""
    old = select(RescanRow.id).where(col(RescanRow.status).in_(("scanning", "compared")))
    ids = list(session.exec(old).all())
    line = RescanRecordRow
    gone = col(line.rescan_id).in_(ids) | (col(line.outcome) != "withdraw")
    session.connection().execute(delete(RescanRecordRow).where(gone))
    session.connection().execute(delete(RescanRow).where(col(RescanRow.id).in_(ids)))


def uncompared(session: Session, rescan_id: str) -> list[str]:
    """Ids of the held records that have a text, are under no restriction and have no line yet, sorted."""
    compared = select(RescanRecordRow.record_id).where(RescanRecordRow.rescan_id == rescan_id)
    query = select(RecordRow.id).where(
        col(RecordRow.status).in_(("admitted", "quarantined")), col(RecordRow.restricted_by).is_(None),
        col(RecordRow.id).not_in(compared),
    )  # fmt: skip
    return list(session.exec(query.order_by(col(RecordRow.id))).all())


def add_lines(session: Session, rescan_id: str, lines: Iterable[Line]) -> None:
    """Write lines of a comparison."""
    session.add_all(RescanRecordRow(rescan_id=rescan_id, **asdict(line)) for line in lines)
    session.flush()


def line_in(row: RescanRecordRow) -> Line:
    """The line that was written down."""
    return Line(**{field.name: getattr(row, field.name) for field in fields(Line)})


def finish_comparison(session: Session, rescan_id: str, *, now: datetime) -> str:
    """Fix the digest that an approval binds: rules, and every line."""
    row = session.get_one(RescanRow, rescan_id)
    if row.status != "scanning":
        return row.digest
    lines = session.exec(
        select(RescanRecordRow).where(RescanRecordRow.rescan_id == rescan_id).order_by(col(RescanRecordRow.record_id))
    ).all()
    sealed = hashlib.sha256(f"{row.policy_digest}/{row.scanner_digest}/{row.register_digest}\n".encode())
    for line in lines:
        sealed.update("/".join(astuple(line_in(line))).encode() + b"\n")
    row.status, row.digest = "compared", sealed.hexdigest()
    counts = dict(sorted(Counter(line.outcome for line in lines).items()))
    payload = {"rescan": rescan_id, "policy": row.policy_digest, "digest": row.digest, "outcomes": counts}
    ledger.append(session, at=now, kind="rescan.compared", payload=payload)
    return row.digest


def approve(session: Session, digest: str, *, actor: Actor, rules: Rules, now: datetime) -> str:
    """Bind the comparison that was read; returns the rescan's id. Approving the same again changes nothing.

    Raises:
        RefusedByRule: the actor may not, or policy, scanner, register or records changed since the comparison.
        WrongUsage: there is no comparison.
    """
    actor.require(*APPLIERS, to="apply a changed policy")
    row = current(session, "compared", "applying")
    if row is None:
        raise WrongUsage("No comparison waits to be applied.", hint="Make one: lethe gate rescan")
    again = "Read the new comparison and apply that: lethe gate rescan"
    if digest != row.digest:
        raise RefusedByRule("This is not the digest of the newest comparison.", hint=again)
    if row.status == "applying":
        return row.id
    if Rules(row.policy_digest, row.scanner_digest, row.register_digest) != rules:
        raise RefusedByRule("The policy, the scanner or the register changed since the comparison.", hint=again)
    if uncompared(session, row.id) or _moved(session, row.id) or _learnt_since(session, row.id):
        raise RefusedByRule("Records changed since the comparison.", hint=again)
    row.status, row.approved_by = "applying", actor.name
    payload = {"rescan": row.id, "by": actor.name, "digest": digest}
    ledger.append(session, at=now, kind="rescan.approved", payload=payload)
    return row.id


def still_as_compared(row: RecordRow, line: RescanRecordRow) -> bool:
    """Whether the record is what it was when it was compared."""
    as_it_was = (row.status, row.content_hmac) == (line.was, line.content_before)
    return as_it_was and row.restricted_by is None


def _moved(session: Session, rescan_id: str) -> bool:
    line = RescanRecordRow
    same = (RecordRow.status == line.was, RecordRow.content_hmac == line.content_before)
    query = (
        select(func.count())
        .select_from(line)
        .join(RecordRow, col(RecordRow.id) == col(line.record_id))
        .where(line.rescan_id == rescan_id, *same, col(RecordRow.restricted_by).is_(None))
    )
    compared = select(func.count()).select_from(line).where(line.rescan_id == rescan_id)
    return session.exec(query).one() != session.exec(compared).one()


def _learnt_since(session: Session, rescan_id: str) -> bool:
    """Whether weights hold by now what the comparison takes for unlearnt: it would be stopped and stay in them."""
    stopped = col(RescanRecordRow.outcome).in_(STOPPED)
    lines = session.exec(select(RescanRecordRow).where(RescanRecordRow.rescan_id == rescan_id, stopped)).all()
    return bool(ever_learnt(session, [line.record_id for line in lines if stops_unlearnt(line)]))


def stops_unlearnt(line: RescanRecordRow) -> bool:
    """Whether the line stops an admitted record because nothing had learnt from it when it was compared."""
    return line.was == "admitted" and line.outcome in STOPPED


def todo(session: Session, rescan_id: str, *outcomes: Outcome) -> list[str]:
    """Records with one of the outcomes that have not been carried out, sorted."""
    return list(session.exec(_with(rescan_id, *outcomes).where(col(RescanRecordRow.done).is_(False))).all())


def records_with(session: Session, rescan_id: str, *outcomes: Outcome) -> list[str]:
    """Records with one of the outcomes, carried out or not, sorted."""
    return list(session.exec(_with(rescan_id, *outcomes)).all())


def _with(rescan_id: str, *outcomes: Outcome) -> SelectOfScalar[str]:
    line = RescanRecordRow
    query = select(line.record_id).where(line.rescan_id == rescan_id, col(line.outcome).in_(outcomes))
    return query.order_by(col(line.record_id))


def lines_of(session: Session, rescan_id: str, record_ids: Sequence[str]) -> dict[str, RescanRecordRow]:
    """The lines of some records."""
    found: dict[str, RescanRecordRow] = {}
    for chunk in in_chunks(record_ids):
        query = select(RescanRecordRow).where(
            RescanRecordRow.rescan_id == rescan_id, col(RescanRecordRow.record_id).in_(chunk)
        )
        found |= {line.record_id: line for line in session.exec(query).all()}
    return found
