"""Predictions become whole words, and none is lost."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from lineage.predictions import fitted

PERSONS = frozenset({"PER"})
TOKENS = [(start, start + 4) for start in range(0, 100, 5)]  # four characters and a space
PREDICTIONS = st.lists(
    st.builds(
        lambda start, length, label, score: {"start": start, "end": start + length, "entity_group": label, "score": score},
        st.integers(0, 90), st.integers(1, 9), st.sampled_from(["PER", "LOC", "ORG"]), st.floats(0.1, 1.0),
    ),
    max_size=8,
)  # fmt: skip


@given(PREDICTIONS)
def test_they_are_whole_tokens_in_order_and_apart(predictions):
    found = fitted(predictions, TOKENS, PERSONS)
    starts, ends = {s for s, _ in TOKENS}, {e for _, e in TOKENS}
    assert all(p["start"] in starts and p["end"] in ends for p in found)
    assert all(before["end"] <= after["start"] for before, after in itertools.pairwise(found))


@given(PREDICTIONS)
def test_no_person_is_lost(predictions):
    found = fitted(predictions, TOKENS, PERSONS)
    for person in (p for p in predictions if p["entity_group"] == "PER"):
        for start, end in TOKENS:
            if start < person["end"] and person["start"] < end:
                assert any(f["start"] <= start and end <= f["end"] and f["entity_group"] == "PER" for f in found)


def test_two_in_one_token_become_one_with_the_better_score():
    halves = [
        {"start": 0, "end": 2, "entity": "PER", "score": 0.6},
        {"start": 2, "end": 4, "entity": "LOC", "score": 0.9},
    ]
    assert fitted(halves, TOKENS, PERSONS) == [{"entity_group": "PER", "score": 0.6, "start": 0, "end": 4}]
    assert fitted(halves[:1], [], PERSONS) == []
