"""Identifiers of a country that the gate's stock library has no recogniser for, and how the others are switched on by name.

French social security number (NIR): sex, year and month of birth, department, commune, order, and a key of two digits that
is 97 minus the rest modulo 97. In Corsica the department is 2A or 2B, and counts as 19 or 18.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lineage.errors import WrongUsage

if TYPE_CHECKING:
    from presidio_analyzer import EntityRecognizer

__all__ = ["is_nir", "named_recognizer"]

# Groups may stand apart; months above 12 are given when the month of birth is unknown.
NIR_PATTERN = (
    r"(?<!\d)[1278][ .]?\d{2}[ .]?(?:0[1-9]|[1-9]\d)[ .]?(?:\d{2}|2[AB])[ .]?\d{3}[ .]?\d{3}[ .\-]{0,3}\d{2}(?!\d)"
)
NIR_CONTEXT = ["nir", "sécurité sociale", "securite sociale", "numéro de sécu", "assuré", "carte vitale", "insee"]
_CORSICA = {"2A": "19", "2B": "18"}


def is_nir(text: str) -> bool:
    """Whether the key of a French social security number fits the rest of it. Separators are ignored."""
    plain = re.sub(r"[ .\-]", "", text).upper()
    if len(plain) != 15:
        return False
    body = plain[:5] + _CORSICA.get(plain[5:7], plain[5:7]) + plain[7:13]
    return body.isdecimal() and plain[13:].isdecimal() and int(plain[13:]) == 97 - int(body) % 97


def named_recognizer(name: str, language: str) -> EntityRecognizer:
    """A recogniser of patterns by its class name, for one language.

    Raises:
        WrongUsage: there is none of that name, or it is no recogniser of patterns (those may call a service).
    """
    from presidio_analyzer import PatternRecognizer, predefined_recognizers

    if name == "FrNirRecognizer":
        return _nir_recognizer(language)
    found = getattr(predefined_recognizers, name, None)
    if not (isinstance(found, type) and issubclass(found, PatternRecognizer)):
        raise WrongUsage(
            "The policy names a recogniser that is none of patterns, or that does not exist.", hint=f"It names {name}."
        )
    make: Any = found  # the stock classes have a type of their own, the base class wants one
    recognizer: EntityRecognizer = make(supported_language=language)
    return recognizer


def _nir_recognizer(language: str) -> EntityRecognizer:
    from presidio_analyzer import Pattern, PatternRecognizer

    class FrNirRecognizer(PatternRecognizer):
        """Finds a French social security number whose key fits."""

        def validate_result(self, pattern_text: str) -> bool:
            return is_nir(pattern_text)

    return FrNirRecognizer(
        supported_entity="FR_NIR", patterns=[Pattern("NIR with key", NIR_PATTERN, 0.5)], context=NIR_CONTEXT,
        supported_language=language,
    )  # fmt: skip
