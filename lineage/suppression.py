"""Erased people in a text: the gate keeps them out without knowing who they are.

Known of them are keyed digests of their canonical forms, and cues (`lineage.cues`) that say where a digest is worth
computing. Both are personal data of the erased people.

Law: cues change no link, and neither does what is remembered from one text to the next.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from functools import lru_cache

from lineage.cues import MAX_WORDS, Cues, Glance, glance
from lineage.folding import fold, squeeze
from lineage.forms import DEFAULT_REGIONS, FormKind, phone_readings, phone_windows
from lineage.register import Link, leftmost_longest

__all__ = ["SuppressionList"]

_MAX_CHUNKS = 4
_MAX_ACCOUNT_CHARS = 60
_WINDOWS_KEPT = 65_536  # answers in memory: most windows are everybody's words
_WORD = re.compile(r"\w+")
_CHUNK = re.compile(r"\S+")
_DIGIT = re.compile(r"\d")
_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\"]+@[^\s@<>()\[\],;:\"]+")

_Match = tuple[int, int, FormKind, str]
_Hmac = Callable[[FormKind, str], str]
_State = tuple[frozenset[str], _Hmac, Cues | None, tuple[str, ...]]


class SuppressionList:
    """Erased people, known only by keyed HMACs of their canonical forms (personal data, kept to keep them out).

    `hmac(kind, canonical form)` must be the function the HMACs were made with. `cues` are those of all these forms; None
    when that cannot be said, and then every run of one to four words is asked for.
    """

    def __init__(
        self,
        hmacs: Collection[str] = (),
        *,
        hmac: _Hmac,
        cues: Cues | None = None,
        regions: tuple[str, ...] = DEFAULT_REGIONS,
    ) -> None:
        self._hmacs = frozenset(hmacs)
        self._hmac = hmac
        self._cues = cues
        self._regions = regions
        self._is_suppressed = lru_cache(_WINDOWS_KEPT)(lambda kind, form: hmac(kind, form) in self._hmacs)

    def __len__(self) -> int:
        return len(self._hmacs)

    def __getstate__(self) -> _State:
        """What a copy in another process is built from."""
        return self._hmacs, self._hmac, self._cues, self._regions

    def __setstate__(self, state: _State) -> None:
        """See `__getstate__`."""
        hmacs, hmac, cues, regions = state
        self.__init__(hmacs, hmac=hmac, cues=cues, regions=regions)  # type: ignore[misc]  # it was made without

    def link(self, text: str) -> tuple[Link, ...]:
        """The suppressed forms in the text, as links without subjects."""
        if not self._hmacs:
            return ()
        seen = glance(text)
        hits = [*self._written(text, seen), *self._accounts(text, seen), *self._phones(text, seen)]
        return tuple(Link(start, end, kind, frozenset(), False) for start, end, kind, _ in leftmost_longest(hits))

    def _written(self, text: str, seen: Glance) -> Iterator[_Match]:
        """Names and e-mail addresses. Where they stand is asked for only when there are any."""
        names = self._names(seen.words)
        flat = seen.flat
        if not any(
            self._is_suppressed(kind, form if kind == "email" else " ".join(form.split()))
            for kind, form, _ in _written_in(flat, names)
        ):
            return
        folded = fold(text)
        for kind, form, (start, end) in _written_in(folded.text, names):
            if self._is_suppressed(kind, form):
                yield (*folded.original_span(start, end), kind, "")

    def _names(self, words: list[str]) -> dict[str, tuple[int, ...]]:
        return self._cues.names(words) if self._cues else dict.fromkeys(words, tuple(range(1, MAX_WORDS + 1)))

    def _accounts(self, text: str, seen: Glance) -> Iterator[_Match]:
        if self._cues and not self._cues.any_account(seen):
            return
        for start, ends in _windows_with_digits(text):
            if self._cues is None or self._cues.account(text[start : ends[-1]]):
                for end in ends:
                    yield from self._account(text, start, end)

    def _account(self, text: str, start: int, end: int) -> Iterator[_Match]:
        account = squeeze(text[start:end])
        if self._is_suppressed("account", account.text):
            first, last = account.original_span(0, len(account.text))
            yield start + first, start + last, "account", ""

    def _phones(self, text: str, seen: Glance) -> Iterator[_Match]:
        if self._cues and not self._cues.any_phone(seen):
            return
        for start, end, digits in phone_windows(text):
            if self._cues is None or self._cues.phone(digits):
                for number in phone_readings(text[start:end], self._regions):
                    if self._is_suppressed("phone", number):
                        yield start, end, "phone", ""


def _written_in(text: str, names: dict[str, tuple[int, ...]]) -> Iterator[tuple[FormKind, str, tuple[int, int]]]:
    """Everything in a folded text that may be a name, because it begins with one of these words, or an e-mail address."""
    for word, lengths in names.items():
        for start, end in _standing(text, word):
            ends = [end]
            while len(ends) < lengths[-1] and (following := _WORD.search(text, ends[-1])):
                ends.append(following.end())
            for length in lengths:
                if length <= len(ends):
                    yield "name", text[start : ends[length - 1]], (start, ends[length - 1])
    end = 0
    while (at := text.find("@", end)) >= 0:
        # No address goes over a space, and the pattern is slow where there is none.
        start, end = text.rfind(" ", 0, at) + 1, text.find(" ", at)
        end = end if end >= 0 else len(text)
        for found in _ADDRESS.finditer(text, start, end):
            address = found.group().rstrip(".'!?")
            yield "email", address, (found.start(), found.start() + len(address))


def _windows_with_digits(text: str) -> Iterator[tuple[int, list[int]]]:
    """Where account numbers may stand, as they have a digit: runs of one to four words, of at most sixty characters.

    A start with all its ends, in order.
    """
    with_digit = [number for number, word in enumerate(text.split()) if not word.isalpha() and _DIGIT.search(word)]
    spans = [found.span() for found in _CHUNK.finditer(text)] if with_digit else []
    done = -1
    for number in with_digit:
        for first in range(max(done + 1, number - _MAX_CHUNKS + 1), number + 1):
            start = spans[first][0]
            ends = [end for _, end in spans[number : first + _MAX_CHUNKS] if end - start <= _MAX_ACCOUNT_CHARS]
            if ends:
                yield start, ends
        done = number


def _standing(text: str, word: str) -> Iterator[tuple[int, int]]:
    """Where the word stands as a whole word."""
    start = text.find(word)
    while start >= 0:
        end = start + len(word)
        if not _WORD.match(text[start - 1 : start]) and not _WORD.match(text, end):
            yield start, end
        start = text.find(word, end)
