"""Why a record was found: the types of the person's spans in it, how many, and whom else they fit. Never the text."""

from __future__ import annotations

from lineage_world import ANN, BOB, CLEO, FORMS, NOW, Scans, World, row

from lineage.closure import find_closure
from lineage.sightings import Sighting, find_sightings, sighting_bodies, why_found
from lineage.subjects import SubjectEntry, add_forms, load_forms

NAME, MAIL, ACCOUNT = FORMS[ANN]["name"], FORMS[ANN]["email"], FORMS[ANN]["account"]


def seen(world: World, person: str = ANN) -> dict[str, tuple[Sighting, ...]]:
    key = world.key(person)
    with world.database.reader() as session:
        forms = load_forms(session, world.keystore, key)
        closure = find_closure(session, key, forms, keystore=world.keystore)
        return find_sightings(world.workspace, session, key, forms, closure.records)


def share(world: World, person: str, kind: str, value: str) -> None:
    with world.database.transaction() as session:
        entry = SubjectEntry(person, kind, value)  # type: ignore[arg-type]
        add_forms(session, [entry], keyring=world.keyring, keystore=world.keystore, now=NOW)


def test_what_stands_in_a_record_is_counted_by_type(world: World) -> None:
    (late,) = world.ingest(row(f"{NAME} <{MAIL}>, again {NAME.upper()}; account {ACCOUNT}.", BOB))
    (own,) = world.ingest(row("The lamp is broken.", ANN))
    world.register(ANN)
    assert seen(world) == {late: (Sighting("ACCOUNT", 1), Sighting("EMAIL_ADDRESS", 1), Sighting("PERSON", 2))}
    assert own not in seen(world), "a record that declares the person need not hold any of their forms"


def test_what_became_a_constant_at_ingest_is_told_by_the_findings(world: World) -> None:
    world.register(ANN, BOB)
    (known,) = world.ingest(row(f"I spoke with {NAME}, {MAIL}, today.", BOB))
    assert seen(world) == {known: (Sighting("EMAIL_ADDRESS", 1, redacted=1), Sighting("PERSON", 1, redacted=1))}


def test_a_name_inside_an_address_is_not_counted_beside_it(world: World) -> None:
    world.register(ANN, BOB)
    found = Scans({MAIL: "EMAIL_ADDRESS", MAIL.partition("@")[0]: "PERSON"})
    (known,) = world.ingest(row(f"Write to {MAIL}.", BOB), scanner=found)
    assert seen(world) == {known: (Sighting("EMAIL_ADDRESS", 1, redacted=1),)}


def test_what_was_redacted_and_what_still_stands_are_added_up(world: World) -> None:
    world.register(ANN)
    (both,) = world.ingest(row(f"{NAME}, called Annie Quist.", BOB))
    share(world, ANN, "name", "Annie Quist")
    assert seen(world) == {both: (Sighting("PERSON", 2, redacted=1),)}
    assert why_found("mentioned", sighting_bodies(seen(world)[both])) == "mentioned: PERSON x2 (1 redacted)"


def test_a_name_that_others_share_is_ambiguous_before_and_after_redaction(world: World) -> None:
    for person in (CLEO, "C-77"):
        share(world, person, "name", NAME.upper())
    (late,) = world.ingest(row(f"{NAME} wrote.", BOB), scanner=Scans())
    world.register(ANN)
    (waits,) = world.ingest(row(f"{NAME} wrote again.", BOB))
    assert seen(world)[late] == (Sighting("PERSON", 1, redacted=0, also_fits=2),)
    assert seen(world)[waits] == (Sighting("PERSON", 1, redacted=0, also_fits=2),)
    assert why_found("mentioned", sighting_bodies(seen(world)[late])) == (
        "mentioned: PERSON x1; ambiguous name: also fits 2 other people"
    )


def test_a_shared_telephone_is_told_however_it_is_written(world: World) -> None:
    world.register(BOB)
    share(world, CLEO, "phone", "0044 20 7946 0731")
    (late,) = world.ingest(row("Ring (020) 7946-0731.", ANN), scanner=Scans())
    assert [(s.entity_type, s.count, s.also_fits) for s in seen(world, BOB)[late]] == [("PHONE_NUMBER", 1, 1)]


def test_the_line_for_people_names_the_relation_the_types_and_no_value() -> None:
    mail = {"type": "EMAIL_ADDRESS", "count": 1, "redacted": 1, "also_fits": 0}
    name = {"type": "PERSON", "count": 2, "redacted": 0, "also_fits": 1}
    assert why_found("declared", ()) == "declared"
    assert why_found("duplicate", ()) == "the same text as a record of the person"
    assert why_found("derived", [name]) == (
        "derived from a record that goes: PERSON x2; ambiguous name: also fits 1 other person"
    )
    assert why_found("mentioned", [mail, name]) == (
        "mentioned: EMAIL_ADDRESS x1 (redacted), PERSON x2; ambiguous name: also fits 1 other person"
    )
