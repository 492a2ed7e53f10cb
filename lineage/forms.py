"""Canonical forms of what identifies a person, and where such forms can stand in a text.

Names and e-mail addresses are compared after `fold`; account numbers after `squeeze`, which also drops separators;
phone numbers as E.164. Folding keeps, for every character it writes, the stretch of the original it came from, so that
a match in folded text can be cut out of the original exactly.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias, overload

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
    "regions_that_may_read",
    "squeeze",
]

FormKind: TypeAlias = Literal["name", "email", "phone", "account"]

# Presidio's own default regions, so that the register and the phone recogniser read national formats alike.
DEFAULT_REGIONS = ("US", "GB", "DE", "FR", "IL", "IN", "CA", "BR")
MIN_CHARS = {"name": 2, "email": 3, "account": 4}

_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
# ASCII white space that folding changes: anything but a single space.
_SPACES = re.compile(r"[\t-\r\x1c-\x1f ]{2,}|[\t-\r\x1c-\x1f]")
# Stretches of ASCII, and of everything else with the character before it, which combining marks may change.
_STRETCH = re.compile(r"[\x00-\x7f]+(?=[\x00-\x7f]|\Z)|[\x00-\x7f]?[^\x00-\x7f]+")
_NOT_ALNUM = bytes(code for code in range(128) if not chr(code).isalnum())
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
    starts: Sequence[int] = field(repr=False)
    ends: Sequence[int] = field(repr=False)

    def original_span(self, start: int, end_exclusive: int) -> tuple[int, int]:
        """The half-open span of the original behind `[start, end_exclusive)` of the folded text."""
        return self.starts[start], self.ends[end_exclusive - 1]


def fold(text: str) -> Folded:
    """NFKC and case folding per grapheme; whitespace runs become one space, invisible format characters vanish."""
    if text.isascii() and not _SPACES.search(text):
        return Folded(text.lower(), range(len(text)), range(1, len(text) + 1))
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for stretch in _STRETCH.finditer(text):
        within = _fold_ascii if stretch.group().isascii() else _fold_graphemes
        written, begins, stops = within(stretch.group(), stretch.start())
        if written[:1] == " " and pieces and pieces[-1][-1] == " ":
            ends[-1] = stops[0]
            written, begins, stops = written[1:], begins[1:], stops[1:]
        if written:
            pieces.append(written)
            starts += begins
            ends += stops
    return Folded("".join(pieces), starts, ends)


def _fold_ascii(text: str, offset: int) -> tuple[str, list[int], list[int]]:
    starts: list[int] = []
    ends: list[int] = []
    done = 0
    for run in _SPACES.finditer(text):
        starts += range(offset + done, offset + run.start() + 1)
        ends += range(offset + done + 1, offset + run.start() + 1)
        ends.append(offset + run.end())
        done = run.end()
    starts += range(offset + done, offset + len(text))
    ends += range(offset + done + 1, offset + len(text) + 1)
    return _SPACES.sub(" ", text).lower(), starts, ends


def _fold_graphemes(text: str, offset: int) -> tuple[str, list[int], list[int]]:
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for start, end, written in _graphemes(text):
        if written == " " and pieces and pieces[-1] == " ":
            ends[-1] = offset + end
            continue
        pieces.extend(written)
        starts.extend([offset + start] * len(written))
        ends.extend([offset + end] * len(written))
    return "".join(pieces), starts, ends


def squeeze(text: str) -> Folded:
    """`fold`, then letters and digits only: two ways of grouping one account number become equal."""
    if text.isascii():
        raw = text.encode()
        squeezed = raw.lower().translate(None, _NOT_ALNUM).decode()
        return Folded(squeezed, _Kept(raw, len(squeezed), 0), _Kept(raw, len(squeezed), 1))
    folded = fold(text)
    kept = [i for i, character in enumerate(folded.text) if character.isalnum()]
    return Folded(
        "".join([folded.text[i] for i in kept]), [folded.starts[i] for i in kept], [folded.ends[i] for i in kept]
    )


class _Kept(Sequence[int]):
    """Where the letters and digits of an ASCII text stand, plus `shift`; looked up when asked, as most texts have no hit."""

    __slots__ = ("_length", "_raw", "_shift")

    def __init__(self, raw: bytes, length: int, shift: int) -> None:
        self._raw, self._length, self._shift = raw, length, shift

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...
    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        """The place of the letter or digit of that number."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._length))]
        if not 0 <= index < self._length:
            raise IndexError(index)
        return bisect_left(range(len(self._raw)), index + 1, key=self._kept_up_to) + self._shift

    def _kept_up_to(self, position: int) -> int:
        return len(self._raw[: position + 1].translate(None, _NOT_ALNUM))


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


@lru_cache(maxsize=4096)
def regions_that_may_read(digits: str, regions: tuple[str, ...], numbers: tuple[str, ...]) -> tuple[str, ...]:
    """The regions in which a spelling without a leading + can be one of these E.164 numbers.

    A national spelling is a number of the region's own country; only a spelling that begins like an international prefix
    (00, 011, ...) may be one of another.
    """
    return tuple(region for region in regions if _may_read(_dialling(region), digits, numbers))


def _may_read(dialling: tuple[str, re.Pattern[str] | None], digits: str, wanted: tuple[str, ...]) -> bool:
    country, prefix = dialling
    return any(number.startswith(country) for number in wanted) or bool(prefix and prefix.match(digits))


@lru_cache(maxsize=512)
def _dialling(region: str) -> tuple[str, re.Pattern[str] | None]:
    """The region's country code with its +, and what an international call from there begins with."""
    import phonenumbers

    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region, None)
    prefix = metadata.international_prefix if metadata else None
    return f"+{phonenumbers.country_code_for_region(region)}", re.compile(prefix) if prefix else None


def phone_windows(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, ASCII digits) of every stretch of up to six groups that has as many digits as a phone number."""
    for run in _PHONE_RUN.finditer(text):
        groups = [(run.start() + g.start(), run.start() + g.end()) for g in _PHONE_TOKEN.finditer(run.group())]
        digits_of = [_digits(text[start:end]) for start, end in groups]
        for first, (start, _) in enumerate(groups):
            digits = ""
            for (_, end), more in zip(groups[first : first + _PHONE_TOKENS], digits_of[first:], strict=False):
                digits += more
                if len(digits) in _PHONE_DIGITS:
                    yield start, end, digits


def _digits(text: str) -> str:
    """The decimal digits of a stretch, as ASCII."""
    if text.isascii():
        return "".join([c for c in text if c.isdecimal()])
    return "".join([str(unicodedata.decimal(c)) for c in text if c.isdecimal()])
