"""Arithmetic of half-open spans: union, difference, replacement. Knows nothing of what the spans mean."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from operator import itemgetter
from typing import TypeAlias, TypeVar

__all__ = ["Interval", "Moves", "clustered", "clusters", "difference", "moved", "outside", "overlaps", "replaced"]

Interval: TypeAlias = tuple[int, int]
T = TypeVar("T")
_PLACE = itemgetter(0)


def overlaps(a: Interval, b: Interval) -> bool:
    """Whether the two share at least one character."""
    return a[0] < b[1] and b[0] < a[1]


def clusters(intervals: Iterable[Interval]) -> list[Interval]:
    """The unions of overlapping intervals, in order. Intervals that only touch stay apart; empty ones vanish."""
    return [union for union, _ in clustered((interval, None) for interval in intervals)]


def clustered(placed: Iterable[tuple[Interval, T]]) -> list[tuple[Interval, list[T]]]:
    """`clusters`, each with what lies in it, in order of place; what has an empty place only if it is strictly inside."""
    found: list[tuple[Interval, list[T]]] = []
    members: list[T] = []
    until = 0
    for (start, end), thing in sorted(placed, key=_PLACE):
        if found and start < until:
            members.append(thing)
            if end > until:
                until = end
                found[-1] = (found[-1][0][0], end), members
        elif start < end:
            until, members = end, [thing]
            found.append(((start, end), members))
    return found


def difference(interval: Interval, holes: Iterable[Interval]) -> list[Interval]:
    """What is left of the interval outside the holes, in order."""
    return outside(interval, clusters(holes))


def outside(interval: Interval, holes: Iterable[Interval]) -> list[Interval]:
    """As `difference`, for holes that are `clusters` already."""
    left: list[Interval] = []
    start, end = interval
    for hole_start, hole_end in holes:
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
    return Moves(parts).moved(interval)


class Moves:
    """Where things lie in `replaced(text, parts)`, for many questions about the same disjoint parts."""

    def __init__(self, parts: Sequence[tuple[Interval, str]]) -> None:
        self._parts = sorted(parts)
        self._ends = [end for (_, end), _ in self._parts]
        growth = (len(string) - (end - start) for (start, end), string in self._parts)
        self._shifts = list(accumulate(growth, initial=0))  # of what lies before the first part, before the second, ...

    def moved(self, interval: Interval) -> Interval:
        """As the function `moved`."""
        start, end = interval
        return self._place(start, is_end=False), self._place(end, is_end=True)

    def standing(self, interval: Interval) -> Interval:
        """As `moved`; but an empty place if one part holds the whole interval, which is not empty."""
        start, end = interval
        if not self._parts or end <= self._parts[0][0][0]:
            return interval
        part = bisect_right(self._ends, start)  # the first part that ends behind the start
        if part == len(self._parts) or self._parts[part][0][0] >= end:
            return start + self._shifts[part], end + self._shifts[part]
        begin, stop = self.moved(interval)
        held = self._parts[part][0][0] <= start and end <= self._ends[part]
        return begin, begin if held else stop

    def _place(self, position: int, *, is_end: bool) -> int:
        part = bisect_right(self._ends, position)  # the first part that ends behind the position
        if part < len(self._parts):
            (start, _), string = self._parts[part]
            if start < position + (not is_end):
                return start + self._shifts[part] + (len(string) if is_end else 0)
        return position + self._shifts[part]
