"""Findings and stand-ins in their plainest form, each asked of each: what the quick ones must equal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lineage.findings import KIND_OF, TYPE_OF, Evidence, FoundSpan
from lineage.policy import Policy
from lineage.pseudonyms import Pseudonym, whole
from lineage.records import Content
from lineage.register import Link
from lineage.scan import ART9_LEXICON, Span
from lineage.spans import Interval, clusters, difference, overlaps, replaced
from lineage.standins import _stand_in


def plain_findings(evidence: Sequence[Evidence], declared: frozenset[str], policy: Policy) -> tuple[FoundSpan, ...]:
    """All findings of a record, one `Evidence` per segment, in order of place."""
    found = {
        f for index, e in enumerate(evidence) for f in _PlainSegment.of(index, e, declared, policy).findings(e.spans)
    }
    return tuple(sorted(found, key=_order))


def _order(found: FoundSpan) -> tuple[int, int, int, str, str, float]:
    return found.segment, found.start, -found.end_exclusive, found.entity_type, found.recognizer, found.score


@dataclass(frozen=True, slots=True)
class _PlainSegment:
    index: int
    declared: frozenset[str]
    policy: Policy
    own: tuple[Link, ...]
    others: tuple[Link, ...]
    structured: tuple[Interval, ...]

    @classmethod
    def of(cls, index: int, evidence: Evidence, declared: frozenset[str], policy: Policy) -> _PlainSegment:
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

    def _found(self, span: Span, whose: str, people: frozenset[str], *, ambiguous: bool = False) -> FoundSpan:
        action = _action(self.policy, span, whose, ambiguous=ambiguous)
        place = span.start, span.end_exclusive
        return FoundSpan(
            self.index, *place, span.entity_type, span.score, action, people, whose == "declared", span.recognizer,
            ambiguous, None if action == "redact" else place,
        )  # fmt: skip


def _action(policy: Policy, span: Span, whose: str, *, ambiguous: bool) -> str:
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


def plain_redacted(
    content: Content, findings: Sequence[FoundSpan], policy: Policy, pseudonym: Pseudonym | None = None
) -> tuple[Content, tuple[FoundSpan, ...]]:
    segments = list(content.segments())
    parts: list[list[tuple[Interval, str]]] = []
    for index, segment in enumerate(segments):
        here = [found for found in findings if found.segment == index]
        parts.append(list(_parts(segment, here, policy, pseudonym)))
    kept = content.with_segments([replaced(s, p) for s, p in zip(segments, parts, strict=True)])
    return kept, tuple(
        f if f.action == "redact" else f._replace(kept=_place_now(f.interval, parts[f.segment])) for f in findings
    )


def _place_now(interval: Interval, parts: Sequence[tuple[Interval, str]]) -> Interval:
    """Where a finding that was not redacted stands now; an empty place if what it found was taken out by others."""
    start, end = plain_moved(interval, parts)
    return (start, start if any(a <= interval[0] and interval[1] <= b for (a, b), _ in parts) else end)


def _parts(
    text: str, findings: Sequence[FoundSpan], policy: Policy, pseudonym: Pseudonym | None
) -> Iterator[tuple[Interval, str]]:
    kept = [f.interval for f in findings if f.declared and f.action == "allow" and f.entity_type in KIND_OF]
    redact = [(whole(text, f.interval), f) for f in findings if f.action == "redact"]
    for cluster in clusters(place for place, _ in redact):
        members = [f for place, f in redact if overlaps(place, cluster)]
        winner = min(members, key=lambda f: (-f.score, f.start - f.end_exclusive, f.entity_type))
        for piece in difference(cluster, kept):
            if trimmed := _trimmed(text, piece):
                yield trimmed, _stand_in(winner, policy, pseudonym)


def _trimmed(text: str, piece: Interval) -> Interval | None:
    """The piece without the spaces at its ends; None if no letter or digit is in it."""
    inside = text[slice(*piece)]
    if not any(character.isalnum() for character in inside):
        return None
    start = piece[0] + len(inside) - len(inside.lstrip())
    return start, start + len(inside.strip())


def plain_moved(interval: Interval, parts: Sequence[tuple[Interval, str]]) -> Interval:
    """Where the interval lies in `replaced(text, parts)`; one that cuts into a part takes in the whole of its string."""
    start, end = interval
    return _moved(start, parts, is_end=False), _moved(end, parts, is_end=True)


def _moved(position: int, parts: Sequence[tuple[Interval, str]], *, is_end: bool) -> int:
    shift = 0
    for (start, end), string in sorted(parts):
        if end <= position:
            shift += len(string) - (end - start)
        elif start < position + (not is_end):
            return start + shift + (len(string) if is_end else 0)
    return position + shift
