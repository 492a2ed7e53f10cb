"""Letters say what is the case, name what the law names, hold nothing of the person, and are waited for until they were told."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from letter_world import NOW, RECEIVED, STAGES, at, filed, stand, step, with_contact
from lineage_world import ANN, DANA, FORMS, INES, MILO, World
from sqlmodel import select

from lineage import clock, desk, dossier, inventory, ledger, letters
from lineage.access import Actor, Role
from lineage.alarms import raise_alarms
from lineage.case import POLICY_GROUND, CaseFile, Filing, file_request
from lineage.case_view import Beside
from lineage.clock import AlarmLevel
from lineage.closing import Telling, tell_person
from lineage.closure import LEFT_OUT
from lineage.errors import RefusedByRule, WrongUsage
from lineage.letters import Kind, Letter, write_letter
from lineage.stages import Stage
from lineage.tables import EvidenceRow, LedgerRow
from lineage.tombstones import RETENTION_YEARS

CERTAIN = re.compile(
    r"forgotten|forget|deleted everywhere|everywhere|guarantee|irreversibl|vergessen|überall|garantier|unwiderruflich|"
    r"vollständig gelöscht|completely|no trace|keine spur",
    re.IGNORECASE,
)
FITTING = {
    Stage.REFUSED: {Kind.REFUSED}, Stage.NOT_FOUND: {Kind.NOT_FOUND}, Stage.SIGNED_OFF: {Kind.GRANTED}, Stage.WITHDRAWN: set(),
}  # fmt: skip
OPEN = {Kind.INTERIM}
TEMPLATES = sorted(letters.FOLDER.glob("*/*.txt"))


@pytest.fixture
def office(empty_workspace: Path, tmp_path: Path) -> World:
    return with_contact(shutil.copytree(empty_workspace, tmp_path / "ws"))


def write(world: World, case_id: str, kind: Kind, *, language: letters.Language = "en", actor=DANA, now=NOW) -> str:
    """The letter with every run of white space as one blank."""
    text = write_letter(world.workspace, case_id, Letter(kind, language), actor=actor, now=now)
    assert max(map(len, text.splitlines())) <= 80
    return " ".join(text.split())


def tell(world: World, case_id: str, kind: Kind, on: date = RECEIVED, *, own: bool = False, actor=DANA, now=None):
    return tell_person(world.workspace, case_id, Telling(kind, on, own), actor=actor, now=now or at(on))


def standing(world: World, case_id: str, now=NOW) -> dossier.Standing:
    return dossier.read_case(world.workspace, case_id, now=now).standing


def extended(world: World, case_id: str) -> str:
    desk.extend(world.workspace, case_id, actor=DANA, reason="Many requests at once.", now=NOW)
    return case_id


# --- which letter ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_every_kind_renders_for_every_case_at_its_stage_and_no_other(office: World, stage: Stage) -> None:
    case_id = stand(office, filed(office), stage)
    for kind, language in itertools.product(Kind, ("en", "de")):
        if kind in FITTING.get(stage, OPEN):
            assert case_id in write(office, case_id, kind, language=language)
        else:
            with pytest.raises(RefusedByRule, match="not one for case"):
                write(office, case_id, kind, language=language)
            with pytest.raises(RefusedByRule, match="not one for case"):
                tell(office, case_id, kind, own=True)


def test_a_case_that_keeps_records_gets_the_letter_that_says_so_with_each_reason(office: World) -> None:
    case_id = stand(office, filed(office), Stage.SIGNED_OFF, decisions=("erase", "erase", "redact", "keep", "keep"))
    with pytest.raises(RefusedByRule, match="not one for case"):
        write(office, case_id, Kind.GRANTED)
    text = write(office, case_id, Kind.PARTLY)
    assert "2 under Article 17(3)(b) GDPR: Tax law, six years." in text
    assert "records erased: 2 records from which your details were taken out: 1 records in which" in text
    assert "2 nach Artikel 17 Absatz 3 Buchstabe b DSGVO: Tax law, six years." in write(office, case_id, Kind.PARTLY, language="de")  # fmt: skip


def test_whoever_has_records_under_a_legal_hold_reads_how_many_and_why(office: World) -> None:
    held = {"handle": "h1", "relation": "declared", "decision": "keep", "ground": f"{LEFT_OUT}: A claim is pending."}
    gone = {"handle": "h2", "relation": "declared", "decision": "erase"}
    case_id = stand(office, filed(office), Stage.SIGNED_OFF, more={"records": [held, gone]})
    text = write(office, case_id, Kind.PARTLY)
    assert "1 under a legal hold, Article 17(3)(e) GDPR, locked and not used until it is lifted" in text
    assert "A claim is pending." in text
    assert "gesperrt und ungenutzt, bis dieser Grund entfällt" in write(office, case_id, Kind.PARTLY, language="de")


def test_consent_alone_and_a_test_that_could_not_tell_are_said(office: World) -> None:
    case_id = stand(office, filed(office, only_consent=True), Stage.SIGNED_OFF)
    assert "You withdrew your consent." in write(office, case_id, Kind.GRANTED)
    assert "could not tell" not in write(office, case_id, Kind.GRANTED)
    with office.database.transaction() as session:
        body = {"verdict": "INCONCLUSIVE", "adapters": {"support": {}}}
        letters.add_evidence(session, case_id, "probe", body, now=NOW)
    assert "The test could not tell clearly" in write(office, case_id, Kind.GRANTED)
    with office.database.transaction() as session:
        letters.add_evidence(session, case_id, "probe", {"verdict": "PASS", "adapters": {}}, now=NOW)
    assert "models had learnt" not in write(office, case_id, Kind.GRANTED), "nothing was trained"


def test_nobody_is_written_to_about_a_withdrawal_by_policy(office: World) -> None:
    filing = Filing(
        "case-0000cafe", None, None, POLICY_GROUND, "nobody", RECEIVED, RECEIVED, "b", rescan_id="rescan-1"
    )  # fmt: skip
    with office.database.transaction() as session:
        file_request(session, filing, actor=DANA, now=NOW)
    for kind in Kind:
        with pytest.raises(RefusedByRule, match="not one for case"):
            write(office, "case-0000cafe", kind)
    assert standing(office, "case-0000cafe").letter is None
    with office.database.reader() as session:
        done = replace(CaseFile(session, "case-0000cafe").view, stage=Stage.SIGNED_OFF)
        assert letters.owed(session, done, office.settings) is None, "it would wait for ever"


def test_a_case_that_lost_its_evidence_claims_no_zeros(office: World) -> None:
    case_id = filed(office)
    stand(office, case_id, Stage.SIGNED_OFF)
    with office.database.transaction() as session:
        for row in session.exec(select(EvidenceRow)).all():
            session.delete(row)
    with pytest.raises(WrongUsage, match="lost its evidence"):
        write(office, case_id, Kind.GRANTED)
    tell(office, case_id, Kind.GRANTED, own=True)


# --- what it says ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [Stage.REFUSED, Stage.NOT_FOUND, Stage.SIGNED_OFF])
def test_whoever_is_refused_reads_of_the_authority_and_of_the_court(office: World, stage: Stage) -> None:
    """Art. 12(4) GDPR."""
    decisions = ("erase", "keep")
    case_id = stand(office, filed(office), stage, decisions=decisions)
    kind = {Stage.REFUSED: Kind.REFUSED, Stage.NOT_FOUND: Kind.NOT_FOUND}.get(stage, Kind.PARTLY)
    text, german = write(office, case_id, kind), write(office, case_id, kind, language="de")
    for said in ("Data Protection Authority of Berlin Example Street 59, 10555 Berlin", "Art"):
        assert said in text
        assert said in german
    assert "lodge a complaint with a supervisory authority (Article 77 GDPR)" in text
    assert "judicial remedy against us (Article 79 GDPR), before the courts" in text
    assert "bei einer Aufsichtsbehörde beschweren (Artikel 77 DSGVO)" in german
    assert "gerichtlichen Rechtsbehelf gegen uns (Artikel 79 DSGVO)" in german
    if stage == Stage.REFUSED:
        assert "for this reason: We need it for a claim." in text


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_no_letter_promises_what_nobody_can_know(path: Path) -> None:
    assert CERTAIN.findall(path.read_text(encoding="utf-8")) == []


def test_both_languages_have_the_same_letters_with_the_same_blanks() -> None:
    blanks = {
        lang: {
            path.name: sorted(re.findall(r"\$(\w+)", path.read_text(encoding="utf-8")))
            for path in TEMPLATES
            if path.parent.name == lang
        }
        for lang in ("en", "de")
    }
    assert blanks["en"] == blanks["de"]
    assert {f"{kind}.txt" for kind in Kind} <= set(blanks["en"])


def test_an_extension_says_why_and_until_when_and_is_told_in_the_first_month_only(office: World) -> None:
    case_id = extended(office, filed(office))
    due = standing(office, case_id).case.due_on
    with pytest.raises(RefusedByRule, match="not one for case"):
        write(office, case_id, Kind.INTERIM)
    text = write(office, case_id, Kind.EXTENDED)
    assert "Many requests at once." in text
    assert f"by {due.day} June 2026 at the latest" in text
    assert f"spätestens am {due.day}. Juni 2026" in write(office, case_id, Kind.EXTENDED, language="de")
    first = clock.due(RECEIVED, "DE").date
    assert standing(office, case_id).letter == letters.Owed(Kind.EXTENDED, first)
    with pytest.raises(RefusedByRule, match=f"told by {first}"):
        tell(office, case_id, Kind.EXTENDED, first + timedelta(days=1))
    tell(office, case_id, Kind.EXTENDED, first)
    assert standing(office, case_id).letter is None


def test_a_refusal_is_in_time_in_the_first_month_only_even_of_a_request_that_was_extended(office: World) -> None:
    """Art. 12(4) GDPR knows of no extension: whoever does not act says so within one month of receipt."""
    case_id, first = stand(office, extended(office, filed(office)), Stage.REFUSED), clock.due(RECEIVED, "DE").date
    found = standing(office, case_id, at(first + timedelta(days=1)))
    assert found.letter == letters.Owed(Kind.REFUSED, first)
    assert (found.alarm, found.days_left) == (AlarmLevel.OVERDUE, -1)
    assert found.case.due_on > first


def test_the_end_of_the_backups_is_counted_from_the_day_of_the_purge_where_the_controller_is(office: World) -> None:
    far = replace(
        office.workspace, settings=office.settings.model_copy(update={"zone": "Pacific/Kiritimati"})
    )  # UTC+14
    case_id = stand(office, filed(office), Stage.SIGNED_OFF)
    with office.database.transaction() as session:
        inventory.put_backup(session, inventory.Backup("nightly", "disk", "keys", keep_days=30), actor=DANA, now=NOW)
    assert "by 1 April 2026 at the latest" in write(office, case_id, Kind.GRANTED)
    assert "by 2 April 2026 at the latest" in write(World(far), case_id, Kind.GRANTED), "purged on 3 March there"


def test_nobody_is_promised_that_every_party_is_told_or_that_kept_records_were_unlearnt(office: World) -> None:
    case_id = stand(office, filed(office), Stage.SIGNED_OFF, decisions=("erase", "keep"))
    text, german = write(office, case_id, Kind.PARTLY), write(office, case_id, Kind.PARTLY, language="de")
    assert "is told of the erasure, unless that is impossible or takes a disproportionate effort" in text
    assert "unmöglich oder mit unverhältnismäßigem Aufwand" in german
    assert "built again without what was erased or taken out" in text
    assert "ohne das Gelöschte oder Entfernte neu gebaut" in german


def test_the_years_that_a_letter_names_are_those_of_the_tombstones() -> None:
    years = {5: {"en": "For five years we keep", "de": "Fünf Jahre lang behalten wir"}}[RETENTION_YEARS]
    for language, words in years.items():
        assert words in (letters.FOLDER / language / "done.txt").read_text(encoding="utf-8")


def test_a_letter_needs_all_of_the_contact(world: World) -> None:
    case_id = filed(world)
    with pytest.raises(WrongUsage, match=r"address and dpo and authority of \[contact\]"):
        write(world, case_id, Kind.INTERIM)
    assert world.rows(EvidenceRow) == []


def test_whoever_was_asked_who_they_are_reads_that_time_stands_still(office: World) -> None:
    case_id = stand(office, filed(office), Stage.IDENTITY_CHECK)
    assert "the time does not run" in write(office, case_id, Kind.INTERIM)


# --- nothing of the person ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [Stage.ASSESSMENT, Stage.REFUSED, Stage.NOT_FOUND, Stage.SIGNED_OFF])
def test_nothing_of_the_person_is_in_a_letter_and_an_address_is_kept_nowhere(office: World, stage: Stage) -> None:
    case_id = stand(office, filed(office), stage)
    kind = next(kind for kind in Kind if kind in FITTING.get(stage, OPEN))
    text = write(office, case_id, kind)
    assert [value for value in (ANN, *FORMS[ANN].values()) if value.casefold() in text.casefold()] == []
    wanted = Letter(kind, "en", ("Anneliese Quistgaard", "Quayside 4"))
    addressed = write_letter(office.workspace, case_id, wanted, actor=DANA, now=NOW)
    assert "Anneliese Quistgaard\nQuayside 4\n" in addressed
    assert "____" not in addressed
    assert "Quistgaard" not in repr(wanted)
    tell(office, case_id, kind)
    kept = "".join(row.body for row in office.rows(EvidenceRow)) + "".join(
        row.payload for row in office.rows(LedgerRow)
    )
    assert "Quistgaard" not in kept
    assert "Quayside" not in kept


def test_an_address_that_is_none_writes_nothing_down(office: World) -> None:
    case_id = stand(office, filed(office), Stage.REFUSED)
    for address in (("Anneliese\x1bQuistgaard",), ("a line",) * 11):
        with pytest.raises(WrongUsage, match="at most 10 lines") as refusal:
            write_letter(office.workspace, case_id, Letter(Kind.REFUSED, "en", address), actor=DANA, now=NOW)
        assert "Quistgaard" not in str(refusal.value)
    assert office.rows(EvidenceRow) == []
    assert not [row for row in office.rows(LedgerRow) if row.kind == "letter.written"]


def test_the_case_keeps_the_digest_of_the_letter_with_its_blank(office: World) -> None:
    case_id = stand(office, filed(office), Stage.REFUSED)
    blank = write_letter(office.workspace, case_id, Letter(Kind.REFUSED), actor=DANA, now=NOW)
    write_letter(office.workspace, case_id, Letter(Kind.REFUSED, "en", ("Anneliese Quistgaard",)), actor=DANA, now=NOW)
    rows = [json.loads(row.body) for row in office.rows(EvidenceRow)]
    assert rows == [
        {"kind": "refused", "language": "en", "written_on": "2026-03-02", "digest": hashlib.sha256(blank.encode()).hexdigest()}
    ], "the same letter again adds nothing"  # fmt: skip
    tell(office, case_id, Kind.REFUSED)
    with office.database.reader() as session:
        assert letters.filed(session, case_id, Kind.REFUSED) == {**rows[0], "told_on": "2026-03-02"}
        last = ledger.events_of_case(session, case_id)[-1]
        assert (last.kind, last.payload["by"], last.payload["told_on"]) == ("letter.told", "dana", "2026-03-02")


# --- told -----------------------------------------------------------------------------------------------------------------


def test_what_was_not_written_was_not_told_and_no_day_is_made_up(office: World) -> None:
    case_id = stand(office, filed(office), Stage.REFUSED)
    with pytest.raises(WrongUsage, match="has no letter refused"):
        tell(office, case_id, Kind.REFUSED)
    write(office, case_id, Kind.REFUSED, now=at(RECEIVED + timedelta(days=3)))
    for day in (RECEIVED + timedelta(days=2), RECEIVED + timedelta(days=5)):
        with pytest.raises(WrongUsage, match="between 2026-03-05 and 2026-03-06"):
            tell(office, case_id, Kind.REFUSED, day, now=at(RECEIVED + timedelta(days=4)))
    told = RECEIVED + timedelta(days=4)
    tell(office, case_id, Kind.REFUSED, told)
    tell(office, case_id, Kind.REFUSED, told)
    with pytest.raises(RefusedByRule, match="2026-03-06 already"):
        tell(office, case_id, Kind.REFUSED, RECEIVED + timedelta(days=3), now=at(told))
    with pytest.raises(RefusedByRule, match="2026-03-06 already"):
        write(office, case_id, Kind.REFUSED)
    with office.database.reader() as session:
        assert [e.kind for e in ledger.events_of_case(session, case_id)].count("letter.told") == 1


@pytest.mark.parametrize("actor", [MILO, Actor("axel", Role.AUDITOR)])
def test_only_who_speaks_with_people_writes_and_tells(office: World, actor: Actor) -> None:
    case_id = stand(office, filed(office), Stage.REFUSED)
    with pytest.raises(RefusedByRule, match="Only the role"):
        write(office, case_id, Kind.REFUSED, actor=actor)
    with pytest.raises(RefusedByRule, match="Only the role"):
        tell(office, case_id, Kind.REFUSED, own=True, actor=actor)
    write(office, case_id, Kind.REFUSED, actor=INES)


@pytest.mark.parametrize("stage", [Stage.NOT_FOUND, Stage.REFUSED, Stage.SIGNED_OFF])
def test_the_clock_runs_until_the_person_was_told(office: World, stage: Stage) -> None:
    """After NOT_FOUND, too: the person must be told in time that nothing is held (Art. 12(3), 12(4) GDPR)."""
    case_id = stand(office, filed(office), stage)
    kind = next(iter(FITTING[stage]))
    due = standing(office, case_id).case.due_on
    late = at(due + timedelta(days=1))
    for now, level in ((NOW, AlarmLevel.NONE), (at(due), AlarmLevel.NINE_TENTHS), (late, AlarmLevel.OVERDUE)):
        found = standing(office, case_id, now)
        assert (found.alarm, found.letter) == (level, letters.Owed(kind, due))
        assert f"the person to be told ({kind}) by {due}" in found.waits_for
    assert [s.case.id for s in raise_alarms(office.workspace, now=late)] == [case_id]
    tell(office, case_id, kind, due, own=True)
    told = standing(office, case_id, late)
    assert (told.alarm, told.letter) == (AlarmLevel.NONE, None)
    assert "the person to be told" not in told.waits_for


def test_a_request_that_was_taken_back_owes_no_letter(office: World) -> None:
    found = standing(office, stand(office, filed(office), Stage.WITHDRAWN))
    assert (found.letter, found.waits_for) == (None, "")


def test_what_was_told_in_one_round_of_a_case_stays_told_in_the_next(office: World) -> None:
    case_id = extended(office, filed(office))
    tell(office, case_id, Kind.EXTENDED, own=True)
    stand(office, case_id, Stage.EVIDENCE_READY)
    view = step(office, case_id, "reopen", "A record came in.")
    assert Beside.REOPENED in view.beside
    assert standing(office, case_id).letter is None
