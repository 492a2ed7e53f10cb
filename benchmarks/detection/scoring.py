"""A tier's findings beside the marks: recall and precision by type, false findings on clean records, and what leaked.

A span counts as found when a finding of its type overlaps it, and as exact when the two agree to the character. It leaks
when its record was admitted and a letter or digit of it is left. Intervals are Wilson's, 95%; they take spans as
independent, which those of one value are not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from scipy.stats import binomtest

from detection.transcripts import Labelled, Mark
from detection.values import LABELS
from lineage.admit import Decision, Gate, examine
from lineage.findings import FoundSpan

__all__ = ["ALSO", "INFORMATION", "Share", "Tier", "score"]

# What the shipped policies admit whatever it is: it says where and when, not who.
INFORMATION = {"URL", "DATE_TIME", "UUID", "LOCATION", "ORGANIZATION"}
# Other names under which a recogniser may report a label.
ALSO = {"ADDRESS": {"LOCATION"}}


@dataclass(frozen=True)
class Tier:
    """What looks: a name and a gate."""

    name: str
    gate: Gate = field(repr=False)


@dataclass(frozen=True)
class Share:
    """So many of so many."""

    hits: int
    total: int

    def as_json(self) -> dict[str, object]:
        """With the share and its interval; without them when there is nothing to divide by."""
        if not self.total:
            return {"hits": 0, "total": 0}
        ends = binomtest(self.hits, self.total).proportion_ci(method="wilson")
        rounded = {"share": self.hits / self.total, "lower": float(ends.low), "upper": float(ends.high)}
        return {"hits": self.hits, "total": self.total, **{name: round(value, 4) for name, value in rounded.items()}}


def score(tier: Tier, records: Iterable[Labelled]) -> dict[str, object]:
    """Everything about one tier, as JSON."""
    judged = [(record, examine(tier.gate, record.content, declared=record.declared)) for record in records]
    named = [(record, decision) for record, decision in judged if record.marks]
    clean = [(record, decision) for record, decision in judged if not record.marks]
    pairs = [(mark, decision) for record, decision in named for mark in record.marks]
    return {
        "tier": tier.name,
        "recall": {label: _recall([pair for pair in pairs if pair[0].label == label]) for label in LABELS},
        "recall of all": _recall(pairs),
        "recall by way of writing": _by_variant(pairs),
        "precision": _precision(named),
        "clean records": _clean([decision for _, decision in clean]),
        "records that name another person": _others(named),
        "leaked, by type": _leaked_by_type(named),
    }


def _recall(pairs: Sequence[tuple[Mark, Decision]]) -> dict[str, object]:
    total = len(pairs)
    found = sum(any(_same_type(f, mark) for f in _over(mark, decision)) for mark, decision in pairs)
    exact = sum(any(_same_type(f, mark) and _exact(f, mark) for f in _over(mark, decision)) for mark, decision in pairs)
    any_type = sum(any(f.entity_type not in INFORMATION for f in _over(mark, decision)) for mark, decision in pairs)
    shares = {"overlap": found, "exact": exact, "as any type": any_type}
    return {name: Share(hits, total).as_json() for name, hits in shares.items()}


def _by_variant(pairs: Sequence[tuple[Mark, Decision]]) -> dict[str, dict[str, object]]:
    grouped: dict[tuple[str, str], list[tuple[Mark, Decision]]] = defaultdict(list)
    for pair in pairs:
        grouped[pair[0].label, pair[0].variant].append(pair)
    found: dict[str, dict[str, object]] = defaultdict(dict)
    for (label, variant), group in sorted(grouped.items()):
        found[label][variant] = _recall(group)["overlap"]
    return dict(found)


def _precision(named: Sequence[tuple[Labelled, Decision]]) -> dict[str, object]:
    """Of the findings of a type, on records that hold identifiers: those over a mark of that type."""
    right, total = Counter[str](), Counter[str]()
    for record, decision in named:
        for found in decision.findings:
            total[found.entity_type] += 1
            right[found.entity_type] += any(_same_type(found, m) and _overlap(found, m) for m in record.marks)
    return {name: Share(right[name], total[name]).as_json() for name in sorted(total) if name not in INFORMATION}


def _clean(decisions: Sequence[Decision]) -> dict[str, object]:
    """Findings per 1,000 records that hold no identifier, and what they did to the record."""
    found = Counter(f.entity_type for decision in decisions for f in decision.findings)
    false = {name: count for name, count in found.items() if name not in INFORMATION}
    verdicts = Counter(decision.verdict for decision in decisions)
    reasons = Counter(decision.reason for decision in decisions if decision.verdict in ("quarantine", "block"))

    def per_1000(count: int) -> float:
        return round(1000 * count / max(1, len(decisions)), 1)

    return {
        "records": len(decisions),
        "false findings per 1,000": per_1000(sum(false.values())),
        "by type": {name: per_1000(count) for name, count in sorted(false.items())},
        "information per 1,000": {n: per_1000(count) for n, count in sorted(found.items()) if n in INFORMATION},
        "stopped": Share(verdicts["quarantine"] + verdicts["block"], len(decisions)).as_json(),
        "changed": Share(verdicts["redact"], len(decisions)).as_json(),
        "stopped because": dict(reasons),
    }


def _others(named: Sequence[tuple[Labelled, Decision]]) -> dict[str, object]:
    """What became of records in which somebody else's identifier stands."""
    ends = Counter[str]()
    concerned = [(r, d) for r, d in named if any(not mark.own for mark in r.marks)]
    for record, decision in concerned:
        leaked = any(_leaks(mark, decision) for mark in record.marks if not mark.own)
        stopped = decision.verdict in ("quarantine", "block")
        ends[
            {"quarantine": "quarantined", "block": "blocked"}[decision.verdict]
            if stopped
            else "leaked"
            if leaked
            else "redacted"
        ] += 1
    shares = {
        name: Share(ends[name], len(concerned)).as_json() for name in ("leaked", "redacted", "quarantined", "blocked")
    }
    return {"records": len(concerned), **shares}


def _leaked_by_type(named: Sequence[tuple[Labelled, Decision]]) -> dict[str, dict[str, object]]:
    """Spans that were admitted: of other people, and of what nobody's contact detail is."""
    groups: Mapping[str, Callable[[Mark], bool]] = {
        "of others, registered": lambda mark: not mark.own and mark.registered,
        "of others, not registered": lambda mark: not mark.own and not mark.registered,
        "the record's own, never wanted": lambda mark: mark.own and mark.label not in CONTACT,
    }
    found: dict[str, dict[str, object]] = {}
    for group, belongs in groups.items():
        leaked, total = Counter[str](), Counter[str]()
        for record, decision in named:
            for mark in filter(belongs, record.marks):
                total[mark.label] += 1
                leaked[mark.label] += _leaks(mark, decision)
        found[group] = {label: Share(leaked[label], total[label]).as_json() for label in LABELS if total[label]}
    return found


CONTACT = {"PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "ACCOUNT"}


def _leaks(mark: Mark, decision: Decision) -> bool:
    """Whether the record was admitted with a character of the span that no constant replaced."""
    if decision.verdict in ("quarantine", "block"):
        return False
    covered = set[int]()
    for found in decision.findings:
        if found.segment == mark.segment and found.action == "redact":
            covered |= set(range(found.start, found.end_exclusive))
    # A span's own separators at its ends may stay; letters and digits may not. Spans are short, so this is exact enough.
    return not covered >= set(range(mark.start, mark.end_exclusive))


def _over(mark: Mark, decision: Decision) -> list[FoundSpan]:
    return [found for found in decision.findings if _overlap(found, mark)]


def _overlap(found: FoundSpan, mark: Mark) -> bool:
    return found.segment == mark.segment and found.start < mark.end_exclusive and mark.start < found.end_exclusive


def _exact(found: FoundSpan, mark: Mark) -> bool:
    return (found.start, found.end_exclusive) == (mark.start, mark.end_exclusive)


def _same_type(found: FoundSpan, mark: Mark) -> bool:
    return found.entity_type == mark.label or found.entity_type in ALSO.get(mark.label, ())
