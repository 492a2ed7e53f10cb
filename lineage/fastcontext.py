"""Whether a context word stands before a finding: Presidio's rule, on the tokens it would use, near findings only.

Presidio tokenises the whole text, takes the token at the finding's start and walks back over at most six *keywords*; the
score rises if a keyword contains a context word. A keyword is a token that is no stop word and no punctuation, or any token
that equals, in lower case, a part of such a token split at colons: "the:x" anywhere in a text makes every "the" in it one.
Here the same tokens are walked, and only these things are left out:

* A text in which no context word of a recogniser occurs before a finding's token needs no tokens: a keyword is a piece of
  the text in lower case. (Lower case depends on neighbours only for the Greek sigma, so only ASCII words are looked up.)
* spaCy cuts at whitespace first, so a chunk between whitespace has the same tokens in every text, with one exception:
  after that, its exceptions with affixes (":)", "a.m.") are matched over tokens, spaces or not. Such a match across a space
  changes nothing itself but may keep one inside a chunk from happening. `_Piece.touchy` marks chunks that hold an exception;
  if the tokens on both sides of a space next to one could be parts of an exception, the whole text is tokenised.
  A language with an exception that holds a space is always tokenised whole.
* Chunks are remembered, and so are words in spaCy's vocabulary. **They are pieces of personal data in memory**: at most
  `MEMORY` of them, then all are dropped together with the vocabulary; `Tokens.forget` drops them at once.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

__all__ = ["MEMORY", "Surroundings", "Tokens", "chunk_end"]

MEMORY = 20_000
# Presidio collects five words before the entity and the entity's own token.
KEYWORDS = 6
_WINDOW = 240

# A space after a chunk belongs to it; whatever whitespace is left is a token.
_CHUNK = re.compile(r"\S+|(?<!\S)\s+|[^\S ]\s*")
_CHUNK_END = re.compile(r"\s*\S*")


@dataclass(frozen=True, slots=True)
class _Token:
    """One token: its end in the chunk, its lower case, and whether it is a keyword of itself.

    `parts` are the keywords it gives to the text: itself, or what a colon splits it into.
    """

    end: int
    lower: str
    keyword: bool
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Piece:
    tokens: tuple[_Token, ...]
    touchy: bool = False
    begins_inside: bool = False
    ends_inside: bool = False


class _Exceptions:
    """spaCy's exceptions that are matched over tokens, and the tokens that they can be cut between."""

    def __init__(self, nlp: Language) -> None:
        from spacy.tokenizer import Tokenizer

        own = nlp.tokenizer
        rules = [r for r in own.rules if own.find_prefix(r) or own.find_infix(r) or own.find_suffix(r) or " " in r]
        cut = Tokenizer(
            nlp.vocab,
            rules={},
            prefix_search=own.prefix_search,
            suffix_search=own.suffix_search,
            infix_finditer=own.infix_finditer,
            token_match=own.token_match,
            url_match=own.url_match,
        )
        tokens = {rule: [token.text for token in cut(rule)] for rule in rules}
        several = [rule for rule, cuts in tokens.items() if len(cuts) > 1]
        self.hold_space = any(len(rule) > 1 and any(map(str.isspace, rule)) for rule in own.rules)
        self.have_signs = not any(rule.isalnum() for rule in several)
        self.later = frozenset(token for rule in several for token in tokens[rule][1:])
        self.earlier = frozenset(token for rule in several for token in tokens[rule][:-1])
        self.anywhere = re.compile("|".join(map(re.escape, sorted(several, key=len, reverse=True))) or r"(?!)")
        self.starts = tuple(self.later)
        self.ends = tuple(self.earlier)


class Tokens:
    """A blank spaCy tokeniser that remembers chunks, up to a limit."""

    def __init__(self, language: str) -> None:
        self._language = language
        self.forget()
        self._exceptions = _Exceptions(self._nlp)
        self.whole_texts_only = self._exceptions.hold_space
        self.be_is_a_keyword = "be" not in self._nlp.Defaults.stop_words

    def forget(self) -> None:
        """Drop every remembered chunk and the vocabulary that grew with them."""
        import spacy

        self._pieces: dict[str, _Piece] = {}
        self._nlp = spacy.blank(self._language)

    def piece(self, chunk: str) -> _Piece:
        """The tokens of one chunk without whitespace, or of whitespace alone."""
        if (known := self._pieces.get(chunk)) is None:
            if len(self._pieces) >= MEMORY:
                self.forget()
            known = self._pieces[chunk] = self._cut(chunk)
        return known

    def whole(self, text: str) -> tuple[_Token, ...]:
        """The tokens of a text as spaCy cuts it in one go; nothing is remembered but words."""
        if len(self._nlp.vocab.strings) > 10 * MEMORY:
            self.forget()
        return self._tokens(self._nlp.tokenizer(text))

    def _cut(self, chunk: str) -> _Piece:
        tokens = self._tokens(self._nlp.tokenizer(chunk))
        rules = self._exceptions
        if (rules.have_signs and chunk.isalnum()) or not rules.anywhere.search(chunk):
            last = chunk[tokens[-2].end if len(tokens) > 1 else 0 :]
            return _Piece(tokens, False, chunk[: tokens[0].end] in rules.later, last in rules.earlier)
        return _Piece(tokens, True, chunk.startswith(rules.starts), chunk.endswith(rules.ends))

    def _tokens(self, doc: Doc) -> tuple[_Token, ...]:
        return tuple(self._token(token.idx + len(token), token.text) for token in doc)

    def _token(self, end: int, text: str) -> _Token:
        lexeme = self._nlp.vocab[text]
        gives = not lexeme.is_stop and not lexeme.is_punct and text not in ("be", "-PRON-")
        lower = text.lower()
        return _Token(end, lower, gives and ":" not in lower, tuple(lower.split(":")) if gives else ())


class Surroundings:
    """The words before places in one text. `places` are the starts that will be asked for."""

    def __init__(self, tokens: Tokens, text: str, places: Sequence[int]) -> None:
        self._tokens = tokens
        self._text = text
        self._extra: frozenset[str] | None = None
        self._last = max(places)
        self._cover(_chunk_start(text, min(places) - _WINDOW))

    def before(self, start: int) -> set[str]:
        """The keywords that Presidio would look at for a finding that starts here, in lower case.

        Raises:
            ValueError: no token covers the place; Presidio fails there too.
        """
        index = bisect_right(self._ends, start)
        if index == len(self._ends):
            raise ValueError
        words = self._walk(index)
        if len(words) < KEYWORDS and self._from:
            self._cover(0)
            words = self._walk(bisect_right(self._ends, start))
        return set(words)

    def _walk(self, index: int) -> list[str]:
        words: list[str] = []
        while index >= 0 and len(words) < KEYWORDS:
            token = self._table[index]
            if token.keyword or self._is_made_keyword(token.lower):
                words.append(token.lower)
            index -= 1
        return words

    def _cover(self, first: int) -> None:
        """Tokens from a chunk's start to the end of the last place's chunk."""
        self._from = first
        end = chunk_end(self._text, self._last)
        cut = None if self._tokens.whole_texts_only else self._cut(first, end)
        if cut is None:
            self._from = 0
            table = self._tokens.whole(self._text)
            cut = table, [token.end for token in table]
        self._table, self._ends = cut

    def _cut(self, first: int, end: int) -> tuple[Sequence[_Token], list[int]] | None:
        table: list[_Token] = []
        ends: list[int] = []
        before, before_end = self._piece_before(first), first - 1
        for found in _CHUNK.finditer(self._text, first):
            start = found.start()
            piece = self._tokens.piece(found.group())
            if start == before_end + 1 and (before.touchy or piece.touchy) and before.ends_inside and piece.begins_inside:
                return None
            if start >= end:  # one chunk more, for its first token
                break
            table += piece.tokens
            ends += [start + token.end for token in piece.tokens]
            before, before_end = piece, found.end()
        return table, ends

    def _piece_before(self, first: int) -> _Piece:
        if not first:
            return _Piece(())
        return self._tokens.piece(self._text[_chunk_start(self._text, first - 2) : first - 1].split()[-1])

    def _is_made_keyword(self, lower: str) -> bool:
        if ":" in lower:
            return False
        if self._extra is None:
            self._extra = frozenset(self._made_keywords())
        return lower in self._extra

    def _made_keywords(self) -> Iterator[str]:
        """What tokens elsewhere in the text make keywords of words that are none themselves."""
        text = self._text
        # Presidio excludes these two as they stand, so another spelling elsewhere may make them keywords.
        excluded = self._tokens.be_is_a_keyword or "-PRON-" in text
        if ":" not in text and not excluded:
            return
        tokens: Iterable[_Token]
        if self._tokens.whole_texts_only or excluded:
            tokens = self._tokens.whole(text)
        else:
            chunks = (chunk for chunk in text.split() if ":" in chunk)
            tokens = (token for chunk in chunks for token in self._tokens.piece(chunk).tokens)
        for token in tokens:
            yield from token.parts


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
