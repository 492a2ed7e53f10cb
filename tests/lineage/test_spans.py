"""Span arithmetic."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lineage.spans import clusters, difference, overlaps, replaced

INTERVALS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda p: (min(p), max(p))), max_size=6)


def points(intervals):
    return {i for a, b in intervals for i in range(a, b)}


@given(INTERVALS)
def test_clusters_cover_the_same_points_and_do_not_overlap(intervals):
    merged = clusters(intervals)
    assert points(merged) == points(intervals)
    assert all(not overlaps(a, b) for i, a in enumerate(merged) for b in merged[i + 1 :])


@given(INTERVALS, INTERVALS)
def test_difference_is_set_difference(intervals, holes):
    for interval in intervals:
        assert points(difference(interval, holes)) == points([interval]) - points(holes)


@given(st.text(min_size=30, max_size=30), INTERVALS)
def test_replacing_keeps_what_is_outside(text, intervals):
    disjoint = clusters(intervals)
    kept = "".join(c for i, c in enumerate(text) if i not in points(disjoint))
    assert replaced(text, [(i, "") for i in disjoint]) == kept
    assert replaced(text, [(i, text[slice(*i)]) for i in disjoint]) == text
