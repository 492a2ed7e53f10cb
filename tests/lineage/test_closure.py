"""Find, then forget: everything that holds the person, and nothing that does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lineage_world import ANN, BOB, CLEO, DEFAULT, FORMS, NOW, STRICT, Scans, World, digest, filing_dates, row

from lineage import plans
from lineage.access import Actor, Role
from lineage.admit import Gate
from lineage.case import Filing, file_request
from lineage.catalog import contents_of
from lineage.closure import Closure, Reach, find_closure, freed_contents, supplied_forms
from lineage.evidence import case_records, contract, digest_of, save_closure
from lineage.plans import Placed
from lineage.records import RawRecord
from lineage.register import RegisterIndex
from lineage.subjects import load_forms, load_suppression
from lineage.tables import CaseRecordRow, RecordRow

NAME, MAIL = FORMS[ANN]["name"], FORMS[ANN]["email"]


def closure_of(world: World, person: str = ANN, *supplied: str) -> Closure:
    key = world.key(person)
    with world.database.reader() as session:
        forms = load_forms(session, world.keystore, key) + supplied_forms(key, supplied)
        return find_closure(session, key, forms, keystore=world.keystore)


def told(closure: Closure) -> dict[str, tuple[str, str]]:
    return {r.record_id: (r.relation, r.decision) for r in closure.records}


def test_what_the_person_declares_goes_whether_or_not_it_names_them(world: World) -> None:
    world.register(ANN, BOB)
    one, two, _ = world.ingest(
        row(f"{NAME} writes.", ANN), row("The lamp is broken.", ANN), row("The lamp works.", BOB)
    )
    assert told(closure_of(world)) == {one: ("declared", "erase"), two: ("declared", "erase")}


def test_a_second_declared_subject_is_a_declared_subject(world: World) -> None:
    (shared,) = world.ingest(row("We share a lamp.", BOB, ANN))
    assert told(closure_of(world)) == {shared: ("declared", "erase")}


def test_a_mention_that_became_a_constant_at_ingest_is_listed_and_stays(world: World) -> None:
    world.register(ANN, BOB)
    (other,) = world.ingest(row(f"I spoke with {NAME} today.", BOB))
    assert told(closure_of(world)) == {other: ("mentioned", "already_redacted")}
    assert closure_of(world).erased_ids == ()


def test_a_mention_of_someone_registered_later_is_found_and_goes(world: World) -> None:
    """At ingest nobody knew the name, so it stands in the text in the clear; links stored then would miss it."""
    (other, _) = world.ingest(row(f"I spoke with {NAME} today.", BOB), row("I spoke with nobody.", BOB))
    assert told(closure_of(world)) == {}
    world.register(ANN)
    assert told(closure_of(world)) == {other: ("mentioned", "erase")}


def test_what_the_person_supplied_is_searched_too_and_kept_nowhere(world: World) -> None:
    ids = world.ingest(row("Write to old.address@quistgaard.example.", BOB), row("Account 7741229012 is closed.", BOB))
    assert told(closure_of(world)) == {}
    assert told(closure_of(world, ANN, "old.address@quistgaard.example")) == {ids[0]: ("mentioned", "erase")}
    assert told(closure_of(world, ANN, "7741 2290 12")) == {ids[1]: ("mentioned", "erase")}, "digits alone are searched"
    assert told(closure_of(world)) == {}


@pytest.mark.parametrize(
    ("supplied", "text"),
    [
        ("020 7946 0731", "Call 020 7946 0731 now"), ("+44 20 7946 0731", "Call 020 7946 0731 now"),
        ("030/1234567", "Ring 030/1234567 please"), ("12345678", "Number 1234-5678 it is"), ("C-9001", "I am C 9001."),
        (NAME.upper(), f"It was {NAME}."), (MAIL, f"<{MAIL.upper()}>"),
    ],
)  # fmt: skip
def test_a_supplied_identifier_is_found_as_people_write_it(supplied: str, text: str) -> None:
    assert RegisterIndex(supplied_forms("k", [supplied])).link(text)


def test_what_can_be_no_form_is_passed_over() -> None:
    assert supplied_forms("k", ["", "x", "@", "12", "@@", "  "]) == []


def test_an_exact_copy_under_another_name_goes_too(world: World) -> None:
    mine, copy, _ = world.ingest(
        row("The very same words.", ANN), row("The very same words.", BOB), row("Other words.", BOB)
    )
    assert told(closure_of(world)) == {mine: ("declared", "erase"), copy: ("duplicate", "erase")}


def test_what_was_derived_goes_to_the_end_of_the_chain(world: World) -> None:
    ids = world.ingest(
        row("First.", ANN, given_id="1"), row("Second.", BOB, given_id="2", parents=["1"]),
        row("Third.", given_id="3", parents=["2", "9"]), row("Fourth.", CLEO, given_id="4", parents=["9"]),
        row("Fifth.", CLEO, given_id="5", parents=["3"]),
    )  # fmt: skip
    assert told(closure_of(world)) == {
        ids[0]: ("declared", "erase"), ids[1]: ("derived", "erase"), ids[2]: ("derived", "erase"), ids[4]: ("derived", "erase"),
    }  # fmt: skip


def test_a_ring_of_parents_ends(world: World) -> None:
    ids = world.ingest(
        row("First.", ANN, given_id="1", parents=["2"]), row("Second.", BOB, given_id="2", parents=["1"])
    )
    assert set(told(closure_of(world))) == set(ids)


def test_a_redacted_mention_that_was_derived_from_the_person_goes(world: World) -> None:
    world.register(ANN, BOB)
    ids = world.ingest(row("First.", ANN, given_id="1"), row(f"About {NAME}.", BOB, given_id="2", parents=["1"]))
    assert told(closure_of(world))[ids[1]] == ("mentioned", "erase")


def test_quarantine_and_restricted_records_are_searched(world: World) -> None:
    (waits,) = world.ingest(row(f"A quagga for {NAME}.", BOB), scanner=Scans({"quagga": "ODD"}))
    (restricted,) = world.ingest(row(f"{NAME} again.", BOB))
    with world.database.transaction() as session:
        session.get_one(RecordRow, restricted).restricted_by = "case-other"
    world.register(ANN)
    found = closure_of(world)
    assert set(found.erased_ids) == {waits, restricted}


def test_what_was_searched_and_found_is_counted_by_store_zeros_included(world: World) -> None:
    """One of Ann's in the trunk, one among the rest, two in quarantine; and of others one in each but the trunk."""
    learnt = world.ingest(
        row(f"{NAME} wrote.", BOB), row("A lamp.", ANN), row("A chair.", BOB), name="first", scanner=Scans()
    )
    world.ingest(
        row(f"Quagga {NAME}.", BOB), row("Quagga 2.", ANN), row("Quagga 3.", BOB), scanner=Scans({"uagga": "ODD"})
    )
    world.register(ANN)
    with world.database.transaction() as session:
        plans.freeze_plan(session, adapter="support", digest="p", body="{}", now=NOW)
        plans.place_records(session, "p", [Placed(learnt[0], "trunk", None, 0), Placed(learnt[1], "shard", 0, 0)])
    found = closure_of(world)
    assert found.searched == {"admitted": 2, "trunk": 1, "quarantined": 3, "blocked": 0}
    assert found.found == {"admitted": 1, "trunk": 1, "quarantined": 2, "blocked": 0}
    assert sum(found.found.values()) == len(found.records)


WORDS = ("The lamp is broken.", f"{NAME} called.", f"Mail {MAIL}.", "Bertram Ostrander called.", "Nothing new.")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_closure_is_complete_and_minimal(empty_workspace, tmp_path_factory, data: st.DataObject) -> None:
    """Against an oracle that knows the texts: subject, clear mention, same text, parent; and nothing else."""
    import shutil

    from lineage_world import open_world

    world = open_world(shutil.copytree(empty_workspace, tmp_path_factory.mktemp("closure") / "ws"))
    made = data.draw(
        st.lists(
            st.tuples(st.sampled_from(WORDS), st.sampled_from([ANN, BOB, CLEO]), st.none() | st.integers(0, 5)),
            min_size=1, max_size=6,
        )
    )  # fmt: skip
    rows = [
        row(text, who, given_id=str(i), parents=[str(parent)] if parent is not None else [])
        for i, (text, who, parent) in enumerate(made)
    ]
    ids = world.ingest(*rows)
    world.register(ANN)
    goes = {i for i, (text, who, _) in enumerate(made) if who == ANN or NAME in text or MAIL in text}
    goes |= {i for i, (text, _, _) in enumerate(made) if text in {made[j][0] for j in goes}}
    while more := {i for i, (_, _, parent) in enumerate(made) if parent in goes} - goes:
        goes |= more
    assert set(closure_of(world).erased_ids) == {ids[i] for i in goes}


# --- mentions of others are redacted, if the gate would admit the record so -----------------------------------------------


def with_gate(world: World, scanner: Scans | None = None) -> Closure:
    key = world.key(ANN)
    with world.database.reader() as session:
        forms = load_forms(session, world.keystore, key)
        register = RegisterIndex(load_forms(session, world.keystore))
        gate = Gate(scanner or Scans(), register, load_suppression(session, world.keyring), DEFAULT, STRICT)
        return find_closure(session, key, forms, keystore=world.keystore, reach=Reach(gate=lambda: gate))


def test_a_late_mention_is_redacted_and_what_was_derived_from_it_stays(world: World) -> None:
    mention, child, echo = world.ingest(
        row(f"I spoke with {NAME} today.", BOB, given_id="1"), row("Bob spoke with somebody.", BOB, parents=["1"]),
        row(f"Bob spoke with {NAME}.", BOB, given_id="3", parents=["1"]),
    )  # fmt: skip
    world.register(ANN)
    assert told(with_gate(world)) == {mention: ("mentioned", "redact"), echo: ("mentioned", "redact")}
    assert child not in told(with_gate(world))


def test_a_redacted_record_that_still_names_the_person_by_a_form_learnt_since_goes_whole(world: World) -> None:
    freed, named = world.ingest(row("I spoke with somebody today.", BOB), row(f"Bob spoke with {NAME}.", BOB))
    world.register(ANN)
    key = world.key(ANN)
    with world.database.reader() as session:
        forms, reach = load_forms(session, world.keystore, key), Reach(redacted=frozenset((freed, named)))
        found = find_closure(session, key, forms, keystore=world.keystore, reach=reach)
    assert told(found) == {freed: ("mentioned", "redact"), named: ("mentioned", "erase")}


def test_a_mention_that_the_gate_would_not_admit_without_the_person_goes_whole_with_its_children(world: World) -> None:
    mention, child = world.ingest(
        row(f"A quagga saw {NAME}.", BOB, given_id="1"), row("Derived.", BOB, given_id="2", parents=["1"])
    )
    world.register(ANN)
    found = with_gate(world, Scans({"quagga": "ODD"}))
    assert told(found) == {mention: ("mentioned", "erase"), child: ("derived", "erase")}


def test_a_copy_of_the_persons_own_record_goes_whole_and_so_does_what_waits_in_quarantine(world: World) -> None:
    words = f"{NAME} writes."
    own, copy = world.ingest(row(words, ANN), row(words, BOB))
    (waits,) = world.ingest(row(f"A quagga for {NAME}.", BOB), scanner=Scans({"quagga": "ODD"}))
    world.register(ANN)
    assert told(with_gate(world)) == {
        own: ("declared", "erase"), copy: ("duplicate", "erase"), waits: ("mentioned", "erase"),
    }  # fmt: skip


def test_the_gate_is_not_opened_when_there_is_no_mention_to_redact(world: World) -> None:
    def broken() -> Gate:
        raise AssertionError("opened for nothing")

    world.register(ANN)
    world.ingest(row(f"{NAME} writes.", ANN))
    key = world.key(ANN)
    with world.database.reader() as session:
        forms = load_forms(session, world.keystore, key)
        assert find_closure(session, key, forms, keystore=world.keystore, reach=Reach(gate=broken)).erased_ids


def test_the_redacted_content_is_the_one_the_gate_gives_a_known_person(world: World) -> None:
    text = f"I spoke with {NAME}, {MAIL}, ACC-7741-2290, today."
    (late,) = world.ingest(row(text, BOB, given_id="1"))
    world.register(ANN)
    (known,) = world.ingest(row(text, CLEO, given_id="1"))
    with world.database.reader() as session:
        forms = RegisterIndex(load_forms(session, world.keystore, world.key(ANN)))
        gate = Gate(Scans(), RegisterIndex([]), load_suppression(session, world.keyring), DEFAULT, STRICT)
        ((_, freed),) = freed_contents(session, [late], forms, gate, world.keystore)
        (as_known,) = contents_of(session, [known], keystore=world.keystore)
    assert freed is not None
    assert freed.decision.content == as_known.content


# --- consent withdrawn -------------------------------------------------------------------------------------------------------


def test_only_what_rests_on_consent_goes_with_its_copies_and_children_and_the_rest_is_kept_with_its_basis(
    world: World,
) -> None:
    def on(basis: str, raw: RawRecord) -> RawRecord:
        return replace(raw, lawful_basis=basis)

    world.register(BOB)
    words = "The very same words."
    mine, copy, child, held, mention, twin = world.ingest(
        on("consent", row(words, ANN, given_id="1")), row(words, BOB), row("Derived.", CLEO, parents=["1"]),
        row("On a contract.", ANN), row(f"{NAME} called.", BOB), row(words, ANN, given_id="6"),
    )  # fmt: skip
    world.register(ANN)
    key = world.key(ANN)
    with world.database.reader() as session:
        forms = load_forms(session, world.keystore, key)
        found = find_closure(session, key, forms, keystore=world.keystore, reach=Reach(only_consent=True))
    assert {r.record_id: (r.relation, r.decision, r.ground) for r in found.records} == {
        mine: ("declared", "erase", ""), copy: ("duplicate", "erase", ""), child: ("derived", "erase", ""),
        held: ("declared", "keep", "other lawful basis: contract"),
        mention: ("mentioned", "keep", "a record of somebody else"),
        twin: ("declared", "keep", "other lawful basis: contract"),
    }  # fmt: skip
    assert found.changed_ids == found.erased_ids == tuple(sorted([mine, copy, child]))


# --- what a case keeps of it ------------------------------------------------------------------------------------------------


def test_the_contract_binds_handles_decisions_and_sources_and_no_record_id(world: World) -> None:
    world.register(ANN, BOB)
    ids = world.ingest(row("One.", ANN), row("Two.", ANN, source="chats"), row(f"Saw {NAME}.", BOB))
    first = closure_of(world)
    with world.database.transaction() as session:
        file_request(
            session, Filing("case-1", world.key(ANN), b"x", "b", "portal", **filing_dates()), actor=Actor("i", Role.INTAKE),
            now=NOW,
        )  # fmt: skip
        body = contract(session, "case-1", first, world.keyring)
        other = contract(session, "case-2", first, world.keyring)
        for _ in range(2):
            save_closure(session, "case-1", first, world.keyring)
        assert case_records(session, "case-1") == list(first.records)
    assert body["sources_to_be_told"] == ["chats", "tickets"]
    assert body["not_erased"]["already_redacted"] == 1
    assert [r["handle"] for r in body["records"]] == sorted(world.keyring.handle("case-1", i) for i in ids)
    assert not [i for i in ids if i in str(body)]
    assert not {r["handle"] for r in body["records"]} & {r["handle"] for r in other["records"]}
    assert len(world.rows(CaseRecordRow)) == 3
    world.ingest(row("Three.", ANN))
    with world.database.reader() as session:
        assert digest_of(contract(session, "case-1", closure_of(world), world.keyring)) != digest_of(body)
        assert digest_of(contract(session, "case-1", first, world.keyring)) == digest_of(body)
    assert digest("x") != digest_of(body)
