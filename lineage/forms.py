"""Canonical forms of what identifies a person, and where such forms can stand in a text.

Names and e-mail addresses are compared after `fold`; account numbers after `squeeze`, which also drops separators
(`folding`); phone numbers as E.164.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from lineage.errors import WrongUsage
from lineage.folding import folded_text, squeezed_text

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber

__all__ = [
    "DEFAULT_REGIONS",
    "FormKind",
    "ascii_digits",
    "canonical_identifier",
    "normal_forms",
    "normalise",
    "phone_readings",
    "phone_runs",
    "phone_windows",
    "regions_that_may_read",
    "run_windows",
]

FormKind: TypeAlias = Literal["name", "email", "phone", "account"]

# Presidio's own default regions, so that the register and the phone recogniser read national formats alike.
DEFAULT_REGIONS = ("US", "GB", "DE", "FR", "IL", "IN", "CA", "BR")
MIN_CHARS = {"name": 2, "email": 3, "account": 4}

_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
# With the full-width signs of East Asian keyboards, and the invisible characters that are copied along from web pages.
# It begins with the digit, which the engine can skip to, and not with the sign before it or the look behind.
_PHONE_RUN = re.compile(
    r"\d(?<!\w\d)"
    r"[\d\s().\-/\u2010-\u2015\u2212\uff08\uff09\uff0d-\uff0f\u00ad\u200b\u2060\ufeff]{4,60}\d(?!\w)"
)
# The same in ASCII, which the engine knows from a table of 128.
_ASCII_PHONE_RUN = re.compile(
    r"[0-9](?<![0-9A-Za-z_][0-9])[\t-\r\x1c-\x1f 0-9().\-/]{4,60}[0-9](?![0-9A-Za-z_])", re.ASCII
)
_SHORTEST_RUN = b"\1" * 6
_IN_PHONE_RUN = bytes(c.isdigit() or c.isspace() or c in "().-/" for c in map(chr, range(128))) + bytes(128)
_PHONE_TOKEN = re.compile(r"[^\s/\uff0f]+")
_SIGNS = "+(\uff0b\uff08"
_PHONE_TOKENS = 6
_PHONE_DIGITS = range(7, 18)
_NOT_DIGITS = bytes(set(range(128)) - set(b"0123456789"))


def normalise(kind: FormKind, value: str, *, regions: tuple[str, ...] = DEFAULT_REGIONS) -> str:
    """The canonical form of a value: what is compared, hashed and kept on the suppression list.

    Raises:
        WrongUsage: the value is too short or cannot be read as that kind. The message holds no value.
    """
    if kind == "phone":
        return _canonical_phone(value, regions)
    form = squeezed_text(value) if kind == "account" else folded_text(value).strip()
    if len(form) < MIN_CHARS[kind] or (kind == "email" and not _EMAIL.fullmatch(form)):
        raise WrongUsage(f"A value given as {kind} cannot be one.", hint="Check the kinds in the register file.")
    return form


def normal_forms(kind: FormKind, value: str, *, regions: tuple[str, ...] = DEFAULT_REGIONS) -> frozenset[str]:
    """Every canonical form a value may be met under.

    One, except for a phone number written without its country, and for a name, which lists and letters turn round:
    "Maria Schmidt" is also met as "Schmidt, Maria", and the other way.
    """
    if kind == "phone" and (readings := phone_readings(value.strip(), regions)):
        return readings
    form = normalise(kind, value, regions=regions)
    return frozenset({form, *_turned_round(form)}) if kind == "name" else frozenset({form})


def _turned_round(name: str) -> Iterator[str]:
    """The other order of a name's parts; of a name of several words every place to turn it at."""
    last, comma, first = name.partition(", ")
    if comma and "," not in first:
        yield f"{first} {last}"
    words = name.split(" ")
    if "," not in name:
        yield from (f"{' '.join(words[i:])}, {' '.join(words[:i])}" for i in range(1, len(words)))


def canonical_identifier(identifier: str) -> str:
    """The canonical form under which a subject's pseudonym is computed, whatever kind of identifier it is.

    A number without a leading + is not read as a phone: customer numbers look alike. Law: idempotent.
    """
    if identifier.strip().startswith("+"):
        try:
            return normalise("phone", identifier)
        except WrongUsage:
            pass
    return folded_text(identifier).strip()


@lru_cache(maxsize=4096)
def _canonical_phone(value: str, regions: tuple[str, ...]) -> str:
    readings = list(_readings_in_order(value, regions))
    if not readings:
        raise WrongUsage("A value given as phone cannot be one.", hint="Write it with its country: +44 20 7946 0958.")
    if len(readings) == 1:
        return readings[0][0]
    from phonenumbers import is_valid_number

    return next((e164 for e164, number in readings if is_valid_number(number)), readings[0][0])


@lru_cache(maxsize=4096)
def phone_readings(value: str, regions: tuple[str, ...]) -> frozenset[str]:
    """The E.164 numbers that this spelling is in any of the regions; empty if none."""
    return frozenset(e164 for e164, _ in _readings_in_order(value, regions))


def _readings_in_order(value: str, regions: tuple[str, ...]) -> Iterator[tuple[str, PhoneNumber]]:
    # phonenumbers knows few kinds of space and takes the others for the number's end
    folded = folded_text(value).strip()
    for region in regions:
        reading = _reading(folded, region)
        if reading is None:
            continue
        if reading[0]:
            yield reading
        if folded.startswith("+"):
            break


@lru_cache(maxsize=8192)
def _reading(folded: str, region: str) -> tuple[str, PhoneNumber] | None:
    """The number that a spelling is in a region, and its E.164, empty if there can be no such number."""
    import phonenumbers

    try:
        number = phonenumbers.parse(folded, region)
    except phonenumbers.NumberParseException:
        return None
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return (e164 if phonenumbers.is_possible_number(number) and len(e164) > _PHONE_DIGITS.start else ""), number


@lru_cache(maxsize=4096)
def regions_that_may_read(digits: str, regions: tuple[str, ...], numbers: tuple[str, ...]) -> tuple[str, ...]:
    """The regions in which a spelling without a leading + can be one of these E.164 numbers.

    A national spelling is a number of the region's own country; only a spelling that begins like an international prefix
    (00, 011, ...) may be one of another. It has all digits of the number behind the country code, except in regions where
    numbers of one's own area are shorter.
    """
    return tuple(region for region in regions if _may_read(_dialling(region), digits, numbers))


class _Dialling(NamedTuple):
    """How a region writes numbers: its country code with its +, what an international call from there begins with, and
    whether a national spelling may leave digits of the number out."""

    country: str
    prefix: re.Pattern[str] | None
    leaves_out: bool


def _may_read(dialling: _Dialling, digits: str, wanted: tuple[str, ...]) -> bool:
    country, prefix, leaves_out = dialling
    for number in wanted:
        if number.startswith(country) and (leaves_out or len(number) - len(country) <= len(digits)):
            return True
    return bool(prefix and prefix.match(digits))


@lru_cache(maxsize=512)
def _dialling(region: str) -> _Dialling:
    import phonenumbers

    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region, None)
    prefix = metadata.international_prefix if metadata else None
    leaves_out = bool(metadata and metadata.national_prefix_transform_rule)
    return _Dialling(
        f"+{phonenumbers.country_code_for_region(region)}", re.compile(prefix) if prefix else None, leaves_out
    )


def phone_runs(text: str) -> Iterator[tuple[int, str]]:
    """(start, what stands there) of every stretch of digits, and of what people write between digits.

    A run is all that its windows depend on: `run_windows(run)`.
    """
    for start, end in _ascii_runs(text) if text.isascii() else map(re.Match.span, _PHONE_RUN.finditer(text)):
        begin = _with_sign(text, start) if start and text[start - 1] in _SIGNS else start
        yield begin, text[begin:end]


def _ascii_runs(text: str) -> Iterator[tuple[int, int]]:
    """The spans of `_PHONE_RUN`: looked for where six characters that may be in a run follow each other, and nowhere else."""
    written = text.encode().translate(_IN_PHONE_RUN)
    end = 0
    while (at := written.find(_SHORTEST_RUN, end)) >= 0 and (run := _ASCII_PHONE_RUN.search(text, at)):
        start, end = run.span()
        yield start, end


def phone_windows(text: str) -> Iterator[tuple[int, int, str]]:
    """The `run_windows` of all runs in a text, placed in it."""
    for offset, run in phone_runs(text):
        for start, end, digits in run_windows(run):
            yield offset + start, offset + end, digits


def run_windows(run: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, ASCII digits) of every stretch of up to six groups that has as many digits as a phone number."""
    groups = [(*group.span(), ascii_digits(group.group())) for group in _PHONE_TOKEN.finditer(run)]
    for first, (start, _, _) in enumerate(groups):
        digits = ""
        for _, end, more in groups[first : first + _PHONE_TOKENS]:
            digits += more
            if len(digits) in _PHONE_DIGITS:
                yield start, end, digits


def _with_sign(text: str, start: int) -> int:
    """Where a number starts that has a + or parenthesis right before its first digit: at that, unless a word goes on there."""
    goes_on = start > 1 and (text[start - 2].isalnum() or text[start - 2] == "_")
    return start if goes_on else start - 1


def ascii_digits(text: str) -> str:
    """The decimal digits of a stretch, as ASCII."""
    if text.isascii():
        return text.encode().translate(None, _NOT_DIGITS).decode()
    return "".join([str(unicodedata.decimal(c)) for c in text if c.isdecimal()])
