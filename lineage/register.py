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
from functools import partial
from typing import NamedTuple, TypeAlias

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
)
from lineage.phonebook import Known, PhoneBook

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


@dataclass(frozen=True, slots=True)
class RegisterForm:
    """One way a known person is written."""

    subject_key: str
    kind: FormKind
    value: str = field(repr=False)


class Link(NamedTuple):
    """A stretch of a text that is a form of these subjects; no subjects when it comes from the suppression list."""

    start: int
    end_exclusive: int
    kind: FormKind
    subject_keys: frozenset[str]
    ambiguous: bool

    @property
    def place(self) -> tuple[int, int]:
        """The half-open span in the text."""
        return self.start, self.end_exclusive


_link = partial(tuple.__new__, Link)  # half of what the constructor of a NamedTuple costs
# What is an edge of a form of any kind: the ends of the text, and most signs.
_EDGES = frozenset({"", *(c for c in map(chr, range(128)) if not c.isalnum() and c not in "_.+-%")})
# (start, end_exclusive, kind, subject key or "" when only suppressed)
_Match: TypeAlias = tuple[int, int, FormKind, str]


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
        self._phones = PhoneBook(by_kind["phone"], self._regions)
        self._written = _Automaton([(k, f, s) for k in ("name", "email") for f, s in by_kind[k].items()])
        self._accounts = _Automaton([("account", f, s) for f, s in by_kind["account"].items()])

    def __len__(self) -> int:
        return len(self._content)

    def link(self, text: str) -> tuple[Link, ...]:
        """Every known person's forms in the text, in order of position. Spans address `text` itself."""
        written = self._written.links(text, fold) + self._accounts.links(text, squeeze)
        links = _with_phones(written, self._phones.standing(text))
        if _overlap(links):
            links = _with_phones(written, self._phones.matches(text))
            links = _merged(leftmost_longest([(*k[:3], who) for k in links for who in k.subject_keys]))
        return tuple(links)

    def digest(self, key: bytes) -> str:
        """HMAC-SHA256 (hex) over the canonical register: equal registers, in any order, have equal digests."""
        body = rfc8785.dumps([list(self._regions), [list(entry) for entry in self._content]])
        return hmac_module.new(key, b"lethe register v1\0" + body, hashlib.sha256).hexdigest()


class _Automaton:
    """Aho-Corasick over canonical forms: all matches, overlapping ones too, that stand at word edges."""

    def __init__(self, entries: list[tuple[FormKind, str, set[str]]]) -> None:
        self._entries = [(kind, frozenset(subjects), len(subjects) > 1) for kind, _, subjects in entries]
        self._search = ahocorasick_rs.AhoCorasick([form for _, form, _ in entries]) if entries else None

    def links(self, text: str, view: Callable[[str], Folded]) -> list[Link]:
        """One for each form and place."""
        if self._search is None:
            return []
        folded = view(text)
        found: list[Link] = []
        for index, folded_start, folded_end in self._search.find_matches_as_indexes(folded.text, overlapping=True):
            kind, subjects, ambiguous = self._entries[index]
            start, end = folded.original_span(folded_start, folded_end)
            if (text[start - 1 : start] in _EDGES and text[end : end + 1] in _EDGES) or _at_edges(
                text, start, end, kind
            ):
                found.append(_link((start, end, kind, subjects, ambiguous)))
        return found


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


def _with_phones(written: list[Link], phones: Iterable[Known]) -> list[Link]:
    """All links, in order of place."""
    return sorted([*written, *[_link((start, end, "phone", who, len(who) > 1)) for start, end, who in phones]])


def _overlap(links: list[Link]) -> bool:
    """Whether any of the links, in order of place, overlap; else all of them stand."""
    until = 0
    for link in links:
        if link[0] < until:
            return True
        until = link[1]
    return False


def leftmost_longest(matches: list[_Match]) -> Iterator[_Match]:
    """Of each subject's matches those that stand when the first one wins, of several that start together the longest."""
    taken_until: dict[str, int] = {}
    for match in sorted(matches, key=_by_place):
        if match[0] >= taken_until.get(match[3], 0):
            taken_until[match[3]] = match[1]
            yield match


def _by_place(match: _Match) -> tuple[int, int, FormKind]:
    return match[0], -match[1], match[2]


def _merged(matches: Iterable[_Match]) -> list[Link]:
    subjects: dict[tuple[int, int, FormKind], set[str]] = {}
    for start, end, kind, subject_key in matches:
        subjects.setdefault((start, end, kind), set()).add(subject_key)
    return [Link(*place, frozenset(people), len(people) > 1) for place, people in sorted(subjects.items())]


def _at_edges(text: str, start: int, end: int, kind: FormKind) -> bool:
    """Whether nothing before or after the span continues it. Scripts that write without spaces have no such edges."""
    before, after = text[start - 1 : start], text[end : end + 1]
    if kind == "email":
        goes_on = after in {"_", "-"} or (after == "." and text[end + 1 : end + 2].isalnum())
        return not goes_on and before not in {"_", ".", "+", "-", "%"} and not before.isalnum() and not after.isalnum()
    return not (before.isalnum() and _joined(before, text[start])) and not (
        after.isalnum() and _joined(text[end - 1], after)
    )


def _joined(left: str, right: str) -> bool:
    """Whether two letters or digits stand side by side."""
    return (
        right.isalnum()
        and left.isalnum()
        and unicodedata.category(left) != "Lo"
        and unicodedata.category(right) != "Lo"
    )
