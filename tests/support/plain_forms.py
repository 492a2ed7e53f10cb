"""Folding, squeezing and phone windows in their plainest form, character by character: what the fast ones must equal."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from lineage.folding import Folded, _graphemes
from lineage.forms import _PHONE_DIGITS, _PHONE_TOKEN, _PHONE_TOKENS

# As one would write it: the sign first, nothing of a word before it.
_PLAIN_RUN = re.compile(
    r"(?<!\w)[+(\uff0b\uff08]?\d"
    r"[\d\s().\-/\u2010-\u2015\u2212\uff08\uff09\uff0d-\uff0f\u00ad\u200b\u2060\ufeff]{4,60}\d(?!\w)"
)


@dataclass(frozen=True)
class PlainFolded:
    """Character i came from `[starts[i], ends[i])` of the original."""

    text: str
    starts: list[int]
    ends: list[int]

    def original_span(self, start: int, end_exclusive: int) -> tuple[int, int]:
        return self.starts[start], self.ends[end_exclusive - 1]


def places_of(folded: Folded) -> list[tuple[int, int]]:
    """Where each character came from."""
    return [folded.original_span(i, i + 1) for i in range(len(folded.text))]


def plain_fold(text: str) -> PlainFolded:
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
    return PlainFolded("".join(pieces), starts, ends)


def plain_squeeze(text: str) -> PlainFolded:
    folded = plain_fold(text)
    kept = [i for i, character in enumerate(folded.text) if character.isalnum()]
    return PlainFolded(
        "".join(folded.text[i] for i in kept), [folded.starts[i] for i in kept], [folded.ends[i] for i in kept]
    )


def plain_phone_windows(text: str) -> Iterator[tuple[int, int, str]]:
    for run in _PLAIN_RUN.finditer(text):
        groups = [(run.start() + g.start(), run.start() + g.end()) for g in _PHONE_TOKEN.finditer(run.group())]
        for first in range(len(groups)):
            for last in range(first, min(first + _PHONE_TOKENS, len(groups))):
                start, end = groups[first][0], groups[last][1]
                digits = "".join(str(unicodedata.decimal(c)) for c in text[start:end] if c.isdecimal())
                if len(digits) in _PHONE_DIGITS:
                    yield start, end, digits


def whole_text(text: str) -> Iterator[tuple[int, str]]:
    """Every text is one run of digits."""
    yield 0, text


def every_region(digits: str, regions: tuple[str, ...], numbers: tuple[str, ...]) -> tuple[str, ...]:
    return regions


def plain_joined(left: str, right: str) -> bool:
    return all(c.isalnum() and unicodedata.category(c) != "Lo" for c in (left or " ", right or " "))
