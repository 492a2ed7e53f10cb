"""Whoever is registered is found: every form of every person, planted in records of others, however people write it."""

from __future__ import annotations

import shutil
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lineage_world import BOB, NOW, Scans, World, open_world, row

from lineage.closure import find_closure
from lineage.forms import FormKind
from lineage.register import RegisterForm, RegisterIndex
from lineage.sightings import find_sightings
from lineage.subjects import SubjectEntry, add_forms, load_forms

NAMES = ("Anneliese Quistgaard", "José Núñez-Straße", "Ole O'Brien", "Zoë van der Berg", "李 小龙", "Þórunn Ægisdóttir")
ACCOUNTS = ("AC-7731-5542", "ACC 0001/22", "K7741229012")
PHONES = {  # each with the ways it is written at home and abroad
    "+44 20 7946 0731": (
        "020 7946 0731",
        "(020) 7946-0731",
        "0044 20 7946 0731",
        "+44 (0)20 7946 0731",
        "+442079460731",
    ),
    "+49 30 12345678": ("030 12345678", "030/12345678", "0049 30 12345678", "+49 (0)30 123 456 78", "+49-30-12345678"),
    "+33 1 42 68 53 00": ("01 42 68 53 00", "01.42.68.53.00", "0033 1 42 68 53 00", "+33142685300"),
    "+1 212 555 0143": ("(212) 555-0143", "212-555-0143", "212.555.0143", "1 212 555 0143", "+1-212-555-0143"),
    "+55 11 91234-5678": ("(11) 91234-5678", "011 91234 5678", "+5511912345678"),
    "+91 98765 43210": ("098765 43210", "98765-43210", "0091 98765 43210", "+919876543210"),
    "+972 50 123 4567": ("050-123-4567", "0501234567", "00972 50 123 4567"),
}
SPACES = st.sampled_from([" ", "  ", "\u00a0", "\u2009", "\n", "\t", "\u3000"])
CASES = st.sampled_from([str, str.upper, str.lower, str.title, str.swapcase])
FRAMES = st.sampled_from(["I met {} today.", "({})", "“{}”", "{}", "to {}, please", "About {}'s lamp:", "a: {}; b"])
FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}


def respaced(data: st.DataObject, value: str) -> str:
    """Every space drawn anew."""
    return "".join(data.draw(SPACES) if character == " " else character for character in value)


def composed(data: st.DataObject, value: str) -> str:
    form = data.draw(st.sampled_from(["NFC", "NFD"]))
    return unicodedata.normalize(form, value)


def widened(data: st.DataObject, value: str) -> str:
    return value.translate(FULL_WIDTH) if data.draw(st.booleans()) else value


def hidden(data: st.DataObject, value: str) -> str:
    """With an invisible character inside, as copied from a web page; never between a letter and its accent."""
    places = [place for place in range(1, len(value)) if not unicodedata.combining(value[place])]
    if not data.draw(st.booleans()):
        return value
    place = data.draw(st.sampled_from(places))
    return value[:place] + data.draw(st.sampled_from(["\u200b", "\u00ad", "\u2060", "\ufeff"])) + value[place:]


def spelled(data: st.DataObject, kind: FormKind, value: str) -> str:
    """One of the ways in which people write this form."""
    match kind:
        case "name":
            return hidden(data, respaced(data, composed(data, widened(data, data.draw(CASES)(value)))))
        case "email":
            return hidden(data, widened(data, data.draw(CASES)(value)))
        case "account":
            separator = data.draw(st.sampled_from(["-", " ", "", ".", "\u2011", "\u00a0", "/"]))
            glued = "".join(separator if not c.isalnum() else c for c in value)
            return widened(data, data.draw(CASES)(glued))
        case "phone":
            written = data.draw(st.sampled_from([value, *PHONES[value]]))
            return hidden(data, widened(data, respaced(data, written)))
        case _:
            raise AssertionError(kind)


@st.composite
def people(draw: st.DrawFn) -> list[tuple[FormKind, str]]:
    number = draw(st.integers(0, 9999))
    name = draw(st.sampled_from(NAMES))
    mail = f"p{number}.x-y+z@sub.quillonia.example"
    return [("name", name), ("email", mail), ("phone", draw(st.sampled_from(sorted(PHONES)))), ("account", draw(st.sampled_from(ACCOUNTS)))]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(data=st.data(), frame=FRAMES)
def test_every_spelling_of_every_form_is_linked(data: st.DataObject, frame: str) -> None:
    kind, value = data.draw(people().flatmap(st.sampled_from))
    text = frame.format(spelled(data, kind, value))
    links = RegisterIndex([RegisterForm("k", kind, value)]).link(text)
    assert [(link.kind, link.subject_keys) for link in links] == [(kind, frozenset({"k"}))], repr(text)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_request_finds_every_record_of_others_in_which_a_form_was_planted(
    empty_workspace, tmp_path_factory, data: st.DataObject
) -> None:
    """Registered before the ingest or after it; and no record in which nothing was planted."""
    world = open_world(shutil.copytree(empty_workspace, tmp_path_factory.mktemp("complete") / "ws"))
    person = data.draw(people())
    before = data.draw(st.sets(st.integers(0, len(person) - 1)))
    add(world, [person[i] for i in sorted(before)])
    planted = [f"{n}: " + data.draw(FRAMES).format(spelled(data, *form)) for n, form in enumerate(person)]
    ids = world.ingest(*[row(text, BOB) for text in planted], row("The lamp is broken.", BOB), scanner=Scans())
    add(world, person)
    key = world.key("C-1")
    with world.database.reader() as session:
        forms = load_forms(session, world.keystore, key)
        closure = find_closure(session, key, forms, keystore=world.keystore)
        seen = find_sightings(world.workspace, session, key, forms, closure.records)
    assert {r.record_id for r in closure.records} == set(ids[: len(person)]), planted
    types = [[s.entity_type for s in seen[record_id]] for record_id in ids[: len(person)]]
    assert types == [["PERSON"], ["EMAIL_ADDRESS"], ["PHONE_NUMBER"], ["ACCOUNT"]]


def add(world: World, forms: list[tuple[FormKind, str]]) -> None:
    entries = [SubjectEntry("C-1", kind, value) for kind, value in forms]
    with world.database.transaction() as session:
        add_forms(session, entries, keyring=world.keyring, keystore=world.keystore, now=NOW)


# --- one name, several people ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sharers", [2, 3, 50])
def test_a_shared_form_links_to_everybody_who_has_it_and_is_ambiguous(sharers: int) -> None:
    forms = [RegisterForm(f"s{i}", "name", "Ann Lee" if i % 2 else "ANN  LEE") for i in range(sharers)]
    (link,) = RegisterIndex(forms).link("It was Ann Lee.")
    assert (len(link.subject_keys), link.ambiguous) == (sharers, True)


@given(st.permutations([("a", "Ann Lee"), ("b", "Ann Lee"), ("c", "Ann Lee Stone"), ("d", "Lee Stone")]))
def test_the_order_of_registration_changes_nothing(order: list[tuple[str, str]]) -> None:
    index = RegisterIndex([RegisterForm(key, "name", name) for key, name in order])
    found = {(link.start, link.end_exclusive, link.subject_keys) for link in index.link("ann lee stone")}
    assert found == {(0, 7, frozenset("ab")), (0, 13, frozenset("c")), (4, 13, frozenset("d"))}


@settings(max_examples=100, deadline=None)
@given(data=st.data(), frame=FRAMES, crowd=st.lists(people(), max_size=6))
def test_a_crowd_does_not_hide_anybody(
    data: st.DataObject, frame: str, crowd: list[list[tuple[FormKind, str]]]
) -> None:
    kind, value = data.draw(people().flatmap(st.sampled_from))
    text = frame.format(spelled(data, kind, value))
    forms = [RegisterForm(f"other{n}", k, v) for n, one in enumerate(crowd) for k, v in one]
    alone = RegisterIndex([RegisterForm("k", kind, value)]).link(text)
    among = [
        link for link in RegisterIndex([*forms, RegisterForm("k", kind, value)]).link(text) if "k" in link.subject_keys
    ]
    assert [(link.start, link.end_exclusive) for link in among] == [(link.start, link.end_exclusive) for link in alone]
