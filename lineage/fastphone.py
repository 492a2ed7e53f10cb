"""Phone numbers in a text, for several regions at once: phonenumbers' matcher with the work that regions share done once.

The matcher is `phonenumbers.PhoneNumberMatcher`; what is overridden, and why the matches stay the same:

* *One candidate scan.* The next candidate after a place depends on the text and the place alone, so all regions share it.
  A candidate starts at most ten characters before its first digit (two times a bracket or plus with four signs), so
  the search may start there instead of at the end of the last candidate.
* *Not the digits of a number.* A number is valid only with a length and a general pattern of some region of its country
  code. `_Reach` holds, for a region, the fewest digits that a valid number is written with: for a national number the
  shortest length less the digits that its national prefix rule may add; for an international one the same over all
  countries, plus the country code. Letters count as digits, because phonenumbers reads words as digits. A candidate
  without letters, extension, plus and international prefix is read as a national number: its digits, less a national prefix,
  the country code, and a prefix again. If none of these fits the general pattern, or there are too few digits, it is not
  parsed; the same for inner parts.
* *International numbers* read the same in all regions (`_digits_after_plus`) and are parsed once.
* *The limit of 65,535 tries* is phonenumbers' guard against texts full of false candidates, and it ends the search
  silently. A candidate that is not parsed costs exactly as many tries as if it were (`_tries`).

This holds for leniency VALID and for the two pinned source files; `is_pinned` says whether they are the ones installed.
Nothing of a text outlives a call.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
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
_EXTENSION_SIGN = re.compile(r"[#\uff03~\uff5e,;]")
_NO_DIGITS = re.compile(r"\D+")
_FIRST_SIGN = re.compile(r"[+\uff0b\d]")

_private: Any = matching
_utilities: Any = phonenumberutil


def is_pinned() -> bool:
    """Whether the installed phonenumbers is the one this module was written against."""
    return all(_sha256(module) == digest for module, digest in _PINNED.items())


def phone_spans(text: str, regions: Sequence[str]) -> list[tuple[int, int]]:
    """The half-open spans that `PhoneNumberMatcher` finds at leniency VALID, region by region, in its order."""
    candidates = _Candidates(text, hopeless_below=min(_reach(region).fewest for region in regions))
    spans: list[tuple[int, int]] = []
    for region in regions:
        spans += [(match.start, match.end) for match in _SharedMatcher(text, region, candidates)]
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
        if second := _utilities._SECOND_NUMBER_START_PATTERN.search(candidate):
            candidate = candidate[: second.start()]
        return found.start(), candidate, _tries(candidate) if _size(candidate) < self._hopeless_below else 0


class _SharedMatcher(phonenumbers.PhoneNumberMatcher):
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
    digits = _digits(candidate)
    known = digits[:1] != "0" and any(
        int(digits[:n] or 0) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE for n in (1, 2, 3)
    )
    return digits if known and len(digits) == _size(candidate) and len(digits) > 3 else None


def _size(candidate: str) -> int:
    """How many digits phonenumbers can see in it at most."""
    return sum(map(str.isalnum, candidate))


def _digits(candidate: str) -> str:
    """What phonenumbers makes of a candidate without letters."""
    if candidate.isascii():
        return _NO_DIGITS.sub("", candidate)
    digits: str = phonenumbers.normalize_digits_only(candidate)
    return digits


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
    """What a number must look like to be valid in one region.

    `national` and `international` are the fewest digits it is written with. `prefixes` are what may stand before a national
    number, `code` is its country code, `idd` the international prefix; `general` matches what is valid in some region of the
    code. The last two are empty where the metadata say it by an expression and not by plain digits.
    """

    national: int
    international: int
    code: str
    prefixes: tuple[str, ...]
    idd: str
    general: re.Pattern[str] | None

    @property
    def fewest(self) -> int:
        """Below this no candidate is a number in this region; never above what a timestamp has."""
        return min(self.national, self.international, _TIMESTAMP_DIGITS)

    def allows(self, candidate: str) -> bool:
        """Whether a candidate may be a number here, going by its digits."""
        first = _FIRST_SIGN.search(candidate)
        if first is None:
            return False
        size = _size(candidate)
        if first.group() in "+\uff0b":
            return size >= self.international
        if size < min(self.national, self.international):
            return False
        digits = _digits(candidate)
        if not self.general or len(digits) < size or _EXTENSION_SIGN.search(candidate):
            return size >= self.national or size > self.international
        return digits.startswith(self.idd) or any(map(self.general.fullmatch, self._national_numbers(digits)))

    def _national_numbers(self, digits: str) -> Iterator[str]:
        """What may be left of the digits: phonenumbers takes off a country code, and a prefix before and after that."""
        yield from self._stripped(digits)
        if digits.startswith(self.code):
            for rest in self._stripped(digits[len(self.code) :]):
                yield from self._stripped(rest)

    def _stripped(self, digits: str) -> Iterator[str]:
        yield digits
        for prefix in self.prefixes:
            if digits.startswith(prefix):
                yield digits[len(prefix) :]


@lru_cache(maxsize=512)
def _reach(region: str) -> _Reach:
    metadata: Any = phonenumbers.PhoneMetadata.metadata_for_region(region, None)
    if metadata is None:
        return _Reach(0, 0, "", (), "", None)
    code = metadata.country_code
    international = min(len(str(code)) + _shortest(code) for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
    prefixes = tuple((metadata.national_prefix_for_parsing or "").split("|"))
    idd = metadata.international_prefix or ""
    plain = (
        idd.isdecimal()
        and all(map(str.isdecimal, filter(None, prefixes)))
        and not metadata.national_prefix_transform_rule
    )
    return _Reach(
        national=_shortest(code, region),
        international=international,
        code=str(code),
        prefixes=tuple(filter(None, prefixes)) if plain else (),
        idd=idd if plain else "",
        general=re.compile("|".join(f"(?:{m.general_desc.national_number_pattern})" for m in _sharing(code)))
        if plain
        else None,
    )


def _sharing(code: int) -> list[Any]:
    """The metadata of all regions of a country code."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]
    return [m for m in (phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, r) for r in regions) if m]


def _shortest(code: int, region: str | None = None) -> int:
    """The shortest valid number of a country code, less what a national prefix rule may add to the digits written."""
    first = region or phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code][0]
    read_by: Any = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, first)
    added = sum(character.isdigit() for character in read_by.national_prefix_transform_rule or "")
    shortest: int = min((min(m.general_desc.possible_length, default=0) for m in _sharing(code)), default=0)
    return int(shortest - added)


def _sha256(module: Any) -> str:
    source = Path(module.__file__)
    return hashlib.sha256(source.read_bytes()).hexdigest() if source.suffix == ".py" else ""
