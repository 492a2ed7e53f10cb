"""Text as identifiers are compared in it: folded for names and e-mail addresses, squeezed for account numbers.

Folding keeps, for every character it writes, the stretch of the original it came from, so that a match in folded text can
be cut out of the original exactly.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator
from typing import Protocol

__all__ = ["Folded", "fold", "folded_text", "squeeze", "squeezed_text"]

# ASCII white space that folding changes: anything but a single space.
_SPACES = re.compile(r"[\t-\r\x1c-\x1f ]{2,}|[\t-\r\x1c-\x1f]")
# Stretches of ASCII, and of everything else with the character before it, which combining marks may change.
_STRETCH = re.compile(r"[\x00-\x7f]+(?=[\x00-\x7f]|\Z)|[\x00-\x7f]?[^\x00-\x7f]+")
_ASCII = "".join(map(chr, range(128)))
_FOLDED_ASCII = bytes(ord(" " if c.isspace() else c.lower()) for c in _ASCII) + bytes(128)
_IS_ALNUM = bytes(c.isalnum() for c in _ASCII) + bytes(128)
_NOT_ALNUM = bytes(code for code in range(128) if not _IS_ALNUM[code])


class Folded(Protocol):
    """A folded text, and where each stretch of it came from."""

    @property
    def text(self) -> str:
        """What is compared."""

    def original_span(self, start: int, end_exclusive: int) -> tuple[int, int]:
        """The half-open span of the original behind `[start, end_exclusive)`, which is not empty, of the folded text."""


class _Unmoved:
    """Every character stands where it stood."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def original_span(self, start: int, end_exclusive: int) -> tuple[int, int]:
        return start, end_exclusive


class _Respaced:
    """ASCII with one space for each run of them."""

    __slots__ = ("_dropped", "_places", "text")

    def __init__(self, lower: str) -> None:
        self.text = _one_space(lower)
        self._places: list[int] = []  # of the remaining spaces in what is written
        self._dropped = [0]  # characters, before the first of them, before the second, ...
        end = 0
        while (start := lower.find("  ", end)) >= 0:
            end = start + 2
            while lower.startswith(" ", end):
                end += 1
            self._places.append(start - self._dropped[-1])
            self._dropped.append(self._dropped[-1] + end - start - 1)

    def original_span(self, start: int, end_exclusive: int) -> tuple[int, int]:
        return (
            start + self._dropped[bisect_left(self._places, start)],
            end_exclusive + self._dropped[bisect_left(self._places, end_exclusive)],  # a run before the end is in
        )


class _Squeezed:
    """The letters and digits of an ASCII text. Asked in order of place, as hits are, it counts on from the last."""

    __slots__ = ("_counted", "_is_kept", "_until", "text")

    def __init__(self, text: str) -> None:
        self.text = squeezed_text(text)
        self._is_kept = text.encode().translate(_IS_ALNUM)
        self._counted = self._until = 0  # so many of them stand before that place

    def original_span(self, start: int, end_exclusive: int) -> tuple[int, int]:
        return self._behind(start + 1) - 1, self._behind(end_exclusive)

    def _behind(self, number: int) -> int:
        """The place behind so many letters and digits, the last of which stands right before it."""
        counted, until = (self._counted, self._until) if number >= self._counted else (0, 0)
        while (missing := number - counted) > 0:  # no shorter stretch holds as many
            counted += self._is_kept.count(1, until, until + missing)
            until += missing
        self._counted, self._until = counted, until
        return until


class _Traced:
    """Character i came from `[starts[i], ends[i])` of the original."""

    __slots__ = ("ends", "starts", "text")

    def __init__(self, text: str, starts: list[int], ends: list[int]) -> None:
        self.text, self.starts, self.ends = text, starts, ends

    def original_span(self, start: int, end_exclusive: int) -> tuple[int, int]:
        return self.starts[start], self.ends[end_exclusive - 1]


def fold(text: str) -> Folded:
    """NFKC and case folding per grapheme; whitespace runs become one space, invisible format characters vanish."""
    if text.isascii():
        lower = _lower(text)
        return _Respaced(lower) if "  " in lower else _Unmoved(lower)
    return _traced(text)


def _traced(text: str) -> _Traced:
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
    return _Traced("".join(pieces), starts, ends)


def folded_text(text: str) -> str:
    """The text of `fold(text)`, for those who do not ask where it came from."""
    if not text.isascii():
        return fold(text).text
    lower = _lower(text)
    return _one_space(lower) if "  " in lower else lower


def _one_space(text: str) -> str:
    """One space for each run of them; a third of what a regular expression takes."""
    while "  " in text:
        text = text.replace("  ", " ")
    return text


def _lower(text: str) -> str:
    """ASCII in lower case, every white space a space."""
    return text.encode().translate(_FOLDED_ASCII).decode()


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
        return _Squeezed(text)
    folded = _traced(text)
    kept = [i for i, character in enumerate(folded.text) if character.isalnum()]
    return _Traced(
        "".join([folded.text[i] for i in kept]), [folded.starts[i] for i in kept], [folded.ends[i] for i in kept]
    )


def squeezed_text(text: str) -> str:
    """The text of `squeeze(text)`, for those who do not ask where it came from."""
    if text.isascii():
        return text.encode().translate(_FOLDED_ASCII, _NOT_ALNUM).decode()
    return "".join([character for character in fold(text).text if character.isalnum()])


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
