"""What a DPO decides about single records lies over every search; what is kept or held is never changed or destroyed."""

from __future__ import annotations

from datetime import date

import pytest
from case_world import AXEL, INES_AS_DPO
from lineage_world import ANN, BOB, CLEO, DANA, DEFAULT, DORA, FORMS, INES, MILO, NOW, STRICT, Scans, World, after, row

from lineage import desk, dossier, ledger
from lineage.admit import Gate
from lineage.case import CaseFile
from lineage.case_view import Beside, CaseView
from lineage.closure import Reach, find_closure
from lineage.decisions import Choice, decided_as, hold_record, lay_over
from lineage.errors import RefusedByRule, WrongUsage
from lineage.evidence import add_evidence, case_records, contract, evidence, save_closure
from lineage.forgetting import COMPLAINT_DAYS, forget_ended
from lineage.held_back import held_back_key, hold_back
from lineage.holds import decisions_of, held_of, left_out_of, require_spared
from lineage.purge import forget_rows
from lineage.register import RegisterIndex
from lineage.renewal import locked_ids
from lineage.rulings import Ruling, block, expire
from lineage.sought import provisional_key, searched_forms
from lineage.stages import Stage
from lineage.subjects import load_suppression
from lineage.tables import CaseRecordRow, CaseRow, HeldBackRow, QuarantineRow, RecordRow, SupersededRow
from lineage.withdrawal import give_back

NAME = FORMS[ANN]["name"]
TAX = Choice("keep", "b", "Tax law, six years.")


def filed(world: World, person: str = ANN) -> str:
    intake = desk.Intake([person], "b", "portal", date(2026, 1, 31))
    return desk.file_case(world.workspace, intake, actor=INES, now=NOW).id


def gate_of(world: World) -> Gate:
    with world.database.reader() as session:
        return Gate(Scans(), RegisterIndex([]), load_suppression(session, world.keyring), DEFAULT, STRICT)


def preview(world: World, case_id: str) -> str:
    """What the preview job does, with a gate whose scanner finds nothing."""
    key, forms = searched_forms(world.workspace, case_id)
    with world.database.transaction() as session:
        reach = Reach(gate=lambda: gate_of(world), free=decided_as(session, case_id, "redact"))
        found = find_closure(session, key, forms, keystore=world.keystore, reach=reach)
        closure = lay_over(session, case_id, found, handle=lambda r: world.keyring.handle(case_id, r))
        body = contract(session, case_id, closure, world.keyring)
        digest = add_evidence(session, case_id, "contract", body, now=NOW)
        save_closure(session, case_id, closure, world.keyring)
        CaseFile(session, case_id).preview_ready(digest, now=NOW)
    return digest


def look(world: World, case_id: str) -> CaseView:
    return dossier.read_case(world.workspace, case_id, now=NOW).case


def approve(world: World, case_id: str) -> None:
    desk.approve(world.workspace, case_id, actor=DANA, digest=preview(world, case_id), now=NOW)


def begin(world: World, case_id: str, stage: Stage = Stage.CONTAINED) -> None:
    """The execution has begun; as far as EVIDENCE_READY or PURGE_APPROVED, if asked for."""
    with world.database.transaction() as session:
        case = CaseFile(session, case_id)
        add_evidence(session, case_id, "before", {"adapters": {}}, now=NOW)
        for step in (Stage.CONTAINED, Stage.EXECUTING, Stage.VERIFYING):
            case.advance(step, now=NOW)
        if stage in (Stage.EVIDENCE_READY, Stage.PURGE_APPROVED):
            case.evidence_ready("e1", now=NOW)
        if stage == Stage.PURGE_APPROVED:
            case.approve_purge(actor=DANA, digest="e1", now=NOW)


def decide(world: World, case_id: str, record_id: str, choice: Choice = TAX, *, actor=DANA) -> CaseView:
    handle = world.keyring.handle(case_id, record_id)
    return desk.decide_record(world.workspace, case_id, handle[:10], choice, actor=actor, now=NOW)


def hold(world: World, case_id: str, record_id: str, reason: str = "court", *, actor=DANA) -> CaseView:
    handle = world.keyring.handle(case_id, record_id)
    return desk.hold_record(world.workspace, case_id, handle, reason=reason, actor=actor, now=NOW)


def decided(world: World, case_id: str) -> dict[str, tuple[str, str]]:
    with world.database.reader() as session:
        return {r.record_id: (r.decision, r.ground) for r in case_records(session, case_id)}


def require_purge(world: World, case_id: str) -> None:
    with world.database.transaction() as session:
        CaseFile(session, case_id).require_nothing_held()


@pytest.fixture
def two(world: World) -> tuple[World, str, str, str]:
    """A case about two records of Ann's, with its preview made."""
    world.register(ANN, BOB, CLEO)
    one, other = world.ingest(row("The lamp is broken.", ANN), row("The lamp works.", ANN))
    case_id = filed(world)
    preview(world, case_id)
    return world, case_id, one, other


# --- keep ----------------------------------------------------------------------------------------------------------------


def test_a_kept_record_stays_and_stands_in_the_contract_with_ground_and_reviewer(two) -> None:
    world, case_id, one, other = two
    before = look(world, case_id).preview_digest
    assert decide(world, case_id, one).stage == Stage.ASSESSMENT
    after_it = preview(world, case_id)
    assert after_it != before, "LAW the digest that is approved binds what is kept"
    ground = "legal obligation or task in the public interest, Art. 17(3)(b) GDPR: Tax law, six years."
    assert decided(world, case_id) == {one: ("keep", ground), other: ("erase", "")}
    with world.database.reader() as session:
        lines = {r["handle"]: r for r in evidence(session, case_id, "contract")["records"]}
    line = lines[world.keyring.handle(case_id, one)]
    assert (line["decision"], line["ground"], line["decided_by"]) == ("keep", ground, "dana")
    assert look(world, case_id).beside == (Beside.PARTLY_REFUSED,)


def test_a_decision_takes_an_approval_back(two) -> None:
    world, case_id, one, _ = two
    approve(world, case_id)
    view = decide(world, case_id, one)
    assert (view.stage, view.approved_digest, view.approved_by, view.attempt) == (Stage.ASSESSMENT, "", "", 1)


def test_a_decision_during_the_execution_reopens_the_case(two) -> None:
    world, case_id, one, _ = two
    approve(world, case_id)
    begin(world, case_id, Stage.PURGE_APPROVED)
    view = decide(world, case_id, one)
    assert (view.stage, view.purge_approved_by, view.attempt) == (Stage.ASSESSMENT, "", 1)
    assert view.beside == (Beside.PARTLY_REFUSED, Beside.REOPENED)


def test_no_decision_reopens_a_case_whose_purge_died_after_it_had_destroyed(two) -> None:
    """It would be previewed, and could be refused, as if the records were still there."""
    world, case_id, one, _ = two
    approve(world, case_id)
    begin(world, case_id, Stage.PURGE_APPROVED)
    with world.database.transaction() as session:
        add_evidence(session, case_id, "destroyed", {"rows": {}}, now=NOW)
    with pytest.raises(RefusedByRule, match="has destroyed"):
        decide(world, case_id, one)
    assert look(world, case_id).stage == Stage.PURGE_APPROVED


def test_no_contract_is_written_from_a_search_that_did_not_know_a_decision(two) -> None:
    """The preview job reads for seconds; a decision may fall between its search and its contract."""
    world, case_id, one, _ = two
    key, forms = searched_forms(world.workspace, case_id)
    with world.database.reader() as session:
        found = find_closure(session, key, forms, keystore=world.keystore)
        stale = lay_over(session, case_id, found, handle=lambda r: world.keyring.handle(case_id, r))
    decide(world, case_id, one)
    with world.database.transaction() as session, pytest.raises(RefusedByRule, match="while the case was searched"):
        contract(session, case_id, stale, world.keyring)


def test_the_same_decision_twice_is_one_event(two) -> None:
    world, case_id, one, _ = two
    decide(world, case_id, one)
    decide(world, case_id, one)
    with world.database.reader() as session:
        events = [e for e in ledger.events_of_case(session, case_id) if e.kind == "record.decided"]
    handle = world.keyring.handle(case_id, one)
    assert [dict(e.payload) for e in events] == [
        {"record": handle, "decision": "keep", "exception": "b", "by": "dana", "case": case_id}
    ], "LAW the ledger keeps no sentence about a record"


def test_what_was_decided_can_be_left_to_the_search_again(two) -> None:
    world, case_id, one, _ = two
    before = look(world, case_id).preview_digest
    decide(world, case_id, one)
    preview(world, case_id)
    decide(world, case_id, one, Choice("as-found"))
    assert preview(world, case_id) == before
    assert look(world, case_id).beside == ()


@pytest.mark.parametrize("actor", [INES, MILO, AXEL, INES_AS_DPO])
def test_only_a_dpo_who_did_not_file_decides_about_a_record(two, actor) -> None:
    world, case_id, one, _ = two
    with pytest.raises(RefusedByRule):
        decide(world, case_id, one, actor=actor)
    assert look(world, case_id).stage == Stage.PREVIEW_READY


@pytest.mark.parametrize(
    "choice",
    [Choice("keep"), Choice("keep", "b"), Choice("keep", "z", "x"), Choice("erase", "b", "x"), Choice("burn")],
)
def test_a_decision_that_says_too_little_or_too_much_is_refused(two, choice: Choice) -> None:
    world, case_id, one, _ = two
    with pytest.raises(WrongUsage):
        decide(world, case_id, one, choice)


def test_a_reason_that_names_the_person_is_refused(two) -> None:
    world, case_id, one, _ = two
    with pytest.raises(WrongUsage, match="repeats an identifier"):
        decide(world, case_id, one, Choice("keep", "e", f"{NAME} sues us."))


def test_a_reason_that_names_anybody_else_who_is_known_is_refused(two) -> None:
    """It would stand on the certificate of one person with the name of another."""
    world, case_id, one, _ = two
    world.register(BOB)
    for form in FORMS[BOB].values():
        with pytest.raises(WrongUsage, match="repeats an identifier") as told:
            decide(world, case_id, one, Choice("keep", "e", f"We are sued by {form}."))
        assert form not in f"{told.value} {told.value.hint}"
    decide(world, case_id, one, Choice("keep", "e", "We are sued by the neighbour."))


def test_a_record_of_another_case_is_not_decided_on(two) -> None:
    world, case_id, *_ = two
    (foreign,) = world.ingest(row("A chair.", BOB))
    with pytest.raises(RefusedByRule, match="not one of case"):
        decide(world, case_id, foreign)


def test_nothing_is_decided_about_what_was_destroyed_or_signed(two) -> None:
    world, case_id, one, _ = two
    approve(world, case_id)
    begin(world, case_id, Stage.PURGE_APPROVED)
    with world.database.transaction() as session:
        CaseFile(session, case_id).purged(now=NOW)
        session.get_one(CaseRecordRow, (case_id, world.keyring.handle(case_id, one))).record_id = None
    with pytest.raises(RefusedByRule, match="it must be at"):
        decide(world, case_id, one)
    with pytest.raises(RefusedByRule, match="nothing left to hold"):
        hold(world, case_id, one)


# --- erase and redact ------------------------------------------------------------------------------------------------------


def test_a_record_of_others_goes_whole_with_what_was_derived_from_it(world: World) -> None:
    world.register(BOB, CLEO)
    other, child = world.ingest(
        row(f"I met {NAME}.", BOB, given_id="1"), row("It was nice.", CLEO, given_id="2", parents=["1"])
    )
    world.register(ANN)
    case_id = filed(world)
    preview(world, case_id)
    assert decided(world, case_id) == {other: ("redact", "")}
    decide(world, case_id, other, Choice("erase"))
    preview(world, case_id)
    assert decided(world, case_id) == {other: ("erase", ""), child: ("erase", "")}
    decide(world, case_id, child)
    preview(world, case_id)
    assert [decided(world, case_id)[r][0] for r in (other, child)] == ["erase", "keep"]


def test_a_derived_record_of_somebody_else_is_redacted_if_the_gate_admits_it(world: World) -> None:
    world.register(BOB)
    own, derived = world.ingest(
        row("First.", ANN, given_id="1"), row(f"A note about {NAME}.", BOB, given_id="2", parents=["1"])
    )
    world.register(ANN)
    case_id = filed(world)
    preview(world, case_id)
    assert decided(world, case_id) == {own: ("erase", ""), derived: ("erase", "")}
    decide(world, case_id, derived, Choice("redact"))
    preview(world, case_id)
    assert decided(world, case_id) == {own: ("erase", ""), derived: ("redact", "")}


def test_the_persons_own_record_cannot_be_freed_of_them(two) -> None:
    world, case_id, one, _ = two
    with pytest.raises(RefusedByRule, match="somebody else"):
        decide(world, case_id, one, Choice("redact"))


def test_what_is_not_changed_needs_no_decision(world: World) -> None:
    world.register(ANN, BOB)
    _, other = world.ingest(row("A lamp.", ANN), row(f"I met {NAME}.", BOB))
    case_id = filed(world)
    preview(world, case_id)
    assert decided(world, case_id)[other] == ("already_redacted", "")
    with pytest.raises(RefusedByRule, match="nothing to decide"):
        decide(world, case_id, other)


# --- hold ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("approved", [False, True])
def test_a_hold_before_the_execution_leaves_the_record_out_of_it(two, *, approved: bool) -> None:
    world, case_id, one, other = two
    if approved:
        approve(world, case_id)
    assert hold(world, case_id, one).stage == Stage.ASSESSMENT
    approve(world, case_id)
    assert decided(world, case_id) == {one: ("keep", "legal hold, Art. 17(3)(e) GDPR: court"), other: ("erase", "")}
    assert look(world, case_id).beside == (Beside.ON_HOLD,)
    with pytest.raises(RefusedByRule, match="1 record under legal hold"):
        begin(world, case_id, Stage.PURGE_APPROVED)


@pytest.mark.parametrize("stage", [Stage.CONTAINED, Stage.EVIDENCE_READY, Stage.PURGE_APPROVED])
def test_a_hold_wins_whenever_it_comes_before_the_destruction(two, stage: Stage) -> None:
    world, case_id, one, _ = two
    approve(world, case_id)
    begin(world, case_id, stage)
    before = look(world, case_id).stage
    assert hold(world, case_id, one, actor=DORA).stage == before, "what is restricted stays so"
    with pytest.raises(RefusedByRule, match="nothing is destroyed") as refusal:
        require_purge(world, case_id)
    assert "--lift" in refusal.value.hint
    view = hold(world, case_id, one, "")
    assert (view.stage, view.approved_by, view.purge_approved_by) == (Stage.ASSESSMENT, "", ""), "a new preview"
    require_purge(world, case_id)


def test_a_hold_that_comes_once_containment_has_begun_stops_it(two) -> None:
    """Between the check of the contract and the restriction; the case stays where it is and cannot go on."""
    world, case_id, one, other = two
    approve(world, case_id)
    with world.database.transaction() as session:
        add_evidence(session, case_id, "before", {"adapters": {}}, now=NOW)
    assert hold(world, case_id, one).stage == Stage.APPROVED
    with world.database.transaction() as session, pytest.raises(RefusedByRule, match="keeps or holds"):
        require_spared(session, case_id, [one, other])
    assert hold(world, case_id, one, "").stage == Stage.ASSESSMENT


def test_a_lifted_hold_is_not_forgotten(two) -> None:
    world, case_id, one, _ = two
    hold(world, case_id, one)
    approve(world, case_id)
    view = hold(world, case_id, one, "")
    assert (view.stage, view.attempt, view.beside) == (Stage.ASSESSMENT, 2, ())
    approve(world, case_id)
    assert decided(world, case_id)[one] == ("erase", "")


def test_a_failed_case_is_retried_before_a_hold_is_lifted(two) -> None:
    world, case_id, one, _ = two
    approve(world, case_id)
    begin(world, case_id)
    hold(world, case_id, one)
    with world.database.transaction() as session:
        CaseFile(session, case_id).fail("A job gave up.", now=NOW)
    with pytest.raises(RefusedByRule, match="has failed"):
        hold(world, case_id, one, "")
    desk.retry(world.workspace, case_id, actor=MILO, now=NOW)
    assert hold(world, case_id, one, "").stage == Stage.ASSESSMENT


def test_a_held_record_stays_listed_when_the_search_does_not_find_it_any_more(two) -> None:
    world, case_id, one, _ = two
    hold(world, case_id, one)
    with world.database.transaction() as session:
        nothing = find_closure(session, "nobody", [], keystore=world.keystore)
        laid = lay_over(session, case_id, nothing, handle=lambda r: world.keyring.handle(case_id, r))
    assert [(r.record_id, r.decision) for r in laid.records] == [(one, "keep")]
    assert sum(laid.found.values()) == 1


def test_a_hold_of_one_case_keeps_every_other_from_the_record(world: World) -> None:
    world.register(ANN, BOB)
    (shared,) = world.ingest(row("We share a lamp.", ANN, BOB))
    anns, bobs = filed(world), filed(world, BOB)
    preview(world, anns)
    approve(world, bobs)
    begin(world, bobs, Stage.PURGE_APPROVED)
    hold(world, anns, shared)
    with pytest.raises(RefusedByRule, match="under legal hold"):
        require_purge(world, bobs)
    attempt = look(world, bobs).attempt
    hold(world, anns, shared, "")
    require_purge(world, bobs)
    assert look(world, bobs).attempt > attempt, "the sensor asks for the purge again"


def test_a_case_that_had_to_leave_a_record_alone_searches_again_when_it_may_not_any_more(world: World) -> None:
    world.register(ANN, BOB)
    (shared,) = world.ingest(row("We share a lamp.", ANN, BOB))
    anns, bobs = filed(world), filed(world, BOB)
    preview(world, anns)
    hold(world, anns, shared)
    approve(world, bobs)
    assert decided(world, bobs) == {shared: ("keep", "legal hold of another case, Art. 17(3)(e) GDPR")}
    begin(world, bobs, Stage.EVIDENCE_READY)
    hold(world, anns, shared, "")
    assert look(world, bobs).stage == Stage.ASSESSMENT
    approve(world, bobs)
    assert decided(world, bobs) == {shared: ("erase", "")}


def test_a_held_record_is_neither_rectified_nor_blocked(world: World) -> None:
    world.register(ANN)
    (waits,) = world.ingest(row("A quagga.", ANN), scanner=Scans({"quagga": "ODD"}))
    case_id = filed(world)
    preview(world, case_id)
    hold(world, case_id, waits)
    preview(world, case_id)
    with world.database.reader() as session:
        assert locked_ids(session, [waits]) == {waits} == held_of(session)
        assert session.get(QuarantineRow, waits) is not None
    with world.database.transaction() as session:
        with pytest.raises(RefusedByRule):
            block(session, [waits], Ruling(DANA, "not-needed", NOW))
        assert expire(session, keep_days=1, now=after(days=2)) == []


def test_a_refused_case_remembers_what_it_holds_until_the_hold_is_lifted(two) -> None:
    world, case_id, one, _ = two
    hold(world, case_id, one)
    desk.refuse(world.workspace, case_id, actor=DANA, reason="Needed in court.", now=NOW)
    late = after(days=COMPLAINT_DAYS + 1)
    assert forget_ended(world.workspace, now=late) == 0
    assert hold(world, case_id, one, "").stage == Stage.REFUSED
    assert forget_ended(world.workspace, now=late) == 1


@pytest.mark.parametrize("actor", [INES, MILO, AXEL])
def test_only_a_dpo_holds_a_record(two, actor) -> None:
    world, case_id, one, _ = two
    with pytest.raises(RefusedByRule, match="Only the role dpo"):
        hold(world, case_id, one, actor=actor)


def test_a_decision_under_a_hold_waits_beneath_it(two) -> None:
    world, case_id, one, _ = two
    hold(world, case_id, one, actor=DORA)
    preview(world, case_id)
    decide(world, case_id, one)
    preview(world, case_id)
    assert decided(world, case_id)[one][1].startswith("legal hold")
    with world.database.transaction() as session:
        hold_record(session, case_id, world.keyring.handle(case_id, one), reason="", actor=DORA, now=NOW)
        (ruling,) = decisions_of(session, case_id).values()
        assert (ruling.decision, ruling.decided_by) == ("keep", "dana")
    preview(world, case_id)
    assert decided(world, case_id)[one][1].endswith("Tax law, six years.")


# --- refused -------------------------------------------------------------------------------------------------------------


def test_refusing_a_reopened_case_gives_its_records_back(two) -> None:
    from lineage.tables import RecordRow

    world, case_id, one, other = two
    with world.database.transaction() as session:
        for record_id in (one, other):
            session.get_one(RecordRow, record_id).restricted_by = case_id
    desk.refuse(world.workspace, case_id, actor=DANA, reason="An exception applies.", now=NOW)
    assert [r.restricted_by for r in world.rows(RecordRow)] == [None, None]


# --- left out of the purge -----------------------------------------------------------------------------------------------

OUT = Choice("leave-out")


def purge(world: World, case_id: str, *, whole: bool = True) -> None:
    """Rows as `pipelines.purging` destroys them; a purge that is not `whole` died right after that."""
    with world.database.transaction() as session:
        case = CaseFile(session, case_id)
        case.require_nothing_held()
        gone = [r.record_id for r in case_records(session, case_id) if r.decision == "erase"]
        for record_id in (*gone, *left_out_of(session, case_id)):
            session.get_one(RecordRow, record_id).restricted_by = case_id
        hold_back(session, world.workspace, case_id, now=NOW)
        forget_rows(session, case_id=case_id, subject_key=None, record_ids=gone)
        add_evidence(session, case_id, "destroyed", {"rows": {}}, now=NOW)
    if whole:
        with world.database.transaction() as session:
            CaseFile(session, case_id).purged(now=NOW)
        world.keystore.shred([f"case:{case_id}"])


@pytest.fixture
def left_out(two) -> tuple[World, str, str, str]:
    """One record is held and left out, the other erased; the purge is approved."""
    world, case_id, one, other = two
    hold(world, case_id, one)
    decide(world, case_id, one, OUT)
    approve(world, case_id)
    begin(world, case_id, Stage.PURGE_APPROVED)
    return world, case_id, one, other


def lift(world: World, case_id: str, record_id: str, *, days: int = 0, actor=DANA) -> CaseView:
    handle = world.keyring.handle(case_id, record_id)
    return desk.hold_record(world.workspace, case_id, handle, reason="", actor=actor, now=after(days=days))


def held_back(world: World) -> list[HeldBackRow]:
    return world.rows(HeldBackRow)


def test_what_is_left_out_stands_in_the_contract_and_stops_no_purge(left_out) -> None:
    world, case_id, one, other = left_out
    ground = "legal hold, restricted until it is lifted, Art. 17(3)(e) GDPR: court"
    assert decided(world, case_id) == {one: ("keep", ground), other: ("erase", "")}
    with world.database.reader() as session:
        lines = {r["handle"]: r for r in evidence(session, case_id, "contract")["records"]}
        assert left_out_of(session, case_id) == {one}
    assert lines[world.keyring.handle(case_id, one)]["decided_by"] == "dana"
    assert look(world, case_id).beside == (Beside.PARTLY_REFUSED,)
    require_purge(world, case_id)


def test_only_what_this_case_holds_can_be_left_out(two) -> None:
    world, case_id, one, _ = two
    with pytest.raises(RefusedByRule, match="that this case holds"):
        decide(world, case_id, one, OUT)


def test_leaving_out_takes_another_dpo_than_whoever_filed(two) -> None:
    world, case_id, one, _ = two
    hold(world, case_id, one)
    for actor in (INES, MILO, INES_AS_DPO):
        with pytest.raises(RefusedByRule):
            decide(world, case_id, one, OUT, actor=actor)


def test_leaving_out_takes_an_approval_back_and_changes_what_is_approved(two) -> None:
    world, case_id, one, _ = two
    hold(world, case_id, one)
    held = preview(world, case_id)
    desk.approve(world.workspace, case_id, actor=DANA, digest=held, now=NOW)
    assert decide(world, case_id, one, OUT).stage == Stage.ASSESSMENT
    assert preview(world, case_id) != held


def test_a_second_hold_still_stops_everything(left_out) -> None:
    world, case_id, _, other = left_out
    hold(world, case_id, other)
    with pytest.raises(RefusedByRule, match="1 record under legal hold"):
        require_purge(world, case_id)


def test_a_hold_that_is_lifted_before_the_purge_leaves_nothing_out(left_out) -> None:
    world, case_id, one, _ = left_out
    lifted = lift(world, case_id, one)
    assert (lifted.stage, lifted.beside) == (Stage.ASSESSMENT, (Beside.REOPENED,))
    preview(world, case_id)
    assert decided(world, case_id)[one] == ("erase", "")
    assert held_back(world) == []


def test_what_is_left_out_stays_held_and_restricted_after_the_purge(left_out) -> None:
    world, case_id, one, other = left_out
    purge(world, case_id)
    with world.database.reader() as session:
        assert session.get(RecordRow, other) is None
        assert session.get_one(RecordRow, one).restricted_by == case_id
        assert (held_of(session), locked_ids(session, [one])) == ({one}, {one})
        with pytest.raises(RefusedByRule, match="keeps or holds"):
            require_spared(session, "case-x", [one])
    assert world.keystore.holding([f"case:{case_id}"]) == set(), "the purged case has forgotten whom it was about"


def test_a_hold_that_is_lifted_after_the_purge_opens_a_case_of_its_own(left_out) -> None:
    world, case_id, one, _ = left_out
    purge(world, case_id)
    follows = lift(world, case_id, one, days=100)
    assert (follows.stage, follows.filed_by, follows.ground) == (Stage.ASSESSMENT, "ines", "b")
    assert (follows.received_on, follows.due_on) == (date(2026, 5, 11), date(2026, 6, 11)), "a month from the lifting"
    assert case_id in follows.due_basis
    with world.database.reader() as session:
        assert session.get_one(RecordRow, one).restricted_by == follows.id, "LAW it is learnt by nothing meanwhile"
        kinds = [event.kind for event in ledger.events_of_case(session, case_id)]
        assert held_of(session) == set()
    assert kinds[-2:] == ["record.hold_lifted", "record.goes_on"]
    assert look(world, case_id).beside == (Beside.PARTLY_REFUSED,), "the person has been told so"
    assert held_back(world) == []
    assert not [name for name in keys_of(world) if name.startswith("held:")]
    preview(world, follows.id)
    assert decided(world, follows.id) == {one: ("erase", "")}
    with pytest.raises(RefusedByRule, match="Whoever filed"):
        desk.approve(world.workspace, follows.id, actor=INES_AS_DPO, digest=preview(world, follows.id), now=NOW)


def keys_of(world: World) -> list[str]:
    names = [held_back_key(row.case_id, row.handle) for row in world.rows(CaseRecordRow)]
    return sorted(world.keystore.holding(names))


def test_what_was_redacted_before_it_was_held_goes_on_with_the_record(left_out) -> None:
    world, case_id, one, _ = left_out
    with world.database.transaction() as session:
        session.add(
            SupersededRow(
                record_id=one, content_hmac="c", given_hmac="g", version=0, reason="redacted", by=case_id, at=NOW
            )
        )
    purge(world, case_id)
    follows = lift(world, case_id, one)
    assert [row.by for row in world.rows(SupersededRow)] == [follows.id]


def test_a_replay_keeps_the_hold_although_the_key_of_the_case_is_lost(left_out) -> None:
    world, case_id, one, _ = left_out
    world.keystore.shred([f"case:{case_id}"])
    with world.database.transaction() as session:
        assert hold_back(session, world.workspace, case_id, now=NOW) == 1
        give_back(session, case_id)
        assert session.get_one(RecordRow, one).restricted_by == case_id
        CaseFile(session, case_id).replayed("e1", now=NOW)
    follows = lift(world, case_id, one)
    preview(world, follows.id)
    assert one in decided(world, follows.id), "by what the register knows"


def test_lifted_twice_opens_one_case(left_out) -> None:
    world, case_id, one, _ = left_out
    purge(world, case_id)
    lift(world, case_id, one)
    lift(world, case_id, one)
    assert len(dossier.inbox(world.workspace, now=NOW)) == 2


def test_a_record_goes_on_in_the_case_that_the_person_has_by_then(left_out) -> None:
    world, case_id, one, _ = left_out
    purge(world, case_id)
    again = filed(world)
    preview(world, again)
    assert decided(world, again) == {one: ("keep", "legal hold of another case, Art. 17(3)(e) GDPR")}
    with pytest.raises(RefusedByRule, match="under legal hold"):
        require_purge(world, again)
    assert lift(world, case_id, one).id == again
    assert look(world, again).stage == Stage.ASSESSMENT
    preview(world, again)
    assert decided(world, again) == {one: ("erase", "")}


def test_somebody_in_no_register_is_found_by_what_they_gave_the_first_time(world: World) -> None:
    (one,) = world.ingest(row(f"The lamp of {NAME}.", BOB))
    case_id = filed(world, NAME)
    preview(world, case_id)
    hold(world, case_id, one)
    decide(world, case_id, one, OUT)
    approve(world, case_id)
    begin(world, case_id, Stage.PURGE_APPROVED)
    purge(world, case_id)
    follows = lift(world, case_id, one)
    preview(world, follows.id)
    assert set(decided(world, follows.id)) == {one}
    with world.database.reader() as session:
        assert session.get_one(CaseRow, follows.id).subject_key == provisional_key(world.keyring, follows.id)


def test_only_a_dpo_lifts_what_a_purge_left_out(left_out) -> None:
    world, case_id, one, _ = left_out
    purge(world, case_id)
    with pytest.raises(RefusedByRule):
        lift(world, case_id, one, actor=MILO)
    assert len(held_back(world)) == 1


def test_a_hold_is_not_lifted_while_the_purge_that_left_it_out_is_unfinished(left_out) -> None:
    world, case_id, one, _ = left_out
    purge(world, case_id, whole=False)
    with pytest.raises(RefusedByRule, match="has destroyed"):
        lift(world, case_id, one)
    assert len(held_back(world)) == 1
