"""What a declared subject is called in a redacted text: stable, keyed, and nothing a recogniser can fire on.

::

    HMAC-SHA256(pepper, type, subject key)  ->  16 hexadecimal digits  ->  [PERSON-BCDFGHJKLMNPQRST]

The pepper is a subkey of the workspace secret, so a person is called the same in every record and every run of one
workspace, whatever way they were written, and otherwise in another workspace. The digits are written as sixteen
consonants: without a digit no number of any kind can be seen in them, without a vowel no word or name, and the brackets
keep what stands beside them out.

A pseudonym is personal data (Art. 4(5) GDPR). It goes with the person's records; where somebody else's record quotes it,
it is a mention: `forms_of` lets a closure search for it and the suppression list keep it out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from lineage.policy import PSEUDONYMOUS
from lineage.register import RegisterForm
from lineage.spans import Interval, overlaps

__all__ = ["DIGITS", "WRITTEN", "Pseudonym", "forms_of", "whole", "written"]

# (entity type, subject key) -> hexadecimal digits; `Keyring.pseudonym`.
Pseudonym: TypeAlias = Callable[[str, str], str]

DIGITS = "BCDFGHJKLMNPQRST"
LENGTH = 16
WRITTEN = re.compile(rf"\[[A-Z]+(?:_[A-Z]+)*-[{DIGITS}]{{{LENGTH}}}\]")
_LETTERS = str.maketrans("0123456789abcdef", DIGITS)


def written(constant: str, hexadecimal: str) -> str:
    """The pseudonym as it stands in a text: the type's constant with the person's sixteen letters in it."""
    return f"{constant[:-1]}-{_code(hexadecimal)}]"


def forms_of(subject_key: str, pseudonym: Pseudonym) -> list[RegisterForm]:
    """The person's pseudonyms, one a type, as forms to search for; without the constant, which a policy may change."""
    return [RegisterForm(subject_key, "name", _code(pseudonym(kind, subject_key))) for kind in PSEUDONYMOUS]


def whole(text: str, place: Interval) -> Interval:
    """The place, widened to the whole of a pseudonym that it lies in, brackets and all."""
    if text.find("[", 0, place[1]) >= 0:
        for found in WRITTEN.finditer(text):
            if overlaps(found.span(), place):
                place = min(place[0], found.start()), max(place[1], found.end())
    return place


def _code(hexadecimal: str) -> str:
    return hexadecimal[:LENGTH].translate(_LETTERS)
