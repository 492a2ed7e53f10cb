"""A person's mentions taken out of a record of somebody else, as the gate would have done had it known them at ingest.

Every form of the person becomes the policy's constant, and the result goes through the gate like a content that is given
anew. It is good only if the gate would admit it and no form of the person is left in it; else the record cannot be saved
and goes whole.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from lineage.admit import Decision, Gate, examine
from lineage.findings import TYPE_OF, FoundSpan
from lineage.records import Content
from lineage.register import RegisterIndex
from lineage.standins import apply_redactions
from lineage.suppression import SuppressionList

__all__ = ["Freed", "speaks_of", "without_person"]


@dataclass(frozen=True, slots=True)
class Freed:
    """A content without the person, and the gate's leave to learn from it."""

    given: Content = field(repr=False)
    decision: Decision = field(repr=False)


def speaks_of(index: RegisterIndex | SuppressionList, content: Content) -> bool:
    """Whether a form of the indexed people stands in the content."""
    return any(index.link(segment) for segment in content.segments())


def without_person(
    gate: Gate,
    index: RegisterIndex | SuppressionList,
    content: Content,
    *,
    declared: Collection[str],
    language: str,
) -> Freed | None:
    """The content with every form in `index` (of one person, or of the erased) as a constant; None when the gate would not admit it on the second look."""
    given = apply_redactions(content, _mentions(index, content.segments()), gate.policy)
    decision = examine(gate, given, declared=sorted(declared), language=language)
    if decision.verdict not in ("allow", "redact") or speaks_of(index, decision.content):
        return None
    return Freed(given, replace(decision, verdict="redact", reason="identifiers_redacted"))


def _mentions(index: RegisterIndex | SuppressionList, segments: Sequence[str]) -> list[FoundSpan]:
    return [
        FoundSpan(
            segment=number, start=link.start, end_exclusive=link.end_exclusive, entity_type=TYPE_OF[link.kind], score=1.0,
            action="redact", subject_keys=link.subject_keys, declared=False, recognizer="register",
        )
        for number, segment in enumerate(segments)
        for link in index.link(segment)
    ]  # fmt: skip
