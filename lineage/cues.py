"""What tells, before anything else is computed, that a text cannot hold a suppressed form.

A *cue* is 24 bits of a keyed digest of a piece of a form: the first word of a name together with the number of its
words, the first six digits of an account number, the last five of a telephone number. E-mail addresses have none; they
are few in a text and looked up whole. A form is asked for only where its cue is met, so of nearly every window no
digest is computed at all.

Law: `Cues` never says no to a place where a form with a cue among its tags stands. It may say yes in vain.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from lineage.folding import fold, squeeze
from lineage.forms import FormKind

__all__ = ["MAX_WORDS", "Cues", "Glance", "cues_of", "glance"]

MAX_WORDS = 4  # names of more words are not looked for
_CUE_HEX = 6
_ACCOUNT_DIGITS = 6
# Of an E.164 number of eight digits and more, at least the last five are no country code: codes have three at most.
_PHONE_DIGITS, _LONG_E164 = 5, 9
_KEPT = 65_536  # answers in memory, by word or digits
_WORD = re.compile(r"\w+")
# Whatever outside ASCII and these letters, signs and pictures may be a digit, combine with what stands before it, or
# vanish. White space is looked at apart.
_ODD = re.compile(
    "[^\\x00-\\x7f\u00a1-\u00a7\u00a9-\u00ac\u00ae\u00b0\u00b1\u00b5-\u00b7\u00ba\u00bb\u00bf-\u024f\u0386\u0388-\u03ce"
    "\u0400-\u0482\u048a-\u052f\u1e00-\u1e99\u1e9e-\u1eff\u2010-\u2016\u2018-\u2027\u20ac\u3041-\u3096\u30a1-\u30fe"
    "\u4e00-\u9fff\uac00-\ud7a3\U0001f300-\U0001faff\\s]"
)
_ASCII = range(128)
_WORDS = bytes(ord(chr(c).lower()) if c in _ASCII and (chr(c).isalnum() or c == 95) else 32 for c in range(256))
_NO_DIGIT = bytes(c for c in range(256) if not 48 <= c <= 57)
_DIGIT_RUNS = bytes(c if 48 <= c <= 57 else 32 for c in range(256))
_SPACES = bytes(32 if c in _ASCII and chr(c).isspace() else c for c in range(256))
_NEITHER_DIGIT_NOR_SPACE = bytes(c for c in range(256) if not (48 <= c <= 57 or (c in _ASCII and chr(c).isspace())))


def cues_of(kind: FormKind, form: str, mac: Callable[[str, str], str]) -> frozenset[str]:
    """The cue of a canonical form; none of one that is looked up whole or cannot be met; several of a very short phone.

    `mac` is `Keyring.cue_mac`, never the function the form itself is digested with.
    """
    match kind:
        case "name":
            words = _WORD.findall(form)
            if not _WORD.match(form) or len(words) > MAX_WORDS:
                return frozenset()
            return frozenset({_cut(mac(kind, words[0]), len(words) - 1)})
        case "account":
            digits = _decimals(form)[:_ACCOUNT_DIGITS]
            return frozenset({_cut(mac(kind, digits[:-1]), int(digits[-1]))} if digits else ())
        case "phone":
            fifth = form[-5] if len(form) >= _LONG_E164 else "0123456789"
            return frozenset(_cut(mac(kind, form[-4:]), int(digit)) for digit in fifth)
        case "email":
            return frozenset()


def _cut(digest: str, number: int) -> str:
    """One digest gives several cues: of names of one to four words, or of numbers that differ in one digit."""
    return digest[_CUE_HEX * number : _CUE_HEX * (number + 1)]


def _decimals(text: str) -> str:
    return "".join([c for c in text if c.isdecimal()])


@dataclass(frozen=True, slots=True)
class Glance:
    """What can be seen of a text without knowing where anything stands in it.

    `flat` is the folded text, but for its white space. `groups` are the ASCII digits of each word that has any, `runs`
    the stretches of digits; both None in a text that may hold other digits.
    """

    flat: str = field(repr=False)
    words: list[str] = field(repr=False)
    groups: list[str] | None = field(repr=False)
    runs: list[str] | None = field(repr=False)


def glance(text: str) -> Glance:
    """Look at a text."""
    if text.isascii():
        raw = text.encode()
        flat, words = text.lower(), raw.translate(_WORDS).decode().split()
    elif _ODD.search(text):
        flat = fold(text).text
        return Glance(flat, _WORD.findall(flat), None, None)
    else:
        raw = " ".join(text.split()).encode("ascii", "replace")
        flat = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
        words = _WORD.findall(flat)
    groups = raw.translate(_SPACES, _NEITHER_DIGIT_NOR_SPACE).decode().split()
    return Glance(flat, words, groups, raw.translate(_DIGIT_RUNS).decode().split() if groups else [])


class Cues:
    """The cues of a suppression list: `tags`, and the function they were made with (`cues_of`)."""

    def __init__(self, tags: Iterable[str], *, mac: Callable[[str, str], str]) -> None:
        self._tags = frozenset(tags)
        self._mac = mac
        self._names = _Remembering(lambda word: self._cut_of("name", word, MAX_WORDS))
        self._accounts = _Remembering(lambda digits: self._cut_of("account", digits, 10))
        self._phones = _Remembering(lambda tail: self._cut_of("phone", tail, 10))

    def __getstate__(self) -> tuple[frozenset[str], Callable[[str, str], str]]:
        """What a copy in another process is built from."""
        return self._tags, self._mac

    def __setstate__(self, state: tuple[frozenset[str], Callable[[str, str], str]]) -> None:
        """See `__getstate__`."""
        tags, mac = state
        self.__init__(tags, mac=mac)  # type: ignore[misc]  # it was made without

    def names(self, words: Iterable[str]) -> dict[str, tuple[int, ...]]:
        """Which of the words may begin a suppressed name, and of how many words."""
        return {word: tuple(n + 1 for n in numbers) for word, numbers in self._names.met(words).items()}

    def account(self, stretch: str) -> bool:
        """Whether a stretch of text may begin with a suppressed account number."""
        if stretch.isascii():
            digits = stretch.encode().translate(None, _NO_DIGIT).decode()
        else:
            digits = _decimals(squeeze(stretch).text)
        return self._account_calls({digits[:n] for n in range(1, _ACCOUNT_DIGITS + 1) if n <= len(digits)})

    def phone(self, digits: str) -> bool:
        """Whether a spelling with these digits may be a suppressed number."""
        return self._phone_calls({digits[-_PHONE_DIGITS:]})

    def any_account(self, seen: Glance) -> bool:
        """Whether a suppressed account number may stand in the text."""
        return seen.groups is None or self._account_calls(_beginnings(seen.groups))

    def any_phone(self, seen: Glance) -> bool:
        """Whether a suppressed telephone number may stand in the text."""
        return seen.runs is None or self._phone_calls(_tails(seen.runs))

    def _account_calls(self, beginnings: set[str]) -> bool:
        found = self._accounts.met([digits[:-1] for digits in beginnings])
        return bool(found) and any(int(digits[-1]) in found.get(digits[:-1], ()) for digits in beginnings)

    def _phone_calls(self, tails: set[str]) -> bool:
        found = self._phones.met([tail[1:] for tail in tails])
        return bool(found) and any(int(tail[0]) in found.get(tail[1:], ()) for tail in tails)

    def _cut_of(self, kind: str, piece: str, cuts: int) -> tuple[int, ...]:
        """Which of the cues of a piece are there."""
        digest = self._mac(kind, piece)
        return tuple([number for number in range(cuts) if _cut(digest, number) in self._tags])


class _Remembering:
    """Looks pieces up, and remembers the answers: words and digits recur far more than runs of them."""

    def __init__(self, look: Callable[[str], tuple[int, ...]]) -> None:
        self._look = look
        self._silent: set[str] = set()
        self._calling: dict[str, tuple[int, ...]] = {}

    def met(self, pieces: Iterable[str]) -> dict[str, tuple[int, ...]]:
        """Those of the pieces that are a cue, with the numbers of their cues."""
        silent, found = self._silent, {}
        for piece in {p for p in pieces if p not in silent}:
            if numbers := self._calling.get(piece) or self._look(piece):
                found[piece] = self._calling[piece] = numbers
            else:
                silent.add(piece)
        if len(silent) > _KEPT:
            silent.clear()
        return found


def _beginnings(groups: list[str]) -> set[str]:
    """The first digits of every run of words that begins with one of the groups."""
    found: set[str] = set()
    for following, group in enumerate(groups, start=1):
        digits, end = group, following
        while len(digits) < _ACCOUNT_DIGITS:
            found.add(digits)
            if end == len(groups):
                break
            digits += groups[end]
            end += 1
        else:
            found.add(digits[:_ACCOUNT_DIGITS])
    return found


def _tails(runs: list[str]) -> set[str]:
    """The last digits of whatever ends with one of the runs."""
    found: set[str] = set()
    tail = ""
    for run in runs:
        tail = (tail + run)[-_PHONE_DIGITS:]
        if len(tail) == _PHONE_DIGITS:
            found.add(tail)
    return found
