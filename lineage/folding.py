"""Text as identifiers are compared in it: folded for names and e-mail addresses, squeezed for account numbers.

Folding keeps, for every character it writes, the stretch of the original it came from, so that a match in folded text can
be cut out of the original exactly.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload

__all__ = ["Folded", "fold", "squeeze"]

# ASCII white space that folding changes: anything but a single space.
_SPACES = re.compile(r"[\t-\r\x1c-\x1f ]{2,}|[\t-\r\x1c-\x1f]")
# Stretches of ASCII, and of everything else with the character before it, which combining marks may change.
_STRETCH = re.compile(r"[\x00-\x7f]+(?=[\x00-\x7f]|\Z)|[\x00-\x7f]?[^\x00-\x7f]+")
_NOT_ALNUM = bytes(code for code in range(128) if not chr(code).isalnum())


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
