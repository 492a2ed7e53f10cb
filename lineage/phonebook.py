"""Known phone numbers in a text, however they are written: in any of the regions, with or without their country.

To read a spelling takes 50 us a region, and a thousand characters can hold ten of them that are account or order numbers.
So a spelling is read only if it ends as a known number does, and each is read once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from functools import lru_cache
from typing import TypeAlias

from lineage.forms import ascii_digits, phone_readings, phone_runs, regions_that_may_read, run_windows

__all__ = ["Known", "PhoneBook"]

_LAST_DIGITS = 6
_RUNS_KEPT = 8_192  # of digits, with the numbers in them: people write the same number in every letter

_Window: TypeAlias = tuple[int, int, str]  # start and exclusive end in a run, and the digits between
Known: TypeAlias = tuple[int, int, frozenset[str]]
"""A stretch of a text, start and exclusive end, and the keys of the subjects whose it is."""


class PhoneBook:
    """E.164 numbers, and the keys of the subjects whose they are."""

    def __init__(self, numbers: Mapping[str, Set[str]], regions: tuple[str, ...]) -> None:
        self._numbers, self._regions = {number: frozenset(people) for number, people in numbers.items()}, regions
        self._ending: dict[str, tuple[str, ...]] = {}
        for number in numbers:
            self._ending[number[-_LAST_DIGITS:]] = (*self._ending.get(number[-_LAST_DIGITS:], ()), number)
        self._standing_in, self._all_in = lru_cache(_RUNS_KEPT)(self._standing), lru_cache(_RUNS_KEPT)(self._all)

    def standing(self, text: str) -> Iterator[Known]:
        """Every person's leftmost and longest numbers. If one of these overlaps anything, `matches` has to say."""
        return self._placed(text, self._standing_in)

    def matches(self, text: str) -> Iterator[Known]:
        """Every stretch that is a known number; a subject's may overlap."""
        return self._placed(text, self._all_in)

    def _placed(self, text: str, read: Callable[[str], tuple[Known, ...]]) -> Iterator[Known]:
        if not self._numbers:
            return
        for offset, run in phone_runs(text):
            for start, end, people in read(run):
                yield offset + start, offset + end, people

    def _standing(self, run: str) -> tuple[Known, ...]:
        """A number without its country code is a number too, and not read where the longer one stands."""
        standing: list[Known] = []
        taken_until: dict[str, int] = {}
        for window, numbers in sorted(self._windows(run), key=_by_place):
            start, end, _ = window
            if all(taken_until.get(who, 0) > start for number in numbers for who in self._numbers[number]):
                continue
            for people in self._people(run, window, numbers):
                standing.append((start, end, people))
                taken_until.update(dict.fromkeys(people, end))
        return tuple(standing)

    def _all(self, run: str) -> tuple[Known, ...]:
        windows = self._windows(run)
        return tuple((w[0], w[1], people) for w, numbers in windows for people in self._people(run, w, numbers))

    def _windows(self, run: str) -> Iterator[tuple[_Window, tuple[str, ...]]]:
        """What may be a number, with the known numbers that end like it."""
        if _has_ending(ascii_digits(run), self._ending):
            for window in run_windows(run):
                if numbers := self._ending.get(window[2][-_LAST_DIGITS:]):
                    yield window, numbers

    def _people(self, run: str, window: _Window, numbers: tuple[str, ...]) -> Iterator[frozenset[str]]:
        """Whose number a window is, if it ends like these."""
        start, end, digits = window
        international = run[start] in "+\uff0b"
        if international and (people := self._numbers.get(f"+{digits}")):
            yield people  # E.164 with spaces: reading it gives what stands there
            return
        regions = self._regions if international else regions_that_may_read(digits, self._regions, numbers)
        for number in phone_readings(run[start:end], regions):
            if people := self._numbers.get(number):
                yield people


def _by_place(found: tuple[_Window, tuple[str, ...]]) -> tuple[int, int]:
    return found[0][0], -found[0][1]


def _has_ending(digits: str, endings: Mapping[str, object]) -> bool:
    """Whether any number among the digits may end so. A window has more digits than an ending: none ends with the first six."""
    return not endings.keys().isdisjoint(
        [digits[end - _LAST_DIGITS : end] for end in range(_LAST_DIGITS + 1, len(digits) + 1)]
    )
