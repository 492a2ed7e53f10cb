"""Whatever is called in whatever order, nobody signs what was not approved by the right person on this digest.

The machine calls every step with every actor and with fresh, stale and foolish digests, keeps a book of its own of what
was approved, and compares after each call.
"""

from __future__ import annotations

from datetime import date

import pytest
from case_world import DATABASE, EVERYBODY, INES_AS_DPO, ROOT, act, events, file, look, purge
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from lineage_world import DANA, DORA, MILO

from lineage import ledger
from lineage.access import Actor, Role
from lineage.chain import Broken
from lineage.clock import DueDate, due
from lineage.errors import LetheError
from lineage.stages import CERTIFIED, DESTROYED, ENDED, RUNNING, Stage

REACHED: set[str] = set()
BEFORE_EXECUTION = (Stage.IDENTITY_CHECK, Stage.ASSESSMENT, Stage.PREVIEW_READY, Stage.APPROVED)
_NEXT = {Stage.APPROVED: Stage.CONTAINED, Stage.CONTAINED: Stage.EXECUTING, Stage.EXECUTING: Stage.VERIFYING}
ACTORS = st.sampled_from(EVERYBODY)
DIGESTS = st.sampled_from(["d1", "d2", ""])


def reckon(paused: int) -> DueDate:
    return due(date(2026, 1, 31), "DE", paused_days=paused)


class AnySequence(RuleBasedStateMachine):
    """Calls that are refused change nothing; calls that are not are written down once, by who and on what."""

    def __init__(self) -> None:
        super().__init__()
        self.case_id = file()
        self.preview, self.evidence = "", ""  # the newest of each
        self.approval: tuple[str, str] | None = None  # who, on what preview
        self.purge_approval: tuple[str, str] | None = None
        self.verified = False

    @initialize(steps=st.integers(0, 11), held=st.booleans())
    def begin_anywhere(self, steps: int, *, held: bool) -> None:
        for _ in range(steps):
            self.go_on()
        if held:
            self.hold(DANA, "court")
        self.everybody_who_may_not_tries_to_decide()

    @rule(steps=st.integers(1, 3))
    def go_on_for_a_while(self, steps: int) -> None:
        for _ in range(steps):
            self.go_on()

    def go_on(self) -> None:
        """What lawfully comes next."""
        stage = Stage(look(self.case_id).stage)
        match stage:
            case Stage.ASSESSMENT:
                self.preview_ready("d1")
            case Stage.PREVIEW_READY:
                self.approve(DANA, self.preview)
            case Stage.APPROVED | Stage.CONTAINED | Stage.EXECUTING:
                self.advance(_NEXT[stage])
            case Stage.VERIFYING:
                self.evidence_ready("d2")
            case Stage.EVIDENCE_READY:
                self.approve_purge(DORA, self.evidence)
            case Stage.PURGE_APPROVED:
                self.purge()
            case Stage.PURGED:
                self.sign(DANA)
            case Stage.SIGNED_OFF | Stage.NOTIFYING:
                self.attempt("notify" if stage == Stage.SIGNED_OFF else "close")
            case Stage.FAILED:
                self.retry()

    def attempt(self, step: str, *arguments: object, **named: object) -> bool:
        """Try a step; whether the stage or anything else was changed by it. Checks the one-event law."""
        before, told = look(self.case_id), events(self.case_id)
        try:
            purge(self.case_id) if step == "purge" else act(self.case_id, step, *arguments, **named)
        except LetheError:
            assert look(self.case_id) == before
            assert events(self.case_id) == told
            return False
        changed = look(self.case_id) != before
        assert len(events(self.case_id)) == len(told) + changed
        return changed

    @rule(digest=DIGESTS)
    def preview_ready(self, digest: str) -> None:
        before = look(self.case_id).stage
        if self.attempt("preview_ready", digest):
            assert before in (Stage.ASSESSMENT, Stage.PREVIEW_READY, Stage.APPROVED)
            self.preview, self.approval = digest, None

    @rule(actor=ACTORS, digest=DIGESTS)
    def approve(self, actor: Actor, digest: str) -> None:
        if self.attempt("approve", actor=actor, digest=digest):
            assert digest == self.preview
            self.approval = (actor.name, digest)

    @rule(stage=st.sampled_from(sorted(Stage)))
    def advance(self, stage: Stage) -> None:
        if self.attempt("advance", stage) and stage == Stage.VERIFYING:
            self.verified = True

    @rule(digest=DIGESTS)
    def evidence_ready(self, digest: str) -> None:
        if self.attempt("evidence_ready", digest):
            self.evidence = digest

    @rule(actor=ACTORS, digest=DIGESTS)
    def approve_purge(self, actor: Actor, digest: str) -> None:
        held = look(self.case_id).hold_reason
        if self.attempt("approve_purge", actor=actor, digest=digest):
            assert not held
            assert digest == self.evidence
            self.purge_approval = (actor.name, digest)

    @rule()
    def purge(self) -> None:
        held = look(self.case_id).hold_reason
        if self.attempt("purge"):
            assert not held

    @rule(actor=ACTORS)
    def sign(self, actor: Actor) -> None:
        self.attempt("signed_off", actor=actor)

    @rule()
    def notify(self) -> None:
        self.attempt("notify")

    @rule()
    def close(self) -> None:
        self.attempt("close")

    @precondition(lambda self: look(self.case_id).stage in BEFORE_EXECUTION)
    @rule(actor=ACTORS, searching=st.booleans())
    def ask_who_it_is_or_search_again(self, actor: Actor, *, searching: bool) -> None:
        """Asked and answered on the same days again and again: the pause counts once."""
        if searching:
            if self.attempt("search_again"):
                self.preview, self.approval = "", None
        elif look(self.case_id).stage != Stage.IDENTITY_CHECK:
            if self.attempt("doubt_identity", actor=actor, asked_on=date(2026, 2, 1)):
                assert actor.role in (Role.INTAKE, Role.DPO, Role.ADMIN)
                self.preview, self.approval = "", None
        elif self.attempt(
            "confirm_identity", actor=actor, answered_on=date(2026, 2, 1), method="passport", reckon=reckon
        ):
            assert look(self.case_id).due_on == reckon(0).date

    @rule()
    def reopen(self) -> None:
        before = events(self.case_id)
        if self.attempt("reopen", "A record came in."):
            assert "case.purged" not in before
            self.preview, self.evidence, self.approval, self.purge_approval, self.verified = "", "", None, None, False

    @rule(actor=ACTORS, reason=st.sampled_from(["court", "tax", ""]))
    def hold(self, actor: Actor, reason: str) -> None:
        self.attempt("hold", actor=actor, reason=reason)

    @rule()
    def lift(self) -> None:
        self.attempt("hold", actor=DANA, reason="")

    @rule()
    def everybody_who_may_not_tries_to_decide(self) -> None:
        """Every wrong person on the right digest, and the right person on every wrong one."""
        held = look(self.case_id).hold_reason
        for actor in (INES_AS_DPO, MILO, ROOT, DANA):
            for bound in ("d1", "d2", "") if actor is DANA else {self.preview, self.evidence}:
                if actor is not DANA or bound != self.preview:
                    assert not self.attempt("approve", actor=actor, digest=bound)
                if actor is not DANA or bound != self.evidence or held:
                    assert not self.attempt("approve_purge", actor=actor, digest=bound)
            if actor is not DANA or "case.purged" not in events(self.case_id):
                assert not self.attempt("signed_off", actor=actor)

    @precondition(lambda self: self.verified)
    @rule(actor=ACTORS)
    def refuse(self, actor: Actor) -> None:
        assert not self.attempt("refuse", actor=actor, reason="x")

    @rule()
    def fail(self) -> None:
        before = look(self.case_id).stage
        if self.attempt("fail", "A job gave up."):
            assert before in RUNNING
            assert look(self.case_id).resume_stage == before

    @rule()
    def retry(self) -> None:
        if self.attempt("retry"):
            assert look(self.case_id).stage == look(self.case_id).resume_stage

    @rule()
    def assess(self) -> None:
        assert not self.attempt("assess")

    @invariant()
    def nothing_is_done_that_was_not_approved(self) -> None:
        row = look(self.case_id)
        stage = Stage(row.resume_stage) if row.stage == Stage.FAILED else Stage(row.stage)
        if stage in (Stage.APPROVED, Stage.CONTAINED, Stage.EXECUTING, Stage.VERIFYING) or self.verified:
            assert self.approval is not None
            assert self.approval == (row.approved_by, row.approved_digest)
            assert row.approved_digest == row.preview_digest == self.preview
            assert self.approval[0] in ("dana", "dora")
        if stage in (Stage.IDENTITY_CHECK, Stage.ASSESSMENT, Stage.PREVIEW_READY):
            assert (row.approved_by, row.approved_digest) == ("", "")
        if stage in DESTROYED | {Stage.PURGE_APPROVED}:
            assert self.verified
            assert self.purge_approval == (row.purge_approved_by, row.purge_digest)
            assert row.purge_digest == row.evidence_digest == self.evidence
            assert self.purge_approval[0] in ("dana", "dora")
        if stage in CERTIFIED:
            assert "case.purged" in events(self.case_id)

    @invariant()
    def the_last_event_of_a_stage_is_the_stage(self) -> None:
        moves = [
            kind for kind in events(self.case_id) if kind not in ("case.held", "case.hold_lifted", "case.extended")
        ]
        assert moves[-1] == f"case.{look(self.case_id).stage.lower()}"

    def teardown(self) -> None:
        assert look(self.case_id).stage not in ENDED - CERTIFIED
        REACHED.update(events(self.case_id))


SETTINGS = settings(
    max_examples=50,
    stateful_step_count=15,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.mark.parametrize("steps", range(12))
def test_at_every_stage_only_the_lawful_goes_through(steps: int) -> None:
    """The same rules once from each stage, so that none depends on being drawn."""
    for disturb in (lambda m: m.preview_ready("d2"), lambda m: m.fail(), lambda m: m.evidence_ready("d1")):
        machine = AnySequence()
        machine.begin_anywhere(steps, held=False)
        for then in (disturb, AnySequence.everybody_who_may_not_tries_to_decide, AnySequence.retry):
            then(machine)
            machine.nothing_is_done_that_was_not_approved()
            machine.the_last_event_of_a_stage_is_the_stage()


@pytest.mark.parametrize("steps", range(3))
def test_a_doubt_of_identity_and_its_answer_keep_every_law(steps: int) -> None:
    machine = AnySequence()
    machine.begin_anywhere(steps, held=False)
    for _ in ("doubted", "confirmed"):
        machine.ask_who_it_is_or_search_again(DANA, searching=False)
        machine.nothing_is_done_that_was_not_approved()
        machine.the_last_event_of_a_stage_is_the_stage()
    assert "case.identity_check" in events(machine.case_id)
    assert look(machine.case_id).stage == Stage.ASSESSMENT


def test_any_sequence_of_calls() -> None:
    """Which calls are drawn follows from the seed and from whatever modules are loaded, so it goes on until all was seen."""
    ends = {"case.closed", "case.failed", "case.held"}
    for number in range(8):
        run_state_machine_as_test(seed(number)(AnySequence), settings=SETTINGS)
        if ends <= REACHED:
            break
    assert ends <= REACHED, "it never got there"
    with DATABASE.reader() as session:
        assert not isinstance(ledger.verify(session), Broken)
