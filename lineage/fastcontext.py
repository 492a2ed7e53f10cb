"""Whether a context word stands before a finding: Presidio's rule, on the tokens it would use, near findings only.

Presidio tokenises the whole text, takes the token at the finding's start and walks back over at most six *keywords*, and
forward to the first one, from that token; the score rises if one of them contains a context word. A keyword is a token
that is no stop word and no punctuation, or any token that equals, in lower case, a part of such a token split at colons:
"the:1" anywhere in a text makes every "the" in it one. Here the same tokens are walked, and only these things are left out:

* A text in which no context word of a recogniser occurs needs no tokens: a keyword is a piece of the text in lower case.
  (Lower case depends on neighbours only for the Greek sigma, so only ASCII words are looked up.)
* Nor does a finding if neither its chunk, nor the six keywords before that, nor what follows up to the next chunk with a
  keyword holds one. What follows does not count where the finding begins with a digit: its own token is then a keyword.
* spaCy cuts at whitespace first, so a chunk between whitespace has the same tokens in every text, with one exception:
  after that, its exceptions with affixes (":)", "a.m.") are matched over tokens, spaces or not. Such a match across a space
  changes nothing itself but may keep one inside a chunk from happening. `Piece.touchy` marks chunks that hold an exception;
  if the tokens on both sides of a space next to one could be parts of an exception, a wide part of the text is tokenised in
  one go. A match is kept or not by the matches that overlap it, so tokens further from the part's ends than twice the
  longest exception are those of the whole text.
  A language with an exception that holds a space is always tokenised whole.
* Chunks are remembered (`fasttokens`).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lineage.fasttokens import Token, Tokens

__all__ = ["KEYWORDS", "Surroundings", "chunk_end"]

# Presidio collects five words before the entity and the entity's own token.
KEYWORDS = 6
# Characters before a finding, and after its start, that are cut first, then, then in one go; after that the whole text.
_WINDOWS = ((90, 0), (500, 300))
_WIDE = (1_500, 1_000)

# A space after a chunk belongs to it; whatever whitespace is left is a token.
_CHUNK = re.compile(r"\S+|(?<!\S)\s+|[^\S ]\s*")
_CHUNK_END = re.compile(r"\s*\S*")


class Surroundings:
    """The words before places in one text."""

    def __init__(self, tokens: Tokens, text: str) -> None:
        self._tokens = tokens
        self._text = text
        self._made: frozenset[str] | None = None
        self._all: _Table | None = None

    def hold(self, start: int, words: Sequence[str]) -> bool:
        """Whether Presidio takes one of the words (lower case) as context of a finding that starts here.

        Raises:
            ValueError: no token covers the place; Presidio fails there too.
        """
        if not self._may_hold(start, words):
            return False
        return any(word in keyword for keyword in self.around(start) for word in words)

    def around(self, start: int) -> list[str]:
        """The keywords that Presidio would look at, in lower case."""
        for (before, after), cut in ((_WINDOWS[0], self._table), (_WINDOWS[1], self._table), (_WIDE, self._wide_table)):
            first = _chunk_start(self._text, start - before)
            end = chunk_end(self._text, min(start + after, len(self._text)))
            table = cut(first, end)
            if table is not None and (
                found := self._complete(table, start - first, first == 0, end == len(self._text))
            ):
                return found
        if self._all is None:
            self._all = _Table.of([(0, self._tokens.whole(self._text))])
        index = self._all.index_at(start)
        return self._backward(self._all, index) + self._forward(self._all, index)

    def _complete(self, table: _Table, place: int, is_first: bool, is_last: bool) -> list[str] | None:
        """The keywords around a place in a table; None if the table ends too early on a side where the text goes on."""
        index = bisect_right(table.ends, place)
        if index == len(table.ends) or not (index or is_first):
            return None
        backward, forward = self._backward(table, index), self._forward(table, index)
        return backward + forward if (len(backward) == KEYWORDS or is_first) and (forward or is_last) else None

    def _may_hold(self, start: int, words: Sequence[str]) -> bool:
        """False only if no place that counts holds a word: then the finding's own chunk need not be cut."""
        own = _chunk_start(self._text, start)
        first = _chunk_start(self._text, own - _WINDOWS[0][0]) if own else 0
        chunk = self._text[own : chunk_end(self._text, start)]
        if not first or self._tokens.is_touchy(chunk):
            return True
        is_keyword = self._text[start].isdecimal() and ":" not in chunk
        table = self._table(first, own - 1)
        if table is None or table.ends_touchy:
            return True
        keywords = self._backward(table, len(table.tokens) - 1)
        lowered = (chunk if is_keyword else self._text[own : self._keyword_end(own + len(chunk))]).lower()
        return len(keywords) < KEYWORDS or any(word in lowered or any(word in k for k in keywords) for word in words)

    def _keyword_end(self, place: int) -> int:
        """The end of the first chunk from a place on that has a keyword whatever stands beside it."""
        for found in _CHUNK.finditer(self._text, place):
            piece = self._tokens.piece(found.group())
            if not piece.touchy and any(token.keyword for token in piece.tokens):
                return found.end()
        return len(self._text)

    def _backward(self, table: _Table, index: int) -> list[str]:
        """At most six keywords, from a token back."""
        keywords: list[str] = []
        while index >= 0 and len(keywords) < KEYWORDS:
            token = table.tokens[index]
            if token.keyword or self._is_made_keyword(token.lower):
                keywords.append(token.lower)
            index -= 1
        return keywords

    def _forward(self, table: _Table, index: int) -> list[str]:
        """The first keyword from a token on; empty if the table ends before."""
        rest = (table.tokens[i] for i in range(index, len(table.tokens)))
        return next(([t.lower] for t in rest if t.keyword or self._is_made_keyword(t.lower)), [])

    def _table(self, first: int, end: int) -> _Table | None:
        """The tokens of the chunks between two edges of chunks; None if chunks alone do not tell."""
        if self._tokens.whole_texts_only:
            return None
        pieces: list[tuple[int, tuple[Token, ...]]] = []
        # The chunks on both sides of the table may hold the other half of an exception.
        before = self._text[_chunk_start(self._text, first - 2) : first - 1].split()[-1] if first else ""
        before_touchy, before_end = self._tokens.is_touchy(before), first - 1 if first else -2
        for found in _CHUNK.finditer(self._text, first):
            start, chunk = found.start(), found.group()
            touchy = self._tokens.is_touchy(chunk)
            if (touchy or before_touchy) and start == before_end + 1 and self._tokens.may_join(before, chunk):
                return None
            if start >= end:
                break
            pieces.append((start - first, self._tokens.piece(chunk).tokens))
            before, before_touchy, before_end = chunk, touchy, found.end()
        return _Table.of(pieces, ends_touchy=before_touchy)

    def _wide_table(self, first: int, end: int) -> _Table | None:
        """The tokens of a part of the text, cut in one go, less those near its ends.

        Whether an exception is matched depends on those that overlap it, and none has more tokens than characters.
        """
        if self._tokens.whole_texts_only:
            return None
        tokens = self._tokens.whole(self._text[first:end])
        reach = self._tokens.reach
        last = len(tokens) - reach if end < len(self._text) else len(tokens)
        return _Table.of([(0, tokens[reach if first else 0 : last])])

    def _is_made_keyword(self, lower: str) -> bool:
        if ":" in lower:
            return False
        if self._made is None:
            self._made = frozenset(self._made_keywords())
        return lower in self._made

    def _made_keywords(self) -> Iterator[str]:
        """What tokens elsewhere in the text make keywords of words that are none themselves."""
        text = self._text
        # Presidio excludes these two as they stand, so another spelling elsewhere may make them keywords.
        excluded = self._tokens.be_is_a_keyword or "-PRON-" in text
        if ":" not in text and not excluded:
            return
        tokens: Iterable[Token]
        if self._tokens.whole_texts_only or excluded:
            tokens = self._tokens.whole(text)
        else:
            chunks = (chunk for chunk in text.split() if ":" in chunk)
            tokens = (token for chunk in chunks for token in self._tokens.piece(chunk).tokens)
        for token in tokens:
            yield from token.parts


@dataclass(frozen=True, slots=True)
class _Table:
    """Tokens in order and their ends, counted from where the table begins."""

    tokens: list[Token]
    ends: list[int]
    ends_touchy: bool = False

    def index_at(self, place: int) -> int:
        """The token that ends behind a place, where Presidio looks for a finding's token.

        Raises:
            ValueError: there is none.
        """
        index = bisect_right(self.ends, place)
        if index == len(self.ends):
            raise ValueError
        return index

    @classmethod
    def of(cls, pieces: Iterable[tuple[int, tuple[Token, ...]]], *, ends_touchy: bool = False) -> _Table:
        tokens: list[Token] = []
        ends: list[int] = []
        for start, cut in pieces:
            tokens += cut
            ends += [start + token.end for token in cut]
        return cls(tokens, ends, ends_touchy)


def chunk_end(text: str, place: int) -> int:
    """The end of the chunk at a place, or of the first one after it."""
    found = _CHUNK_END.match(text, place)
    return found.end() if found else len(text)


def _chunk_start(text: str, place: int) -> int:
    """The start of a chunk at or before a place that one space parts from the chunk before it; 0 if there is none."""
    space = text.rfind(" ", 0, max(place, 0))
    while space > 0 and (text[space - 1].isspace() or text[space + 1].isspace()):
        space = text.rfind(" ", 0, space)
    return space + 1 if space > 0 else 0
