"""Folding, squeezing and phone windows in their plainest form, character by character: what the fast ones must equal."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from lineage.folding import Folded, _graphemes
from lineage.forms import _PHONE_DIGITS, _PHONE_RUN, _PHONE_TOKEN, _PHONE_TOKENS


def plain_fold(text: str) -> Folded:
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
    return Folded("".join(pieces), starts, ends)


def plain_squeeze(text: str) -> Folded:
    folded = plain_fold(text)
    kept = [i for i, character in enumerate(folded.text) if character.isalnum()]
    return Folded(
        "".join(folded.text[i] for i in kept), [folded.starts[i] for i in kept], [folded.ends[i] for i in kept]
    )


def plain_phone_windows(text: str) -> Iterator[tuple[int, int, str]]:
    for run in _PHONE_RUN.finditer(text):
        groups = [(run.start() + g.start(), run.start() + g.end()) for g in _PHONE_TOKEN.finditer(run.group())]
        for first in range(len(groups)):
            for last in range(first, min(first + _PHONE_TOKENS, len(groups))):
                start, end = groups[first][0], groups[last][1]
                digits = "".join(str(unicodedata.decimal(c)) for c in text[start:end] if c.isdecimal())
                if len(digits) in _PHONE_DIGITS:
                    yield start, end, digits


def every_region(digits: str, regions: tuple[str, ...], numbers: tuple[str, ...]) -> tuple[str, ...]:
    return regions
