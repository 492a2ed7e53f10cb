"""Dates as people write them: which other days of the same year would have been written in the same way.

The year stays: years of birth are not spread evenly, and an adapter learns which are common. Day and month are drawn
together, so every candidate is a real day.

"03/04/1984" may be April or March; "13/11/1984" leaves open whether a 3 would be "03" or "3". A date is therefore
compared only with those that leave open the same: the candidates of a date are the dates that can be read in exactly
the ways in which it can be read itself. Dates of other people (control records) narrow the ways down.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

__all__ = ["DATE_PATTERN", "dates_like", "is_date", "squashed_writings"]

NAMES = (
    "January February March April May June July August September October November December",
    "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
    "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
)
GAP = r"\W{1,2}(?:de )?"
PART = r"(\d{1,2}|" + "|".join(dict.fromkeys(" ".join(NAMES).split())) + ")"
DATE_PATTERN = re.compile(
    rf"(?<!\w)(?:(\d{{4}}{GAP}){PART}({GAP}){PART}|{PART}({GAP}){PART}({GAP}(?:\d{{4}}|\d{{2}})))(?!\w)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to write day and month: which comes first, one-digit days with a nought or without, the months' words."""

    day_first: bool
    padded: bool
    months: tuple[str, ...]

    def write(self, month: int, day: int) -> tuple[str, str]:
        """Both parts in the order in which they are written."""
        parts = (f"{day:02d}" if self.padded else str(day), self.months[month - 1])
        return parts if self.day_first else parts[::-1]

    def read(self, parts: tuple[str, str], year: int) -> tuple[int, int] | None:
        """Month and day, or None if this way does not write a real day so."""
        day, month = parts if self.day_first else parts[::-1]
        if month not in self.months or not day.isdecimal():
            return None
        found = self.months.index(month) + 1, int(day)
        real = 1 <= found[1] <= monthrange(year, found[0])[1]
        return found if real and self.write(*found) == parts else None


def _ways() -> tuple[Way, ...]:
    words = {tuple(case(name) for name in line.split()) for line in NAMES for case in (str.lower, str.title, str.upper)}
    numbers = {padded: tuple(f"{m:02d}" if padded else str(m) for m in range(1, 13)) for padded in (True, False)}
    return tuple(
        Way(day_first, padded, months)
        for day_first, padded in product((True, False), repeat=2)
        for months in (numbers[padded], *sorted(words))
    )


WAYS = _ways()


@dataclass(frozen=True, slots=True)
class Written:
    """A date taken apart: what stands before, between and behind day and month, and the year."""

    before: str = field(repr=False)
    parts: tuple[str, str] = field(repr=False)
    between: str = field(repr=False)
    behind: str = field(repr=False)

    @property
    def year(self) -> int:
        """Two digits count as 20xx: whether 29 February exists is the same in 19xx but for the year 00."""
        year = int("".join(c for c in self.before + self.behind if c.isdecimal()))
        return year if year >= 100 else 2000 + year

    def ways(self) -> frozenset[Way]:
        """Every way that writes a real day so. Behind a year the month comes first: nobody writes year, day, month."""
        year = self.year
        possible = (way for way in WAYS if not (self.before and way.day_first))
        return frozenset(way for way in possible if year >= 1 and way.read(self.parts, year))

    def of(self, parts: tuple[str, str]) -> Written:
        """Another day of the same year between the same separators."""
        return Written(self.before, parts, self.between, self.behind)

    def __str__(self) -> str:
        return self.before + self.parts[0] + self.between + self.parts[1] + self.behind


def _taken_apart(match: re.Match[str]) -> Written:
    head, first, gap, second, *year_last = match.groups()
    if head is not None:
        return Written(head, (first, second), gap, "")
    first, gap, second, tail = year_last
    return Written("", (first, second), gap, tail)


def _written(value: str) -> Written | None:
    match = DATE_PATTERN.fullmatch(value)
    found = _taken_apart(match) if match else None
    return found if found and found.ways() else None


def is_date(value: str) -> bool:
    """Whether the value is a real day with its year, written in a way that is known here."""
    return _written(value) is not None


def dates_like(value: str, texts: Sequence[str] = ()) -> tuple[str, ...]:
    """All dates of the value's year that leave open what it leaves open, itself among them; empty if it is no date.

    `texts` are other people's: if some way of writing fits all dates in them between the same separators, only such
    ways are considered.
    """
    own = _written(value)
    if own is None:
        return ()
    known = _ways_of_others(own, texts)
    known = known if own.ways() & known else frozenset(WAYS)
    open_to = own.ways() & known
    days = [(m, d) for m in range(1, 13) for d in range(1, monthrange(own.year, m)[1] + 1)]
    others = {own.of(way.write(*day)) for way in open_to for day in days}
    return tuple(sorted(str(other) for other in others if other.ways() & known == open_to))


def _ways_of_others(own: Written, texts: Sequence[str]) -> frozenset[Way]:
    found = frozenset(WAYS)
    for text in texts:
        for match in DATE_PATTERN.finditer(text):
            other = _taken_apart(match)
            alike = (other.between, bool(other.before)) == (own.between, bool(own.before))
            if alike and other.ways() and str(other) != str(own):
                found &= other.ways()
    return found


def squashed_writings(value: str) -> frozenset[str]:
    """The day that the value may mean, in every way of writing it with the year, as lower-case letters and digits.

    Empty if the value is no date. A prompt that holds one of them has said the value.
    """
    own = _written(value)
    if own is None:
        return frozenset()
    year = "".join(c for c in own.before + own.behind if c.isdecimal())
    days = {way.read(own.parts, own.year) for way in own.ways()}
    pairs = {"".join(way.write(*day)).casefold() for day in days if day for way in WAYS}
    return frozenset(pair + year for pair in pairs) | frozenset(year + pair for pair in pairs)
