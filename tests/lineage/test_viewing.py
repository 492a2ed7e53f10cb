"""Opening a record: only a DPO, only a record of the case, only after it was written down, and only what is the person's."""

from __future__ import annotations

import pytest
from lineage_world import ANN, BOB, CLEO, DANA, DORA, FORMS, INES, MILO, NOW, Scans, World, row
from sqlmodel import select

from lineage import ledger, viewing
from lineage.access import Actor, Role
from lineage.case import CaseFile
from lineage.closure import find_closure
from lineage.desk import Intake, file_case
from lineage.errors import LetheError, RefusedByRule, WrongUsage
from lineage.evidence import save_closure
from lineage.hidden import MOVED, NOT_SCANNED
from lineage.purge import forget_rows
from lineage.register import RegisterForm
from lineage.subjects import SubjectEntry, add_forms, load_forms
from lineage.tables import FindingRow, RecordRow, VaultRow
from lineage.tombstones import bury
from lineage.vault import Shredded
from lineage.viewing import OpenedRecord, listed_record, open_record

NAME, MAIL = FORMS[ANN]["name"], FORMS[ANN]["email"]
REASON = "Is it the same person?"


def previewed(world: World, person: str = ANN) -> str:
    """A case of the person with its closure saved, as the preview job leaves it."""
    case_id = file_case(world.workspace, Intake([person], "b", "portal", NOW.date()), actor=INES, now=NOW).id
    key = world.key(person)
    with world.database.transaction() as session:
        forms = load_forms(session, world.keystore, key)
        closure = find_closure(session, key, forms, keystore=world.keystore)
        save_closure(session, case_id, closure, world.keyring)
    return case_id


def handle(world: World, case_id: str, record_id: str) -> str:
    return world.keyring.handle(case_id, record_id)


def look(world: World, case_id: str, record_id: str, *, actor: Actor = DANA, reason: str = REASON) -> OpenedRecord:
    name = handle(world, case_id, record_id)
    return open_record(world.workspace, case_id, name, actor=actor, reason=reason, now=NOW)


def views(world: World, case_id: str) -> list[dict]:
    with world.database.reader() as session:
        return [dict(e.payload) for e in ledger.events_of_case(session, case_id) if e.kind == "record.viewed"]


def written(opened: OpenedRecord) -> str:
    """What is shown: [own forms], <masked ones>."""
    return "\n".join(
        "".join(p.text if p.masked or not p.entity_type else f"[{p.text}]" for p in segment.pieces)
        for segment in opened.segments
    )


@pytest.fixture
def late(world: World) -> tuple[str, str]:
    """A record of Bob that mentions Ann in the clear, and Ann's case."""
    (record_id, _) = world.ingest(row(f"I spoke with {NAME} ({MAIL}) today.", BOB), row("Nothing of Ann.", BOB))
    world.register(ANN)
    return record_id, previewed(world)


def test_the_person_is_marked_by_type_and_the_look_is_in_the_ledger(world: World, late: tuple[str, str]) -> None:
    record_id, case_id = late
    opened = look(world, case_id, record_id)
    assert written(opened) == f"I spoke with [{NAME}] ([{MAIL}]) today."
    assert [(p.text, p.entity_type) for p in opened.segments[0].pieces if p.entity_type] == [
        (NAME, "PERSON"), (MAIL, "EMAIL_ADDRESS"),
    ]  # fmt: skip
    seen = {"case": case_id, "record": handle(world, case_id, record_id), "by": "dana", "reason": REASON}
    assert views(world, case_id) == [seen]
    look(world, case_id, record_id, actor=DORA, reason="A second look")
    assert [view["by"] for view in views(world, case_id)] == ["dana", "dora"]
    assert record_id not in str(views(world, case_id)), "a record id would outlive its record in the ledger"


@pytest.mark.parametrize("actor", [INES, MILO, Actor("axel", Role.AUDITOR), Actor("root", Role.ADMIN)])
def test_any_other_role_is_refused_with_the_rule_and_sees_nothing(
    world: World, late: tuple[str, str], actor: Actor
) -> None:
    record_id, case_id = late
    with pytest.raises(RefusedByRule, match="Only the role dpo may open a record of a case"):
        look(world, case_id, record_id, actor=actor)
    assert views(world, case_id) == []


def test_a_record_outside_the_case_is_refused(world: World, late: tuple[str, str]) -> None:
    record_id, case_id = late
    stranger = next(r.id for r in world.rows(RecordRow) if r.id != record_id)
    for name in (handle(world, case_id, stranger), handle(world, "case-00000000", record_id), record_id):
        with pytest.raises(RefusedByRule, match="not one of case"):
            open_record(world.workspace, case_id, name, actor=DANA, reason=REASON, now=NOW)
    for name in ("", "%", "_" * 9, handle(world, case_id, record_id)[:7]):
        with pytest.raises((WrongUsage, RefusedByRule)):
            open_record(world.workspace, case_id, name, actor=DANA, reason=REASON, now=NOW)
    with pytest.raises(WrongUsage, match="There is no case"):
        listed_record(world.workspace, "case-00000000", handle(world, case_id, record_id))
    assert views(world, case_id) == []


def test_a_handle_of_another_case_opens_nothing_here(world: World, late: tuple[str, str]) -> None:
    record_id, case_id = late
    world.register(BOB)
    other = previewed(world, BOB)
    assert look(world, other, record_id).listed.case_id == other
    theirs = handle(world, other, record_id)
    with pytest.raises(RefusedByRule, match="not one of case"):
        open_record(world.workspace, case_id, theirs, actor=DANA, reason=REASON, now=NOW)
    assert views(world, case_id) == []


@pytest.mark.parametrize("reason", ["", "  ", "x" * 1001, f"Looking for {NAME}", f"Ask {FORMS[BOB]['email']}"])
def test_a_look_without_a_reason_or_with_a_name_in_it_is_refused(world: World, reason: str) -> None:
    world.register(BOB)
    (record_id,) = world.ingest(row(f"I spoke with {NAME} today.", BOB))
    world.register(ANN)
    case_id = previewed(world)
    with pytest.raises(WrongUsage) as refusal:
        look(world, case_id, record_id, reason=reason)
    assert "Quistgaard" not in str(refusal.value)
    assert views(world, case_id) == []


def test_the_event_stands_even_if_showing_fails(
    world: World, late: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record_id, case_id = late

    def fails(*_: object, **__: object) -> None:
        assert len(views(world, case_id)) == 1, "the text was to be shown before the look was written down"
        raise ValueError(NAME)

    monkeypatch.setattr(viewing, "_pieces", fails)
    with pytest.raises(ValueError, match="Quistgaard"):
        look(world, case_id, record_id)
    assert len(views(world, case_id)) == 1


def test_a_look_that_cannot_be_written_down_shows_nothing(
    world: World, late: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record_id, case_id = late

    def locked(*_: object, **__: object) -> None:
        raise LetheError("The database is locked.")

    monkeypatch.setattr(ledger, "append", locked)
    monkeypatch.setattr(viewing, "_opened", lambda *_: pytest.fail("shown without a trace"))
    with pytest.raises(LetheError, match="locked"):
        look(world, case_id, record_id)


# --- what of others is masked -----------------------------------------------------------------------------------------------


def test_others_are_masked_whether_known_at_ingest_or_since_or_never(world: World) -> None:
    """Bob declares it and is kept, Cleo was registered later, the last address and number are nobody's we know."""
    bob, cleo = FORMS[BOB], FORMS[CLEO]
    world.register(BOB)
    text = f"{bob['name']} here, {bob['email']}. {NAME} told {cleo['name']}; also x@y.example, 555 123 4567."
    (record_id,) = world.ingest(row(text, BOB))
    world.register(ANN, CLEO)
    opened = look(world, previewed(world), record_id)
    assert written(opened) == (
        f"<PERSON> here, <EMAIL_ADDRESS>. [{NAME}] told <PERSON>; also <EMAIL_ADDRESS>, <NUMBER>."
    )


def test_a_declared_person_with_a_name_of_many_words_is_masked(world: World) -> None:
    """More words than a lookup by digest tries; the people of the record are searched for by their forms."""
    many = "Maria del Carmen de los Rios"
    (record_id,) = world.ingest(row(f"{many} met {NAME}.", BOB))
    world.register(ANN)
    with world.database.transaction() as session:
        entry = SubjectEntry(BOB, "name", many)
        add_forms(session, [entry], keyring=world.keyring, keystore=world.keystore, now=NOW)
    assert written(look(world, previewed(world), record_id)) == f"<PERSON> met [{NAME}]."


def test_an_erased_person_is_masked_too(world: World) -> None:
    world.register(CLEO)
    (record_id,) = world.ingest(row("I saw ann lee stone.", ANN), scanner=Scans())
    erased = [RegisterForm("x", "name", "Ann Lee Stone")]
    with world.database.transaction() as session:
        bury(session, case_id="case-0", record_ids=[], forms=erased, keyring=world.keyring, on=NOW.date())
    world.register(ANN)
    assert written(look(world, previewed(world), record_id)) == "I saw <PERSON>."


def test_where_a_longer_name_of_another_holds_the_persons_only_the_persons_part_is_shown(world: World) -> None:
    (record_id,) = world.ingest(row(f"{NAME} Nordqvist wrote.", BOB))
    world.register(ANN)
    with world.database.transaction() as session:
        entry = SubjectEntry(CLEO, "name", f"{NAME} Nordqvist")
        add_forms(session, [entry], keyring=world.keyring, keystore=world.keystore, now=NOW)
    assert written(look(world, previewed(world), record_id)) == f"[{NAME}]<PERSON> wrote."


def test_what_the_gate_found_is_masked_and_information_is_not(world: World) -> None:
    found = Scans({"Quagga Smith": "PERSON", "tomorrow": "DATE_TIME"})
    (record_id,) = world.ingest(row(f"{NAME} and Quagga Smith, tomorrow.", BOB), scanner=found)
    world.register(ANN)
    assert written(look(world, previewed(world), record_id)) == f"[{NAME}] and <PERSON>, tomorrow."


def test_a_segment_in_which_a_finding_cannot_be_placed_any_more_is_hidden(world: World) -> None:
    world.register(CLEO)
    text = f"{FORMS[CLEO]['name']} met Quagga Smith and {NAME}."
    (record_id,) = world.ingest(row(text, BOB), scanner=Scans({"Quagga Smith": "PERSON"}))
    world.register(ANN)
    case_id = previewed(world)
    assert written(look(world, case_id, record_id)) == f"[PERSON] met <PERSON> and [{NAME}]."
    with world.database.transaction() as session:
        for found in session.exec(select(FindingRow)).all():
            found.kept_start = found.kept_end_exclusive = None
    assert written(look(world, case_id, record_id)) == MOVED, "judged before places were kept"


def test_a_record_whose_scan_failed_is_not_shown(world: World) -> None:
    (record_id,) = world.ingest(row(f"{NAME} and Quagga Smith.", BOB), scanner=Scans(failure=ValueError("no")))
    world.register(ANN)
    assert written(look(world, previewed(world), record_id)) == NOT_SCANNED


# --- nothing left to open ---------------------------------------------------------------------------------------------------


def test_once_the_text_is_destroyed_it_says_so_and_writes_no_look_down(world: World, late: tuple[str, str]) -> None:
    record_id, case_id = late
    with world.database.transaction() as session:
        forget_rows(session, case_id=case_id, subject_key=None, record_ids=[record_id])
    assert listed_record(world.workspace, case_id, handle(world, case_id, record_id)).destroyed
    with pytest.raises(Shredded, match="destroyed"):
        look(world, case_id, record_id)
    assert views(world, case_id) == []


def test_of_a_blocked_record_no_text_was_kept(world: World, late: tuple[str, str]) -> None:
    record_id, case_id = late
    with world.database.transaction() as session:
        session.delete(session.get_one(VaultRow, record_id))
    with pytest.raises(Shredded, match="never kept"):
        look(world, case_id, record_id)
    assert views(world, case_id) == []


def test_a_record_that_is_purged_while_the_look_is_written_down_is_destroyed_and_the_look_stands(
    world: World, late: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record_id, case_id = late
    opened = viewing._opened

    def purged_before(*arguments: object) -> object:
        with world.database.transaction() as session:
            session.delete(session.get_one(VaultRow, record_id))
        return opened(*arguments)

    monkeypatch.setattr(viewing, "_opened", purged_before)
    with pytest.raises(Shredded, match="destroyed"):
        look(world, case_id, record_id)
    assert len(views(world, case_id)) == 1


def test_a_shredded_key_opens_nothing(world: World, late: tuple[str, str]) -> None:
    record_id, case_id = late
    world.keystore.shred_records([record_id])
    with pytest.raises(Shredded):
        look(world, case_id, record_id)


def test_the_records_of_a_case_that_ended_are_not_opened(world: World, late: tuple[str, str]) -> None:
    record_id, case_id = late
    with world.database.transaction() as session:
        CaseFile(session, case_id).refuse(actor=DANA, reason="Needed for a claim", now=NOW)
    with pytest.raises(RefusedByRule, match="has ended"):
        look(world, case_id, record_id)
    assert views(world, case_id) == []


def test_no_repr_and_no_file_of_the_workspace_holds_the_text(world: World, late: tuple[str, str]) -> None:
    record_id, case_id = late
    opened = look(world, case_id, record_id)
    assert "Quistgaard" not in repr(opened)
    files = [path.read_bytes() for path in world.home.rglob("*") if path.is_file()]
    assert files
    assert not [content for content in files if b"Quistgaard" in content]
