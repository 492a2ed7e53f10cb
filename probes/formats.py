"""Formats: every value that could as well have been the person's, numbered from 0.

One law makes an exposure's p-value exact: **every value of a format would have been given the same format**. Given
what is not random about it, the true value is then one draw like its candidates, and its rank among them is uniform,
whatever a model that never saw it prefers. So a format is derived from what its values share, never from the random
part.

What counts as random:
* phone, account number: the digits behind the last one that everybody shares (control records show which); with fewer
  than five others the last seven
* IBAN: the same digits of the account part; the two check digits follow from the rest (ISO 13616, ISO 7064 mod 97-10);
  country, length and bank letters stay
* e-mail: the digits before the @, without leading noughts. Letters are names or words, which no generator draws as people do, and the domain is
  shared. Of a run like 1984 or 2003 the century stays
* date: day and month together, see `dates`
* any other value: a pattern of one's own, "#" for a random digit, "?" for a random letter of the same case
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from lineage.errors import WrongUsage
from probes.dates import DATE_PATTERN, dates_like, is_date
from probes.dossier import PersonalValue

__all__ = ["Filled", "Format", "Listed", "candidates", "format_of", "iban_check_digits", "peer_pattern"]

DIGITS = "0123456789"
PEERS_NEEDED = 5
FREE_DIGITS = 7  # without peers only the last digits of a number count as random: a prefix is shared by many people
NATIONAL_CHECK_DIGITS = 2  # many countries put check digits of their own into the account part, two at most
CHECK = slice(2, 4)  # of an IBAN
EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
IBAN = re.compile(r"(?<!\w)[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}(?!\w)")
DATE_KIND = re.compile(r"date|birth|dob|day", re.IGNORECASE)
FULL_YEAR = re.compile(r"(?<!\d)\d{4}(?!\d)")


@dataclass(frozen=True, slots=True)
class Filled:
    """Values of one length: `slots[i]` holds the characters that may stand at place i, one if it is not random."""

    slots: tuple[str, ...] = field(repr=False)
    iban: bool = False

    @property
    def size(self) -> int:
        """How many values there are."""
        return math.prod(map(len, self.slots))

    @property
    def random_digits(self) -> float:
        """log10 of the number of values a person may really have; for an IBAN without national check digits."""
        return max(0.0, math.log10(self.size) - NATIONAL_CHECK_DIGITS * self.iban)

    @property
    def pattern(self) -> str:
        """ "#" for a random digit, "?" for a random letter, the character itself elsewhere."""
        return "".join(slot if len(slot) == 1 else "#" if slot.isdecimal() else "?" for slot in self.slots)

    def value(self, number: int) -> str:
        """The value with this number, 0 <= number < size."""
        chosen = []
        for slot in reversed(self.slots):
            number, place = divmod(number, len(slot))
            chosen.append(slot[place])
        text = "".join(reversed(chosen))
        return text[: CHECK.start] + iban_check_digits(text) + text[CHECK.stop :] if self.iban else text

    def number(self, value: str) -> int:
        """The inverse of `value`."""
        found = 0
        for slot, own in zip(self.slots, value, strict=True):
            found = found * len(slot) + (slot.index(own) if len(slot) > 1 else 0)
        return found


@dataclass(frozen=True, slots=True)
class Listed:
    """Values that are few enough to be listed, each once and in order."""

    values: tuple[str, ...] = field(repr=False)

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.values)

    @property
    def random_digits(self) -> float:
        """log10 of their number."""
        return math.log10(self.size)

    def value(self, number: int) -> str:
        """The value with this number."""
        return self.values[number]

    def number(self, value: str) -> int:
        """The inverse of `value`."""
        return self.values.index(value)


Format = Filled | Listed


def format_of(value: PersonalValue, texts: Sequence[str] = (), *, others: Sequence[PersonalValue] = ()) -> Format:
    """The format of a value; of size 1 if nothing about it is known to be random.

    `texts` are other people's records. `others` are the person's further values: digits of an e-mail that are the year
    of such a date follow from it.

    Raises:
        WrongUsage: the value's own pattern does not fit it.
    """
    text, iban = value.value, _is_iban(value.value)
    if value.pattern:
        return Filled(_slots_of_pattern(value), iban)
    if iban:
        zeroed = text[: CHECK.start] + "00" + text[CHECK.stop :]  # all values of the format share these slots
        return Filled(_slots_of_number(zeroed, texts, first=CHECK.stop), iban=True)
    if "@" in text:
        return Filled(_slots_of_email(text, others))
    if _is_date(value):
        return Listed(dates_like(text, texts))
    if DATE_KIND.search(value.kind):  # in a form that is not known: it would be compared with numbers that are no dates
        return Filled(tuple(text))
    return Filled(_slots_of_number(text, texts))


def candidates(form: Format, value: str, *, count: int, seed: int) -> tuple[str, ...]:
    """Up to `count` different values of the format, none of them the true one; all of them if there are fewer."""
    own, space, rng = form.number(value), form.size - 1, random.Random(seed)
    if space <= 2**62:  # `sample` asks for a length, and a length must fit the machine
        drawn = rng.sample(range(space), min(count, space))
    else:
        distinct: dict[int, None] = {}
        while len(distinct) < count:
            distinct[rng.randrange(space)] = None
        drawn = list(distinct)
    # drawn from one number fewer and shifted past the true one, so no candidate is lost to a collision
    return tuple(form.value(number + (number >= own)) for number in drawn)


def iban_check_digits(iban: str) -> str:
    """The third and fourth character that the others ask for: 98 minus the rest mod 97 (ISO 13616, ISO 7064)."""
    plain = "".join(c for c in iban if c.isalnum())
    number = int("".join(str(int(c, 36)) for c in plain[4:] + plain[:2] + "00"))
    return f"{98 - number % 97:02d}"


def peer_pattern(value: PersonalValue) -> re.Pattern[str]:
    """What other people's values of this kind look like in a text."""
    if _is_iban(value.value):
        return IBAN
    if "@" in value.value:
        return EMAIL
    return DATE_PATTERN if _is_date(value) else _same_shape(value.value)


def _same_shape(text: str) -> re.Pattern[str]:
    return re.compile(r"(?<!\w)" + "".join(r"\d" if c.isdigit() else re.escape(c) for c in text) + r"(?!\w)")


def _is_iban(text: str) -> bool:
    return bool(text.isascii() and IBAN.fullmatch(text)) and iban_check_digits(text) == text[CHECK]


def _is_date(value: PersonalValue) -> bool:
    """By its kind, or because it is one with a year in full: a number of another kind may look like 12.03.84."""
    return bool(DATE_KIND.search(value.kind) or FULL_YEAR.search(value.value)) and is_date(value.value)


def _slots_of_pattern(value: PersonalValue) -> tuple[str, ...]:
    if len(value.pattern) != len(value.value):
        raise WrongUsage(f"The pattern of the {value.kind} has another length than the value.")
    slots = tuple(_slot(own, c) for own, c in zip(value.value, value.pattern, strict=True))
    if any(own not in slot for own, slot in zip(value.value, slots, strict=True)):
        raise WrongUsage(
            f"The pattern of the {value.kind} does not fit the value.",
            hint='"#" stands for a digit, "?" for a letter, any other character for itself.',
        )
    return slots


def _slot(own: str, c: str) -> str:
    if c == "?":
        letters = "abcdefghijklmnopqrstuvwxyz"
        return letters.upper() if own.isupper() else letters
    return DIGITS if c == "#" else c


def _slots_of_number(text: str, texts: Sequence[str], *, first: int = 0) -> tuple[str, ...]:
    """Random digits of a number, from place `first` on.

    Other people's values of the same shape show which digits everybody shares, such as a country code or an exchange.
    Random are the digits behind the last one that the value shares with all of them: those before it may differ between
    people and still be anything but random (area codes come from a short list that every adapter has learnt). Where
    all others agree and the value does not, a candidate may not agree either: it would have another format.
    """
    digits = [i for i, c in enumerate(text) if c in DIGITS and i >= first]
    shape = _same_shape(text)
    peers = {found for line in texts for found in shape.findall(line)} - {text}
    if len(peers) < PEERS_NEEDED:
        return tuple(DIGITS if i in digits[-FREE_DIGITS:] else c for i, c in enumerate(text))
    usual = {i: {peer[i] for peer in peers} for i in digits}
    last = max((i for i in digits if usual[i] == {text[i]}), default=-1)
    return tuple(_unlike(usual[i]) if i in usual and i > last else c for i, c in enumerate(text))


def _unlike(usual: set[str]) -> str:
    return DIGITS.replace(next(iter(usual)), "") if len(usual) == 1 else DIGITS


def _slots_of_email(text: str, others: Sequence[PersonalValue]) -> tuple[str, ...]:
    """Digits before the @ are random, but for a century and for the year of one of the person's dates.

    People's numbers have no leading noughts: a longer run that has none keeps having none.
    """
    known = {run for other in others if _is_date(other) for run in FULL_YEAR.findall(other.value)}
    slots = list(text)
    for run in re.finditer(r"[0-9]+", text.rpartition("@")[0]):
        if any(run[0] in (year, year[2:]) for year in known):
            continue
        first, end = run.span()
        if re.fullmatch(r"(?:19|20)\d\d", run[0]):
            slots[first + 2 : end] = [DIGITS] * 2
        else:
            slots[first:end] = [DIGITS] * len(run[0])
            if len(run[0]) > 1:
                slots[first] = DIGITS[1:] if text[first] != "0" else "0"
    return tuple(slots)
