"""Notices under Art. 19 GDPR: one for each party that the approved contract names, and how far each has come.

::

    PENDING -> SENT -> ACKNOWLEDGED        SENT is written before the request goes out and the answer after it
       ^        |                          failed: PENDING again after a wait; after the eighth try DEAD
       '--------'--> DEAD -> (retry) PENDING
    WAIVED: a DPO decided, with a reason, that the case does not wait for it
    a party without a webhook is told by hand and stays PENDING until somebody says that it acknowledged

A notice is acknowledged by HTTP 200 *and* the JSON object ``{"id": <the notice's>, "ok": true}``, by nothing less: a 200 alone
says that somebody listens. A crash between the request and its answer leaves SENT; the notice goes out again with the same
id, by which the party knows that it has it already. A body holds handles and digests and nothing of the person.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import rfc8785
from sqlmodel import Session, col, select

from lineage import ledger
from lineage.case import CaseFile
from lineage.errors import RefusedByRule, WrongUsage
from lineage.evidence import last_filed
from lineage.notice_words import said_to
from lineage.tables import NoticeRow, PartyRow

__all__ = [
    "MAX_TRIES", "OPEN", "WAITS", "Acknowledged", "Notice", "State", "acknowledgements", "answered", "begin_try", "change",
    "due", "find_notice", "make_notices", "notices", "refusal", "waited_for",
]  # fmt: skip

WAITS = tuple(timedelta(minutes=m) for m in (1, 5, 30, 120, 480, 1440, 2880))
"""From one try to the next: at once, then over three and a half days."""
MAX_TRIES = len(WAITS) + 1
PROBLEM_CHARS = 200


class State(StrEnum):
    """How far a notice has come."""

    PENDING = "pending"
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    DEAD = "dead"
    WAIVED = "waived"


OPEN = (State.PENDING, State.SENT, State.DEAD)
"""What a case waits for."""


@dataclass(frozen=True)
class Notice:
    """A notice as it stands. Without `next_try_at` nobody tries: it is told by hand, or is over."""

    id: str
    case_id: str
    party: str
    body: str
    state: State
    tries: int
    next_try_at: datetime | None
    problem: str
    waived_by: str
    waive_reason: str
    made_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class Acknowledged:
    """A notice that its party acknowledged; told by hand, both times are the beginning of that day."""

    party: str
    id: str
    sent: datetime
    acknowledged: datetime


# --- deciding -------------------------------------------------------------------------------------------------------------


def begin_try(notice: Notice, now: datetime) -> Notice:
    """The notice before it goes out: counted, and not due again before its wait is over. After the last one it is DEAD.

    Raises:
        RefusedByRule: it is not due.
    """
    if notice.state not in (State.PENDING, State.SENT) or notice.next_try_at is None or notice.next_try_at > now:
        raise RefusedByRule(f"The notice {notice.id} is not due.")
    if notice.tries >= MAX_TRIES:  # the last one was sent, and nobody lived to hear the answer
        return replace(notice, state=State.DEAD, next_try_at=None, ended_at=now, problem="the last try was interrupted")
    wait = WAITS[min(notice.tries, len(WAITS) - 1)]
    return replace(notice, state=State.SENT, tries=notice.tries + 1, next_try_at=now + wait)


def answered(notice: Notice, problem: str, now: datetime) -> Notice:
    """The notice after a try: acknowledged if there is no `problem`, else tried again later, or given up."""
    if not problem:
        return replace(notice, state=State.ACKNOWLEDGED, next_try_at=None, problem="", ended_at=now)
    told = problem[:PROBLEM_CHARS]
    if notice.tries >= MAX_TRIES:
        return replace(notice, state=State.DEAD, next_try_at=None, problem=told, ended_at=now)
    return replace(notice, state=State.PENDING, next_try_at=now + WAITS[notice.tries - 1], problem=told)


def refusal(notice_id: str, status: int, body: bytes) -> str:
    """Why an answer acknowledges nothing, without a word of it; empty: it acknowledges this notice."""
    if status != 200:
        return f"HTTP {status} instead of 200"
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return "HTTP 200 without JSON"
    if not isinstance(said, dict):
        return "HTTP 200 without a JSON object"
    if said.get("id") != notice_id:
        return "HTTP 200 with another id"
    return "" if said.get("ok") is True else "HTTP 200 without ok: true"


# --- the table ------------------------------------------------------------------------------------------------------------


def make_notices(session: Session, case_id: str, controller: str, *, now: datetime) -> int:
    """One notice for each party of the contract that was approved; returns how many there are. The same again makes none."""
    named = [party["name"] for party in last_filed(session, case_id, "contract").get("parties_to_be_told", ())]
    known = {notice.party for notice in notices(session, case_id)}
    for party in (session.get_one(PartyRow, name) for name in named if name not in known):
        notice_id = f"notice-{secrets.token_hex(8)}"
        body: dict[str, Any] = {
            "id": notice_id, "type": "lethe.erasure", "timestamp": now.isoformat(timespec="seconds"),
            "data": {"case": case_id, "controller": controller, **said_to(session, case_id, party)},
        }  # fmt: skip
        session.add(
            NoticeRow(
                id=notice_id, case_id=case_id, party=party.name, body=rfc8785.dumps(body).decode(), state=State.PENDING,
                next_try_at=now if party.endpoint else None, made_at=now,
            )
        )  # fmt: skip
        session.flush()
        ledger.append(session, at=now, kind="notice.made", case_id=case_id, payload={"notice": notice_id, "party": party.name})  # fmt: skip
    return len(named)


def notices(session: Session, case_id: str | None = None) -> list[Notice]:
    """The notices of a case, or all, by case and party."""
    query = select(NoticeRow).order_by(col(NoticeRow.case_id), col(NoticeRow.party))
    return _all(session, query.where(NoticeRow.case_id == case_id) if case_id else query)


def due(session: Session, now: datetime) -> list[Notice]:
    """What is to be sent now, oldest first."""
    waiting = col(NoticeRow.state).in_([State.PENDING, State.SENT]), col(NoticeRow.next_try_at) <= now
    return _all(session, select(NoticeRow).where(*waiting).order_by(col(NoticeRow.made_at), col(NoticeRow.id)))


def find_notice(session: Session, notice_id: str) -> Notice:
    """A notice, locked until the transaction ends, with its case.

    Raises:
        WrongUsage: there is none of that id.
    """
    row = session.get(NoticeRow, notice_id, with_for_update=True)
    if row is None:
        raise WrongUsage(f"There is no notice {notice_id!r}.", hint="See them all: lethe notice list")
    CaseFile(session, row.case_id)
    return _notice(row)


def change(session: Session, notice: Notice, event: str, *, now: datetime, **payload: object) -> Notice:
    """Write down how far a notice has come, with the event that says so."""
    row = session.get_one(NoticeRow, notice.id)
    for name in ("state", "tries", "next_try_at", "problem", "waived_by", "waive_reason", "ended_at"):
        setattr(row, name, getattr(notice, name))
    session.add(row)
    session.flush()
    said = {"notice": notice.id, "party": notice.party, **payload}
    ledger.append(session, at=now, kind=f"notice.{event}", case_id=notice.case_id, payload=said)
    return notice


def acknowledgements(session: Session, case_id: str) -> tuple[Acknowledged, ...]:
    """Who of a case's parties acknowledged which notice, sent when and acknowledged when; by party."""
    sent: dict[str, datetime] = {}
    for event in ledger.events_of_case(session, case_id):
        if event.kind == "notice.sent":
            sent[str(event.payload["notice"])] = event.at
        elif event.kind == "notice.acknowledged" and "by" in event.payload:  # by hand, whatever was sent before
            sent.pop(str(event.payload["notice"]), None)
    return tuple(
        Acknowledged(n.party, n.id, sent.get(n.id, n.ended_at), n.ended_at)
        for n in notices(session, case_id)
        if n.state == State.ACKNOWLEDGED and n.ended_at is not None
    )


def waited_for(session: Session, case_id: str) -> str:
    """Whose acknowledgement a case waits for, in words."""
    states = [notice.state for notice in notices(session, case_id)]
    waiting, dead = sum(state in OPEN for state in states), states.count(State.DEAD)
    given_up = f", {dead} of them given up on" if dead else ""
    return f"{waiting} of {len(states)} parties to acknowledge it{given_up}" if waiting else ""


def _all(session: Session, query: object) -> list[Notice]:
    rows: Sequence[NoticeRow] = session.exec(query).all()  # type: ignore[call-overload]
    return [_notice(row) for row in rows]


def _notice(row: NoticeRow) -> Notice:
    fields = {name: getattr(row, name) for name in Notice.__dataclass_fields__}
    return Notice(**{**fields, "state": State(row.state)})
