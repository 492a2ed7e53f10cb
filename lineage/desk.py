"""The desk: one decision about a case per call, each in one transaction; the one road of console and command line.

::

    intake   file_case -> ASSESSMENT or NOT_FOUND
    DPO      approve, approve_purge, sign, refuse, extend, hold          (bound to the digest that was read)
    ML, DPO  retry
    all      inbox, dossier: frozen values with everything a page or `lethe erase show --json` needs

Who may do what is enforced by `lineage.case`; `may` only foretells it, so that a page offers what will work.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from lineage import clock, ledger
from lineage.access import Actor, Role
from lineage.case import GROUNDS, CaseFile, CaseView, Filing, Stage, file_request, list_cases, view
from lineage.chain import Event
from lineage.errors import Fault, NotAcceptable, WrongUsage
from lineage.evidence import evidence, has_evidence
from lineage.keys import load_private_key, load_public_key, private_path, public_path
from lineage.subjects import find_subject
from lineage.tables import CaseRow, CaseRunRow
from lineage.vault import Shredded
from lineage.workspace import Workspace

__all__ = [
    "EVIDENCE_KINDS", "CaseDossier", "CaseRun", "Intake", "NextStep", "Standing", "approve", "approve_purge", "dossier",
    "extend", "file_case", "has_case", "hold", "inbox", "may", "next_steps", "open_supplied", "refuse", "retry", "sign",
]  # fmt: skip

EVIDENCE_KINDS = ("contract", "forecast", "containment", "rebuild", "rederivation", "probe", "destruction")
MAX_IDENTIFIERS, MAX_IDENTIFIER_CHARS, MAX_SENTENCE_CHARS = 50, 320, 1000
TELLING_CHARS = 4  # shorter identifiers occur in any sentence by chance
FILERS, DECIDERS, RETRIERS = (Role.INTAKE, Role.ADMIN), (Role.DPO,), (Role.ML, Role.DPO)
WAITS_FOR = {
    Stage.RECEIVED: "the preview job",
    Stage.ASSESSMENT: "the preview job",
    Stage.PREVIEW_READY: "a DPO to read and approve the preview",
    Stage.APPROVED: "the erasure job",
    Stage.CONTAINED: "the erasure job",
    Stage.EXECUTING: "the erasure job",
    Stage.VERIFYING: "the erasure job",
    Stage.EVIDENCE_READY: "a DPO to read the evidence and approve the purge",
    Stage.PURGE_APPROVED: "the purge job",
    Stage.PURGED: "a DPO to sign",
    Stage.NOT_FOUND: "a human: nobody is known by these identifiers",
    Stage.FAILED: "somebody to read the problem and retry",
}


@dataclass(frozen=True)
class Intake:
    """What intake writes down about a request; `identifiers` as the person gave them, one each."""

    identifiers: Sequence[str] = field(repr=False)
    ground: str
    identity_method: str
    received_on: date


@dataclass(frozen=True)
class NextStep:
    """Something a person may do now. With `four_eyes`, whoever filed the request may not."""

    action: str
    label: str
    roles: tuple[Role, ...]
    four_eyes: bool = True


@dataclass(frozen=True)
class Standing:
    """A case and its clock at a moment. `days_left` counts whole days to the due day; negative is overdue.

    `waits_for` is empty when nothing is to be done any more; then the clock does not matter.
    """

    case: CaseView
    days_left: int
    alarm: clock.AlarmLevel
    waits_for: str


@dataclass(frozen=True)
class CaseRun:
    """A Dagster run that worked on the case."""

    run_id: str
    job: str
    at: datetime


@dataclass(frozen=True)
class CaseDossier:
    """Everything about a case. `evidence` maps a kind of `EVIDENCE_KINDS` to its newest body; absent kinds are left out."""

    standing: Standing
    ground: str
    events: tuple[Event, ...]
    evidence: Mapping[str, Mapping[str, Any]]
    runs: tuple[CaseRun, ...]
    next_steps: tuple[NextStep, ...]
    report: Path | None
    certificate: Path | None

    @property
    def case(self) -> CaseView:
        """The case itself."""
        return self.standing.case

    def as_json(self) -> dict[str, Any]:
        """The form of `--json`: dates as ISO 8601, paths as strings."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=_plain))
        return plain


# --- decisions ---------------------------------------------------------------------------------------------------------


def file_case(workspace: Workspace, intake: Intake, *, actor: Actor, now: datetime) -> CaseView:
    """Open a case for the person meant by the identifiers; for nobody known it ends at NOT_FOUND.

    Raises:
        WrongUsage: no identifiers, a malformed field, or a date of receipt in the future.
        NotAcceptable: the identifiers mean several people.
        RefusedByRule: the actor may not file, or the person has an open case.
    """
    actor.require(*FILERS, to="file a request")  # before the search: who is known is not for everybody
    identifiers = _identifiers(intake.identifiers)
    method = _sentence(intake.identity_method, "The identity method", forbidden=identifiers)
    if intake.received_on > now.date() + timedelta(days=1):  # the controller's clock may be ahead of UTC
        raise WrongUsage("The date of receipt lies in the future.")
    settings, case_id = workspace.settings, f"case-{secrets.token_hex(4)}"
    due = clock.due(intake.received_on, settings.country, subdivision=settings.subdivision or None)
    with workspace.database.transaction() as session:
        subject = _find_one(session, identifiers, workspace)
        supplied = workspace.keystore.seal([(f"case:{case_id}", json.dumps(identifiers).encode())])[0]
        filing = Filing(case_id, subject, supplied, intake.ground, method, intake.received_on, due.date, due.basis)
        return file_request(session, filing, actor=actor, now=now)


def open_supplied(workspace: Workspace, case_id: str) -> list[str]:
    """The identifiers the person gave, in memory, for the search of the preview.

    Raises:
        WrongUsage: no such case, or they were dropped at the purge.
    """
    with workspace.database.reader() as session:
        supplied = _row(session, case_id).supplied
    if supplied is None:
        raise WrongUsage(f"The identifiers of case {case_id} were dropped at its purge.")
    identifiers: list[str] = json.loads(workspace.keystore.open([(f"case:{case_id}", supplied)])[0])
    return identifiers


def approve(workspace: Workspace, case_id: str, *, actor: Actor, digest: str, now: datetime) -> CaseView:
    """Approve exactly the preview that was read; see `CaseFile.approve`."""
    with workspace.database.transaction() as session:
        return CaseFile(session, case_id).approve(actor=actor, digest=digest, now=now)


def approve_purge(workspace: Workspace, case_id: str, *, actor: Actor, digest: str, now: datetime) -> CaseView:
    """Approve the destruction on exactly the evidence that was read; see `CaseFile.approve_purge`."""
    with workspace.database.transaction() as session:
        return CaseFile(session, case_id).approve_purge(actor=actor, digest=digest, now=now)


def refuse(workspace: Workspace, case_id: str, *, actor: Actor, reason: str, now: datetime) -> CaseView:
    """Refuse the request with a reason the person can read (Art. 12(4) GDPR)."""
    sentence = _reason(workspace, case_id, reason)
    with workspace.database.transaction() as session:
        return CaseFile(session, case_id).refuse(actor=actor, reason=sentence, now=now)


def extend(workspace: Workspace, case_id: str, *, actor: Actor, reason: str, now: datetime) -> CaseView:
    """Two further months (Art. 12(3) GDPR), told to the person today."""
    sentence = _reason(workspace, case_id, reason)
    settings = workspace.settings
    with workspace.database.transaction() as session:
        case = CaseFile(session, case_id)
        first = clock.due(case.view.received_on, settings.country, subdivision=settings.subdivision or None)
        later = clock.extend(first, told_on=now.date(), reasons=sentence)
        return case.extend(actor=actor, due_on=later.date, basis=later.basis, reason=sentence, now=now)


def hold(workspace: Workspace, case_id: str, *, actor: Actor, reason: str, now: datetime) -> CaseView:
    """Place a legal hold (Art. 17(3)(e) GDPR), or lift it with an empty reason."""
    sentence = _reason(workspace, case_id, reason) if reason.strip() else ""
    with workspace.database.transaction() as session:
        return CaseFile(session, case_id).hold(actor=actor, reason=sentence, now=now)


def retry(workspace: Workspace, case_id: str, *, actor: Actor, now: datetime) -> CaseView:
    """Send a failed case back to the step that failed."""
    actor.require(*RETRIERS, to="retry a case")
    with workspace.database.transaction() as session:
        return CaseFile(session, case_id).retry(now=now)


def sign(workspace: Workspace, case_id: str, *, actor: Actor, now: datetime, passphrase: str | None = None) -> Path:
    """Countersign the certificate that the purge job prepared; returns where it lies.

    Safe to repeat: Ed25519 is deterministic, so a crash between file and commit leads to the same bytes again.

    Raises:
        RefusedByRule: the case is not purged, or the actor may not sign.
        NotAcceptable: what the pipeline left is not its half-signed certificate of this case.
        WrongUsage: it left none, or the key does not open.
    """
    actor.require(*DECIDERS, to="sign a certificate")
    folder, keys = workspace.case_directory(case_id), workspace.home / "secrets"
    target = folder / "certificate.json"
    with workspace.database.transaction() as session:
        case = CaseFile(session, case_id)
        if case.view.stage == Stage.SIGNED_OFF and target.is_file():
            return target
        case.require(Stage.PURGED, to="sign")
        half_signed = _read_half_signed(folder / "certificate.half.json", public_path(keys, "pipeline"), case_id)
        certificate = _countersign(half_signed, keys, passphrase)
        case.signed_off(actor=actor, now=now, certificate=hashlib.sha256(certificate).hexdigest())
        _write_whole(target, certificate)
    return target


# --- reading -----------------------------------------------------------------------------------------------------------


def has_case(workspace: Workspace, case_id: str) -> bool:
    """Whether there is such a case."""
    with workspace.database.reader() as session:
        return session.get(CaseRow, case_id) is not None


def inbox(workspace: Workspace, *, now: datetime) -> list[Standing]:
    """All cases by due date."""
    with workspace.database.reader() as session:
        return [_standing(case, now) for case in list_cases(session)]


def dossier(workspace: Workspace, case_id: str, *, now: datetime) -> CaseDossier:
    """Everything about one case.

    Raises:
        WrongUsage: no such case.
    """
    folder = workspace.case_directory(case_id)
    with workspace.database.reader() as session:
        case = view(_row(session, case_id))
        query = select(CaseRunRow).where(CaseRunRow.case_id == case_id).order_by(col(CaseRunRow.at))
        kinds = [kind for kind in EVIDENCE_KINDS if has_evidence(session, case_id, kind)]
        return CaseDossier(
            standing=_standing(case, now),
            ground=GROUNDS[case.ground],
            events=tuple(ledger.events_of_case(session, case_id)),
            evidence={kind: evidence(session, case_id, kind) for kind in kinds},
            runs=tuple(CaseRun(row.run_id, row.job, row.at) for row in session.exec(query).all()),
            next_steps=next_steps(case),
            report=_if_file(folder / "report.html"),
            certificate=_if_file(folder / "certificate.json") if case.stage == Stage.SIGNED_OFF else None,
        )


def next_steps(case: CaseView) -> tuple[NextStep, ...]:
    """What may be done by hand at this stage, the main step first. A legal hold takes away the purge."""
    steps = {
        Stage.PREVIEW_READY: [NextStep("approve", "Approve the erasure", DECIDERS)],
        Stage.EVIDENCE_READY: [NextStep("approve_purge", "Approve the purge", DECIDERS)]
        if not case.hold_reason
        else [],
        Stage.PURGED: [NextStep("sign", "Sign the certificate", DECIDERS)],
        Stage.FAILED: [NextStep("retry", "Retry the failed step", RETRIERS, four_eyes=False)],
    }.get(case.stage, [])
    if case.stage in (Stage.ASSESSMENT, Stage.PREVIEW_READY, Stage.NOT_FOUND):
        steps.append(NextStep("refuse", "Refuse the request", DECIDERS, four_eyes=False))
    if not case.ended and not case.extension_reason:
        steps.append(NextStep("extend", "Extend the time limit", DECIDERS, four_eyes=False))
    if not case.ended and case.stage != Stage.PURGED:
        label = "Lift the legal hold" if case.hold_reason else "Place a legal hold"
        steps.append(NextStep("hold", label, DECIDERS, four_eyes=False))
    return tuple(steps)


def may(actor: Actor, case: CaseView, step: NextStep) -> bool:
    """Whether the step is open to this person; `lineage.case` has the last word."""
    return actor.role in step.roles and not (step.four_eyes and actor.name == case.filed_by)


def _standing(case: CaseView, now: datetime) -> Standing:
    ticking = not case.ended or case.stage == Stage.NOT_FOUND  # whoever was not found must still hear so in time
    waits_for = WAITS_FOR[case.stage] if ticking else ""
    return Standing(
        case=case,
        days_left=(case.due_on - now.date()).days,
        alarm=clock.alarm_level(now, case.received_on, case.due_on) if ticking else clock.AlarmLevel.NONE,
        waits_for="the legal hold to be lifted" if case.hold_reason and not case.ended else waits_for,
    )


def _row(session: Session, case_id: str) -> CaseRow:
    row = session.get(CaseRow, case_id)
    if row is None:
        raise WrongUsage(f"There is no case {case_id!r}.", hint="See them all: lethe erase list")
    return row


def _if_file(path: Path) -> Path | None:
    return path if path.is_file() else None


def _plain(value: object) -> object:
    match value:
        case date():
            return value.isoformat()
        case Path():
            return str(value)
        case _:
            raise TypeError(type(value).__name__)


# --- words that are written down ----------------------------------------------------------------------------------------


def _identifiers(given: Sequence[str]) -> list[str]:
    identifiers = list(dict.fromkeys(text.strip() for text in given if text.strip()))
    if not identifiers:
        raise WrongUsage("At least one identifier is needed: a name, e-mail address, phone or account number.")
    if len(identifiers) > MAX_IDENTIFIERS or any(len(text) > MAX_IDENTIFIER_CHARS for text in identifiers):
        raise WrongUsage(f"At most {MAX_IDENTIFIERS} identifiers of {MAX_IDENTIFIER_CHARS} characters each.")
    return identifiers


def _find_one(session: Session, identifiers: Sequence[str], workspace: Workspace) -> str | None:
    """One person all resolving identifiers agree on. A form that several share resolves nothing unless it stands alone."""
    found: set[str] = set()
    shared: NotAcceptable | None = None
    for text in identifiers:
        try:
            key = find_subject(session, text, workspace.keyring)
        except NotAcceptable as error:
            shared = error
            continue
        found |= {key} if key else set()
    if len(found) > 1:
        raise NotAcceptable(f"These identifiers belong to {len(found)} people.", hint="File one request per person.")
    if shared and not found:
        raise shared
    return found.pop() if found else None


def _reason(workspace: Workspace, case_id: str, text: str) -> str:
    try:
        identifiers = open_supplied(workspace, case_id)
    except (WrongUsage, Shredded):  # no case, which the decision itself reports; or nothing left to leak
        identifiers = []
    return _sentence(text, "A reason", forbidden=identifiers)


def _sentence(text: str, what: str, *, forbidden: Sequence[str]) -> str:
    """One line of prose without any of the person's identifiers: it is kept, printed and certified."""
    sentence = " ".join(text.split())
    if not sentence or len(sentence) > MAX_SENTENCE_CHARS or not sentence.isprintable():
        raise WrongUsage(f"{what} is needed, in at most {MAX_SENTENCE_CHARS} characters.")
    folded = sentence.casefold()
    if any(len(value) >= TELLING_CHARS and value.casefold() in folded for value in forbidden):
        raise WrongUsage(f"{what} repeats an identifier of the person.", hint="Say it without naming the person.")
    return sentence


# --- the certificate -----------------------------------------------------------------------------------------------------


def _read_half_signed(path: Path, pipeline_key: Path, case_id: str) -> bytes:
    from lineage.certificate import read_half_signed, read_statement

    try:
        half_signed = path.read_bytes()
    except OSError:
        raise WrongUsage(f"Case {case_id} has no half-signed certificate.", hint="Run the purge job again.") from None
    facts, _ = read_statement(read_half_signed(half_signed, pipeline_public=load_public_key(pipeline_key)))
    if facts.request.case != case_id:
        raise NotAcceptable("The half-signed certificate was made for another case.", hint="Run the purge job again.")
    return half_signed


def _countersign(half_signed: bytes, keys: Path, passphrase: str | None) -> bytes:
    from lineage.certificate import countersign

    dpo = load_private_key(private_path(keys, "dpo"), passphrase=passphrase)
    return countersign(half_signed, dpo, pipeline_public=load_public_key(public_path(keys, "pipeline")))


def _write_whole(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise Fault(f"The certificate could not be written ({type(error).__name__}).", hint="Sign again.") from None
