"""The desk: one decision about a case per call, each in one transaction; the one road of console and command line.

::

    intake   file_case -> ASSESSMENT
    DPO      approve, approve_purge, not_found, refuse, extend, hold     (bound to the digest that was read)
             decide_record, hold_record                                  (about single records, `lineage.decisions`)
    ML, DPO  retry
    intake, DPO  doubt_identity, confirm_identity, withdraw             (whoever speaks with the person)

Who may do what is enforced by `lineage.case`. The DPO's signature is in `lineage.signing`. What a page or `lethe erase show` reads is in `lineage.dossier`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from lineage import clock, decisions, held_back
from lineage.access import Actor
from lineage.case import CaseFile, Filing, file_request
from lineage.case_view import CaseView
from lineage.decisions import Choice
from lineage.dossier import FILERS, RETRIERS, case_row
from lineage.errors import WrongUsage
from lineage.holds import find_record
from lineage.labels import names_somebody
from lineage.pauses import days_paused
from lineage.search_report import require_still_true
from lineage.sought import open_supplied, person_named, provisional_key
from lineage.stages import Stage
from lineage.subjects import load_forms
from lineage.unredaction import adopt_redactions, end_without_erasure
from lineage.vault import Shredded
from lineage.workspace import Workspace

__all__ = [
    "Intake",
    "approve",
    "approve_purge",
    "confirm_identity",
    "decide_record",
    "doubt_identity",
    "extend",
    "file_case",
    "hold",
    "hold_record",
    "not_found",
    "reason_for",
    "refuse",
    "retry",
    "withdraw",
]  # fmt: skip

MAX_IDENTIFIERS, MAX_IDENTIFIER_CHARS, MAX_SENTENCE_CHARS = 50, 320, 1000
TELLING_CHARS = 4  # shorter identifiers occur in any sentence by chance


@dataclass(frozen=True)
class Intake:
    """What intake writes down about a request; `identifiers` as the person gave them, one each."""

    identifiers: Sequence[str] = field(repr=False)
    ground: str
    identity_method: str
    received_on: date
    only_consent: bool = False


# --- decisions ---------------------------------------------------------------------------------------------------------


def file_case(workspace: Workspace, intake: Intake, *, actor: Actor, now: datetime) -> CaseView:
    """Open a case for the person meant by the identifiers; somebody in no register is searched for by these alone.

    Raises:
        WrongUsage: no identifiers, a malformed field, or a date of receipt in the future.
        NotAcceptable: the identifiers mean several people.
        RefusedByRule: the actor may not file, or the person has an open case.
    """
    actor.require(*FILERS, to="file a request")  # before the search: who is known is not for everybody
    identifiers = _identifiers(intake.identifiers)
    method = _sentence(intake.identity_method, "The identity method", forbidden=identifiers)
    settings, case_id = workspace.settings, f"case-{secrets.token_hex(4)}"
    if intake.received_on > settings.day(now):
        zone = f"It is {settings.day(now)} in {settings.zone}; the zone is set in lethe.toml."
        raise WrongUsage("The date of receipt lies in the future.", hint=zone)
    due = clock.due(intake.received_on, settings.country, subdivision=settings.subdivision or None)
    with workspace.database.transaction() as session:
        subject = person_named(session, identifiers, workspace) or provisional_key(workspace.keyring, case_id)
        supplied = workspace.keystore.seal([(f"case:{case_id}", json.dumps(identifiers).encode())])[0]
        filing = Filing(
            case_id,
            subject,
            supplied,
            intake.ground,
            method,
            intake.received_on,
            due.date,
            due.basis,
            intake.only_consent,
        )
        filed = file_request(session, filing, actor=actor, now=now)
        adopt_redactions(session, case_id)
        return filed


def approve(workspace: Workspace, case_id: str, *, actor: Actor, digest: str, now: datetime) -> CaseView:
    """Approve exactly the preview that was read; see `CaseFile.approve`."""
    with workspace.database.transaction() as session:
        return CaseFile(session, case_id).approve(actor=actor, digest=digest, now=now)


def approve_purge(workspace: Workspace, case_id: str, *, actor: Actor, digest: str, now: datetime) -> CaseView:
    """Approve the destruction on exactly the evidence that was read; see `CaseFile.approve_purge`."""
    with workspace.database.transaction() as session:
        return CaseFile(session, case_id).approve_purge(actor=actor, digest=digest, now=now)


def not_found(workspace: Workspace, case_id: str, *, actor: Actor, digest: str, now: datetime) -> CaseView:
    """Decide, on exactly the report of the search that was read, that nothing is held; see `CaseFile.not_found`.

    Raises:
        RefusedByRule: as there, or the report is no longer true.
    """
    with workspace.database.transaction() as session:
        case = CaseFile(session, case_id)
        if searched := case.view.stage == Stage.SEARCHED:
            require_still_true(session, workspace, case_id)
        nothing = case.not_found(actor=actor, digest=digest, now=now)
        if searched:
            end_without_erasure(session, workspace, case_id, now=now)
        return nothing


def refuse(workspace: Workspace, case_id: str, *, actor: Actor, reason: str, now: datetime) -> CaseView:
    """Refuse the request with a reason the person can read (Art. 12(4) GDPR); what the case restricted or redacted is given back."""
    sentence = reason_for(workspace, case_id, reason)
    with workspace.database.transaction() as session:
        refused = CaseFile(session, case_id).refuse(actor=actor, reason=sentence, now=now)
        end_without_erasure(session, workspace, case_id, now=now)
        return refused


def extend(workspace: Workspace, case_id: str, *, actor: Actor, reason: str, now: datetime) -> CaseView:
    """Two further months (Art. 12(3) GDPR); the person must be told why inside the first (`lineage.letters`)."""
    sentence = reason_for(workspace, case_id, reason)
    settings = workspace.settings
    with workspace.database.transaction() as session:
        case = CaseFile(session, case_id)
        paused = days_paused(session, case_id, received_on=case.view.received_on)
        first = _due(workspace, case.view, paused)
        later = clock.extend(first, told_on=settings.day(now), reasons=sentence)
        return case.extend(actor=actor, due_on=later.date, basis=later.basis, reason=sentence, now=now)


def hold(workspace: Workspace, case_id: str, *, actor: Actor, reason: str, now: datetime) -> CaseView:
    """Place a legal hold (Art. 17(3)(e) GDPR), or lift it with an empty reason."""
    sentence = reason_for(workspace, case_id, reason) if reason.strip() else ""
    with workspace.database.transaction() as session:
        return CaseFile(session, case_id).hold(actor=actor, reason=sentence, now=now)


def doubt_identity(workspace: Workspace, case_id: str, *, actor: Actor, asked_on: date, now: datetime) -> CaseView:
    """Identity is in doubt, and the person was asked on that day: the clock stands still; see `CaseFile.doubt_identity`."""
    _require_past(workspace, asked_on, now)
    with workspace.database.transaction() as session:
        return CaseFile(session, case_id).doubt_identity(actor=actor, asked_on=asked_on, now=now)


def confirm_identity(
    workspace: Workspace, case_id: str, *, actor: Actor, answered_on: date, method: str, now: datetime
) -> CaseView:
    """The doubt is gone since that day: the due date is reckoned again from receipt; see `CaseFile.confirm_identity`."""
    _require_past(workspace, answered_on, now)
    sentence = reason_for(workspace, case_id, method)
    with workspace.database.transaction() as session:
        case = CaseFile(session, case_id)

        def reckon(paused: int) -> clock.DueDate:
            return _due(workspace, case.view, paused, extended=bool(case.view.extension_reason))

        return case.confirm_identity(actor=actor, answered_on=answered_on, method=sentence, reckon=reckon, now=now)


def withdraw(workspace: Workspace, case_id: str, *, actor: Actor, reason: str, now: datetime) -> CaseView:
    """The person takes the request back; what the case restricted or redacted is given back. See `CaseFile.withdraw`."""
    sentence = reason_for(workspace, case_id, reason)
    with workspace.database.transaction() as session:
        case = CaseFile(session, case_id)
        again = case.view.stage == Stage.WITHDRAWN
        withdrawn = case.withdraw(actor=actor, reason=sentence, now=now)
        if not again:
            end_without_erasure(session, workspace, case_id, now=now)
        return withdrawn


def _due(workspace: Workspace, case: CaseView, paused: int, *, extended: bool = False) -> clock.DueDate:
    place = workspace.settings.country, workspace.settings.subdivision or None
    return clock.due(case.received_on, place[0], subdivision=place[1], extended=extended, paused_days=paused)


def _require_past(workspace: Workspace, day: date, now: datetime) -> None:
    settings = workspace.settings
    if day > settings.day(now):
        zone = f"It is {settings.day(now)} in {settings.zone}; the zone is set in lethe.toml."
        raise WrongUsage("That day lies in the future.", hint=zone)


def decide_record(
    workspace: Workspace, case_id: str, record: str, choice: Choice, *, actor: Actor, now: datetime
) -> CaseView:
    """Keep, erase or redact one record, or leave it `as-found`; see `decisions.decide_record`."""
    sentence = reason_for(workspace, case_id, choice.reason) if choice.reason.strip() else ""
    with workspace.database.transaction() as session:
        said = replace(choice, reason=sentence)
        return decisions.decide_record(session, case_id, record, said, actor=actor, now=now)


def hold_record(
    workspace: Workspace, case_id: str, record: str, *, reason: str, actor: Actor, now: datetime
) -> CaseView:
    """Place a legal hold on one record, or lift it with an empty reason; see `decisions.hold_record`.

    Returns the case as it stands then; after the hold of a record that a purge left out, the case that goes on with it.
    """
    sentence = reason_for(workspace, case_id, reason) if reason.strip() else ""
    with workspace.database.transaction() as session:
        case = decisions.hold_record(session, case_id, record, reason=sentence, actor=actor, now=now)
        follows = None if sentence else held_back.go_on(session, workspace, case_id, record, now=now)
        handle = find_record(session, case_id, record).handle
    if follows:
        held_back.shred_copy(workspace, case_id, handle)
    return follows or case


def retry(workspace: Workspace, case_id: str, *, actor: Actor, now: datetime) -> CaseView:
    """Send a failed case back to the step that failed."""
    actor.require(*RETRIERS, to="retry a case")
    with workspace.database.transaction() as session:
        return CaseFile(session, case_id).retry(now=now)


# --- words that are written down ----------------------------------------------------------------------------------------


def _identifiers(given: Sequence[str]) -> list[str]:
    identifiers = list(dict.fromkeys(text.strip() for text in given if text.strip()))
    if not identifiers:
        raise WrongUsage("At least one identifier is needed: a name, e-mail address, phone or account number.")
    if len(identifiers) > MAX_IDENTIFIERS or any(len(text) > MAX_IDENTIFIER_CHARS for text in identifiers):
        raise WrongUsage(f"At most {MAX_IDENTIFIERS} identifiers of {MAX_IDENTIFIER_CHARS} characters each.")
    return identifiers


def reason_for(workspace: Workspace, case_id: str, text: str, *, also: Sequence[str] = ()) -> str:
    """A reason as it is written down: one line that names nobody who is known or was erased, and holds nothing of what the
    person gave, nor of `also`. It stands in the ledger, in letters, and on the certificate.

    Raises:
        WrongUsage: it is empty, too long, or names somebody.
    """
    try:
        identifiers = open_supplied(workspace, case_id) + _registered(workspace, case_id)
    except (WrongUsage, Shredded):  # no case, which the decision itself reports; or nothing left to leak
        identifiers = []
    sentence = _sentence(text, "A reason", forbidden=[*identifiers, *also])
    with workspace.database.reader() as session:
        if names_somebody(session, workspace)(sentence):
            raise WrongUsage("A reason repeats an identifier of a person.", hint="Say it without naming anybody.")
    return sentence


def _registered(workspace: Workspace, case_id: str) -> list[str]:
    with workspace.database.reader() as session:
        key = case_row(session, case_id).subject_key
        return [form.value for form in load_forms(session, workspace.keystore, key)] if key else []


def _sentence(text: str, what: str, *, forbidden: Sequence[str]) -> str:
    """One line of prose without any of the person's identifiers: it is kept, printed and certified."""
    sentence = " ".join(text.split())
    if not sentence or len(sentence) > MAX_SENTENCE_CHARS or not sentence.isprintable():
        raise WrongUsage(f"{what} is needed, in at most {MAX_SENTENCE_CHARS} characters.")
    folded = sentence.casefold()
    if any(len(value) >= TELLING_CHARS and value.casefold() in folded for value in forbidden):
        raise WrongUsage(f"{what} repeats an identifier of a person.", hint="Say it without naming anybody.")
    return sentence
