"""Canonical forms of what identifies a person, and where such forms can stand in a text.

Names and e-mail addresses are compared after `fold`; account numbers after `squeeze`, which also drops separators;
phone numbers as E.164. Folding keeps, for every character it writes, the stretch of the original it came from, so that
a match in folded text can be cut out of the original exactly.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

from lineage.errors import WrongUsage

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber

__all__ = [
    "DEFAULT_REGIONS",
    "Folded",
    "FormKind",
    "canonical_identifier",
    "fold",
    "normal_forms",
    "normalise",
    "phone_readings",
    "phone_windows",
    "squeeze",
]

FormKind: TypeAlias = Literal["name", "email", "phone", "account"]

# Presidio's own default regions, so that the register and the phone recogniser read national formats alike.
DEFAULT_REGIONS = ("US", "GB", "DE", "FR", "IL", "IN", "CA", "BR")
MIN_CHARS = {"name": 2, "email": 3, "account": 4}

_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
_ASCII_RUN_OF_SPACE = re.compile(r"[\t-\r\x1c-\x1f]| {2}")
# With the full-width signs of East Asian keyboards, and the invisible characters that are copied along from web pages.
_PHONE_RUN = re.compile(
    r"(?<!\w)[+(\uff0b\uff08]?\d"
    r"[\d\s().\-/\u2010-\u2015\u2212\uff08\uff09\uff0d-\uff0f\u00ad\u200b\u2060\ufeff]{4,60}\d(?!\w)"
)
_PHONE_TOKEN = re.compile(r"[^\s/\uff0f]+")
_PHONE_TOKENS = 6
_PHONE_DIGITS = range(7, 18)


@dataclass(frozen=True, slots=True)
class Folded:
    """A folded text; character i of it came from `[starts[i], ends[i])` of the original."""

    text: str = field(repr=False)
    starts: range | tuple[int, ...] = field(repr=False)
    ends: range | tuple[int, ...] = field(repr=False)

    def original_span(self, start: int, end_exclusive: int) -> tuple[int, int]:
        """The half-open span of the original behind `[start, end_exclusive)` of the folded text."""
        return self.starts[start], self.ends[end_exclusive - 1]


def fold(text: str) -> Folded:
    """NFKC and case folding per grapheme; whitespace runs become one space, invisible format characters vanish."""
    if text.isascii() and not _ASCII_RUN_OF_SPACE.search(text):
        return Folded(text.lower(), range(len(text)), range(1, len(text) + 1))
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for start, end, written in _graphemes(text):
        if written == " " and pieces and pieces[-1] == " ":
            ends[-1] = end
            continue
        pieces.extend(written)
        starts.extend([start] * len(written))
        ends.extend([end] * len(written))
    return Folded("".join(pieces), tuple(starts), tuple(ends))


def squeeze(text: str) -> Folded:
    """`fold`, then letters and digits only: two ways of grouping one account number become equal."""
    folded = fold(text)
    kept = [i for i, character in enumerate(folded.text) if character.isalnum()]
    return Folded(
        "".join(folded.text[i] for i in kept),
        tuple(folded.starts[i] for i in kept),
        tuple(folded.ends[i] for i in kept),
    )


def _graphemes(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, folded) for each base character together with the combining marks that follow it."""
    start = 0
    while start < len(text):
        end = start + 1
        while end < len(text) and unicodedata.combining(text[end]):
            end += 1
        if text[start].isspace():
            yield start, end, " "
        elif unicodedata.category(text[start]) != "Cf":
            yield start, end, _folded_grapheme(text[start:end])
        start = end


def _folded_grapheme(grapheme: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", grapheme).casefold())
    # A free-standing accent would become a space and an accent, and a space is what separates words.
    return grapheme if " " in folded else folded


def normalise(kind: FormKind, value: str, *, regions: tuple[str, ...] = DEFAULT_REGIONS) -> str:
    """The canonical form of a value: what is compared, hashed and kept on the suppression list.

    Raises:
        WrongUsage: the value is too short or cannot be read as that kind. The message holds no value.
    """
    if kind == "phone":
        return _canonical_phone(value, regions)
    form = squeeze(value).text if kind == "account" else fold(value).text.strip()
    if len(form) < MIN_CHARS[kind] or (kind == "email" and not _EMAIL.fullmatch(form)):
        raise WrongUsage(f"A value given as {kind} cannot be one.", hint="Check the kinds in the register file.")
    return form


def normal_forms(kind: FormKind, value: str, *, regions: tuple[str, ...] = DEFAULT_REGIONS) -> frozenset[str]:
    """Every canonical form a value may be met under: one, except for a phone number written without its country."""
    if kind == "phone" and (readings := phone_readings(value.strip(), regions)):
        return readings
    return frozenset({normalise(kind, value, regions=regions)})


def canonical_identifier(identifier: str) -> str:
    """The canonical form under which a subject's pseudonym is computed, whatever kind of identifier it is.

    A number without a leading + is not read as a phone: customer numbers look alike. Law: idempotent.
    """
    if identifier.strip().startswith("+"):
        try:
            return normalise("phone", identifier)
        except WrongUsage:
            pass
    return fold(identifier).text.strip()


@lru_cache(maxsize=4096)
def _canonical_phone(value: str, regions: tuple[str, ...]) -> str:
    readings = list(_readings_in_order(value.strip(), regions))
    if not readings:
        raise WrongUsage("A value given as phone cannot be one.", hint="Write it with its country: +44 20 7946 0958.")
    from phonenumbers import is_valid_number

    return next((e164 for e164, number in readings if is_valid_number(number)), readings[0][0])


@lru_cache(maxsize=4096)
def phone_readings(value: str, regions: tuple[str, ...]) -> frozenset[str]:
    """The E.164 numbers that this spelling is in any of the regions; empty if none."""
    return frozenset(e164 for e164, _ in _readings_in_order(value, regions))


def _readings_in_order(value: str, regions: tuple[str, ...]) -> Iterator[tuple[str, PhoneNumber]]:
    import phonenumbers

    value = fold(value).text.strip()  # phonenumbers knows few kinds of space and takes the others for the number's end
    for region in regions:
        try:
            number = phonenumbers.parse(value, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_possible_number(number):
            e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
            if len(e164) > _PHONE_DIGITS.start:
                yield e164, number
        if value.startswith("+"):
            break


def phone_windows(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, ASCII digits) of every stretch of up to six groups that has as many digits as a phone number."""
    for run in _PHONE_RUN.finditer(text):
        groups = [(run.start() + g.start(), run.start() + g.end()) for g in _PHONE_TOKEN.finditer(run.group())]
        for first in range(len(groups)):
            for last in range(first, min(first + _PHONE_TOKENS, len(groups))):
                start, end = groups[first][0], groups[last][1]
                digits = "".join(str(unicodedata.decimal(c)) for c in text[start:end] if c.isdecimal())
                if len(digits) in _PHONE_DIGITS:
                    yield start, end, digits
