"""The ledger: append-only, hash-chained, pseudonymous events, in the same transaction as what they record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import insert, text
from sqlalchemy import select as sql_select
from sqlmodel import Session, SQLModel, col, select

from lineage.chain import GENESIS, Broken, Event, Intact, Written, follows, link, verify_chain
from lineage.tables import LedgerRow

__all__ = ["append", "events_of_case", "head", "verify"]

# Two prepared statements on the session's own connection: by way of mapped rows an event takes five times as long.
_TABLE = SQLModel.metadata.tables[str(LedgerRow.__tablename__)]
_NEWEST = sql_select(_TABLE.c.seq, _TABLE.c.digest).order_by(_TABLE.c.seq.desc()).limit(1)
_ADD = insert(_TABLE)
_ALL = sql_select(*(_TABLE.c[name] for name in (*Written._fields, "case_id"))).order_by(_TABLE.c.seq)
LEDGER_LOCK = 0x6C65746865  # "lethe": PostgreSQL advisory lock that queues writers as SQLite's write lock does


def append(session: Session, *, at: datetime, kind: str, payload: Mapping[str, object], case_id: str = "") -> Event:
    """Add one event to the chain. The payload holds counts, digests and case ids; never a person's data or key."""
    session.flush()
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:k)"), {"k": LEDGER_LOCK})
    last = connection.execute(_NEWEST).first()
    seq, previous = (last.seq + 1, last.digest) if last else (1, GENESIS)
    event = link(previous, seq, at, kind, {**payload, **({"case": case_id} if case_id else {})})
    row = {
        "seq": event.seq, "at": event.at.isoformat(), "kind": event.kind, "case_id": case_id,
        "payload": json.dumps(event.payload, sort_keys=True, ensure_ascii=False, separators=(",", ":")),
        "previous": event.previous, "digest": event.digest,
    }  # fmt: skip
    connection.execute(_ADD, row)
    return event


def _event(row: LedgerRow | Written) -> Event:
    return Event(row.seq, datetime.fromisoformat(row.at), row.kind, json.loads(row.payload), row.previous, row.digest)


def head(session: Session) -> tuple[int, str]:
    """Sequence number and digest of the newest event; (0, GENESIS) for an empty ledger."""
    last = session.exec(select(LedgerRow).order_by(col(LedgerRow.seq).desc()).limit(1)).first()
    return (last.seq, last.digest) if last else (0, GENESIS)


def events_of_case(session: Session, case_id: str) -> list[Event]:
    """What happened in a case, oldest first."""
    rows = session.exec(select(LedgerRow).where(LedgerRow.case_id == case_id).order_by(col(LedgerRow.seq))).all()
    return [_event(row) for row in rows]


def verify(session: Session) -> Intact | Broken:
    """Recompute the whole chain from its first event."""
    whole = Intact(GENESIS, 0)
    for *texts, case_id in session.connection().execute(_ALL):
        written = Written(*texts)
        if follows(written, whole.head, whole.length + 1) and _case_of(written) == case_id:
            whole = Intact(written.digest, written.seq)
            continue
        found = verify_chain([_as_stored(written, case_id)], after=whole)
        if isinstance(found, Broken):
            return found
        whole = found
    return whole


def _case_of(row: Written) -> object:
    """The case that a payload names, "" for none; None if it is no payload."""
    try:
        return json.loads(row.payload).get("case", "")
    except (AttributeError, ValueError):
        return None


def _as_stored(row: Written, case_id: str) -> Event:
    """The event of a row; one whose digest cannot hold when the row does not read as one, or stands in another case."""
    try:
        if _case_of(row) == case_id:
            return _event(row)
    except (AttributeError, TypeError, ValueError):
        pass
    return Event(row.seq, datetime.min.replace(tzinfo=UTC), row.kind, {}, row.previous, "")
