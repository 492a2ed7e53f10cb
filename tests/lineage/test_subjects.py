"""The register at rest: encrypted, found by any form, one person or none, forgotten on demand."""

from __future__ import annotations

import pytest
from lineage_world import ANN, BOB, FORMS, NOW, World, row

from lineage.errors import NotAcceptable, WrongUsage
from lineage.register import RegisterForm
from lineage.subjects import (
    SubjectEntry,
    add_forms,
    find_subject,
    load_forms,
    load_suppression,
    remove_forms,
    subject_counts,
)
from lineage.tables import RegisterRow, SubjectRow
from lineage.vault import Shredded


def add(world: World, *entries: SubjectEntry) -> int:
    with world.database.transaction() as session:
        return add_forms(session, entries, keyring=world.keyring, keystore=world.keystore, now=NOW)


def find(world: World, text: str) -> str | None:
    with world.database.reader() as session:
        return find_subject(session, text, world.keyring)


def forms(world: World, subject_key: str | None = None) -> set[RegisterForm]:
    with world.database.reader() as session:
        return set(load_forms(session, world.keystore, subject_key))


def test_what_was_registered_comes_back(world: World) -> None:
    assert world.register(ANN, BOB) == 6
    assert forms(world, world.key(ANN)) == {RegisterForm(world.key(ANN), k, v) for k, v in FORMS[ANN].items()}
    assert len(forms(world)) == 6
    with world.database.reader() as session:
        assert subject_counts(session) == {"name": 2, "email": 2, "account": 1, "phone": 1, "subjects": 2}


def test_registering_again_adds_nothing(world: World) -> None:
    world.register(ANN)
    assert world.register(ANN) == 0
    assert add(world, SubjectEntry(ANN, "email", FORMS[ANN]["email"].upper())) == 0, "another spelling of the same form"
    twice = SubjectEntry(ANN, "name", "Anna Quist")
    assert add(world, twice, twice) == 1


@pytest.mark.parametrize(
    "text",
    [
        ANN, f" {ANN.lower()} ", "Anneliese Quistgaard", "ANNELIESE  QUISTGAARD", "anneliese@quistgaard.example",
        "ACC-7741-2290", "acc 7741 2290",
    ],
)  # fmt: skip
def test_any_form_finds_the_person(world: World, text: str) -> None:
    world.register(ANN, BOB)
    assert find(world, text) == world.key(ANN)


@pytest.mark.parametrize("text", ["+44 20 7946 0731", "+442079460731", "020 7946 0731"])
def test_a_phone_number_finds_them_however_it_is_written(world: World, text: str) -> None:
    world.register(ANN, BOB)
    assert find(world, text) == world.key(BOB)


@pytest.mark.parametrize("text", ["", " ", "Quistgaard", "nobody@example.org", "%", "C-100", "+44 20 7946 0732"])
def test_whoever_is_not_known_is_none(world: World, text: str) -> None:
    world.register(ANN, BOB)
    assert find(world, text) is None


def test_somebody_known_from_records_only_is_found_by_their_identifier(world: World) -> None:
    world.ingest(row("A lamp.", "C-555"))
    assert find(world, "c-555") == world.key("C-555")


def test_a_shared_form_means_nobody_in_particular(world: World) -> None:
    world.register(ANN, BOB)
    add(world, SubjectEntry(BOB, "email", FORMS[ANN]["email"]))
    with pytest.raises(NotAcceptable, match="2 people share") as refusal:
        find(world, FORMS[ANN]["email"])
    assert "quistgaard" not in f"{refusal.value}{refusal.value.hint}"
    assert find(world, ANN) == world.key(ANN)


@pytest.mark.parametrize(
    "entry",
    [
        SubjectEntry(ANN, "name", ""), SubjectEntry(ANN, "name", "  "), SubjectEntry(" ", "name", "Secret Name"),
        SubjectEntry(ANN, "nickname", "Secret Name"), SubjectEntry(ANN, "email", "Secret Name"),  # type: ignore[arg-type]
        SubjectEntry(ANN, "phone", "Secret Name"), SubjectEntry(ANN, "account", "x"),
    ],
)  # fmt: skip
def test_one_bad_line_adds_none_and_is_not_echoed(world: World, entry: SubjectEntry) -> None:
    with pytest.raises(WrongUsage) as refusal:
        add(world, SubjectEntry(BOB, "name", "Bertram Ostrander"), entry)
    assert "Secret" not in f"{refusal.value}{refusal.value.hint}"
    assert world.rows(RegisterRow) == world.rows(SubjectRow) == []


def test_values_are_in_no_repr_and_in_no_column(world: World) -> None:
    world.register(ANN)
    assert "Quistgaard" not in repr(SubjectEntry(ANN, "name", FORMS[ANN]["name"]))
    assert ANN not in repr(SubjectEntry(ANN, "name", FORMS[ANN]["name"]))
    assert "Quistgaard" not in repr(forms(world))
    stored = repr([row.model_dump() for row in world.rows(RegisterRow)])
    for value in (*FORMS[ANN].values(), ANN):
        assert value not in stored


def test_one_persons_key_opens_one_persons_forms(world: World) -> None:
    world.register(ANN, BOB)
    world.keystore.shred([f"subject:{world.key(ANN)}"])
    assert len(forms(world, world.key(BOB))) == 3
    with pytest.raises(Shredded):
        forms(world, world.key(ANN))


def test_removing_is_safe_to_repeat_and_the_suppression_list_starts_empty(world: World) -> None:
    world.register(ANN, BOB)
    for gone in (3, 0):
        with world.database.transaction() as session:
            assert remove_forms(session, world.key(ANN)) == gone
    assert len(forms(world)) == 3
    with world.database.reader() as session:
        assert len(load_suppression(session, world.keyring)) == 0
