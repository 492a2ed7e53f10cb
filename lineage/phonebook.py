"""Known phone numbers in a text, however they are written: in any of the regions, with or without their country.

To read a spelling takes 50 us a region, and a thousand characters can hold ten of them that are account or order numbers.
So a spelling is read only if it ends as a known number does, and each is read once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from functools import lru_cache
from typing import TypeAlias

from lineage.forms import ascii_digits, phone_readings, phone_runs, regions_that_may_read, run_windows

__all__ = ["Known", "PhoneBook"]

_LAST_DIGITS = 6
_RUNS_KEPT = 8_192  # of digits, with the numbers in them: people write the same number in every letter

Known: TypeAlias = tuple[int, int, frozenset[str]]
"""A stretch of a text, start and exclusive end, and the keys of the subjects whose it is."""


class PhoneBook:
    """E.164 numbers, and the keys of the subjects whose they are."""

    def __init__(self, numbers: Mapping[str, Set[str]], regions: tuple[str, ...]) -> None:
        self._numbers, self._regions = {number: frozenset(people) for number, people in numbers.items()}, regions
        self._ending: dict[str, tuple[str, ...]] = {}
        for number in numbers:
            self._ending[number[-_LAST_DIGITS:]] = (*self._ending.get(number[-_LAST_DIGITS:], ()), number)
        self._known_in = lru_cache(_RUNS_KEPT)(self._read)

    def matches(self, text: str) -> Iterator[Known]:
        """Every stretch that is a known number; a subject's may overlap."""
        if not self._numbers:
            return
        for offset, run in phone_runs(text):
            for start, end, people in self._known_in(run):
                yield offset + start, offset + end, people

    def _read(self, run: str) -> tuple[Known, ...]:
        return tuple(self._known(run)) if _has_ending(ascii_digits(run), self._ending) else ()

    def _known(self, run: str) -> Iterator[Known]:
        for start, end, digits in run_windows(run):
            known = self._ending.get(digits[-_LAST_DIGITS:])
            if known is None:
                continue
            international = run[start] in "+\uff0b"
            if international and (people := self._numbers.get(f"+{digits}")):
                yield start, end, people  # E.164 with spaces: reading it gives what stands there
                continue
            regions = self._regions if international else regions_that_may_read(digits, self._regions, known)
            for number in phone_readings(run[start:end], regions):
                if people := self._numbers.get(number):
                    yield start, end, people


def _has_ending(digits: str, endings: Mapping[str, object]) -> bool:
    """Whether any number among the digits may end so. A window has more digits than an ending: none ends with the first six."""
    return not endings.keys().isdisjoint(
        [digits[end - _LAST_DIGITS : end] for end in range(_LAST_DIGITS + 1, len(digits) + 1)]
    )
