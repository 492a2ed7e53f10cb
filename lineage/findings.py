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

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from lineage.forms import FormKind
from lineage.policy import Action, Policy
from lineage.register import Link
from lineage.scan import ART9_LEXICON, Span
from lineage.spans import Interval, difference, overlaps

__all__ = ["KIND_OF", "TYPE_OF", "Evidence", "FoundSpan", "findings_of"]

_Whose: TypeAlias = Literal["declared", "other", "unknown"]

TYPE_OF: dict[FormKind, str] = {
    "name": "PERSON",
    "email": "EMAIL_ADDRESS",
    "phone": "PHONE_NUMBER",
    "account": "ACCOUNT",
}
KIND_OF: dict[str, FormKind] = {entity_type: kind for kind, entity_type in TYPE_OF.items()}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found in one segment. Spans address the segment's text."""

    spans: tuple[Span, ...] = ()
    links: tuple[Link, ...] = ()
    suppressed: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundSpan:
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


def findings_of(evidence: Sequence[Evidence], declared: frozenset[str], policy: Policy) -> tuple[FoundSpan, ...]:
    """All findings of a record, one `Evidence` per segment, in order of place."""
    found = {f for index, e in enumerate(evidence) for f in _Segment.of(index, e, declared, policy).findings(e.spans)}
    return tuple(sorted(found, key=_order))


def _order(found: FoundSpan) -> tuple[int, int, int, str, str, float]:
    return found.segment, found.start, -found.end_exclusive, found.entity_type, found.recognizer, found.score


@dataclass(frozen=True, slots=True)
class _Segment:
    index: int
    declared: frozenset[str]
    policy: Policy
    own: tuple[Link, ...]
    others: tuple[Link, ...]
    structured: tuple[Interval, ...]

    @classmethod
    def of(cls, index: int, evidence: Evidence, declared: frozenset[str], policy: Policy) -> _Segment:
        others = [link for link in evidence.links if not link.subject_keys & declared]
        known = {(_place(link), link.kind) for link in others}
        others += [link for link in evidence.suppressed if (_place(link), link.kind) not in known]
        structured = [(s.start, s.end_exclusive) for s in evidence.spans if s.entity_type == "EMAIL_ADDRESS"]
        structured += [_place(link) for link in others if link.kind != "name"]
        own = [link for link in evidence.links if link.subject_keys & declared and not _part_of(link, structured)]
        return cls(index, declared, policy, tuple(own), tuple(others), tuple(structured))

    def findings(self, spans: Iterable[Span]) -> list[FoundSpan]:
        found = [self._of_span(span) for span in spans if span.score >= self.policy.min_score]
        for own in self.own:
            found += self._of_own(own, found)
        everyone = [_place(link) for link in self.others]
        for link in self.others:
            if not _part_of(link, self.structured) and not any(_strictly_inside(_place(link), o) for o in everyone):
                found += self._of_other(link, found)
        return found

    def _of_own(self, link: Link, so_far: Iterable[FoundSpan]) -> list[FoundSpan]:
        span = _as_span(link)
        if _stood_for(span.entity_type, _place(link), (f for f in so_far if f.declared)):
            return []
        return [self._found(span, "declared", link.subject_keys & self.declared)]

    def _of_span(self, span: Span) -> FoundSpan:
        place = (span.start, span.end_exclusive)
        if own := [link for link in self.own if _speaks_for(link, span)]:
            return self._found(span, "declared", _people(own) & self.declared)
        others = [link for link in self.others if overlaps(_place(link), place)]
        ambiguous = span.entity_type == "PERSON" and any(link.ambiguous for link in others)
        return self._found(span, "other" if others else "unknown", _people(others), ambiguous=ambiguous)

    def _of_other(self, link: Link, so_far: Iterable[FoundSpan]) -> list[FoundSpan]:
        span = _as_span(link)
        others_found = [f for f in so_far if not f.declared]
        ambiguous = link.ambiguous and link.kind == "name"
        return [
            self._found(_as_span(link, piece), "other", link.subject_keys, ambiguous=ambiguous)
            for piece in difference(_place(link), [_place(own) for own in self.own])
            if not _stood_for(span.entity_type, piece, others_found)
        ]

    def _found(self, span: Span, whose: _Whose, people: frozenset[str], *, ambiguous: bool = False) -> FoundSpan:
        return FoundSpan(
            segment=self.index,
            start=span.start,
            end_exclusive=span.end_exclusive,
            entity_type=span.entity_type,
            score=span.score,
            action=_action(self.policy, span, whose, ambiguous=ambiguous),
            subject_keys=people,
            declared=whose == "declared",
            recognizer=span.recognizer,
            ambiguous=ambiguous,
        )


def _action(policy: Policy, span: Span, whose: _Whose, *, ambiguous: bool) -> Action:
    if span.entity_type == ART9_LEXICON:
        return policy.art9.action
    rule = policy.entities.get(span.entity_type)
    if rule is None:
        return policy.default
    if span.score < rule.min_score:
        return rule.weak_action
    if ambiguous:
        return policy.ambiguous_name
    linked = {"declared": rule.declared_subject, "other": rule.other_person, "unknown": rule.action}
    return linked[whose] or rule.action


def _as_span(link: Link, piece: Interval | None = None) -> Span:
    start, end = piece or _place(link)
    return Span(TYPE_OF[link.kind], start, end, 1.0, "register" if link.subject_keys else "suppression")


def _place(link: Link) -> Interval:
    return link.start, link.end_exclusive


def _stood_for(entity_type: str, place: Interval, findings: Iterable[FoundSpan]) -> bool:
    return any(f.entity_type == entity_type and f.start <= place[0] and place[1] <= f.end_exclusive for f in findings)


def _people(links: Iterable[Link]) -> frozenset[str]:
    return frozenset[str]().union(*(link.subject_keys for link in links))


def _speaks_for(own: Link, span: Span) -> bool:
    """Whether the span is the declared subject's: the same kind of thing, or wholly inside their value."""
    same_kind = TYPE_OF[own.kind] == span.entity_type and overlaps(_place(own), (span.start, span.end_exclusive))
    return same_kind or (own.start <= span.start and span.end_exclusive <= own.end_exclusive)


def _part_of(link: Link, structured: Iterable[Interval]) -> bool:
    return link.kind == "name" and any(_strictly_inside(_place(link), outer) for outer in structured)


def _strictly_inside(inner: Interval, outer: Interval) -> bool:
    return inner != outer and outer[0] <= inner[0] and inner[1] <= outer[1]
