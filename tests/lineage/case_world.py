"""Cases in a database in memory: a case at any stage of the road, one step in one transaction, and the book of events."""

from __future__ import annotations

import itertools

from lineage_world import DANA, DORA, INES, MILO, NOW, digest, filing_dates
from sqlmodel import SQLModel, col, select

from lineage.access import Actor, Role
from lineage.case import CaseFile, Filing, file_request
from lineage.case_view import CaseView
from lineage.database import Database, open_engine
from lineage.stages import Stage
from lineage.tables import CaseRow, LedgerRow

ROOT, AXEL = Actor("root", Role.ADMIN), Actor("axel", Role.AUDITOR)
INES_AS_DPO = Actor("ines", Role.DPO)  # she files, and somebody made her a DPO since
EVERYBODY = (INES, DANA, DORA, MILO, ROOT, AXEL, INES_AS_DPO)
NUMBERS = itertools.count(1)


def in_memory() -> Database:
    database = Database(open_engine("sqlite://"))
    with database.transaction() as session:
        SQLModel.metadata.create_all(session.connection())
    return database


DATABASE = in_memory()


def filing(case_id: str, *, subject: str | None = "", ground: str = "b") -> Filing:
    known = digest(case_id) if subject == "" else subject
    return Filing(
        case_id=case_id, subject_key=known, supplied=b"sealed", ground=ground, identity_method="portal", **filing_dates()
    )  # fmt: skip


def file(*, subject: str | None = "", actor: Actor = INES) -> str:
    case_id = f"case-{next(NUMBERS):08x}"
    with DATABASE.transaction() as session:
        file_request(session, filing(case_id, subject=subject), actor=actor, now=NOW)
    return case_id


def act(case_id: str, step: str, *arguments: object, **named: object) -> CaseView:
    """One step in one transaction, as the desk and the jobs do."""
    with DATABASE.transaction() as session:
        return getattr(CaseFile(session, case_id), step)(*arguments, **{"now": NOW, **named})


def look(case_id: str) -> CaseRow:
    with DATABASE.reader() as session:
        return session.get_one(CaseRow, case_id)


def events(case_id: str) -> list[str]:
    with DATABASE.reader() as session:
        query = select(LedgerRow.kind).where(LedgerRow.case_id == case_id).order_by(col(LedgerRow.seq))
        return list(session.exec(query).all())


def purge(case_id: str) -> CaseView:
    """What the purge job does: it asks for a hold right before it destroys."""
    with DATABASE.transaction() as session:
        case = CaseFile(session, case_id)
        case.require(Stage.PURGE_APPROVED, to="purge")
        case.require_no_hold()
        return case.purged(now=NOW)


ROAD = (
    (Stage.PREVIEW_READY, lambda c: act(c, "preview_ready", "p1")),
    (Stage.APPROVED, lambda c: act(c, "approve", actor=DANA, digest="p1")),
    (Stage.CONTAINED, lambda c: act(c, "advance", Stage.CONTAINED)),
    (Stage.EXECUTING, lambda c: act(c, "advance", Stage.EXECUTING)),
    (Stage.VERIFYING, lambda c: act(c, "advance", Stage.VERIFYING)),
    (Stage.EVIDENCE_READY, lambda c: act(c, "evidence_ready", "e1")),
    (Stage.PURGE_APPROVED, lambda c: act(c, "approve_purge", actor=DORA, digest="e1")),
    (Stage.PURGED, purge),
    (Stage.SIGNED_OFF, lambda c: act(c, "signed_off", actor=DANA)),
    (Stage.NOTIFYING, lambda c: act(c, "notify")),
    (Stage.CLOSED, lambda c: act(c, "close")),
)


def case_at(stage: Stage) -> str:
    case_id = file()
    for reached, step in ROAD:
        if look(case_id).stage == stage:
            break
        assert step(case_id).stage == reached
    return case_id


STAGES_OF_THE_ROAD = [Stage.ASSESSMENT, *(stage for stage, _ in ROAD)]
