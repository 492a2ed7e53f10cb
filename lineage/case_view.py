"""A case as other rooms see it: a frozen value, and the lists of them. `lineage.case` alone changes one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import cast

from sqlalchemy.orm import object_session
from sqlmodel import Session, col, select

from lineage import holds
from lineage.stages import ENDED, SETTLED, Stage
from lineage.tables import CaseRow

__all__ = ["Beside", "CaseView", "list_cases", "open_case_of", "view"]


class Beside(StrEnum):
    """What is true of a case besides its stage: computed, and no stage of its own."""

    CLOCK_PAUSED = "CLOCK_PAUSED"
    EXTENDED = "EXTENDED"
    ON_HOLD = "ON_HOLD"
    PARTLY_REFUSED = "PARTLY_REFUSED"
    REOPENED = "REOPENED"


@dataclass(frozen=True)
class CaseView:
    """A case as other rooms see it; the subject's key stays inside `lineage`."""

    id: str
    stage: Stage
    stage_since: datetime
    received_on: date
    due_on: date
    due_basis: str
    ground: str
    identity_method: str
    filed_by: str
    approved_by: str
    purge_approved_by: str
    preview_digest: str
    approved_digest: str
    evidence_digest: str
    purge_digest: str
    attempt: int
    resume_stage: str
    problem: str
    hold_reason: str
    extension_reason: str
    reopen_reason: str
    only_consent: bool
    rescan_id: str | None
    beside: tuple[Beside, ...]

    @property
    def ended(self) -> bool:
        """Whether the case is over; the person may have to be told yet (`lineage.letters.owed`)."""
        return self.stage in ENDED

    @property
    def settled(self) -> bool:
        """Whether nothing of the person is searched for, changed or judged any more."""
        return self.stage in SETTLED


def view(row: CaseRow) -> CaseView:
    """The frozen value of a row, which must be of a session that is open."""
    fields = {name: getattr(row, name) for name in CaseView.__dataclass_fields__ if name != "beside"}
    return CaseView(**{**fields, "stage": Stage(row.stage), "beside": tuple(_beside(row))})


def _beside(row: CaseRow) -> Iterator[Beside]:
    session = cast("Session | None", object_session(row))
    if session is None:
        raise RuntimeError("A case is viewed inside its session.")
    if row.stage == Stage.IDENTITY_CHECK:
        yield Beside.CLOCK_PAUSED
    if row.extension_reason:
        yield Beside.EXTENDED
    if row.hold_reason or holds.held_in(session, row.id):
        yield Beside.ON_HOLD
    if any(ruling.decision in ("keep", holds.LEAVE_OUT) for ruling in holds.decisions_of(session, row.id).values()):
        yield Beside.PARTLY_REFUSED
    if row.reopen_reason:
        yield Beside.REOPENED


def list_cases(session: Session, *stages: Stage) -> list[CaseView]:
    """Cases by due date; all, or those at the given stages."""
    query = select(CaseRow).order_by(col(CaseRow.due_on), col(CaseRow.id))
    if stages:
        query = query.where(col(CaseRow.stage).in_([stage.value for stage in stages]))
    return [view(row) for row in session.exec(query).all()]


def open_case_of(session: Session, subject_key: str) -> str | None:
    """The person's case that has not ended; there is one at most."""
    rows = session.exec(select(CaseRow).where(CaseRow.subject_key == subject_key)).all()
    return next((row.id for row in rows if Stage(row.stage) not in ENDED), None)
