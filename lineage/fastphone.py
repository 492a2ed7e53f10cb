"""Phone numbers in a text, for several regions at once: phonenumbers' matcher with the work that regions share done once.

The matcher is `phonenumbers.PhoneNumberMatcher`; what is overridden, and why the matches stay the same:

* *One candidate scan.* The next candidate after a place depends on the text and the place alone, so all regions share it.
  A candidate starts at most ten characters before its first digit (two times a bracket or plus with four signs), so
  the search may start there instead of at the end of the last candidate.
* *Too few digits.* A number is valid only with a length that its country allows. `_Reach` holds, for a region, the fewest
  digits that a valid number is written with: for a national number the shortest length in the region's country code
  less the digits that its national prefix rule may add; for an international one the same over all countries, plus the
  country code. Letters count as digits, because phonenumbers reads words as digits. A candidate with fewer, or an inner
  part with fewer, is never parsed. Without letters, a number that begins with neither a plus nor the international
  prefix is read as national only.
* *The limit of 65,535 tries* is phonenumbers' guard against texts full of false candidates, and it ends the search
  silently. A candidate that is not parsed costs exactly as many tries as if it were (`_tries`).

This holds for leniency VALID and for the two pinned source files; `is_pinned` says whether they are the ones installed.
Nothing outlives a call except three values a region.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import phonenumbers
from phonenumbers import phonenumbermatcher as matching
from phonenumbers import phonenumberutil

__all__ = ["is_pinned", "phone_spans"]

# phonenumbers 9.0.43. Its metadata change with every release and may: they are read, not assumed.
_PINNED = {
    matching: "ed162b1697ad0a0959c848d9fc7fd70343138f67b0eb9ff65c54cf7cdc6c0a6a",
    phonenumberutil: "27a248e3bec5db0fa49a503a272f2f6d8693d32225b4908b035b3f829720d290",
}
_LEAD_CHARS = 10
_TIMESTAMP_DIGITS = 10
_DIGIT = re.compile(r"\d")
_NO_LIMIT = 1_000
_EXTENSION_SIGN = re.compile(r"[#\uff03~\uff5e]")
_FIRST_SIGN = re.compile(r"[+\uff0b\d]")

_private: Any = matching


def is_pinned() -> bool:
    """Whether the installed phonenumbers is the one this module was written against."""
    return all(_sha256(module) == digest for module, digest in _PINNED.items())


def phone_spans(text: str, regions: Sequence[str]) -> list[tuple[int, int]]:
    """The half-open spans that `PhoneNumberMatcher` finds at leniency VALID, region by region, in its order."""
    candidates = _Candidates(text, hopeless_below=min(_reach(region).fewest for region in regions))
    spans: list[tuple[int, int]] = []
    for region in regions:
        for match in _SharedMatcher(text, region, candidates):
            spans.append((match.start, match.end))
    return spans


class _Candidates:
    """What looks like a phone number in one text, whatever the region; each looked up once."""

    def __init__(self, text: str, *, hopeless_below: int) -> None:
        self._text = text
        self._hopeless_below = hopeless_below
        self._after: dict[int, tuple[int, str, int] | None] = {}
        self.international: dict[tuple[int, str], Any] = {}

    def after(self, index: int) -> tuple[int, str, int] | None:
        """The next candidate at or after the index: its start, its text, and the tries it costs if it is hopeless, else 0."""
        if index not in self._after:
            self._after[index] = self._search(index)
        return self._after[index]

    def _search(self, index: int) -> tuple[int, str, int] | None:
        digit = _DIGIT.search(self._text, index)
        found = digit and _private._PATTERN.search(self._text, max(index, digit.start() - _LEAD_CHARS))
        if not found:
            return None
        candidate = found.group()
        if second := phonenumberutil._SECOND_NUMBER_START_PATTERN.search(candidate):
            candidate = candidate[: second.start()]
        return found.start(), candidate, _tries(candidate) if _size(candidate) < self._hopeless_below else 0


class _SharedMatcher(phonenumbers.PhoneNumberMatcher):  # type: ignore[misc]
    """The stock matcher for one region over shared candidates."""

    def __init__(self, text: str, region: str, candidates: _Candidates) -> None:
        super().__init__(text, region)
        self._candidates = candidates
        self._reach = _reach(region)

    def _find(self, index: int) -> Any:
        while self._max_tries > 0:
            found = self._candidates.after(index)
            if found is None:
                return None
            start, candidate, tries = found
            if not tries:
                match = self._extract_match(candidate, start)
                if match is not None:
                    return match
            self._max_tries -= tries or 1
            index = start + len(candidate)
        return None

    def _parse_and_verify(self, candidate: str, offset: int) -> Any:
        digits = _digits_after_plus(candidate)
        if digits is None:
            return super()._parse_and_verify(candidate, offset) if self._reach.allows(candidate) else None
        if len(digits) < self._reach.international:
            return None
        shared, place = self._candidates.international, (offset, candidate)
        if place not in shared:
            shared[place] = super()._parse_and_verify(candidate, offset)
        return shared[place]


def _digits_after_plus(candidate: str) -> str | None:
    """The digits of a candidate that reads the same in every region, else None.

    It has a plus before its first digit and no letters, and its digits begin with a country code: then phonenumbers takes
    the country from the number and looks at the region no more.
    """
    first = _FIRST_SIGN.search(candidate)
    if first is None or first.group() not in "+\uff0b":
        return None
    digits: str = phonenumbers.normalize_digits_only(candidate)
    known = digits[:1] != "0" and any(int(digits[:n] or 0) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE for n in (1, 2, 3))
    return digits if known and len(digits) == _size(candidate) and len(digits) > 3 else None


def _size(candidate: str) -> int:
    """How many digits phonenumbers can see in it at most."""
    return sum(map(str.isalnum, candidate))


def _tries(candidate: str) -> int:
    """What a candidate costs of the matcher's tries when neither it nor a part of it is a number."""
    if candidate.isdecimal() or _private._SLASH_SEPARATED_DATES.search(candidate):
        return 1
    tries = 1
    for inner in _private._INNER_MATCHES:
        found = inner.search(candidate)
        tries += found is not None
        while found:
            tries += 1
            found = inner.search(candidate, found.start() + 1)
    return tries


@dataclass(frozen=True, slots=True)
class _Reach:
    """The fewest digits of a valid number read in a region, and the most of a national one.

    `prefix` is the international prefix where that is plain digits, else empty.
    """

    national: int
    national_most: int
    international: int
    prefix: str

    @property
    def fewest(self) -> int:
        """Below this no candidate is a number in this region; never above what a timestamp has."""
        return min(self.national, self.international, _TIMESTAMP_DIGITS)

    def allows(self, candidate: str) -> bool:
        """Whether a candidate may be a number here, going by how many digits it has."""
        first = _FIRST_SIGN.search(candidate)
        if first is None:
            return False
        size = _size(candidate)
        if first.group() in "+\uff0b":
            return size >= self.international
        if self.national <= size <= self.national_most:
            return True
        digits = phonenumbers.normalize_digits_only(candidate)
        plain = self.prefix and len(digits) == size and not _EXTENSION_SIGN.search(candidate)
        return size > self.international and (not plain or digits.startswith(self.prefix))


@lru_cache(maxsize=512)
def _reach(region: str) -> _Reach:
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region, None)
    if metadata is None:
        return _Reach(0, _NO_LIMIT, 0, "")
    international = min(len(str(code)) + _shortest(code) for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
    prefix = metadata.international_prefix or ""
    shortest = _shortest(metadata.country_code, region)
    return _Reach(shortest, _longest(metadata), international, prefix if prefix.isdecimal() else "")


def _longest(metadata: Any) -> int:
    """The longest national number of a region as it may be written: with its country code and two national prefixes."""
    code = metadata.country_code
    prefix = metadata.national_prefix_for_parsing or ""
    known = [m for m in map(partial(_metadata, code), phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]) if m]
    lengths = [length for m in known for length in m.general_desc.possible_length]
    if not lengths or (prefix and not prefix.isdecimal()):
        return _NO_LIMIT
    return max(lengths) + len(str(code)) + 2 * len(prefix)


def _metadata(code: int, region: str) -> Any:
    return phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, region)


def _shortest(code: int, region: str | None = None) -> int:
    """The shortest valid number of a country code, less what a national prefix rule may add to the digits written."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]
    read_by = _metadata(code, region or regions[0])
    added = sum(character.isdigit() for character in read_by.national_prefix_transform_rule or "")
    known = (_metadata(code, name) for name in regions)
    return min((min(m.general_desc.possible_length, default=0) for m in known if m), default=0) - added


def _sha256(module: Any) -> str:
    source = Path(module.__file__)
    return hashlib.sha256(source.read_bytes()).hexdigest() if source.suffix == ".py" else ""
