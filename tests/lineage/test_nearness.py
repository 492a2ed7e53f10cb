"""Near copies of a person's records: found in both directions, one hop far, by keyed words; another person's wait for a DPO."""

from __future__ import annotations

from datetime import date
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lineage_world import ANN, BOB, CLEO, DANA, DEFAULT, FORMS, INES, MILO, NOW, World, row

from lineage import desk
from lineage.admit import Decision
from lineage.case_view import CaseView
from lineage.catalog import GateStamp
from lineage.closure import Closure, Reach, find_closure
from lineage.decisions import Choice, decided_as, lay_over
from lineage.errors import RefusedByRule
from lineage.evidence import add_evidence, case_records, contract, evidence, near_pairs, save_closure
from lineage.nearness import Edge, Near, known_template, word_tags
from lineage.policy import NearRule
from lineage.purge import forget_rows
from lineage.records import Chat, Message, PlainText
from lineage.renewal import judged_anew, renew
from lineage.sought import searched_forms
from lineage.stages import Stage
from lineage.tables import NearEdgeRow, RecordRow

RULE, KEY = NearRule(), b"k" * 32
STORY = (
    "On Sunday the violet kettle whistled until the neighbours in the attic knocked, and then its handle fell into the "
    "marmalade, which nobody had expected of a kettle bought in Lisbon"
)
CHANGED = STORY.replace("Sunday", "Friday").replace("Lisbon", "Porto")
AGAIN = (
    CHANGED.replace("violet", "yellow").replace("whistled", "hummed").replace("attic", "cellar").replace("fell", "slid")
)


def near_of(people: dict[str, str], *, key: bytes = KEY, rule: NearRule = RULE, template=frozenset()) -> Near:
    return Near(key, rule, template, people)


def edges(texts: dict[str, str], about: set[str], *, template=frozenset(), **how) -> tuple[set[Edge], frozenset[int]]:
    """Around the records of `about`; a record is called after its person."""
    words = near_of({name: name[0] for name in texts}, template=template, **how).reader()
    for name, text in texts.items():
        words.read(name, PlainText(text))
    found = words.around({name for name in texts if name[0] in about})
    return set(found.edges), found.template


# --- the laws ------------------------------------------------------------------------------------------------------------

TEXTS = st.lists(st.sampled_from("abcdefghijkl"), min_size=1, max_size=8).map(" ".join)
PEOPLE = [f"{person}{number}" for person in "ABCDE" for number in (1, 2)]
CORPORA = st.fixed_dictionaries(dict.fromkeys(PEOPLE, TEXTS))
LOOSE = NearRule(threshold=0.3, template_people=4, min_words=1)


@given(CORPORA)
@settings(max_examples=60, deadline=None)
def test_a_is_near_to_b_as_b_is_near_to_a(texts: dict[str, str]) -> None:
    pairs = [{e for e in edges(texts, {one}, rule=LOOSE)[0] if {e.a[0], e.b[0]} == {"A", "B"}} for one in "AB"]
    assert pairs[0] == pairs[1]


@given(CORPORA)
@settings(max_examples=60, deadline=None)
def test_the_order_of_two_requests_does_not_matter(texts: dict[str, str]) -> None:
    """LAW what the second search sees among those who are left is what it had seen before the first erasure."""
    for first, second in permutations("AB", 2):
        before, _ = edges(texts, {second}, rule=LOOSE)
        _, template = edges(texts, {first}, rule=LOOSE)
        left = {name: text for name, text in texts.items() if name[0] != first}
        after, _ = edges(left, {second}, rule=LOOSE, template=template)
        assert after == {edge for edge in before if first not in (edge.a[0], edge.b[0])}


def test_a_search_goes_one_hop_and_no_further() -> None:
    texts = {"A": STORY, "B": CHANGED, "C": AGAIN}
    assert {(e.a, e.b) for e in edges(texts, {"A"})[0]} == {("A", "B")}
    assert {(e.a, e.b) for e in edges(texts, {"B"})[0]} == {("A", "B"), ("B", "C")}


def test_people_on_one_template_are_no_copies_of_each_other() -> None:
    names = ("Ada Nordqvist", "Bo Ostrander", "Cy Quistgaard", "Di Vastergaard")
    texts = {name[0]: f"I am {name}. {STORY}, and I want it mended before the week is over." for name in names}
    assert edges(texts, set("ABCD")) == (set(), edges(texts, set())[1])
    assert edges({k: texts[k] for k in "AB"}, {"A"})[0], "two people make no template"


def test_a_template_alone_tells_nobody_from_anybody() -> None:
    texts = dict.fromkeys("ABCD", "Your parcel is on its way.")
    assert edges(texts, {"A"})[0] == set()


def test_words_are_keyed_and_know_no_order_form_or_spelling() -> None:
    tags = word_tags(PlainText(STORY), KEY)
    assert not tags & word_tags(PlainText(STORY), b"j" * 32), "LAW another workspace, another sketch"
    turns = [Message("user", part) for part in reversed(STORY.upper().split(" "))]
    assert word_tags(Chat(tuple(turns)), KEY) == tags
    assert all(tag < 2**32 for tag in tags)


def test_a_low_threshold_finds_more() -> None:
    texts = {"A": STORY, "C": AGAIN}
    assert not edges(texts, {"A"})[0]
    (edge,) = edges(texts, {"A"}, rule=NearRule(threshold=0.4))[0]
    assert 0.4 <= edge.similarity < RULE.threshold


def test_a_pair_that_was_found_is_none_any_more_when_the_policy_asks_for_more() -> None:
    (edge,) = edges({"A": STORY, "B": CHANGED}, {"A"})[0]
    for threshold, still in ((edge.similarity, True), (edge.similarity + 0.01, False)):
        near = Near(KEY, NearRule(threshold=threshold, min_words=100), frozenset(), {"A": "A", "B": "B"}, (edge,))
        words = near.reader()
        for name, text in (("A", STORY), ("B", CHANGED)):
            words.read(name, PlainText(text))
        assert bool(words.around({"A"}).edges) == still
    assert words.around({"A", "B"}).edges == (), "two of the person's own"


# --- in a search ---------------------------------------------------------------------------------------------------------


def closure_of(world: World, case_id: str = "", person: str = ANN, **reach) -> Closure:
    key, forms = searched_forms(world.workspace, case_id) if case_id else (world.key(person), [])
    with world.database.reader() as session:
        near = Near.of(session, world.keyring, DEFAULT.near)
        unrelated = decided_as(session, case_id, "unrelated")
        found = find_closure(
            session, key, forms, keystore=world.keystore, reach=Reach(near=near, unrelated=unrelated, **reach)
        )
        return (
            lay_over(session, case_id, found, handle=lambda r: world.keyring.handle(case_id, r)) if case_id else found
        )


def told(closure: Closure) -> dict[str, tuple[str, str]]:
    return {r.record_id: (r.relation, r.decision) for r in closure.records}


def preview(world: World, case_id: str) -> str:
    closure = closure_of(world, case_id)
    with world.database.transaction() as session:
        from lineage.case import CaseFile

        digest = add_evidence(session, case_id, "contract", contract(session, case_id, closure, world.keyring), now=NOW)
        save_closure(session, case_id, closure, world.keyring)
        CaseFile(session, case_id).preview_ready(digest, now=NOW)
    return digest


def decide(world: World, case_id: str, record_id: str, decision: str, *, actor=DANA) -> CaseView:
    handle = world.keyring.handle(case_id, record_id)
    return desk.decide_record(world.workspace, case_id, handle, Choice(decision), actor=actor, now=NOW)


@pytest.fixture
def copied(world: World) -> tuple[World, str, str, str]:
    """Ann's story, which Bob also tells with three words changed, and her case."""
    world.register(ANN, BOB, CLEO)
    mine, theirs, _ = world.ingest(row(STORY, ANN), row(CHANGED, BOB), row("The lamp works again.", CLEO))
    intake = desk.Intake([ANN], "b", "portal", date(2026, 1, 31))
    return world, desk.file_case(world.workspace, intake, actor=INES, now=NOW).id, mine, theirs


def test_a_near_copy_of_somebody_else_is_a_candidate_and_one_of_nobody_who_names_the_person_goes(world: World) -> None:
    world.register(ANN)
    name = FORMS[ANN]["name"]
    mine, theirs, nobodys, named = world.ingest(
        row(STORY, ANN), row(CHANGED, BOB), row(f"{CHANGED}!"), row(f"{STORY}, says {name}.")
    )
    assert told(closure_of(world)) == {
        mine: ("declared", "erase"), theirs: ("near_duplicate", "candidate"), nobodys: ("near_duplicate", "candidate"),
        named: ("near_duplicate", "erase"),
    }  # fmt: skip


def test_a_candidate_refuses_the_approval_until_a_dpo_has_decided(copied) -> None:
    world, case_id, mine, theirs = copied
    digest = preview(world, case_id)
    with pytest.raises(RefusedByRule, match="a record of others that may be near copies") as refusal:
        desk.approve(world.workspace, case_id, actor=DANA, digest=digest, now=NOW)
    assert world.keyring.handle(case_id, theirs)[:12] in refusal.value.hint
    with pytest.raises(RefusedByRule, match="Only the role dpo"):
        decide(world, case_id, theirs, "unrelated", actor=MILO)
    assert decide(world, case_id, theirs, "unrelated").stage == Stage.ASSESSMENT
    decided = preview(world, case_id)
    assert decided != digest, "LAW the decision binds the contract"
    assert desk.approve(world.workspace, case_id, actor=DANA, digest=decided, now=NOW).stage == Stage.APPROVED
    with world.database.reader() as session:
        assert {r.record_id: r.decision for r in case_records(session, case_id)} == {mine: "erase", theirs: "unrelated"}
        lines = {line["handle"]: line for line in evidence(session, case_id, "contract")["records"]}
    assert lines[world.keyring.handle(case_id, theirs)]["decided_by"] == "dana"


def test_a_candidate_that_is_a_copy_goes_with_what_was_derived_from_it(world: World) -> None:
    mine, theirs, child = world.ingest(
        row(STORY, ANN), row(CHANGED, BOB, given_id="1"), row("In short: a kettle.", BOB, given_id="2", parents=["1"])
    )
    intake = desk.Intake([ANN], "b", "portal", date(2026, 1, 31))
    case_id = desk.file_case(world.workspace, intake, actor=INES, now=NOW).id
    world.register(ANN)
    preview(world, case_id)
    decide(world, case_id, theirs, "erase")
    assert {r: decision for r, (_, decision) in told(closure_of(world, case_id)).items()} == dict.fromkeys(
        (mine, theirs, child), "erase"
    )


def test_what_is_no_candidate_cannot_be_found_unrelated(copied) -> None:
    world, case_id, mine, _ = copied
    preview(world, case_id)
    with pytest.raises(RefusedByRule, match="Only a record that may be a near copy"):
        decide(world, case_id, mine, "unrelated")


def test_a_decision_is_taken_back(copied) -> None:
    world, case_id, _, theirs = copied
    preview(world, case_id)
    decide(world, case_id, theirs, "unrelated")
    preview(world, case_id)
    decide(world, case_id, theirs, "as-found")
    assert told(closure_of(world, case_id))[theirs] == ("near_duplicate", "candidate")


def test_a_search_leaves_its_pairs_and_its_template_words(copied) -> None:
    world, case_id, mine, theirs = copied
    preview(world, case_id)
    preview(world, case_id)
    (edge,) = world.rows(NearEdgeRow)
    assert [edge.a, edge.b] == sorted([mine, theirs])
    with world.database.reader() as session:
        (pairs,) = near_pairs(session, case_id, world.keyring).values()
        assert known_template(session) == frozenset()
    assert pairs == [{"of": world.keyring.handle(case_id, mine), "similarity": round(edge.similarity, 2)}]


def test_what_a_dpo_decided_about_a_pair_stands_when_its_words_become_template(copied) -> None:
    world, case_id, mine, theirs = copied
    preview(world, case_id)
    decide(world, case_id, theirs, "erase")
    world.ingest(*(row(f"{STORY} {number}", f"C-200{number}") for number in range(4)))
    assert told(closure_of(world, case_id)) == {mine: ("declared", "erase"), theirs: ("near_duplicate", "erase")}


def test_a_pair_ends_with_the_text_of_either(copied) -> None:
    world, case_id, _, theirs = copied
    preview(world, case_id)
    with world.database.transaction() as session:
        record = session.get_one(RecordRow, theirs)
        told_anew = PlainText("A short letter about a lamp.")
        decision = Decision("allow", "clean", (), told_anew)
        anew = judged_anew(session, record, told_anew, decision, given_hmac="m", keystore=world.keystore)
        stamp = GateStamp("case", 0, "policy", "scanner", NOW)
        renew(session, [anew], why="rectified", stamp=stamp, keyring=world.keyring, keystore=world.keystore)
    assert world.rows(NearEdgeRow) == []
    assert theirs not in told(closure_of(world, case_id))


def test_what_was_template_stays_so_when_its_people_go(world: World) -> None:
    """Else Bob's erasure would make Cleo's record look like a copy of Ann's."""
    people = (ANN, BOB, CLEO, "C-1004")
    ids = world.ingest(*(row(f"{STORY} {number}", person) for number, person in enumerate(people)))
    intake = desk.Intake([BOB], "b", "portal", date(2026, 1, 31))
    case_id = desk.file_case(world.workspace, intake, actor=INES, now=NOW).id
    world.register(BOB)
    preview(world, case_id)
    with world.database.transaction() as session:
        forget_rows(session, case_id=case_id, subject_key=world.key(BOB), record_ids=[ids[1]])
    assert told(closure_of(world)) == {ids[0]: ("declared", "erase")}
