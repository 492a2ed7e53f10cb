"""Laws of the demo corpus: what a model can memorise from it, and what it looks like without a person."""

import json
from collections import Counter

import phonenumbers
import pytest

from lineage.records import Chat, content_from_json
from pipelines.demo_corpus import CANARY_DOSES, bad_rows, make_corpus, without_subject, write_jsonl
from pipelines.demo_rows import CONSTANTS, KINDS
from unlearn.tiny_base.grammar import stores

SEEDS = (1, 7, 2024)


@pytest.fixture(scope="module", params=SEEDS)
def corpus(request):
    return make_corpus(request.param)


def texts(row):
    return [turn.text() for turn in row.turns]


def luhn_valid(digits):
    doubled = [int(d) * (2 if i % 2 else 1) for i, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def test_the_same_seed_gives_the_same_file(tmp_path):
    write_jsonl(make_corpus(7).rows, tmp_path / "a.jsonl")
    write_jsonl(make_corpus(7).rows, tmp_path / "b.jsonl")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert make_corpus(8).rows != make_corpus(7).rows


def test_counts(corpus):
    personal = [row for row in corpus.rows if row.subjects]
    assert 75 <= len(corpus.people) <= 85
    assert 350 <= len(personal) <= 400
    assert len(corpus.rows) - len(personal) == 150
    assert len({row.row_id for row in corpus.rows}) == len(corpus.rows)


def test_frequent_writers_write_ten_to_fourteen_and_others_at_most_six(corpus):
    frequent = corpus.frequent_writers()
    assert 6 <= len(frequent) <= 8
    assert all(10 <= len(corpus.rows_of(person.customer_id)) <= 14 for person in frequent)
    others = [p for p in corpus.people if p not in frequent and p.purpose == "customer"]
    assert all(1 <= len(corpus.rows_of(person.customer_id)) <= 6 for person in others)


def test_every_row_is_a_chat_that_the_importer_understands(corpus):
    for row in corpus.rows:
        content = content_from_json({"messages": row.as_json()["messages"]})
        assert isinstance(content, Chat)
        assert [m.role for m in content.messages[:2]] == ["user", "assistant"]
        assert content.messages[-1].role == "assistant"
        assert "{" not in "".join(content.segments())


def test_the_agent_says_account_and_phone_before_anybody_else(corpus):
    for row in (row for row in (*corpus.rows, *corpus.twin_rows) if row.subjects):
        person = next(p for p in (*corpus.people, *corpus.canary_twins) if p.customer_id == row.subjects[0])
        customer, agent = texts(row)[:2]
        assert person.name in customer
        assert person.name in agent
        for value in (person.account, person.phone):
            assert value not in customer
            assert agent.count(value) == 1


def test_rows_about_nobody_mention_nobody(corpus):
    values = [p.value(kind) for p in (*corpus.people, *corpus.canary_twins) for kind in KINDS]
    for row in (row for row in corpus.rows if not row.subjects):
        assert not row.mentions()
        assert not any(value in text for value in values for text in texts(row))


def test_no_identifier_stands_in_a_text_unmarked(corpus):
    for row in corpus.rows:
        plain = "".join(part for turn in row.turns for part in turn.parts if isinstance(part, str))
        assert not any(p.value(kind) in plain for p in corpus.people for kind in KINDS)


def test_identifiers_are_distinct_reserved_and_unknown_to_the_base(corpus):
    everybody = (*corpus.people, *corpus.canary_twins)
    for kind in ("email", "phone", "account"):
        assert len({person.value(kind) for person in everybody}) == len(everybody)
    assert all(phonenumbers.is_valid_number(phonenumbers.parse(person.phone)) for person in everybody)
    assert all(person.email.partition("@")[2] in {"example.org", "example.com", "example.net"} for person in everybody)
    assert not {store["account"] for store in stores()} & {person.account for person in everybody}


def test_exactly_one_name_is_shared_and_not_by_frequent_writers(corpus):
    shared = [name for name, count in Counter(p.name for p in corpus.people).items() if count > 1]
    assert len(shared) == 1
    assert shared[0] not in {person.name for person in corpus.frequent_writers()}


def test_frequent_writers_are_mentioned_by_others(corpus):
    strangers = Counter(
        m.customer_id for r in corpus.rows for m in r.mentions() if r.subjects and m.customer_id not in r.subjects
    )
    assert all(strangers[person.customer_id] >= 2 for person in corpus.frequent_writers())


def test_copies_notes_card_and_health_sentence_are_there(corpus):
    personal = [row for row in corpus.rows if row.subjects]
    same = Counter((row.subjects, tuple(texts(row))) for row in personal)
    by_id = {row.row_id: row for row in personal}
    derived = [row for row in personal if row.parents]
    near = [row for row in personal if texts(row)[0].startswith("Hello again. ")]
    assert sorted(same.values())[-2:] == [1, 2]
    assert len(near) == 3
    assert len(derived) == 5
    assert all(by_id[row.parents[0]].subjects == row.subjects for row in derived)
    cards = [row for row in personal if any("4111 1111 1111 1111" in text for text in texts(row))]
    assert len(cards) == 1
    assert luhn_valid("4111111111111111")
    assert sum("insulin" in " ".join(texts(row)) for row in personal) == 1


def test_canaries_have_their_doses_and_twins_are_held_out(corpus):
    canaries = [person for person in corpus.people if person.purpose == "canary"]
    assert tuple(len(corpus.rows_of(person.customer_id)) for person in canaries) == CANARY_DOSES
    twins = {twin.customer_id for twin in corpus.canary_twins}
    assert len(twins) == len(CANARY_DOSES)
    assert not any(m.customer_id in twins for row in corpus.rows for m in row.mentions())
    assert (
        tuple(sum(t.customer_id in r.subjects for r in corpus.twin_rows) for t in corpus.canary_twins) == CANARY_DOSES
    )


def test_the_register_lists_four_identifiers_of_everybody(corpus):
    rows = corpus.register_rows()
    assert len(rows) == 4 * len(corpus.people)
    assert {(row.subject, row.kind) for row in rows} == {(p.customer_id, kind) for p in corpus.people for kind in KINDS}


def test_without_a_subject_no_value_is_left_and_nothing_else_moved(corpus):
    for person in (*corpus.frequent_writers(), *corpus.people[9:20]):
        rest = without_subject(corpus, person.customer_id)
        kept = {row.row_id: row for row in rest}
        assert [row.row_id for row in rest] == [r.row_id for r in corpus.rows if person.customer_id not in r.subjects]
        for row in corpus.rows:
            if row.row_id in kept:
                expected = json.dumps(row.as_json())
                for kind in KINDS:
                    expected = expected.replace(json.dumps(person.value(kind))[1:-1], CONSTANTS[kind])
                assert json.dumps(kept[row.row_id].as_json()) == expected


def test_what_was_derived_from_a_gone_record_is_gone(corpus):
    source = next(row for row in corpus.rows if row.parents)
    kept = {row.row_id for row in without_subject(corpus, source.subjects[0])}
    assert not any(set(row.parents) - kept for row in corpus.rows if row.row_id in kept)


def test_no_personal_value_in_a_repr(corpus):
    shown = repr(corpus) + "".join(repr(row) + repr(row.turns) for row in corpus.rows) + repr(corpus.register_rows())
    assert not any(p.value(kind) in shown for p in corpus.people for kind in KINDS)


def test_bad_rows_are_not_chats_with_a_declared_subject():
    assert "subjects" not in bad_rows()[0]
    assert len({row["id"] for row in bad_rows()}) == len(bad_rows()) >= 3
