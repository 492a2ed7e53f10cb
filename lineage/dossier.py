"""A case, read: its clock, its evidence, what it waits for and what may be done next. Nothing here changes anything.

Who may do what is enforced by `lineage.case`; `may` only foretells it, so that a page offers what will work.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, time
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from lineage import clock, ledger, letters
from lineage.access import Actor, Role
from lineage.case import GROUND_WORDS, IDENTIFIERS
from lineage.case_view import Beside, CaseView, list_cases, view
from lineage.chain import Event
from lineage.errors import WrongUsage
from lineage.evidence import evidence, has_evidence
from lineage.notices import Notice, notices, waited_for
from lineage.pauses import days_paused, paused_since
from lineage.settings import Settings
from lineage.stages import CERTIFIED, DESTROYED, DOUBTFUL, TAKEN_BACK, Stage
from lineage.tables import CaseRow, CaseRunRow
from lineage.workspace import Workspace

__all__ = [
    "DECIDERS", "EVIDENCE_KINDS", "FILERS", "HALF_SIGNED", "RETRIERS", "SECOND_STAGE", "CaseDossier", "CaseRun", "HalfSigned",
    "NextStep", "Standing",
    "case_row", "has_case", "inbox", "may", "next_steps", "read_case",
]  # fmt: skip

EVIDENCE_KINDS = (
    "search_report", "contract", "sightings", "forecast", "containment", "rebuild", "rederivation", "probe", "destruction",
)  # fmt: skip
SECOND_STAGE = "second-stage"
"""The folder of a case in which the report of a second stage lies."""
HALF_SIGNED = "certificate.half.json"
"""What the purge leaves in the folder of a case for a DPO to read and sign."""
FILERS, DECIDERS, RETRIERS = (Role.INTAKE, Role.ADMIN), (Role.DPO,), (Role.ML, Role.DPO)
WAITS_FOR = {
    Stage.RECEIVED: "the preview job",
    Stage.IDENTITY_CHECK: "the person to show who they are; the clock stands still",
    Stage.ASSESSMENT: "the preview job",
    Stage.SEARCHED: "a DPO to read the report of the search: nothing was found",
    Stage.PREVIEW_READY: "a DPO to read and approve the preview",
    Stage.APPROVED: "the erasure job",
    Stage.CONTAINED: "the erasure job",
    Stage.EXECUTING: "the erasure job",
    Stage.VERIFYING: "the erasure job",
    Stage.EVIDENCE_READY: "a DPO to read the evidence and approve the purge",
    Stage.PURGE_APPROVED: "the purge job",
    Stage.PURGED: "a DPO to sign",
    Stage.FAILED: "somebody to read the problem and retry",
}


@dataclass(frozen=True)
class NextStep:
    """Something a person may do now. With `four_eyes`, whoever filed the request may not."""

    action: str
    label: str
    roles: tuple[Role, ...]
    four_eyes: bool = True


@dataclass(frozen=True)
class Standing:
    """A case and its clock at a moment. `days_left` counts the controller's days to the due day; negative is overdue.

    `waits_for` is empty when nothing is to be done any more; then the clock does not matter. `letter` is what the person
    has to be told next: a case that has ended waits for that, and its clock runs.
    """

    case: CaseView
    days_left: int
    alarm: clock.AlarmLevel
    waits_for: str
    letter: letters.Owed | None = None


@dataclass(frozen=True)
class CaseRun:
    """A Dagster run that worked on the case."""

    run_id: str
    job: str
    at: datetime


@dataclass(frozen=True)
class HalfSigned:
    """The certificate that waits for a DPO: where it lies, and the SHA-256 that binds a signature to it."""

    path: Path
    digest: str


@dataclass(frozen=True)
class CaseDossier:
    """Everything about a case. `evidence` maps a kind of `EVIDENCE_KINDS` to its newest body; absent kinds are left out.
    `letters` are what the case knows of each letter that was written to the person, `notices` those to the parties.

    `second_report` is the probes' second stage, which decides where there is one; `report` is then the first one's FAIL.
    """

    standing: Standing
    ground: str
    events: tuple[Event, ...]
    evidence: Mapping[str, Mapping[str, Any]]
    letters: Mapping[str, Mapping[str, Any]]
    notices: tuple[Notice, ...]
    runs: tuple[CaseRun, ...]
    next_steps: tuple[NextStep, ...]
    report: Path | None
    second_report: Path | None
    certificate: Path | None
    half_signed: HalfSigned | None

    @property
    def case(self) -> CaseView:
        """The case itself."""
        return self.standing.case

    def as_json(self) -> dict[str, Any]:
        """The form of `--json`: dates as ISO 8601, paths as strings."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=_plain))
        return plain


def has_case(workspace: Workspace, case_id: str) -> bool:
    """Whether there is such a case."""
    with workspace.database.reader() as session:
        return session.get(CaseRow, case_id) is not None


def inbox(workspace: Workspace, *, now: datetime) -> list[Standing]:
    """All cases by due date."""
    with workspace.database.reader() as session:
        return [_standing(session, case, now, workspace.settings) for case in list_cases(session)]


def read_case(workspace: Workspace, case_id: str, *, now: datetime) -> CaseDossier:
    """Everything about one case.

    Raises:
        WrongUsage: no such case.
    """
    folder = workspace.case_directory(case_id)
    with workspace.database.reader() as session:
        case = view(case_row(session, case_id))
        query = select(CaseRunRow).where(CaseRunRow.case_id == case_id).order_by(col(CaseRunRow.at))
        kinds = [kind for kind in EVIDENCE_KINDS if has_evidence(session, case_id, kind)]
        return CaseDossier(
            standing=_standing(session, case, now, workspace.settings),
            ground=GROUND_WORDS[case.ground],
            events=tuple(ledger.events_of_case(session, case_id)),
            evidence={kind: evidence(session, case_id, kind) for kind in kinds},
            letters={kind: body for kind in letters.Kind if (body := letters.filed(session, case_id, kind))},
            notices=tuple(notices(session, case_id)),
            runs=tuple(CaseRun(row.run_id, row.job, row.at) for row in session.exec(query).all()),
            next_steps=next_steps(case),
            report=_if_file(folder / "report.html"),
            second_report=_if_file(folder / SECOND_STAGE / "report.html"),
            certificate=_if_file(folder / "certificate.json") if case.stage in CERTIFIED else None,
            half_signed=_half_signed(folder / HALF_SIGNED) if case.stage == Stage.PURGED else None,
        )


def next_steps(case: CaseView) -> tuple[NextStep, ...]:
    """What may be done by hand at this stage, the main step first. A legal hold takes away the purge."""
    steps = {
        Stage.SEARCHED: [NextStep("not_found", "Decide that nothing is held", DECIDERS)],
        Stage.PREVIEW_READY: [NextStep("approve", "Approve the erasure", DECIDERS)],
        Stage.EVIDENCE_READY: [NextStep("approve_purge", "Approve the purge", DECIDERS)]
        if Beside.ON_HOLD not in case.beside
        else [],
        Stage.PURGED: [NextStep("sign", "Sign the certificate", DECIDERS)],
        Stage.FAILED: [NextStep("retry", "Retry the failed step", RETRIERS, four_eyes=False)],
    }.get(case.stage, [])
    if case.stage in (Stage.IDENTITY_CHECK, Stage.ASSESSMENT, Stage.SEARCHED, Stage.PREVIEW_READY):
        steps.append(NextStep("refuse", "Refuse the request", DECIDERS, four_eyes=False))
    if not case.settled and not case.extension_reason and case.stage != Stage.IDENTITY_CHECK:
        steps.append(NextStep("extend", "Extend the time limit", DECIDERS, four_eyes=False))
    steps += _about_the_person(case)
    if not case.ended and case.stage not in DESTROYED:
        label = "Lift the legal hold" if case.hold_reason else "Place a legal hold"
        steps.append(NextStep("hold", label, DECIDERS, four_eyes=False))
    return tuple(steps)


def _about_the_person(case: CaseView) -> Iterator[NextStep]:
    """Steps of whoever speaks with the person. Nobody asked for a withdrawal by policy."""
    if case.rescan_id:
        return
    if case.stage == Stage.IDENTITY_CHECK:
        yield NextStep("confirm", "Confirm who asks", IDENTIFIERS, four_eyes=False)
    if case.stage in DOUBTFUL:
        yield NextStep("doubt", "Doubt who asks", IDENTIFIERS, four_eyes=False)
    if case.stage in TAKEN_BACK or (case.stage == Stage.FAILED and case.resume_stage != Stage.PURGE_APPROVED):
        yield NextStep("withdraw", "Take the request back", IDENTIFIERS, four_eyes=False)


def may(actor: Actor, case: CaseView, step: NextStep) -> bool:
    """Whether the step is open to this person; `lineage.case` has the last word."""
    return actor.role in step.roles and not (step.four_eyes and actor.name == case.filed_by)


def _standing(session: Session, case: CaseView, now: datetime, settings: Settings) -> Standing:
    """While the person is asked who they are, both the days that are left and the alarm stay what they were that morning.

    An alarm is about the answer: it ends when the person was told, and not when the case is decided. A refusal has the first month
    only, whether or not the request was extended (`lineage.letters.tell_before`).
    """
    letter = letters.owed(session, case, settings)
    due_on = min(case.due_on, letter.by) if letter and case.settled else case.due_on
    paused, asked = days_paused(session, case.id, received_on=case.received_on), paused_since(session, case.id)
    stopped = datetime.combine(asked, time.min, settings.time_zone) if asked and not case.ended else now
    alarm = clock.alarm_level(min(now, stopped), case.received_on, due_on, zone=settings.time_zone, paused_days=paused)
    return Standing(
        case=case,
        days_left=(due_on - settings.day(min(now, stopped))).days,
        alarm=clock.AlarmLevel.NONE if case.settled and not letter else alarm,
        waits_for=", and for ".join(_waits_for(session, case, letter)),
        letter=letter,
    )


def _waits_for(session: Session, case: CaseView, letter: letters.Owed | None) -> Iterator[str]:
    if not case.settled:
        yield _held_by(case) or WAITS_FOR[case.stage]
    if parties := waited_for(session, case.id):
        yield parties
    if letter:
        yield f"the person to be told ({letter.kind}) by {letter.by}"


def _held_by(case: CaseView) -> str:
    """The hold that a case waits for: its own at every stage, that of a record before the purge."""
    if case.hold_reason:
        return "the legal hold to be lifted"
    before_purge = Beside.ON_HOLD in case.beside and case.stage in (Stage.EVIDENCE_READY, Stage.PURGE_APPROVED)
    return "the legal hold of a record to be lifted" if before_purge else ""


def case_row(session: Session, case_id: str) -> CaseRow:
    """The row of a case.

    Raises:
        WrongUsage: there is no such case.
    """
    row = session.get(CaseRow, case_id)
    if row is None:
        raise WrongUsage(f"There is no case {case_id!r}.", hint="See them all: lethe erase list")
    return row


def _if_file(path: Path) -> Path | None:
    return path if path.is_file() else None


def _half_signed(path: Path) -> HalfSigned | None:
    return HalfSigned(path, sha256(path.read_bytes()).hexdigest()) if path.is_file() else None


def _plain(value: object) -> object:
    match value:
        case date():
            return value.isoformat()
        case Path():
            return str(value)
        case _:
            raise TypeError(type(value).__name__)
