"""Synthetic people that a plan plants for its probes: how the data tells them from people.

Their records come through the gate like all others and stand in the same tables. What tells them apart is a source that
no file may use (`rows.RejectReason.RESERVED_SOURCE`), so that nobody can pass a person off as synthetic.
"""

from __future__ import annotations

__all__ = ["CANARY_BASIS", "CANARY_PURPOSE", "CANARY_SOURCE", "is_reserved", "planting_id"]

CANARY_SOURCE = "lethe-canaries"
CANARY_PURPOSE = "canary"  # what a corpus may call synthetic people of its own, too; those are subjects like all others
CANARY_BASIS = "none needed: a synthetic person made by Lethe, no personal data"


def is_reserved(source: str) -> bool:
    """Whether a source is Lethe's own, or looks like it."""
    return source.strip().casefold() == CANARY_SOURCE


def planting_id(plan_digest: str) -> str:
    """The id of the one ingest in which a plan's canaries come in."""
    return f"planted-{plan_digest[:32]}"
