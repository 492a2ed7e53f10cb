"""Text as identifiers are compared in it: folded for names and e-mail addresses, squeezed for account numbers.

Folding keeps, for every character it writes, the stretch of the original it came from, so that a match in folded text can
be cut out of the original exactly.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload

__all__ = ["Folded", "fold", "folded_text", "squeeze", "squeezed_text"]

# ASCII white space that folding changes: anything but a single space.
_SPACES = re.compile(r"[\t-\r\x1c-\x1f ]{2,}|[\t-\r\x1c-\x1f]")
_RUN_OF_SPACES = re.compile(" {2,}")
# Stretches of ASCII, and of everything else with the character before it, which combining marks may change.
_STRETCH = re.compile(r"[\x00-\x7f]+(?=[\x00-\x7f]|\Z)|[\x00-\x7f]?[^\x00-\x7f]+")
_ASCII = "".join(map(chr, range(128)))
_FOLDED_ASCII = bytes(ord(" " if c.isspace() else c.lower()) for c in _ASCII) + bytes(128)
_IS_ALNUM = bytes(c.isalnum() for c in _ASCII) + bytes(128)
_NOT_ALNUM = bytes(code for code in range(128) if not _IS_ALNUM[code])


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
    if text.isascii():
        lower = _lower(text)
        return _without_runs(lower) if "  " in lower else Folded(lower, range(len(text)), range(1, len(text) + 1))
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


def _without_runs(lower: str) -> Folded:
    """Folded ASCII with one space for each run of them."""
    written = _one_space(lower)
    places: list[int] = []  # of the remaining spaces in what is written
    dropped = [0]  # characters, before the first of them, before the second, ...
    for run in _RUN_OF_SPACES.finditer(lower):
        places.append(run.start() - dropped[-1])
        dropped.append(dropped[-1] + run.end() - run.start() - 1)
    return Folded(
        written,
        _Places(len(written), lambda i: i + dropped[bisect_left(places, i)]),
        _Places(len(written), lambda i: i + dropped[bisect_right(places, i)] + 1),
    )


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
        squeezed, kept = squeezed_text(text), _Kept(text)
        return _Squeezed(
            squeezed, _Places(len(squeezed), kept.place), _Places(len(squeezed), lambda i: kept.place(i) + 1), kept
        )
    folded = fold(text)
    kept_places = [i for i, character in enumerate(folded.text) if character.isalnum()]
    return Folded(
        "".join([folded.text[i] for i in kept_places]),
        [folded.starts[i] for i in kept_places],
        [folded.ends[i] for i in kept_places],
    )


def squeezed_text(text: str) -> str:
    """The text of `squeeze(text)`, for those who do not ask where it came from."""
    if text.isascii():
        return text.encode().translate(_FOLDED_ASCII, _NOT_ALNUM).decode()
    return "".join([character for character in fold(text).text if character.isalnum()])


class _Kept:
    """Where the letters and digits of an ASCII text stand. Asked in order of place, as hits are, it counts on from the last."""

    __slots__ = ("_counted", "_is_kept", "_until")

    def __init__(self, text: str) -> None:
        self._is_kept = text.encode().translate(_IS_ALNUM)
        self._counted = self._until = 0  # so many of them stand before that place

    def place(self, index: int) -> int:
        """The place of the letter or digit of that number."""
        if index + 1 < self._counted:
            self._counted = self._until = 0
        while (missing := index + 1 - self._counted) > 0:  # no shorter stretch holds as many
            self._counted += self._is_kept.count(1, self._until, self._until + missing)
            self._until += missing
        return self._until - 1


@dataclass(frozen=True, slots=True)
class _Squeezed(Folded):
    """Squeezed ASCII, which knows a shorter way to its places."""

    kept: _Kept = field(repr=False)

    def original_span(self, start: int, end_exclusive: int) -> tuple[int, int]:
        return self.kept.place(start), self.kept.place(end_exclusive - 1) + 1


class _Places(Sequence[int]):
    """Places that are worked out when they are asked for, as most texts have no hit."""

    __slots__ = ("_length", "_place")

    def __init__(self, length: int, place: Callable[[int], int]) -> None:
        self._length, self._place = length, place

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...
    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        """The place of the folded character of that number."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._length))]
        if not 0 <= index < self._length:
            raise IndexError(index)
        return self._place(index)


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
