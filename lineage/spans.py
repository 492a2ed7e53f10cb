"""Arithmetic of half-open spans: union, difference, replacement. Knows nothing of what the spans mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

__all__ = ["Interval", "clusters", "difference", "moved", "overlaps", "replaced"]

Interval: TypeAlias = tuple[int, int]


def overlaps(a: Interval, b: Interval) -> bool:
    """Whether the two share at least one character."""
    return a[0] < b[1] and b[0] < a[1]


def clusters(intervals: Iterable[Interval]) -> list[Interval]:
    """The unions of overlapping intervals, in order. Intervals that only touch stay apart; empty ones vanish."""
    merged: list[Interval] = []
    for start, end in sorted(i for i in intervals if i[0] < i[1]):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def difference(interval: Interval, holes: Iterable[Interval]) -> list[Interval]:
    """What is left of the interval outside the holes, in order."""
    left: list[Interval] = []
    start, end = interval
    for hole_start, hole_end in clusters(holes):
        if hole_start >= end or hole_end <= start:
            continue
        if start < hole_start:
            left.append((start, hole_start))
        start = hole_end
    if start < end:
        left.append((start, end))
    return left


def replaced(text: str, parts: Sequence[tuple[Interval, str]]) -> str:
    """The text with each disjoint interval replaced by its string."""
    pieces: list[str] = []
    position = 0
    for (start, end), constant in sorted(parts):
        pieces += [text[position:start], constant]
        position = end
    return "".join([*pieces, text[position:]])


def moved(interval: Interval, parts: Sequence[tuple[Interval, str]]) -> Interval:
    """Where the interval lies in `replaced(text, parts)`; one that cuts into a part takes in the whole of its string."""
    start, end = interval
    return _moved(start, parts, is_end=False), _moved(end, parts, is_end=True)


def _moved(position: int, parts: Sequence[tuple[Interval, str]], *, is_end: bool) -> int:
    shift = 0
    for (start, end), string in sorted(parts):
        if end <= position:
            shift += len(string) - (end - start)
        elif start < position + (not is_end):
            return start + shift + (len(string) if is_end else 0)
    return position + shift
