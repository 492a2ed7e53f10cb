"""Whose a finding is, and what the policy does about it: one segment at a time, pure.

A Presidio span inherits the people whose links overlap it. A link that no span stands for becomes a finding of its own,
with score 1.0. Within one segment:

* *own* links are forms of the record's declared subjects. They are never ambiguous, and count for declared only.
* *other* links are everybody else's, and those of erased people. They are cut back to what lies outside own links, and
  give way to a longer one of somebody else that contains them (leftmost-longest).
* A name that is part of a structured identifier (an address, somebody else's account) is no mention by itself; it lends
  its people to the span.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Literal, NamedTuple, TypeAlias

from lineage.forms import FormKind
from lineage.policy import Action, Policy
from lineage.register import Link
from lineage.scan import ART9_LEXICON, Span
from lineage.spans import Interval, clusters, outside, overlaps

__all__ = ["KIND_OF", "TYPE_OF", "Evidence", "FoundSpan", "findings_of"]

_NOBODY: frozenset[str] = frozenset()
_PLACE = itemgetter(0, 1)
_Whose: TypeAlias = Literal["declared", "other", "unknown"]
_Said: TypeAlias = tuple[str, int, int, float, str]  # what a Span is: to name the fields of a link takes twice as long

TYPE_OF: dict[FormKind, str] = {
    "name": "PERSON",
    "email": "EMAIL_ADDRESS",
    "phone": "PHONE_NUMBER",
    "account": "ACCOUNT",
}
KIND_OF: dict[str, FormKind] = {entity_type: kind for kind, entity_type in TYPE_OF.items()}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found in one segment, links in order of place. Spans address the segment's text."""

    spans: tuple[Span, ...] = ()
    links: tuple[Link, ...] = ()
    suppressed: tuple[Link, ...] = ()


class FoundSpan(NamedTuple):
    """One finding of a record: where, what, what is done, and who it is. Never the value.

    `declared` means a subject the record itself declares; `subject_keys` then holds declared subjects only. `start` and
    `end_exclusive` are places in the record as it came; `kept` is the place in the content as it is kept: None for what
    was redacted, empty for what another finding's redaction took out.
    """

    segment: int
    start: int
    end_exclusive: int
    entity_type: str
    score: float
    action: Action
    subject_keys: frozenset[str]
    declared: bool
    recognizer: str
    ambiguous: bool = False
    kept: Interval | None = None

    @property
    def interval(self) -> Interval:
        """The half-open span inside its segment."""
        return self.start, self.end_exclusive


_found_span = partial(tuple.__new__, FoundSpan)  # as `register` makes its links


def findings_of(evidence: Sequence[Evidence], declared: frozenset[str], policy: Policy) -> tuple[FoundSpan, ...]:
    """All findings of a record, one `Evidence` per segment, in order of place; `kept` as if nothing was replaced yet."""
    found: list[FoundSpan] = []
    for index, here in enumerate(evidence):
        for things in _apart(here):
            if one := _of_one_thing(things, index, declared, policy):
                found.append(one)
            else:
                found += _Overlap(index, things, declared, policy).findings()
    return tuple(found)


def _apart(evidence: Evidence) -> Iterator[list[Span | Link]]:
    """A segment's evidence, place by place. What overlaps comes together, as it may say something of each other."""
    placed: list[tuple[int, int, Span | Link]] = [(span[1], span[2], span) for span in evidence.spans]
    for links in (evidence.links, evidence.suppressed):
        placed += [(link[0], link[1], link) for link in links]
    placed.sort(key=_PLACE)
    things: list[Span | Link] = []
    until = 0
    for start, end, thing in placed:
        if things and until <= start < end:  # an empty place belongs to what it touches
            yield things
            things = []
        if not things or end > until:
            until = end
        if until == start:
            until += 1
        things.append(thing)
    if things:
        yield things


def _of_one_thing(
    things: Sequence[Span | Link], index: int, declared: frozenset[str], policy: Policy
) -> FoundSpan | None:
    """What `_Overlap` would find, at less cost, of a span that counts, of a link, or of both of one kind in one place."""
    first, last = things[0], things[-1]
    if isinstance(last, Span):
        counts = first is last and last[1] < last[2] and last[3] >= policy.min_score
        return _found(index, last, "unknown", _NOBODY, policy) if counts else None
    start, end, kind, people, ambiguous = last
    entity_type, score, said_by = TYPE_OF[kind], 1.0, "register" if people else "suppression"
    if first is not last:
        if len(things) > 2 or isinstance(first, Link) or first[:3] != (entity_type, start, end):
            return None
        score, said_by = first[3], first[4]
    if start == end or score < policy.min_score:
        return None
    own = not people.isdisjoint(declared)
    ambiguous = ambiguous and kind == "name" and not own
    action = _action(policy, entity_type, score, "declared" if own else "other", ambiguous)
    return _found_span((
        index, start, end, entity_type, score, action, people & declared if own else people, own, said_by, ambiguous,
        None if action == "redact" else (start, end),
    ))  # fmt: skip


class _Overlap:
    """Spans and links that overlap, the links sorted by whose they are, and what was found so far."""

    def __init__(self, index: int, things: Sequence[Span | Link], declared: frozenset[str], policy: Policy) -> None:
        self._index, self._declared, self._policy = index, declared, policy
        spans: list[Span] = []
        own: list[Link] = []
        others: list[Link] = []
        suppressed: list[Link] = []
        for thing in things:
            if isinstance(thing, Span):
                spans.append(thing)
            elif not thing.subject_keys:
                suppressed.append(thing)
            else:
                (others if thing.subject_keys.isdisjoint(declared) else own).append(thing)
        if suppressed:
            known = {(link.place, link.kind) for link in others}
            others += [link for link in suppressed if (link.place, link.kind) not in known]
        self._structured = [(s.start, s.end_exclusive) for s in spans if s.entity_type == "EMAIL_ADDRESS"]
        self._structured += [link.place for link in others if link.kind != "name"]
        self._spans, self._others = spans, others
        self._own = [link for link in own if not self._part_of_structured(link)]
        self._standing: dict[tuple[bool, str], list[Interval]] = {}

    def findings(self) -> list[FoundSpan]:
        """In order of place."""
        found = [self._of_span(span) for span in self._spans if span.score >= self._policy.min_score]
        for link in self._own:
            found += self._of_own(link)
        if self._others:
            found += self._of_others()
        return sorted(set(found), key=_order)

    def _of_span(self, span: Span) -> FoundSpan:
        start, end = span.start, span.end_exclusive
        # Only a link that at least touches the span can be of the same thing or hold it.
        near = [link for link in self._own if link.start <= end and start <= link.end_exclusive]
        if own := [link for link in near if _speaks_for(link, span)]:
            return self._found(span, "declared", _people(own) & self._declared)
        others = [link for link in self._others if link.start < end and start < link.end_exclusive]
        ambiguous = span.entity_type == "PERSON" and any(link.ambiguous for link in others)
        return self._found(span, "other" if others else "unknown", _people(others), ambiguous=ambiguous)

    def _of_own(self, link: Link) -> Iterator[FoundSpan]:
        if not self._stood_for(link.kind, link.place, declared=True):
            yield self._found(_as_span(link), "declared", link.subject_keys & self._declared)

    def _of_others(self) -> Iterator[FoundSpan]:
        own_places = clusters(link.place for link in self._own)
        places = [link.place for link in self._others]
        for link in self._others:
            if self._part_of_structured(link) or _inside_any(link.place, places):
                continue
            ambiguous = link.ambiguous and link.kind == "name"
            # One link's pieces do not overlap: none stands for another, so it is asked before any of them is found.
            pieces = [p for p in outside(link.place, own_places) if not self._stood_for(link.kind, p, declared=False)]
            for piece in pieces:
                yield self._found(_as_span(link, piece), "other", link.subject_keys, ambiguous=ambiguous)

    def _part_of_structured(self, link: Link) -> bool:
        return link.kind == "name" and _inside_any(link.place, self._structured)

    def _stood_for(self, kind: FormKind, place: Interval, *, declared: bool) -> bool:
        """Whether a finding of that type, of the declared subjects or of anybody else, holds the whole place."""
        standing = self._standing.get((declared, TYPE_OF[kind]), ())
        return any(start <= place[0] and place[1] <= end for start, end in standing)

    def _found(self, span: _Said, whose: _Whose, people: frozenset[str], *, ambiguous: bool = False) -> FoundSpan:
        entity_type, start, end, *_ = span
        self._standing.setdefault((whose == "declared", entity_type), []).append((start, end))
        return _found(self._index, span, whose, people, self._policy, ambiguous=ambiguous)


def _order(found: FoundSpan) -> tuple[int, int, str, str, float]:
    return found.start, -found.end_exclusive, found.entity_type, found.recognizer, found.score


def _found(
    index: int, span: _Said, whose: _Whose, people: frozenset[str], policy: Policy, *, ambiguous: bool = False
) -> FoundSpan:
    entity_type, start, end, score, recognizer = span
    action = _action(policy, entity_type, score, whose, ambiguous)
    return FoundSpan(
        index, start, end, entity_type, score, action, people, whose == "declared", recognizer, ambiguous,
        None if action == "redact" else (start, end),
    )  # fmt: skip


def _action(policy: Policy, entity_type: str, score: float, whose: _Whose, ambiguous: bool) -> Action:
    if entity_type == ART9_LEXICON:
        return policy.art9.action
    rule = policy.entities.get(entity_type)
    if rule is None:
        return policy.default
    if score < rule.min_score:
        return rule.weak_action
    if ambiguous:
        return policy.ambiguous_name
    if whose == "declared":
        return rule.declared_subject or rule.action
    other = rule.other_person if whose == "other" else None
    return other or rule.action


def _as_span(link: Link, piece: Interval | None = None) -> _Said:
    start, end, kind, people, _ = link
    if piece is not None:
        start, end = piece
    return TYPE_OF[kind], start, end, 1.0, "register" if people else "suppression"


def _people(links: Sequence[Link]) -> frozenset[str]:
    return links[0].subject_keys if len(links) == 1 else frozenset[str]().union(*(link.subject_keys for link in links))


def _speaks_for(own: Link, span: Span) -> bool:
    """Whether the span is the declared subject's: the same kind of thing, or wholly inside their value."""
    same_kind = TYPE_OF[own.kind] == span.entity_type and overlaps(own.place, (span.start, span.end_exclusive))
    return same_kind or (own.start <= span.start and span.end_exclusive <= own.end_exclusive)


def _inside_any(inner: Interval, outers: Sequence[Interval]) -> bool:
    """Whether one of the places holds this one and more."""
    start, end = inner
    return any(outer[0] <= start and end <= outer[1] and outer != inner for outer in outers)
