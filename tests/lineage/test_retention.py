"""What stays about an erased person goes on its day, or when a DPO lets them in again; what others need stays."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from lineage_world import ANN, BOB, DANA, FORMS, INES, MILO, NOW, World, filing_dates, row
from sqlmodel import select

from lineage import journal, ledger, retention, tombstones
from lineage.access import Actor, Role
from lineage.case import CaseFile, Filing, file_request
from lineage.errors import RefusedByRule, WrongUsage
from lineage.register import RegisterForm
from lineage.replay import erasures
from lineage.subjects import load_forms, load_suppression
from lineage.tables import CaseRow, CueRow, LedgerRow, NearTombstoneRow, SuppressionRow, TombstoneRow

FIRST, SECOND = "case-00000001", "case-00000002"
NAMESAKE = FORMS[ANN]["name"]
ON = date(2026, 1, 31)
LAST = tombstones.kept_until(ON)


def erase(
    world: World, case_id: str, person: str, record_ids: list[str], forms: list[RegisterForm], on: date = ON
) -> None:
    """What a purge leaves of a case: what keeps the person out, the journal's two lines, and a purged row."""
    with world.database.transaction() as session:
        filing = Filing(case_id, world.key(person), b"sealed", "b", "portal", **filing_dates())
        file_request(session, filing, actor=INES, now=NOW)
        marks = tombstones.marks_of(session, record_ids=record_ids, forms=forms, keyring=world.keyring)
        tombstones.bury(session, case_id=case_id, record_ids=record_ids, forms=forms, keyring=world.keyring, on=on)
        until = tombstones.kept_until(on)
        session.add(
            NearTombstoneRow(case_id=case_id, handle="h", subject_hmac="", words=3, sketch=b"1", keep_until=until)
        )
        case = session.get_one(CaseRow, case_id)
        case.stage, case.evidence_digest = "PURGE_APPROVED", case_id
        CaseFile(session, case_id).purged(now=NOW)
    at = datetime(on.year, on.month, on.day, tzinfo=UTC).isoformat()
    whole = journal.Entry(
        case_id, case_id, at, tuple(record_ids), "s", form_hmacs=marks.form_hmacs, cues=marks.cues,
        given_hmacs=marks.given_hmacs, id_hmacs=marks.id_hmacs, kind=journal.BEGUN,
    )  # fmt: skip
    journal.append(world.journal, whole)
    journal.append(world.journal, journal.Entry(case_id, case_id, at, kind=journal.DESTROYED))


@pytest.fixture
def two(world: World) -> World:
    """Ann was erased, and later a namesake of hers with an address of his own."""
    world.register(ANN)
    ids = world.ingest(row("My lamp is broken.", ANN, given_id="1"), row("Mine too.", BOB, given_id="2"))
    with world.database.reader() as session:
        forms = load_forms(session, world.keystore, world.key(ANN))
    erase(world, FIRST, ANN, ids[:1], forms)
    theirs = [RegisterForm("k", "name", NAMESAKE), RegisterForm("k", "email", "other@namesake.example")]
    erase(world, SECOND, BOB, ids[1:], theirs, on=date(2026, 7, 31))
    return world


def keeps_out(world: World, text: str) -> bool:
    with world.database.reader() as session:
        return bool(load_suppression(session, world.keyring).link(text))


def events(world: World) -> list[str]:
    with world.database.reader() as session:
        return list(session.exec(select(LedgerRow.kind).where(LedgerRow.kind.not_like("case.%"))).all())  # type: ignore[attr-defined]


def morning_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 9, tzinfo=UTC)


# --- by time --------------------------------------------------------------------------------------------------------------------


def test_on_its_last_day_everything_stays_and_the_day_after_it_goes(two: World) -> None:
    before = two.journal.read_bytes()
    assert retention.expire_kept(two.workspace, now=morning_of(LAST)) == 0
    assert (events(two), two.journal.read_bytes()) == ([], before), "nothing is said when nothing goes"
    assert retention.expire_kept(two.workspace, now=morning_of(LAST + timedelta(days=1))) > 0
    assert events(two) == ["retention.expired"]
    assert {r.case_id for r in two.rows(TombstoneRow)} == {r.case_id for r in two.rows(NearTombstoneRow)} == {SECOND}
    assert not keeps_out(two, f"Write to {FORMS[ANN]['email']}")
    assert retention.expire_kept(two.workspace, now=morning_of(LAST + timedelta(days=1))) == 0
    with two.database.reader() as session:
        assert ledger.verify(session).length


def test_a_name_that_two_erasures_need_is_kept_until_the_later_day(two: World) -> None:
    """LAW the earlier erasure of a namesake takes no protection from the later one when its time is over."""
    retention.expire_kept(two.workspace, now=morning_of(LAST + timedelta(days=1)))
    assert keeps_out(two, f"I met {NAMESAKE} again."), "the cue that it shares is kept with it"
    retention.expire_kept(two.workspace, now=morning_of(date(2032, 1, 1)))
    assert not keeps_out(two, f"I met {NAMESAKE} again.")
    for table in (TombstoneRow, NearTombstoneRow, SuppressionRow, CueRow):
        assert two.rows(table) == []
    assert not two.journal.read_bytes()


def test_the_journal_loses_the_lines_of_what_is_over_and_no_byte_of_another(two: World) -> None:
    first, rest = two.journal.read_bytes().split(b"\n")[:2], two.journal.read_bytes().split(b"\n", 2)[2]
    assert all(FIRST.encode() in line for line in first)
    retention.expire_kept(two.workspace, now=morning_of(LAST + timedelta(days=1)))
    assert two.journal.read_bytes() == rest
    assert two.journal.stat().st_mode & 0o777 == 0o600
    journal.append(two.journal, journal.Entry("c", "d", "2031-01-01T00:00:00+00:00"))
    assert [entry.case_id for entry in journal.entries(two.journal)] == [SECOND, SECOND, "c"]


# --- by a DPO -------------------------------------------------------------------------------------------------------------------


def lift(world: World, case_id: str = FIRST, *, actor: Actor = DANA, reason: str = "A new contract.") -> dict[str, int]:
    return retention.lift(world.workspace, case_id, actor=actor, reason=reason, now=NOW)


def test_who_is_let_in_again_is_kept_out_no_more_and_a_namesake_still_is(two: World) -> None:
    assert keeps_out(two, FORMS[ANN]["email"])
    counts = lift(two)
    assert (counts["tombstone"], counts["near_tombstone"], counts["suppression"] > 0) == (2, 1, True)
    assert not keeps_out(two, FORMS[ANN]["email"])
    assert keeps_out(two, f"I met {NAMESAKE} again."), "LAW what another erasure needs is not lifted with this one"
    assert {r.case_id for r in two.rows(TombstoneRow)} == {r.case_id for r in two.rows(SuppressionRow)} == {SECOND}
    (again,), held = two.ingest_reporting(row("My lamp is broken.", ANN, given_id="1"))
    assert held == {again: "same"}, "it is in the vault of this small world; no tombstone stops it"
    assert events(two) == ["suppression.lifted"]
    assert lift(two) == {"tombstone": 0, "suppression": 0, "near_tombstone": 0}


def test_the_journal_knows_of_it_so_that_no_replay_lays_it_again(two: World) -> None:
    lift(two)
    marks = {erasure.case_id: erasure.marks for erasure in erasures(two.journal)}
    assert marks[FIRST] == tombstones.Marks()
    assert marks[SECOND].form_hmacs


@pytest.mark.parametrize("actor", [MILO, INES, Actor("root", Role.ADMIN), Actor("ines", Role.DPO)])
def test_only_a_dpo_who_did_not_file_the_request_lets_somebody_in_again(two: World, actor: Actor) -> None:
    with pytest.raises(RefusedByRule):
        lift(two, actor=actor)
    assert (events(two), len(two.rows(NearTombstoneRow))) == ([], 2)


def test_a_case_that_is_not_purged_has_nothing_to_lift(two: World) -> None:
    with two.database.transaction() as session:
        session.get_one(CaseRow, FIRST).stage = "PURGE_APPROVED"
    with pytest.raises(RefusedByRule, match="is at PURGE_APPROVED"):
        lift(two)


@pytest.mark.parametrize("reason", ["", f"{NAMESAKE} is a customer again.", "x" * 2000])
def test_the_reason_names_nobody_who_was_erased(two: World, reason: str) -> None:
    with pytest.raises(WrongUsage):
        lift(two, reason=reason)
    assert events(two) == []
