"""The Art. 15 answer tells a person what is held of them and where it went, and nothing of anybody else."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from letter_world import CONTACT
from lineage_world import (
    ANN,
    BOB,
    CLEO,
    DANA,
    DEFAULT,
    FORMS,
    INES,
    MILO,
    NOW,
    PLAN,
    STRICT,
    Scans,
    World,
    after,
    composed,
    digest,
    open_world,
    recipe,
    record_training,
    row,
)  # fmt: skip
from sqlmodel import select

from lineage import builds, desk, inventory, ledger, renewal
from lineage.access import Actor, Role
from lineage.admit import Gate, examine
from lineage.builds import ComposedFacts
from lineage.catalog import GateStamp
from lineage.errors import NotAcceptable, RefusedByRule, WrongUsage
from lineage.exports_access import Access, Held, Person, read_access
from lineage.exports_answer import Asked, access_letter, answer_access
from lineage.exports_page import letter_page
from lineage.labels import WITHHELD
from lineage.plans import TRUNK
from lineage.planted import CANARY_SOURCE
from lineage.records import canonical_bytes
from lineage.register import RegisterIndex
from lineage.suppression import SuppressionList
from lineage.tables import LedgerRow, RecordRow

PROCESSING = '\n[processing]\nretention = "Three years after a ticket was closed."\ntransfers = "None."\n'
TEXTS = {
    "open": "The shop opens at nine.", "bob": "A quiet day in Oslo.", "ann": "My lamp is broken.",
    "copy": "My lamp is broken.", "child": "Lamp: broken.", "both": f"I met {FORMS[ANN]['name']} today.",
    "waits": f"{FORMS[ANN]['email']} wrote about a zebra.",
}  # fmt: skip


def office(empty_workspace: Path, folder: Path) -> World:
    shutil.copytree(empty_workspace, folder)
    with (folder / "lethe.toml").open("a", encoding="utf-8") as file:
        file.write(CONTACT + PROCESSING)
    return open_world(folder)


@pytest.fixture
def world(empty_workspace: Path, tmp_path: Path) -> World:
    return office(empty_workspace, tmp_path / "ws")


@pytest.fixture
def fed(world: World) -> dict[str, str]:
    """Trunk <- open; shard 0: bob, then ann; shard 1: both, then a copy and a child of ann's."""
    return feed(world)


def feed(world: World) -> dict[str, str]:
    world.register(ANN, BOB, CLEO)
    rows = {
        "open": row(TEXTS["open"], given_id="given-open"), "bob": row(TEXTS["bob"], BOB, given_id="given-bob"),
        "ann": row(TEXTS["ann"], ANN, given_id="given-ann"), "copy": row(TEXTS["copy"], CLEO, given_id="given-copy"),
        "child": row(TEXTS["child"], given_id="given-child", parents=["given-ann"], source="tickets"),
        "both": row(TEXTS["both"], BOB, given_id="given-both"),
    }  # fmt: skip
    made = dict(zip(rows, world.ingest(*rows.values(), scanner=Scans({"Oslo": "LOCATION"})), strict=True))
    slices = {(TRUNK, 0): ["open"], (0, 0): ["bob"], (0, 1): ["ann"], (1, 0): ["both"], (1, 1): ["copy", "child"]}
    record_training(world, {place: [made[name] for name in names] for place, names in slices.items()})
    return made


def read(world: World, person: str = ANN) -> Access:
    return read_access(world.workspace, Person(world.key(person)), now=NOW)


def answer(world: World, form: str = "text", *, language: str = "en", person: str = ANN, actor=DANA) -> str:
    asked = Asked(Person(world.key(person)), form, language)
    return answer_access(world.workspace, asked, actor=actor, now=NOW)


def in_one_line(text: str) -> str:
    return " ".join(text.split())


# --- what is told ---------------------------------------------------------------------------------------------------------


def test_every_record_that_an_erasure_would_reach_is_counted_by_why_and_how_it_stands(
    world: World, fed: dict[str, str]
) -> None:
    with world.database.transaction() as session:
        session.get_one(RecordRow, fed["child"]).restricted_by = "case-1"
    lines = {(line.relation, line.status): line for line in read(world).held}
    assert set(lines) == {
        ("declared", "admitted"), ("duplicate", "admitted"), ("derived", "restricted"), ("replaced", "admitted"),
    }  # fmt: skip
    assert {(line.source, line.purpose, line.lawful_basis) for line in lines.values()} == {
        ("tickets", "support", "contract")
    }
    assert read(world).records == 4


def test_what_an_open_case_has_redacted_is_told_as_long_as_its_old_text_is_there(world: World) -> None:
    """No search of today's texts finds it, and yet a model learnt from it and the old text is sealed with the case."""
    (both,) = world.ingest(row(TEXTS["both"], BOB))
    world.register(ANN, CLEO)
    record_training(world, {(TRUNK, 0): [], (0, 0): [both]})
    case_id = desk.file_case(world.workspace, desk.Intake([ANN], "b", "a letter", NOW.date()), actor=INES, now=NOW).id
    free_of(world, ANN, both, by=case_id)
    (line,) = read(world).held
    assert (line.relation, line.status, line.records) == ("freed", "admitted", 1)
    assert [(fed.adapter, fed.records) for fed in read(world).fed] == [("support", 1)]
    assert "your details were taken out of it under a request for erasure" in in_one_line(answer(world))
    assert "auf einen Löschantrag hin herausgenommen" in in_one_line(answer(world, language="de"))
    assert [line.relation for line in read(world, BOB).held] == ["declared"]
    assert read(world, CLEO).held == (), "not her case"
    with world.database.transaction() as session:
        renewal.forget_superseded(session, renewal.superseded(session, "redacted", by=case_id))
    assert read(world).held == ()


def free_of(world: World, person: str, record_id: str, *, by: str) -> None:
    """Give a record a text without the person, as an erasure does it."""
    gate = Gate(Scans(), RegisterIndex([]), SuppressionList(hmac=world.keyring.mac), DEFAULT, STRICT)
    stamp = GateStamp(by, 9, DEFAULT.digest, digest("scanner"), NOW)
    with world.database.transaction() as session:
        stored = session.get_one(RecordRow, record_id)
        content = row("I met somebody today.").content
        judged = renewal.judged_anew(
            session, stored, content, examine(gate, content, declared=()),
            given_hmac=world.keyring.content(canonical_bytes(content)), keystore=world.keystore,
        )  # fmt: skip
        renewal.redact(
            session,
            [judged],
            subject_key=world.key(person),
            stamp=stamp,
            keyring=world.keyring,
            keystore=world.keystore,
        )


def test_a_person_registered_after_the_ingest_is_found_by_a_fresh_search(world: World) -> None:
    world.ingest(row(TEXTS["both"], BOB), row(TEXTS["ann"], ANN))
    world.register(ANN)
    assert {line.relation for line in read(world).held} == {"declared", "mentioned"}


def test_identifiers_given_now_are_searched_for_and_kept_nowhere(world: World) -> None:
    world.register(ANN)
    world.ingest(row(TEXTS["ann"], ANN), row("Call +47 22 34 56 78 about it.", BOB))
    given = Person(identifiers=(FORMS[ANN]["email"], "+47 22 34 56 78"))
    assert "22 34" not in repr(given)
    assert sum(line.records for line in read_access(world.workspace, given, now=NOW).held) == 2
    assert read(world).records == 1


def test_where_it_went_is_every_version_that_descends_from_it(world: World, fed: dict[str, str]) -> None:
    contained = ComposedFacts(composed("contained"), "support", PLAN, "contained", {0: recipe(0, 0), 1: None})
    with world.database.transaction() as session:
        builds.save_composed(session, contained, after(hours=1))
        builds.release(
            session, adapter="support", composed_digest=contained.digest, reason="contained", now=after(hours=1)
        )
    (ann,) = read(world).fed
    assert (ann.adapter, ann.records, ann.since) == ("support", 4, NOW)
    assert [(v.digest, v.released_at, v.withdrawn_at) for v in ann.versions] == [(composed(), NOW, after(hours=1))]
    (bob,) = read(world, BOB).fed
    assert [v.digest for v in bob.versions] == [composed(), contained.digest]
    assert "in service from 31 January 2026 to 31 January 2026" in in_one_line(answer(world))


def test_recipients_files_and_origins_are_those_of_what_it_went_into(world: World, fed: dict[str, str]) -> None:
    with world.database.transaction() as session:
        for name, kind, whom, scope in (
            ("shop", "recipient", "Example Shop Ltd", "support"), ("other", "recipient", "Other Ltd", "sales"),
            ("helpdesk", "upstream", "The helpdesk", "tickets"), ("crm", "upstream", "The CRM", "calls"),
        ):  # fmt: skip
            inventory.put_party(session, inventory.Party(name, kind, whom, scope), actor=DANA, now=NOW)
        inventory.put_file(session, inventory.DerivedFile("phone", "quantised", composed()), actor=DANA, now=NOW)
        inventory.put_backup(session, inventory.Backup("nightly", "disk", "keys", keep_days=30), actor=DANA, now=NOW)
    found = read(world)
    assert [party.whom for party in found.parties] == ["Example Shop Ltd", "The helpdesk"]
    assert found.files == {"quantised": 1}
    text = in_one_line(answer(world))
    assert "Example Shop Ltd received models that we made (scope: support)" in text
    assert "overwritten by 2 March 2026 at the latest" in text


def test_whoever_was_retired_after_it_got_the_data_is_named_and_whoever_was_before_is_not(
    world: World, fed: dict[str, str]
) -> None:
    """Art. 15(1)(c) GDPR: the recipients to whom the data *have been* or will be disclosed."""
    with world.database.transaction() as session:
        for name, kind, scope, at in (
            ("late", "recipient", "support", after(hours=1)), ("early", "recipient", "support", NOW), ("crm", "upstream", "", after(hours=1)),
            ("elsewhere", "recipient", "sales", after(hours=1)), ("foreign", "upstream", "calls", after(hours=1)),
        ):  # fmt: skip
            inventory.put_party(session, inventory.Party(name, kind, f"The {name}", scope), actor=DANA, now=NOW)
            inventory.retire(session, "party", name, actor=DANA, now=at)
    assert [party.whom for party in read(world).parties] == ["The late", "The crm"]


def test_without_records_nobody_got_anything(world: World) -> None:
    world.register(ANN)
    with world.database.transaction() as session:
        for kind in ("recipient", "upstream"):
            inventory.put_party(session, inventory.Party(kind, kind, "Somebody"), actor=DANA, now=NOW)
    assert read(world).parties == ()


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_letter_says_what_art_15_wants_said(world: World, fed: dict[str, str], language: str) -> None:
    text = in_one_line(answer(world, language=language))
    for article in ("7", "15", "16", "17", "18", "20", "21", "77", "79"):
        assert f"{'Article' if language == 'en' else 'Artikel'} {article}" in text, article
    for words in (
        "Three years after a ticket was closed.",
        "None.",
        "Example Street 59",
        "privacy@quillfeather.example",
    ):
        assert words in text
    assert "$" not in text


def test_a_known_person_without_records_is_told_so(world: World) -> None:
    world.register(ANN)
    text = in_one_line(answer(world))
    assert "Records that our search found: none" in text
    assert "we keep 3 identifiers of you, encrypted" in text
    assert "no model that we keep a record of was trained on them" in text


# --- nothing of anybody else ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "language"), [*itertools.product(("text", "html", "json"), ("en", "de"))])
def test_no_name_identifier_given_id_or_text_is_in_an_answer(
    world: World, fed: dict[str, str], form: str, language: str
) -> None:
    said = answer(world, form, language=language)
    values = [value for person in (ANN, BOB, CLEO) for value in (person, world.key(person), *FORMS[person].values())]
    given = [f"given-{name}" for name in fed]
    for value in (*values, *given, *TEXTS.values(), *fed.values(), "Oslo", "lamp"):
        assert value not in said, value


def test_other_people_change_no_byte_of_an_answer(empty_workspace: Path, tmp_path: Path) -> None:
    answers = []
    for name, more in (("few", ()), ("many", (BOB, CLEO))):
        world = office(empty_workspace, tmp_path / name)
        world.register(ANN, *more)
        world.ingest(row(TEXTS["ann"], ANN, given_id="1"), scanner=Scans({"lamp": "THING"}))
        world.ingest(*(row(f"{FORMS[p]['name']} has a boat.", p, source=f"s{p}") for p in more))
        answers.append([answer(world, form) for form in ("text", "html", "json")])
    assert answers[0] == answers[1]


def test_what_was_found_of_others_in_the_same_text_is_not_counted(world: World) -> None:
    world.register(ANN, BOB)
    text = f"{FORMS[ANN]['name']} met {FORMS[BOB]['name']} at {FORMS[BOB]['email']}."
    world.ingest(row(text, ANN))
    kinds = read(world).categories
    assert sum(kinds.values()) == 1
    assert "EMAIL_ADDRESS" not in kinds


def test_a_label_that_names_a_person_is_withheld(world: World) -> None:
    world.register(ANN, BOB)
    raw = row(TEXTS["ann"], ANN)
    world.ingest(dataclasses.replace(raw, purpose=f"support of {FORMS[BOB]['email']}"))
    assert read(world).held == (Held("tickets", WITHHELD, "contract", "admitted", "declared", 1),)


def test_the_ledger_says_that_somebody_was_answered_and_not_who(world: World, fed: dict[str, str]) -> None:
    answer(world)
    with world.database.reader() as session:
        (event,) = session.exec(select(LedgerRow).where(LedgerRow.kind == "subject.accessed")).all()
        assert not isinstance(ledger.verify(session), ledger.Broken)
    payload = json.loads(event.payload)
    assert set(payload) == {"by", "form", "records", "digest"}
    assert (payload["by"], payload["records"]) == ("dana", 4)
    assert world.key(ANN) not in event.payload


# --- who, and what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("actor", [MILO, Actor("axel", Role.AUDITOR)])
def test_only_who_speaks_with_people_answers(world: World, fed: dict[str, str], actor: Actor) -> None:
    with pytest.raises(RefusedByRule, match="Only the role"):
        answer(world, actor=actor)
    assert not [row for row in world.rows(LedgerRow) if row.kind == "subject.accessed"]
    assert answer(world, actor=INES)


def test_somebody_unknown_is_one_sentence_and_no_event(world: World) -> None:
    for person in (Person(digest("nobody")), Person(identifiers=("Perpetua Nobody",)), Person("")):
        with pytest.raises(WrongUsage, match="Nobody in this workspace") as refusal:
            answer_access(world.workspace, Asked(person), actor=DANA, now=NOW)
        assert "Perpetua" not in f"{refusal.value}{refusal.value.hint}"
    assert world.rows(LedgerRow) == []


def test_a_synthetic_person_is_nobody(world: World) -> None:
    world.ingest(row("Nobody lives here.", "X-1", source=CANARY_SOURCE))
    with pytest.raises(WrongUsage, match="Nobody in this workspace"):
        read(world, "X-1")


def test_identifiers_of_two_people_are_no_one_persons(world: World) -> None:
    world.register(ANN, BOB)
    both = Person(identifiers=(FORMS[ANN]["email"], FORMS[BOB]["email"]))
    with pytest.raises(NotAcceptable, match="belong to 2 people"):
        answer_access(world.workspace, Asked(both), actor=DANA, now=NOW)


@pytest.mark.parametrize(("kept", "missing"), [(CONTACT, "retention and transfers of .processing"), (PROCESSING, "address and dpo and authority")])  # fmt: skip
def test_a_letter_that_could_not_say_it_all_is_not_written(
    empty_workspace: Path, tmp_path: Path, kept: str, missing: str
) -> None:
    folder = shutil.copytree(empty_workspace, tmp_path / "bare")
    with (folder / "lethe.toml").open("a", encoding="utf-8") as file:
        file.write(kept)
    world = open_world(folder)
    world.register(ANN)
    with pytest.raises(WrongUsage, match=missing):
        answer(world)
    assert world.rows(LedgerRow) == []
    assert json.loads(answer(world, "json"))["article"] == "15 GDPR"


def test_the_same_question_gets_the_same_bytes(world: World, fed: dict[str, str]) -> None:
    for form in ("text", "html", "json"):
        assert answer(world, form) == answer(world, form, actor=INES)


class _Links(HTMLParser):
    """What a page would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs) -> None:
        self.found += [tag] * (tag in ("script", "link", "img", "iframe", "form"))
        self.found += [name for name, _ in attrs if name in ("src", "href", "action") or name.startswith("on")]


def test_the_page_stands_alone_and_escapes(world: World) -> None:
    world.register(ANN)
    world.ingest(dataclasses.replace(row(TEXTS["ann"], ANN), purpose='<script>alert("x")</script>'))
    page = answer(world, "html")
    parser = _Links()
    parser.feed(page)
    assert parser.found == []
    assert "&lt;script&gt;" in page
    assert page.count("<li>") == 7  # a record, since when, no model, nobody, two of retention, transfers
    whole = letter_page("<u>", "<b>in a paragraph\n\n  <i>in a list", language="en")
    assert not [tag for tag in ("<u>", "<b>", "<i>") if tag in whole]
    assert '<html lang="en"><head><meta charset="utf-8"><title>&lt;u&gt;</title>' in whole


def test_what_the_controller_wrote_in_several_lines_stays_in_its_place(world: World) -> None:
    world.register(ANN)
    found = dataclasses.replace(
        read(world), retention="Tickets: one year.\n\nInvoices: ten.", transfers="None.\nSo far."
    )
    text = access_letter(found, world.workspace.settings, language="en")
    assert "GDPR):\n  Tickets: one year.\n  Invoices: ten.\n  No backup is on our list.\n" in text
    assert "GDPR):\n  None.\n  So far.\n" in text


def test_days_are_those_of_the_controller(world: World, fed: dict[str, str]) -> None:
    far = world.workspace.settings.model_copy(update={"zone": "Pacific/Kiritimati"})  # UTC+14
    late = dataclasses.replace(read(world), held_since=after(hours=2))
    for settings, day in ((world.workspace.settings, "31 January 2026"), (far, "1 February 2026")):
        assert f"came in on {day}." in in_one_line(access_letter(late, settings, language="en"))


def test_the_clock_of_the_answer_is_an_argument(world: World, fed: dict[str, str]) -> None:
    asked = Asked(Person(world.key(ANN)))
    later = answer_access(world.workspace, asked, actor=DANA, now=NOW + timedelta(days=40))
    assert "12 March 2026" in later
