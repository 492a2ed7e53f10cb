"""The days on which a case's clock stood still, because identity was in doubt and the person was asked (Art. 12(6) GDPR)."""

from __future__ import annotations

from datetime import date

from sqlmodel import Session, col, select

from lineage.clock import Pause, paused_days
from lineage.errors import RefusedByRule
from lineage.tables import CasePauseRow

__all__ = ["begin_pause", "days_paused", "end_pause", "paused_since"]


def begin_pause(session: Session, case_id: str, *, received_on: date, asked_on: date) -> None:
    """The person was asked on that day. One pause is open at a time, and none begins inside an earlier one.

    Raises:
        RefusedByRule: the day lies before receipt, or before the last answer.
    """
    rows = _rows(session, case_id)
    answered = max((row.answered_on for row in rows if row.answered_on), default=received_on)
    if asked_on < answered:
        raise RefusedByRule(f"The person cannot have been asked before {answered}.")
    row = session.get(CasePauseRow, (case_id, asked_on)) or CasePauseRow(case_id=case_id, asked_on=asked_on)
    row.answered_on = None
    session.add(row)
    session.flush()


def end_pause(session: Session, case_id: str, *, answered_on: date) -> None:
    """The doubt was gone on that day, which counts again.

    Raises:
        RefusedByRule: no pause is open, or it began later.
    """
    for row in _rows(session, case_id):
        if row.answered_on is None and row.asked_on <= answered_on:
            row.answered_on = answered_on
            session.flush()
            return
    raise RefusedByRule("The person was not asked before that day.")


def paused_since(session: Session, case_id: str) -> date | None:
    """The day on which the person was asked, while the answer is out."""
    return next((row.asked_on for row in _rows(session, case_id) if row.answered_on is None), None)


def days_paused(session: Session, case_id: str, *, received_on: date) -> int:
    """How many days of pauses that have ended; what is open yet is not counted."""
    ended = [Pause(row.asked_on, row.answered_on) for row in _rows(session, case_id) if row.answered_on is not None]
    return paused_days(ended, received=received_on)


def _rows(session: Session, case_id: str) -> list[CasePauseRow]:
    query = select(CasePauseRow).where(CasePauseRow.case_id == case_id)
    return list(session.exec(query.order_by(col(CasePauseRow.asked_on))).all())
