"""What makes judging a record cheap changes no decision and no digest: compared with the plainest way of each step."""

from __future__ import annotations

import json
from dataclasses import replace
from unittest.mock import patch

import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st
from plain_forms import plain_fold, plain_squeeze
from plain_judging import plain_findings, plain_moved, plain_redacted

from lineage import admit
from lineage.admit import Evidence, decide
from lineage.findings import TYPE_OF, findings_of
from lineage.folding import folded_text, squeezed_text
from lineage.policy import load_policy
from lineage.records import Chat, Completion, Message, PlainText, canonical_bytes
from lineage.register import Link
from lineage.scan import ART9_LEXICON, Span
from lineage.spans import clusters, moved, replaced

POLICIES = load_policy("default"), load_policy("strict")
TYPES = (*TYPE_OF.values(), "DATE_TIME", "IBAN_CODE", "NEW_TYPE", ART9_LEXICON)
TEXT = "Ann Lee, ann.lee@example.com: [PERSON] [PERSON-BBBBBBBBBBBBBBBB] 42"

places = st.tuples(st.integers(0, 24), st.integers(0, 8)).map(lambda p: (p[0], p[0] + p[1]))
spans = st.builds(
    lambda kind, place, score, who: Span(kind, *place, score, who),
    st.sampled_from(TYPES), places, st.sampled_from([0.2, 0.4, 0.85, 1.0]), st.sampled_from(["One", "Two"]),
)  # fmt: skip
links = st.builds(
    lambda kind, place, people: Link(*place, kind, people, len(people) > 1),
    st.sampled_from(tuple(TYPE_OF)), places, st.frozensets(st.sampled_from(["ann", "bob", "eve"]), min_size=1),
)  # fmt: skip
erased = links.map(lambda link: link._replace(subject_keys=frozenset(), ambiguous=False))
evidence = st.builds(
    lambda a, b, c: Evidence(tuple(a), tuple(sorted(b)), tuple(sorted(c))),
    st.lists(spans, max_size=6), st.lists(links, max_size=7), st.lists(erased, max_size=4),
)  # fmt: skip
declared = st.frozensets(st.sampled_from(["ann", "bob"]))
texts = st.text(st.sampled_from("aZ09 ._-[]\u00e9\u4e00"), min_size=32, max_size=40) | st.just(TEXT)


TOUCHING = Evidence(
    (Span("PERSON", 21, 22, 0.2, "One"),), (Link(13, 21, "name", frozenset({"ann"}), False), Link(21, 21, "name", frozenset({"ann"}), False))
)  # fmt: skip
"""An empty place stands between what touches it on either side, and belongs to the first."""


@settings(max_examples=400)
@example([TOUCHING], frozenset({"ann"}), POLICIES[0])
@given(st.lists(evidence, min_size=1, max_size=3), declared, st.sampled_from(POLICIES))
def test_findings(seen, people, policy):
    found = findings_of(seen, people, policy)
    assert _ordered(found) == _ordered(plain_findings(seen, people, policy))
    assert list(found) == sorted(
        found, key=lambda f: (f.segment, f.start, -f.end_exclusive, f.entity_type, f.recognizer)
    )


@settings(max_examples=300)
@given(st.lists(st.tuples(texts, evidence), min_size=2, max_size=2), declared, st.sampled_from(POLICIES))
def test_decisions(segments, people, policy):
    content = Completion(*(text for text, _ in segments))
    asked = {"declared": people, "evidence": [e for _, e in segments], "policy": policy, "strict": POLICIES[1]}
    found = decide(content, pseudonym=_pseudonym, **asked)
    with patch.multiple(admit, findings_of=plain_findings, redacted=plain_redacted):
        plain = decide(content, pseudonym=_pseudonym, **asked)
    assert replace(found, findings=()) == replace(plain, findings=())
    assert _ordered(found.findings) == _ordered(plain.findings)


def _ordered(findings):
    """All of them, in one order: their own says nothing of two that stand in one place and differ in whose they are."""
    return sorted((*found._replace(subject_keys=()), *sorted(found.subject_keys)).__repr__() for found in findings)


def _pseudonym(entity_type, subject_key):
    return f"{len(entity_type):x}{len(subject_key):x}" * 16


@given(
    st.text(min_size=40, max_size=40), st.lists(places, max_size=6), st.lists(st.text(max_size=5), min_size=6), places
)
def test_moves(text, holes, strings, place):
    parts = list(zip(clusters(holes), strings, strict=False))
    assert moved(place, parts) == plain_moved(place, parts)
    assert moved(place, parts[::-1]) == plain_moved(place, parts)
    if not any(a < place[1] and place[0] < b for (a, b), _ in parts) and place[0] < place[1]:
        assert replaced(text, parts)[slice(*moved(place, parts))] == text[slice(*place)]


@settings(max_examples=400)
@given(st.text())
def test_texts_by_themselves(text):
    assert folded_text(text) == plain_fold(text).text
    assert squeezed_text(text) == plain_squeeze(text).text


contents = st.one_of(
    st.builds(PlainText, st.text()),
    st.builds(Completion, st.text(), st.text()),
    st.lists(st.builds(Message, st.sampled_from(["system", "user", "assistant"]), st.text()), min_size=1).map(
        lambda messages: Chat(tuple(messages))
    ),
)


@settings(max_examples=400)
@given(contents)
def test_canonical_bytes_are_rfc_8785(content):
    assert canonical_bytes(content) == rfc8785.dumps(content.as_json())


@pytest.mark.parametrize("code", [*range(0x120), 0x2028, 0x2029, 0xD7FF, 0xE000, 0xFEFF, 0xFFFF, 0x10000, 0x10FFFF])
def test_every_character_that_json_may_escape(code):
    content = PlainText(f"a{chr(code)}b")
    assert canonical_bytes(content) == rfc8785.dumps(content.as_json())
    assert json.loads(canonical_bytes(content)) == content.as_json()


def test_half_a_surrogate_pair_has_no_canonical_bytes():
    with pytest.raises(rfc8785.CanonicalizationError):
        canonical_bytes(PlainText("a\ud800b"))
