"""What stands in a text for what was taken out of it, and where the rest of the findings went.

Overlapping findings become one stand-in: that of the finding with the highest score, then the longest, then by name. It
is the policy's constant of the type, or for one declared subject, where the policy says so, their pseudonym. A value
that several declared subjects share is nobody's in particular and becomes the constant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from lineage.errors import GateClosed
from lineage.findings import KIND_OF, FoundSpan
from lineage.policy import Policy
from lineage.pseudonyms import Pseudonym, whole, written
from lineage.records import Content
from lineage.spans import Interval, Moves, clustered, clusters, outside, replaced

__all__ = ["apply_redactions", "redacted"]

_Parts: TypeAlias = list[tuple[Interval, str]]
_ALNUM = re.compile(r"[^\W_]")


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
    """As `apply_redactions`; and the findings, as `findings_of` gives them, with the places of those that still stand.

    Raises:
        GateClosed: as `apply_redactions`.
    """
    segments = content.segments()
    parts: list[_Parts] = []
    for index, segment in enumerate(segments):
        here = [found for found in findings if found.segment == index]
        parts.append(list(_parts(segment, here, policy, pseudonym)))
    kept = content.with_segments([replaced(s, p) for s, p in zip(segments, parts, strict=True)])
    moves = [Moves(p) for p in parts]
    return kept, tuple([f if f.action == "redact" else _moved(f, moves[f.segment]) for f in findings])


def _moved(found: FoundSpan, moves: Moves) -> FoundSpan:
    """A finding that was not redacted, where it stands now: in an empty place if what it found was taken out by others."""
    place = moves.standing(found.interval)
    return found if place == found.kept else FoundSpan(*found[:-1], place)  # a third of what `_replace` costs


def _parts(
    text: str, findings: Sequence[FoundSpan], policy: Policy, pseudonym: Pseudonym | None
) -> Iterator[tuple[Interval, str]]:
    kept = clusters(f.interval for f in findings if f.declared and f.action == "allow" and f.entity_type in KIND_OF)
    for cluster, members in clustered((whole(text, f.interval), f) for f in findings if f.action == "redact"):
        winner = members[0] if len(members) == 1 else min(members, key=_rank)
        for piece in outside(cluster, kept):
            if trimmed := _trimmed(text, piece):
                yield trimmed, _stand_in(winner, policy, pseudonym)


def _rank(found: FoundSpan) -> tuple[float, int, str]:
    return -found.score, found.start - found.end_exclusive, found.entity_type


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
    if not _ALNUM.search(inside):
        return None
    start = piece[0] + len(inside) - len(inside.lstrip())
    return start, start + len(inside.strip())
