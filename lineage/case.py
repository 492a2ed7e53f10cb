"""The erasure case: which step may follow which, and who may take it.

::

    RECEIVED -> ASSESSMENT -> PREVIEW_READY -> APPROVED -> CONTAINED -> EXECUTING -> VERIFYING -> EVIDENCE_READY
                  |   (preview job)  (DPO, binds       (erasure job: contain, rebuild, re-derive, probe)   |
                  |                   the preview)                                                         v
                  |  CLOSED <- NOTIFYING <- SIGNED_OFF <- PURGED <- PURGE_APPROVED (DPO, binds the evidence)
                  |           (Art. 19)                       (purge job)
                  `-> SEARCHED -> NOT_FOUND (Art. 11: nothing was found, and a DPO decided so on the search report)
    beside the road: REFUSED (Art. 17(3)), FAILED (says which step; `retry` goes on there),
        IDENTITY_CHECK (Art. 12(6): until the approval is carried out; the clock stands still), WITHDRAWN (until the purge)
    back to ASSESSMENT: `confirm_identity`; `search_again`, when a DPO decides about a single record; and `reopen`, whenever
        something turns up that the approvals did not know, until the purge

What others see of a case, also what stands beside its stage, is in `lineage.case_view`; the sets of stages they ask about
are in `lineage.stages`. Who has to be told, and when a signed case closes, is in `lineage.closing`.

Every step takes the time as an argument, checks the order and the actor, writes one ledger event in the same
transaction and is safe to repeat with the same arguments. Approvals are bound to a digest and go stale with it. Intake
and DPO are never one person in a case. A legal hold stops destruction whenever it is placed.

Example: ``CaseFile(session, "case-1a2b").approve(actor=dana, digest="9f..", now=now)``
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from sqlmodel import Session

from lineage import holds, ledger, pauses
from lineage.access import Actor, Role
from lineage.case_view import CaseView, open_case_of, view
from lineage.clock import DueDate
from lineage.errors import RefusedByRule, WrongPerson, WrongUsage
from lineage.stages import DESTROYED, DOUBTFUL, ROAD, RUNNING, TAKEN_BACK, UNFULFILLED, Stage
from lineage.tables import CaseRow

__all__ = ["CaseFile", "Filing", "file_request"]

GROUNDS = {
    "a": "no longer necessary for its purpose, Art. 17(1)(a)",
    "b": "consent withdrawn, Art. 17(1)(b)",
    "c": "objection, Art. 17(1)(c)",
    "d": "unlawful processing, Art. 17(1)(d)",
    "e": "legal obligation to erase, Art. 17(1)(e)",
    "f": "offered to a child online, Art. 17(1)(f)",
}

POLICY_GROUND = "policy"
GROUND_WORDS = {**GROUNDS, POLICY_GROUND: "withdrawn by the controller's gate policy, Art. 5(1)(c) and 24 GDPR"}
IDENTIFIERS = (Role.INTAKE, Role.DPO, Role.ADMIN)
"""Who speaks with the person: about who they are, and whether they still want it."""
APPROVALS = (
    "preview_digest", "approved_digest", "approved_by", "evidence_digest", "purge_digest", "purge_approved_by",
)  # fmt: skip


@dataclass(frozen=True)
class Filing:
    """What intake writes down. `supplied` is the ciphertext of the identifiers the person gave.

    With `rescan_id` it is a withdrawal by policy: about the records of that comparison, and about no person.
    """

    case_id: str
    subject_key: str | None
    supplied: bytes | None
    ground: str
    identity_method: str
    received_on: date
    due_on: date
    due_basis: str
    only_consent: bool = False
    rescan_id: str | None = None


def file_request(session: Session, filing: Filing, *, actor: Actor, now: datetime) -> CaseView:
    """Open a case. A person nobody knows has a key all the same (`sought.provisional_key`) and is searched for.

    Raises:
        RefusedByRule: the actor may not file, or the person has an open case already.
        WrongUsage: the ground is not one of Art. 17(1).
    """
    if filing.rescan_id is None:  # who may apply a comparison was asked when it was approved
        actor.require(Role.INTAKE, Role.ADMIN, to="file a request")
    if filing.ground not in ((POLICY_GROUND,) if filing.rescan_id else GROUNDS):
        raise WrongUsage("The ground is one of the letters a to f of Art. 17(1).")
    if filing.only_consent and filing.ground != "b":
        raise WrongUsage("Only a withdrawal of consent (ground b) can be limited to what rests on consent.")
    if filing.subject_key is not None and (open_case := open_case_of(session, filing.subject_key)):
        raise RefusedByRule(f"This person has an open case already: {open_case}.")
    row = CaseRow(
        id=filing.case_id, stage=Stage.RECEIVED, stage_since=now, received_on=filing.received_on,
        due_on=filing.due_on, due_basis=filing.due_basis, ground=filing.ground,
        identity_method=filing.identity_method, subject_key=filing.subject_key, supplied=filing.supplied,
        filed_by=actor.name, only_consent=filing.only_consent, rescan_id=filing.rescan_id,
    )  # fmt: skip
    session.add(row)
    session.flush()
    ledger.append(
        session, at=now, kind="case.received", case_id=row.id,
        payload={"by": actor.name, "ground": filing.ground, "due": filing.due_on.isoformat()},
    )  # fmt: skip
    return CaseFile(session, row.id).assess(now=now)


class CaseFile:
    """One case inside one transaction: the only code that changes a case's stage."""

    def __init__(self, session: Session, case_id: str) -> None:
        """Open the file of a case.

        Raises:
            WrongUsage: there is no such case.
        """
        row = session.get(CaseRow, case_id, with_for_update=True)
        if row is None:
            raise WrongUsage(f"There is no case {case_id!r}.", hint="See them all: lethe erase list")
        self._session, self._row = session, row

    @property
    def view(self) -> CaseView:
        """The case as it stands."""
        return view(self._row)

    def require(self, *stages: Stage, to: str) -> None:
        """Refuse a step taken out of order.

        Raises:
            RefusedByRule: the case is at another stage.
        """
        if Stage(self._row.stage) not in stages:
            expected = " or ".join(stage.value for stage in stages)
            raise RefusedByRule(f"Case {self._row.id} is at {self._row.stage}; to {to} it must be at {expected}.")

    def assess(self, *, now: datetime) -> CaseView:
        """Go on to the search."""
        self.require(Stage.RECEIVED, to="assess")
        return self._move(Stage.ASSESSMENT, now=now)

    def recognise(self, subject_key: str, *, instead_of: str, now: datetime) -> CaseView:
        """The person was registered since the case was filed under the provisional key `instead_of`; go on with theirs.

        Raises:
            RefusedByRule: that person has an open case of their own.
        """
        if self._row.subject_key != instead_of:
            return self.view
        if open_case := open_case_of(self._session, subject_key):
            raise RefusedByRule(f"This person has an open case already: {open_case}.")
        self._row.subject_key = subject_key
        self._log("case.recognised", now)
        return self.view

    def preview_ready(self, digest: str, *, now: datetime) -> CaseView:
        """The closure was found and the contract written. A new preview takes back an approval of the old one."""
        return self._present(Stage.PREVIEW_READY, digest, now=now, preview=digest)

    def searched(self, digest: str, *, now: datetime) -> CaseView:
        """Nothing of the person was found; `digest` binds the report of the search that a DPO has to read."""
        return self._present(Stage.SEARCHED, digest, now=now, report=digest)

    def _present(self, stage: Stage, digest: str, *, now: datetime, **payload: object) -> CaseView:
        """What a search came to, for a DPO to decide on."""
        self.require(Stage.ASSESSMENT, Stage.SEARCHED, Stage.PREVIEW_READY, Stage.APPROVED, to="preview")
        if self._row.preview_digest == digest and self._row.stage != Stage.ASSESSMENT:
            return self.view
        self._row.preview_digest, self._row.approved_digest, self._row.approved_by = digest, "", ""
        return self._move(stage, now=now, **payload)

    def doubt_identity(self, *, actor: Actor, asked_on: date, now: datetime) -> CaseView:
        """Art. 12(6): there are reasonable doubts who asks, and the person was asked on that day. The clock stands still."""
        actor.require(*IDENTIFIERS, to="doubt the identity")
        if self._row.stage == Stage.IDENTITY_CHECK and pauses.paused_since(self._session, self._row.id) == asked_on:
            return self.view
        self.require(*DOUBTFUL, to="doubt the identity")
        self._require_person()
        pauses.begin_pause(self._session, self._row.id, received_on=self._row.received_on, asked_on=asked_on)
        self._forget_approvals()
        return self._move(Stage.IDENTITY_CHECK, now=now, by=actor.name, asked=asked_on.isoformat())

    def confirm_identity(
        self, *, actor: Actor, answered_on: date, method: str, reckon: Callable[[int], DueDate], now: datetime
    ) -> CaseView:
        """The doubt is gone since that day, by `method`. The due date is reckoned again from receipt with all days of
        waiting so far (`reckon`), never from now; the search begins anew."""
        actor.require(*IDENTIFIERS, to="confirm the identity")
        self.require(Stage.IDENTITY_CHECK, to="confirm the identity")
        pauses.end_pause(self._session, self._row.id, answered_on=answered_on)
        due = reckon(pauses.days_paused(self._session, self._row.id, received_on=self._row.received_on))
        self._row.due_on, self._row.due_basis, self._row.identity_method = due.date, due.basis, method
        answered = {"answered": answered_on.isoformat(), "paused_days": due.paused_days, "due": due.date.isoformat()}
        return self._move(Stage.ASSESSMENT, now=now, by=actor.name, **answered)

    def withdraw(self, *, actor: Actor, reason: str, now: datetime) -> CaseView:
        """The person takes the request back. Until the purge is approved; the caller gives back what was restricted."""
        actor.require(*IDENTIFIERS, to="withdraw a request")
        if self._row.stage == Stage.WITHDRAWN:
            return self.view
        failed_there = self._row.stage == Stage.FAILED and self._row.resume_stage != Stage.PURGE_APPROVED
        self.require(*TAKEN_BACK, *((Stage.FAILED,) if failed_there else ()), to="be withdrawn")
        self._require_person()
        self._row.problem = reason
        return self._move(Stage.WITHDRAWN, now=now, by=actor.name)

    def _require_person(self) -> None:
        if self._row.rescan_id:
            raise RefusedByRule(f"Nobody asked for case {self._row.id}; it is a withdrawal by policy.")

    def search_again(self, *, now: datetime) -> CaseView:
        """A DPO decided about a single record: the preview is made again, and an approval of the old one is taken back."""
        self.require(Stage.ASSESSMENT, Stage.PREVIEW_READY, Stage.APPROVED, to="be searched again")
        self._forget_approvals()
        return self._move(Stage.ASSESSMENT, now=now, attempt=self._row.attempt)

    def _forget_approvals(self) -> None:
        """What was approved is not what is going to be done; the next run is a new attempt."""
        for approval in APPROVALS:
            setattr(self._row, approval, "")
        self._row.attempt += 1

    def wake(self) -> None:
        """Let the sensor ask again for a run that was refused; what refused it is written down where it ended."""
        self._row.attempt += 1

    def not_found(self, *, actor: Actor, digest: str, now: datetime) -> CaseView:
        """The DPO decides, on exactly the report they read, that nothing of this person is held. It is no erasure."""
        actor.require(Role.DPO, to="decide that nothing is held")
        if self._row.stage == Stage.NOT_FOUND and self._row.preview_digest == digest:
            return self.view
        self.require(Stage.SEARCHED, to="decide that nothing is held")
        self.four_eyes(actor)
        if digest != self._row.preview_digest:
            raise RefusedByRule("The report of the search changed since it was read.", hint="Read the new one.")
        return self._move(Stage.NOT_FOUND, now=now, by=actor.name, report=digest)

    def approve(self, *, actor: Actor, digest: str, now: datetime) -> CaseView:
        """The DPO approves exactly the preview they read, in which nothing waits for a decision about a single record."""
        actor.require(Role.DPO, to="approve an erasure")
        if self._row.stage == Stage.APPROVED and self._row.approved_digest == digest:
            return self.view
        self.require(Stage.PREVIEW_READY, to="approve")
        self.four_eyes(actor)
        if digest != self._row.preview_digest:
            raise RefusedByRule("The preview changed since it was read.", hint="Read the new one and approve that.")
        holds.require_decided(self._session, self._row.id)
        self._row.approved_digest, self._row.approved_by = digest, actor.name
        return self._move(Stage.APPROVED, now=now, by=actor.name, preview=digest)

    def advance(self, stage: Stage, *, now: datetime, **payload: object) -> CaseView:
        """A job reports a step of the execution: CONTAINED, EXECUTING or VERIFYING, in this order, repeats allowed."""
        if stage not in (Stage.CONTAINED, Stage.EXECUTING, Stage.VERIFYING):
            raise RefusedByRule(f"{stage} is not a step of an execution.")
        here = ROAD.index(Stage(self._row.stage)) if self._row.stage in ROAD else -1
        if ROAD.index(stage) <= here <= ROAD.index(Stage.VERIFYING):
            return self.view
        self.require(ROAD[ROAD.index(stage) - 1], to=f"reach {stage}")
        return self._move(stage, now=now, **payload)

    def evidence_ready(self, digest: str, *, now: datetime) -> CaseView:
        """Re-derivation and probes are in; `digest` binds all evidence."""
        if self._row.stage == Stage.EVIDENCE_READY and self._row.evidence_digest == digest:
            return self.view
        self.require(Stage.VERIFYING, Stage.EVIDENCE_READY, to="present evidence")
        self._row.evidence_digest = digest
        return self._move(Stage.EVIDENCE_READY, now=now, evidence=digest)

    def approve_purge(self, *, actor: Actor, digest: str, now: datetime) -> CaseView:
        """The DPO approves the destruction on exactly the evidence they read."""
        actor.require(Role.DPO, to="approve a purge")
        if self._row.stage == Stage.PURGE_APPROVED and self._row.purge_digest == digest:
            return self.view
        self.require(Stage.EVIDENCE_READY, to="approve the purge")
        self.four_eyes(actor)
        self.require_nothing_held()
        if digest != self._row.evidence_digest:
            raise RefusedByRule("The evidence changed since it was read.", hint="Read it again and approve that.")
        self._row.purge_digest, self._row.purge_approved_by = digest, actor.name
        return self._move(Stage.PURGE_APPROVED, now=now, by=actor.name, evidence=digest)

    def purged(self, *, now: datetime, **payload: object) -> CaseView:
        """Everything approved is destroyed; the case forgets who it was about."""
        if self._row.stage == Stage.PURGED:
            return self.view
        self.require(Stage.PURGE_APPROVED, to="report the purge")
        self._row.subject_key, self._row.supplied = None, None
        return self._move(Stage.PURGED, now=now, **payload)

    def replayed(self, purge_digest: str, *, now: datetime) -> CaseView:
        """A restored backup had brought this purged case back to an earlier stage; it is purged again (`lineage.replay`).

        A legal hold in the backup is older than the purge, which no hold stopped.
        """
        if Stage(self._row.stage) in DESTROYED:
            return self.view
        self._row.subject_key, self._row.supplied, self._row.hold_reason, self._row.problem = None, None, "", ""
        self._row.evidence_digest = self._row.purge_digest = purge_digest
        return self._move(Stage.PURGED, now=now, replayed=purge_digest)

    def signed_off(self, *, actor: Actor, now: datetime, **payload: object) -> CaseView:
        """The DPO signed the certificate."""
        actor.require(Role.DPO, to="sign a certificate")
        self.require(Stage.PURGED, to="sign")
        self.four_eyes(actor)
        return self._move(Stage.SIGNED_OFF, now=now, by=actor.name, **payload)

    def notify(self, *, now: datetime, **payload: object) -> CaseView:
        """Those who received the data, and the sources it came from, are being told (Art. 19)."""
        if self._row.stage == Stage.NOTIFYING:
            return self.view
        self.require(Stage.SIGNED_OFF, to="notify")
        return self._move(Stage.NOTIFYING, now=now, **payload)

    def close(self, *, now: datetime, **payload: object) -> CaseView:
        """Everybody who had to be told has acknowledged it, or a DPO waived that; the caller has seen to it."""
        if self._row.stage == Stage.CLOSED:
            return self.view
        self.require(Stage.NOTIFYING, to="close")
        return self._move(Stage.CLOSED, now=now, **payload)

    def reopen(self, reason: str, *, now: datetime) -> CaseView:
        """Go back to the search with something that the approvals did not know. What is contained stays contained.

        Every approval is taken back. `reason` is one sentence without values. Nothing may have been destroyed yet.
        """
        if self._row.stage == Stage.ASSESSMENT and self._row.reopen_reason == reason:
            return self.view
        self.require(*ROAD[ROAD.index(Stage.APPROVED) : ROAD.index(Stage.PURGED)], to="be reopened")
        came_from = self._row.stage
        self._forget_approvals()
        self._row.reopen_reason = reason
        return self._move(Stage.ASSESSMENT, now=now, reopened_at=came_from, attempt=self._row.attempt)

    def refuse(self, *, actor: Actor, reason: str, now: datetime) -> CaseView:
        """Art. 17(3), Art. 12(5), or nobody showed who they are: the controller does not erase, and says why."""
        actor.require(Role.DPO, to="refuse a request")
        self.require(Stage.IDENTITY_CHECK, Stage.ASSESSMENT, Stage.SEARCHED, Stage.PREVIEW_READY, to="refuse")
        self._row.problem = reason
        return self._move(Stage.REFUSED, now=now, by=actor.name)

    def extend(self, *, actor: Actor, due_on: date, basis: str, reason: str, now: datetime) -> CaseView:
        """Art. 12(3), second sentence: two further months, with reasons told to the person in the first."""
        actor.require(Role.DPO, to="extend the time limit")
        if self._row.extension_reason:
            raise RefusedByRule(f"Case {self._row.id} was extended already.")
        if self.view.settled:
            raise RefusedByRule(f"Case {self._row.id} has ended.")
        if self._row.stage == Stage.IDENTITY_CHECK:
            raise RefusedByRule(
                f"The clock of case {self._row.id} stands still.", hint="Extend it once the identity is confirmed."
            )
        self._row.due_on, self._row.due_basis, self._row.extension_reason = due_on, basis, reason
        self._log("case.extended", now, by=actor.name, due=due_on.isoformat())
        return self.view

    def hold(self, *, actor: Actor, reason: str, now: datetime) -> CaseView:
        """Place a legal hold (Art. 17(3)(e)), or lift it with an empty reason. It wins at any time before destruction.

        Lifting it counts as a new attempt, so that the sensor asks for the run again by itself.
        """
        actor.require(Role.DPO, to="place or lift a legal hold")
        if self._row.stage in DESTROYED:
            raise RefusedByRule(f"Case {self._row.id} is purged; there is nothing left to hold.")
        if self._row.hold_reason == reason:
            return self.view
        self._row.attempt += not reason
        self._row.hold_reason = reason
        self._log("case.held" if reason else "case.hold_lifted", now, by=actor.name)
        return self.view

    def require_no_hold(self) -> None:
        """Asked again right before every destructive step.

        Raises:
            RefusedByRule: a legal hold is in place.
        """
        if self._row.hold_reason:
            raise RefusedByRule(f"Case {self._row.id} is under legal hold.", hint="Lift it: lethe erase hold --lift")

    def require_nothing_held(self) -> None:
        """As `require_no_hold`, and of every record of the case: the whole purge waits until the last hold is lifted, or its
        record left out.

        Raises:
            RefusedByRule: the case, or one of its records, is under a legal hold.
        """
        self.require_no_hold()
        if count := holds.held_in(self._session, self._row.id):
            raise RefusedByRule(
                f"Case {self._row.id} has {count} record{'s' if count > 1 else ''} under legal hold; nothing is destroyed.",
                hint=f"Lift it: lethe erase hold {self._row.id} --record RECORD --lift; or leave it out: lethe erase decide",
            )

    def forget(self, *, now: datetime) -> CaseView:
        """The case ended without an erasure and is past any complaint: it forgets whom it was about."""
        if self._row.subject_key is None and self._row.supplied is None:
            return self.view
        self.require(*sorted(UNFULFILLED), to="forget the person")
        self.require_no_hold()
        self._row.subject_key, self._row.supplied = None, None
        self._log("case.forgotten", now)
        return self.view

    def fail(self, problem: str, *, now: datetime) -> CaseView:
        """A job gave up: remember where, so that a retry goes on there. `problem` is one sentence without values."""
        if Stage(self._row.stage) not in RUNNING:
            return self.view
        self._row.resume_stage, self._row.problem = self._row.stage, problem
        return self._move(Stage.FAILED, now=now, at=self._row.resume_stage)

    def retry(self, *, now: datetime) -> CaseView:
        """Go back to the step that failed; its jobs are safe to repeat."""
        self.require(Stage.FAILED, to="retry")
        self._row.attempt, self._row.problem = self._row.attempt + 1, ""
        return self._move(Stage(self._row.resume_stage), now=now, attempt=self._row.attempt)

    def _move(self, stage: Stage, *, now: datetime, **payload: object) -> CaseView:
        """Write the event, then the stage, last."""
        self._log(f"case.{stage.value.lower()}", now, **payload)
        self._row.stage, self._row.stage_since = stage.value, now
        self._session.add(self._row)
        self._session.flush()
        return self.view

    def _log(self, kind: str, now: datetime, **payload: object) -> None:
        ledger.append(self._session, at=now, kind=kind, payload=payload, case_id=self._row.id)

    def four_eyes(self, actor: Actor) -> None:
        """Refuse whoever filed the request.

        Raises:
            WrongPerson: the actor did.
        """
        if actor.name == self._row.filed_by:
            raise WrongPerson("Whoever filed a request may not decide on it.", hint="Ask another DPO.")
