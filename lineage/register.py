"""The register in memory: which known person a stretch of text belongs to.

A *form* is one way a person is written: a name, an e-mail address, a phone number, an account number. Names, addresses
and accounts are found by Aho-Corasick automata over folded text, at word edges; phones are compared as E.164.

Law: what `RegisterIndex.link` says about one subject does not depend on who else is registered. Each subject's matches
are its own leftmost-longest ones; subjects who share a span share one link, which is then marked ambiguous. Whether
somebody else's longer name makes a match moot is decided in `admit.py`, where it is known whose record it is.
"""

from __future__ import annotations

import hashlib
import hmac as hmac_module
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import ahocorasick_rs
import rfc8785

from lineage.errors import WrongUsage
from lineage.folding import Folded, fold, squeeze
from lineage.forms import (
    DEFAULT_REGIONS,
    FormKind,
    canonical_identifier,
    normal_forms,
    normalise,
    phone_readings,
    phone_windows,
    regions_that_may_read,
)

__all__ = [
    "FormKind",
    "Link",
    "RegisterForm",
    "RegisterIndex",
    "canonical_identifier",
    "form_of_identifier",
    "leftmost_longest",
    "normal_forms",
    "normalise",
]

_LAST_DIGITS = 6


@dataclass(frozen=True, slots=True)
class RegisterForm:
    """One way a known person is written."""

    subject_key: str
    kind: FormKind
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Link:
    """A stretch of a text that is a form of these subjects; no subjects when it comes from the suppression list."""

    start: int
    end_exclusive: int
    kind: FormKind
    subject_keys: frozenset[str]
    ambiguous: bool


# (start, end_exclusive, kind, subject key or "" when only suppressed)
_Match = tuple[int, int, FormKind, str]


class RegisterIndex:
    """All forms of all known subjects, ready to be searched. Immutable; build a new one when the register changes.

    Raises:
        WrongUsage: a form cannot be what its kind says, or is too short to be recognised.
    """

    def __init__(self, forms: Iterable[RegisterForm], *, regions: tuple[str, ...] = DEFAULT_REGIONS) -> None:
        content = {
            (f.subject_key, f.kind, form) for f in forms for form in normal_forms(f.kind, f.value, regions=regions)
        }
        self.__setstate__((regions, sorted(content)))

    def __getstate__(self) -> tuple[tuple[str, ...], list[tuple[str, FormKind, str]]]:
        """What a copy in another process is built from: canonical forms, so that nothing is normalised twice."""
        return self._regions, self._content

    def __setstate__(self, state: tuple[tuple[str, ...], list[tuple[str, FormKind, str]]]) -> None:
        """Build the automata."""
        self._regions, self._content = state
        by_kind: dict[FormKind, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for subject_key, kind, form in self._content:
            by_kind[kind][form].add(subject_key)
        self._phones = dict(by_kind["phone"])
        self._phones_ending: dict[str, tuple[str, ...]] = {}
        for number in self._phones:
            self._phones_ending[number[-_LAST_DIGITS:]] = (*self._phones_ending.get(number[-_LAST_DIGITS:], ()), number)
        self._written = _Automaton([(k, f, s) for k in ("name", "email") for f, s in by_kind[k].items()])
        self._accounts = _Automaton([("account", f, s) for f, s in by_kind["account"].items()])

    def __len__(self) -> int:
        return len(self._content)

    def link(self, text: str) -> tuple[Link, ...]:
        """Every known person's forms in the text, in order of position. Spans address `text` itself."""
        matches = [
            *self._written.matches(text, fold),
            *self._accounts.matches(text, squeeze),
            *self._phone_matches(text),
        ]
        by_subject: dict[str, list[_Match]] = defaultdict(list)
        for match in matches:
            by_subject[match[3]].append(match)
        return _merged(m for own in by_subject.values() for m in leftmost_longest(own))

    def digest(self, key: bytes) -> str:
        """HMAC-SHA256 (hex) over the canonical register: equal registers, in any order, have equal digests."""
        body = rfc8785.dumps([list(self._regions), [list(entry) for entry in self._content]])
        return hmac_module.new(key, b"lethe register v1\0" + body, hashlib.sha256).hexdigest()

    def _phone_matches(self, text: str) -> Iterator[_Match]:
        if not self._phones:
            return
        for start, end, digits in phone_windows(text):
            known = self._phones_ending.get(digits[-_LAST_DIGITS:])
            if known is None:
                continue
            international = text[start] in "+\uff0b"
            regions = self._regions if international else regions_that_may_read(digits, self._regions, known)
            for number in phone_readings(text[start:end], regions):
                for subject_key in self._phones.get(number, ()):
                    yield start, end, "phone", subject_key


class _Automaton:
    """Aho-Corasick over canonical forms: all matches, overlapping ones too, that stand at word edges."""

    def __init__(self, entries: list[tuple[FormKind, str, set[str]]]) -> None:
        self._entries = entries
        self._search = ahocorasick_rs.AhoCorasick([form for _, form, _ in entries]) if entries else None

    def matches(self, text: str, view: Callable[[str], Folded]) -> Iterator[_Match]:
        if self._search is None:
            return
        folded = view(text)
        for index, folded_start, folded_end in self._search.find_matches_as_indexes(folded.text, overlapping=True):
            kind, _, subjects = self._entries[index]
            start, end = folded.original_span(folded_start, folded_end)
            if _at_edges(text, start, end, kind):
                yield from ((start, end, kind, subject_key) for subject_key in subjects)


def form_of_identifier(subject_key: str, identifier: str) -> RegisterForm | None:
    """The register form that a declared subject's own identifier is, or None when it is only an internal id."""
    canonical = canonical_identifier(identifier)
    kind: FormKind
    if "@" in canonical:
        kind = "email"
    elif canonical.startswith("+"):
        kind = "phone"
    elif any(c.isdecimal() for c in canonical):
        kind = "account"
    elif " " in canonical:
        kind = "name"
    else:
        return None
    try:
        normalise(kind, identifier)
    except WrongUsage:
        return None
    return RegisterForm(subject_key, kind, identifier)


def leftmost_longest(matches: list[_Match]) -> Iterator[_Match]:
    """Of one subject's matches, those that are left when the first and longest take their places."""
    taken_until = -1
    for match in sorted(matches, key=lambda m: (m[0], -m[1], m[2])):
        if match[0] >= taken_until:
            taken_until = match[1]
            yield match


def _merged(matches: Iterable[_Match]) -> tuple[Link, ...]:
    subjects: dict[tuple[int, int, FormKind], set[str]] = defaultdict(set)
    for start, end, kind, subject_key in matches:
        subjects[start, end, kind].update({subject_key} - {""})
    return tuple(Link(*place, frozenset(keys), len(keys) > 1) for place, keys in sorted(subjects.items()))


def _at_edges(text: str, start: int, end: int, kind: FormKind) -> bool:
    """Whether nothing before or after the span continues it. Scripts that write without spaces have no such edges."""
    before, after = text[start - 1 : start], text[end : end + 2]
    if kind == "email":
        inside = before in {"_", ".", "+", "-", "%"} or after[:1] in {"_", "-"} or _is_dot_and_letter(after)
        return not inside and not before.isalnum() and not after[:1].isalnum()
    return not _joined(before, text[start]) and not _joined(text[end - 1], after[:1])


def _is_dot_and_letter(after: str) -> bool:
    return len(after) == 2 and after[0] == "." and after[1].isalnum()


def _joined(left: str, right: str) -> bool:
    return all(c.isalnum() and unicodedata.category(c) != "Lo" for c in (left or " ", right or " "))
