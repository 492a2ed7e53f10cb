"""What stands in a text for what was taken out of it, and where the rest of the findings went.

Overlapping findings become one stand-in: that of the finding with the highest score, then the longest, then by name. It
is the policy's constant of the type, or for one declared subject, where the policy says so, their pseudonym. A value
that several declared subjects share is nobody's in particular and becomes the constant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

from lineage.errors import GateClosed
from lineage.findings import KIND_OF, FoundSpan
from lineage.policy import Policy
from lineage.pseudonyms import Pseudonym, whole, written
from lineage.records import Content
from lineage.spans import Interval, clusters, difference, moved, overlaps, replaced

__all__ = ["apply_redactions", "redacted"]

_Parts: TypeAlias = list[tuple[Interval, str]]


def apply_redactions(
    content: Content, findings: Iterable[FoundSpan], policy: Policy, pseudonym: Pseudonym | None = None
) -> Content:
    """The content with every `redact` finding replaced by its stand-in, except where it touches a kept own value.

    Raises:
        GateClosed: the policy asks for pseudonyms, and there is no key to make them with.
    """
    return redacted(content, tuple(findings), policy, pseudonym)[0]


def redacted(
    content: Content, findings: Sequence[FoundSpan], policy: Policy, pseudonym: Pseudonym | None = None
) -> tuple[Content, tuple[FoundSpan, ...]]:
    """As `apply_redactions`; and the findings, those that still stand each with its place in the new content.

    Raises:
        GateClosed: as `apply_redactions`.
    """
    segments = list(content.segments())
    parts: list[_Parts] = []
    for index, segment in enumerate(segments):
        here = [found for found in findings if found.segment == index]
        parts.append(list(_parts(segment, here, policy, pseudonym)))
    kept = content.with_segments([replaced(s, p) for s, p in zip(segments, parts, strict=True)])
    return kept, tuple(
        f if f.action == "redact" else replace(f, kept=_place(f.interval, parts[f.segment])) for f in findings
    )


def _place(interval: Interval, parts: _Parts) -> Interval:
    """Where a finding that was not redacted stands now; an empty place if what it found was taken out by others."""
    start, end = moved(interval, parts)
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


def _stand_in(found: FoundSpan, policy: Policy, pseudonym: Pseudonym | None) -> str:
    constant = policy.constant(found.entity_type)
    if not found.declared or len(found.subject_keys) != 1 or policy.operator(found.entity_type) == "constant":
        return constant
    if pseudonym is None:
        raise GateClosed("The policy asks for pseudonyms, and this gate has no key to make them with.")
    (subject_key,) = found.subject_keys
    return written(constant, pseudonym(found.entity_type, subject_key))


def _trimmed(text: str, piece: Interval) -> Interval | None:
    """The piece without the spaces at its ends; None if no letter or digit is in it."""
    inside = text[slice(*piece)]
    if not any(character.isalnum() for character in inside):
        return None
    start = piece[0] + len(inside) - len(inside.lstrip())
    return start, start + len(inside.strip())
