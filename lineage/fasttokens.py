"""spaCy's tokens of one chunk between whitespace at a time, remembered up to a limit. `fastcontext` says why chunks do.

What is remembered are **pieces of personal data in memory**: at most `MEMORY` chunks, then all are dropped together with the
vocabulary that grew with them; `Tokens.forget` drops them at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

__all__ = ["MEMORY", "Piece", "Token", "Tokens"]

MEMORY = 20_000


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its end in the chunk, its lower case, and whether it is a keyword of itself.

    `parts` are the keywords it gives to the text: itself, or what a colon splits it into.
    """

    end: int
    lower: str
    keyword: bool
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """One chunk's tokens, and what of spaCy's exceptions it may share with a neighbour (`fastcontext`)."""

    tokens: tuple[Token, ...]
    touchy: bool = False
    begins_inside: bool = False
    ends_inside: bool = False


class _Exceptions:
    """spaCy's exceptions that are matched over tokens, and the tokens that they can be cut between."""

    def __init__(self, nlp: Language) -> None:
        from spacy.tokenizer import Tokenizer

        own: Any = nlp.tokenizer
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
        self.reach = 2 * max(map(len, several), default=0)
        self.starts = tuple(self.later)
        self.ends = tuple(self.earlier)


class Tokens:
    """A blank spaCy tokeniser that remembers chunks, up to a limit."""

    def __init__(self, language: str) -> None:
        self._language = language
        self.forget()
        self._exceptions = _Exceptions(self._nlp)
        self.whole_texts_only = self._exceptions.hold_space
        self.reach = self._exceptions.reach
        self.be_is_a_keyword = "be" not in self._nlp.Defaults.stop_words

    def forget(self) -> None:
        """Drop every remembered chunk and the vocabulary that grew with them."""
        import spacy

        self._pieces: dict[str, Piece] = {}
        self._nlp = spacy.blank(self._language)

    def piece(self, chunk: str) -> Piece:
        """The tokens of one chunk without whitespace, or of whitespace alone."""
        if (known := self._pieces.get(chunk)) is None:
            if len(self._pieces) >= MEMORY:
                self.forget()
            known = self._pieces[chunk] = self._cut(chunk)
        return known

    def may_join(self, chunk: str, after: str) -> bool:
        """Whether the tokens on both sides of the space between two chunks may belong to one exception."""
        return self.piece(chunk).ends_inside and self.piece(after).begins_inside

    def is_touchy(self, chunk: str) -> bool:
        """Whether the chunk holds an exception that is matched over tokens."""
        if (known := self._pieces.get(chunk)) is not None:
            return known.touchy
        rules = self._exceptions
        return not (rules.have_signs and chunk.isalnum()) and rules.anywhere.search(chunk) is not None

    def whole(self, text: str) -> tuple[Token, ...]:
        """The tokens of a text as spaCy cuts it in one go; nothing is remembered but words."""
        if len(self._nlp.vocab.strings) > 10 * MEMORY:
            self.forget()
        return self._tokens(self._nlp.tokenizer(text))

    def _cut(self, chunk: str) -> Piece:
        tokens = self._tokens(self._nlp.tokenizer(chunk))
        rules = self._exceptions
        if not self.is_touchy(chunk):
            last = chunk[tokens[-2].end if len(tokens) > 1 else 0 :]
            return Piece(tokens, False, chunk[: tokens[0].end] in rules.later, last in rules.earlier)
        return Piece(tokens, True, chunk.startswith(rules.starts), chunk.endswith(rules.ends))

    def _tokens(self, doc: Doc) -> tuple[Token, ...]:
        known: dict[str, tuple[str, bool, tuple[str, ...]]] = {}
        tokens: list[Token] = []
        for token in doc:
            text = token.text
            if text not in known:
                known[text] = self._read(text)
            tokens.append(Token(token.idx + len(text), *known[text]))
        return tuple(tokens)

    def _read(self, text: str) -> tuple[str, bool, tuple[str, ...]]:
        """A token's lower case, whether it is a keyword of itself, and what it gives to the text."""
        lexeme = self._nlp.vocab[text]
        gives = not lexeme.is_stop and not lexeme.is_punct and text not in ("be", "-PRON-")
        lower = text.lower()
        return lower, gives and ":" not in lower, tuple(lower.split(":")) if gives else ()
