"""The case, step by step: each in its order, by the right person, on the digest that was read, written down once."""

from __future__ import annotations

import pytest
from case_world import (
    AXEL,
    DATABASE,
    EVERYBODY,
    INES_AS_DPO,
    ROAD,
    STAGES_OF_THE_ROAD,
    act,
    case_at,
    events,
    file,
    filing,
    look,
    purge,
)  # fmt: skip
from lineage_world import DANA, DORA, INES, MILO, NOW, after, digest, filing_dates
from sqlmodel import Session

from lineage.access import Actor
from lineage.case import APPROVALS, CaseFile, file_request
from lineage.case_view import list_cases
from lineage.errors import RefusedByRule, WrongUsage
from lineage.evidence import add_evidence, evidence, evidence_digest, has_evidence
from lineage.stages import DESTROYED, RUNNING, Stage
from lineage.tables import CaseRow


def test_the_whole_road_writes_one_event_per_step() -> None:
    case_id = case_at(Stage.CLOSED)
    assert events(case_id) == [
        "case.received", "case.assessment", "case.preview_ready", "case.approved", "case.contained", "case.executing",
        "case.verifying", "case.evidence_ready", "case.purge_approved", "case.purged", "case.signed_off",
        "case.notifying", "case.closed",
    ]  # fmt: skip


@pytest.mark.parametrize("index", range(len(ROAD)))
def test_no_step_can_be_skipped_and_none_taken_back(index: int) -> None:
    """At every stage, every later step but the next is refused, and every earlier one changes nothing."""
    here = STAGES_OF_THE_ROAD[index]
    case_id = case_at(here)
    before, told = look(case_id), events(case_id)
    # A new preview is allowed until the execution begins; the same preview again changes nothing.
    for _, step in (*ROAD[: max(0, index - 1)], *ROAD[index + 1 :]):
        try:
            step(case_id)
        except RefusedByRule as refusal:
            assert case_id in str(refusal)  # noqa: PT017 - either answer is lawful; what must hold stands below
    assert look(case_id) == before
    assert events(case_id) == told


@pytest.mark.parametrize("index", range(len(ROAD)))
def test_repeating_the_last_step_is_harmless(index: int) -> None:
    reached, step = ROAD[index]
    case_id = case_at(reached)
    before, told = look(case_id), events(case_id)
    try:
        assert step(case_id).stage == reached
    except RefusedByRule:
        assert reached in (Stage.SIGNED_OFF, Stage.PURGED), reached
    assert look(case_id) == before
    assert events(case_id) == told


@pytest.mark.parametrize("stage", [Stage.PREVIEW_READY, Stage.EVIDENCE_READY])
def test_only_a_dpo_who_did_not_file_decides(stage: Stage) -> None:
    step, bound = {Stage.PREVIEW_READY: ("approve", "p1"), Stage.EVIDENCE_READY: ("approve_purge", "e1")}[stage]
    case_id = case_at(stage)
    for actor in set(EVERYBODY) - {DANA, DORA}:
        with pytest.raises(RefusedByRule):
            act(case_id, step, actor=actor, digest=bound)
    assert look(case_id).stage == stage
    act(case_id, step, actor=DANA, digest=bound)


def test_only_a_dpo_who_did_not_file_signs() -> None:
    case_id = case_at(Stage.PURGED)
    for actor in set(EVERYBODY) - {DANA, DORA}:
        with pytest.raises(RefusedByRule):
            act(case_id, "signed_off", actor=actor)
    assert act(case_id, "signed_off", actor=DORA).stage == Stage.SIGNED_OFF


@pytest.mark.parametrize("step", ["refuse", "extend", "hold"])
def test_the_other_decisions_are_a_dpos_too(step: str) -> None:
    more = {"extend": {"due_on": filing_dates()["due_on"], "basis": "b"}}.get(step, {})
    case_id = case_at(Stage.ASSESSMENT)
    for actor in set(EVERYBODY) - {DANA, DORA, INES_AS_DPO}:
        with pytest.raises(RefusedByRule):
            act(case_id, step, actor=actor, reason="because", **more)
    act(case_id, step, actor=DANA, reason="because", **more)


@pytest.mark.parametrize("actor", [DANA, MILO, AXEL])
def test_only_intake_files(actor: Actor) -> None:
    with pytest.raises(RefusedByRule):
        file(actor=actor)


def test_a_stale_preview_cannot_be_approved_and_a_new_one_takes_the_approval_back() -> None:
    case_id = case_at(Stage.APPROVED)
    view = act(case_id, "preview_ready", "p2")
    assert (view.stage, view.approved_digest, view.approved_by) == (Stage.PREVIEW_READY, "", "")
    with pytest.raises(RefusedByRule, match="changed since it was read"):
        act(case_id, "approve", actor=DANA, digest="p1")
    assert act(case_id, "approve", actor=DANA, digest="p2").approved_digest == "p2"


def test_stale_evidence_cannot_be_approved() -> None:
    case_id = case_at(Stage.EVIDENCE_READY)
    act(case_id, "evidence_ready", "e2")
    for stale in ("e1", "", "p1"):
        with pytest.raises(RefusedByRule, match="changed since it was read"):
            act(case_id, "approve_purge", actor=DANA, digest=stale)
    assert act(case_id, "approve_purge", actor=DANA, digest="e2").stage == Stage.PURGE_APPROVED


def test_a_hold_wins_until_the_destruction() -> None:
    case_id = case_at(Stage.EVIDENCE_READY)
    act(case_id, "hold", actor=DANA, reason="court")
    with pytest.raises(RefusedByRule, match="legal hold"):
        act(case_id, "approve_purge", actor=DANA, digest="e1")
    act(case_id, "hold", actor=DANA, reason="")
    act(case_id, "approve_purge", actor=DANA, digest="e1")
    act(case_id, "hold", actor=DORA, reason="court")
    with pytest.raises(RefusedByRule, match="legal hold") as refusal:
        purge(case_id)
    assert "--lift" in refusal.value.hint
    act(case_id, "hold", actor=DORA, reason="")
    assert purge(case_id).stage == Stage.PURGED
    with pytest.raises(RefusedByRule, match="nothing left to hold"):
        act(case_id, "hold", actor=DANA, reason="too late")


def test_the_same_hold_twice_is_one_event() -> None:
    case_id = case_at(Stage.ASSESSMENT)
    for reason in ("court", "court", "", ""):
        act(case_id, "hold", actor=DANA, reason=reason)
    assert events(case_id)[-2:] == ["case.held", "case.hold_lifted"]
    assert len(events(case_id)) == 4


@pytest.mark.parametrize("stage", sorted(RUNNING))
def test_a_failed_step_is_remembered_and_retried(stage: Stage) -> None:
    case_id = case_at(stage)
    failed = act(case_id, "fail", "The disk is full.")
    assert (failed.stage, failed.resume_stage, failed.problem) == (Stage.FAILED, stage, "The disk is full.")
    assert act(case_id, "fail", "Again.").problem == "The disk is full."
    for _, step in ROAD:
        with pytest.raises(RefusedByRule):
            step(case_id)
    back = act(case_id, "retry")
    assert (back.stage, back.problem, back.attempt) == (stage, "", 1)
    with pytest.raises(RefusedByRule):
        act(case_id, "retry")


@pytest.mark.parametrize("stage", sorted(set(STAGES_OF_THE_ROAD) - RUNNING))
def test_where_no_job_runs_nothing_can_fail(stage: Stage) -> None:
    case_id = case_at(stage)
    told = events(case_id)
    assert act(case_id, "fail", "A late job.").stage == stage
    assert events(case_id) == told


def searched() -> str:
    case_id = file()
    assert act(case_id, "searched", "r1").stage == Stage.SEARCHED
    return case_id


def test_nothing_found_is_a_finding_for_a_human_and_never_a_success() -> None:
    case_id = searched()
    for reached, step in ROAD:
        if reached != Stage.PREVIEW_READY:  # something turned up after all
            with pytest.raises(RefusedByRule):
                step(case_id)
    assert act(case_id, "fail", "x").stage == Stage.SEARCHED
    with pytest.raises(RefusedByRule):
        act(case_id, "approve", actor=DANA, digest="r1")
    assert act(case_id, "preview_ready", "p1").stage == Stage.PREVIEW_READY
    with pytest.raises(RefusedByRule):
        act(case_id, "not_found", actor=DANA, digest="r1")


def test_only_a_dpo_who_did_not_file_decides_that_nothing_is_held_and_on_the_report_they_read() -> None:
    case_id = searched()
    for actor in set(EVERYBODY) - {DANA, DORA}:
        with pytest.raises(RefusedByRule):
            act(case_id, "not_found", actor=actor, digest="r1")
    act(case_id, "searched", "r2")
    with pytest.raises(RefusedByRule, match="changed since it was read"):
        act(case_id, "not_found", actor=DANA, digest="r1")
    decided, told = act(case_id, "not_found", actor=DANA, digest="r2"), events(case_id)
    assert decided.stage == Stage.NOT_FOUND
    assert act(case_id, "not_found", actor=DANA, digest="r2") == decided
    assert events(case_id) == told
    for _, step in ROAD:
        with pytest.raises(RefusedByRule):
            step(case_id)
    with pytest.raises(RefusedByRule):
        act(case_id, "refuse", actor=DANA, reason="decided already")


def test_a_person_registered_since_is_recognised_once_and_not_beside_an_open_case() -> None:
    unknown, known = digest("provisional"), digest("registered since")
    case_id = file(subject=unknown)
    other = file(subject=known)
    with pytest.raises(RefusedByRule, match=other):
        act(case_id, "recognise", known, instead_of=unknown)
    act(other, "refuse", actor=DANA, reason="x")
    for _ in range(2):
        act(case_id, "recognise", known, instead_of=unknown)
        assert look(case_id).subject_key == known
    assert events(case_id)[-1] == "case.recognised"
    assert events(case_id).count("case.recognised") == 1


def test_a_refused_case_stays_refused() -> None:
    case_id = case_at(Stage.PREVIEW_READY)
    act(case_id, "refuse", actor=DANA, reason="legal claims")
    for _, step in ROAD:
        with pytest.raises(RefusedByRule):
            step(case_id)
    with pytest.raises(RefusedByRule):
        act(case_id, "retry")
    assert look(case_id).problem == "legal claims"


@pytest.mark.parametrize("stage", [s for s in STAGES_OF_THE_ROAD if s not in (Stage.ASSESSMENT, Stage.PREVIEW_READY)])
def test_what_was_approved_cannot_be_refused_behind_its_back(stage: Stage) -> None:
    case_id = case_at(stage)
    with pytest.raises(RefusedByRule):
        act(case_id, "refuse", actor=DANA, reason="no")


def test_an_extension_is_granted_once_and_only_while_it_matters() -> None:
    later = {"due_on": after(days=90).date(), "basis": "extended"}
    case_id = case_at(Stage.APPROVED)
    view = act(case_id, "extend", actor=DANA, reason="many requests", **later)
    assert (view.due_on, view.stage) == (later["due_on"], Stage.APPROVED)
    assert events(case_id)[-1] == "case.extended"
    with pytest.raises(RefusedByRule, match="extended already"):
        act(case_id, "extend", actor=DANA, reason="again", **later)
    with pytest.raises(RefusedByRule, match="has ended"):
        act(case_at(Stage.SIGNED_OFF), "extend", actor=DANA, reason="late", **later)


REOPENABLE = STAGES_OF_THE_ROAD[2:8]
WHY = "A record came in."


@pytest.mark.parametrize("stage", REOPENABLE)
def test_a_reopened_case_is_searched_again_and_takes_every_approval_back(stage: Stage) -> None:
    case_id = case_at(stage)
    told = events(case_id)
    back = act(case_id, "reopen", WHY)
    assert (back.stage, back.reopen_reason, back.attempt) == (Stage.ASSESSMENT, WHY, 1)
    row = look(case_id)
    assert {getattr(row, name) for name in APPROVALS} == {""}
    assert (row.subject_key, row.supplied) == (digest(case_id), b"sealed"), "it still knows whom to search for"
    assert act(case_id, "reopen", WHY) == back
    assert events(case_id) == [*told, "case.assessment"], "one event, said once"
    for reached, step in ROAD[:7]:
        assert step(case_id).stage == reached
    assert act(case_id, "reopen", WHY).attempt == 2, "the same may happen again"


def test_the_approvals_are_every_column_that_binds_a_digest_or_a_person() -> None:
    bound = {
        name for name in CaseRow.model_fields if name.endswith(("_digest", "_approved_by")) or name == "approved_by"
    }
    assert set(APPROVALS) == bound


@pytest.mark.parametrize("stage", sorted(set(STAGES_OF_THE_ROAD) - set(REOPENABLE)))
def test_nothing_is_reopened_before_an_approval_or_after_the_destruction(stage: Stage) -> None:
    with pytest.raises(RefusedByRule, match="to be reopened"):
        act(case_at(stage), "reopen", WHY)


@pytest.mark.parametrize("stage", [Stage.PURGED, Stage.SIGNED_OFF, Stage.NOTIFYING, Stage.CLOSED])
def test_after_the_destruction_nothing_can_be_held(stage: Stage) -> None:
    assert stage in DESTROYED
    with pytest.raises(RefusedByRule, match="nothing left to hold"):
        act(case_at(stage), "hold", actor=DANA, reason="too late")


def test_the_purge_makes_the_case_forget_whom_it_was_about() -> None:
    case_id = case_at(Stage.PURGE_APPROVED)
    assert look(case_id).subject_key
    purge(case_id)
    assert (look(case_id).subject_key, look(case_id).supplied) == (None, None)


def test_one_open_case_per_person() -> None:
    who = digest("one person")
    first = file(subject=who)
    with pytest.raises(RefusedByRule, match=first):
        file(subject=who)
    act(first, "refuse", actor=DANA, reason="x")
    assert look(file(subject=who)).stage == Stage.ASSESSMENT


def test_a_ground_and_a_case_that_do_not_exist() -> None:
    with DATABASE.transaction() as session, pytest.raises(WrongUsage, match="letters a to f"):
        file_request(session, filing("case-x", ground="z"), actor=INES, now=NOW)
    with pytest.raises(WrongUsage, match="no case"):
        act("case-nowhere", "retry")


def test_a_step_that_is_rolled_back_leaves_neither_stage_nor_event() -> None:
    case_id = case_at(Stage.PREVIEW_READY)
    told = events(case_id)

    def approve_and_fail() -> None:
        with DATABASE.transaction() as session:
            CaseFile(session, case_id).approve(actor=DANA, digest="p1", now=NOW)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        approve_and_fail()
    assert look(case_id).stage == Stage.PREVIEW_READY
    assert events(case_id) == told


def test_a_step_that_is_no_part_of_an_execution() -> None:
    case_id = case_at(Stage.EVIDENCE_READY)
    for stage in set(Stage) - {Stage.CONTAINED, Stage.EXECUTING, Stage.VERIFYING}:
        with pytest.raises(RefusedByRule, match="not a step of an execution"):
            act(case_id, "advance", stage)


def test_the_list_is_by_due_date() -> None:
    with DATABASE.reader() as session:
        everything = list_cases(session)
        assert everything == sorted(everything, key=lambda case: (case.due_on, case.id))
        assert {case.stage for case in list_cases(session, Stage.REFUSED)} <= {Stage.REFUSED}


# --- evidence -----------------------------------------------------------------------------------------------------------


def test_the_digest_of_the_evidence_moves_with_every_binding_piece_and_no_other() -> None:
    case_id = file()
    seen: list[str] = []

    def add(session: Session, kind: str, body: dict[str, object]) -> None:
        add_evidence(session, case_id, kind, body, now=NOW)
        seen.append(evidence_digest(session, case_id))

    with DATABASE.transaction() as session:
        for kind in ("contract", "containment", "rebuild", "rederivation", "probe"):
            add(session, kind, {"n": 1})
        add(session, "probe", {"n": 2})
        assert len(set(seen)) == 6
        add(session, "forecast", {"n": 3})
        add(session, "destroyed", {"n": 3})
        add(session, "probe", {"n": 2})
        assert set(seen[6:]) == {seen[5]}
        assert evidence(session, case_id, "probe") == {"n": 2}
        assert has_evidence(session, case_id, "forecast")
        with pytest.raises(WrongUsage, match="no destruction yet"):
            evidence(session, case_id, "destruction")
