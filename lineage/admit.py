"""Whether a record may be learnt, and what of it: findings and links in, one decision out.

`decide` is pure. Three kinds of evidence meet in a segment: Presidio's spans, the register's links to known people, and
the suppression list's links to erased ones. The verdict is the maximum over the findings, and these laws hold:

* A value of the record's own declared subject is never ambiguous, and what happens to it does not depend on who else is
  registered: other people's findings are cut back to what lies outside it. Only a structured identifier of somebody
  else (an address, a phone, an account) that contains the subject's name swallows that name.
* What other people are called becomes a constant, whether they are registered or already erased.
* A redacted record is scanned again before it is admitted; if that finds more to do, a human looks (`redaction_unstable`).
* Fail closed: whatever goes wrong in `examine` quarantines the record, with a reason and without its text.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from lineage.errors import LetheError, WrongUsage
from lineage.findings import KIND_OF, Evidence, FoundSpan, findings_of
from lineage.forms import fold, normalise
from lineage.policy import Action, Policy, worst
from lineage.records import Content
from lineage.register import Link
from lineage.scan import ART9_LEXICON, ScanFailed, Span
from lineage.spans import Interval, clusters, difference, overlaps, replaced

__all__ = [
    "Decision",
    "Evidence",
    "FoundSpan",
    "Gate",
    "Reason",
    "Verdict",
    "apply_redactions",
    "decide",
    "examine",
    "finding_value",
    "mentions",
    "unread",
]

Verdict: TypeAlias = Action
Reason: TypeAlias = Literal[
    "clean",
    "identifiers_redacted",
    "art9_lexicon",
    "ambiguous_name",
    "unknown_person",
    "unlisted_type",
    "weak_finding",
    "quarantined_type",
    "blocked_identifier",
    "oversize",
    "language_not_covered",
    "scan_timeout",
    "scan_failed",
    "redaction_unstable",
]
# The gravest first: one record has one reason.
_QUARANTINE_REASONS: tuple[Reason, ...] = (
    "art9_lexicon",
    "ambiguous_name",
    "unknown_person",
    "unlisted_type",
    "quarantined_type",
    "weak_finding",
)


@dataclass(frozen=True, slots=True)
class Decision:
    """The gate's answer for one record.

    `content` is what may be learnt when the verdict is allow or redact, and what a reviewer would release when it is
    quarantine or block: redactable findings are constants in it, the findings that stopped the record still stand.
    After a failed scan it is the record as it came.
    """

    verdict: Verdict
    reason: Reason
    findings: tuple[FoundSpan, ...]
    content: Content = field(repr=False)
    trunk_eligible: bool = False


class Finds(Protocol):
    """A scanner: Presidio's, or a fake."""

    def scan(self, text: str) -> tuple[Span, ...]:
        """The findings of one text; raises ScanFailed."""


class Links(Protocol):
    """A register or a suppression list."""

    def link(self, text: str) -> tuple[Link, ...]:
        """The known people's forms in one text."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Everything a verdict depends on. `strict` decides who may enter the trunk."""

    scanner: Finds
    register: Links
    suppression: Links
    policy: Policy
    strict: Policy


def examine(gate: Gate, content: Content, *, declared: Sequence[str], language: str | None = None) -> Decision:
    """Scan, link and decide one record, then scan what was redacted again. `declared` are subject keys.

    Anything that goes wrong with this record quarantines it.

    Raises:
        GateClosed: the scanner's self-test does not pass, so no record can be judged.
        WrongUsage: the policy does not fit the scanner.
    """
    policy = gate.policy
    if sum(len(segment) for segment in content.segments()) > policy.max_chars:
        return unread(policy, content, "oversize")
    if language is not None and language != policy.language:
        return unread(policy, content, "language_not_covered")
    try:
        decision = _judged(gate, content, declared)
        if decision.verdict == "redact" and not _settled(gate, decision, declared):
            return unread(policy, content, "redaction_unstable")
    except ScanFailed as failure:
        return unread(policy, content, failure.reason)
    except LetheError:
        raise
    except Exception:  # noqa: BLE001 - fail closed; the exception may quote the text and is dropped
        return unread(policy, content, "scan_failed")
    return decision


def decide(
    content: Content, *, declared: Collection[str], evidence: Sequence[Evidence], policy: Policy, strict: Policy
) -> Decision:
    """The verdict on one record from what was found in its segments, one `Evidence` each."""
    findings = findings_of(evidence, frozenset(declared), policy)
    verdict = worst(*(f.action for f in findings))
    nobody = not declared and not any(e.links or e.suppressed for e in evidence)
    return Decision(
        verdict=verdict,
        reason=_reason(verdict, findings, policy),
        findings=findings,
        content=apply_redactions(content, findings, policy),
        trunk_eligible=nobody and worst(*(f.action for f in findings_of(evidence, frozenset(), strict))) == "allow",
    )


def unread(policy: Policy, content: Content, reason: Reason) -> Decision:
    """The decision on a record that could not be judged: closed, with the reason, as it came."""
    return Decision(policy.on_error, reason, (), content)


def mentions(decision: Decision) -> frozenset[str]:
    """The subjects found in the record who are not its declared subjects."""
    return frozenset().union(*(f.subject_keys for f in decision.findings if not f.declared))


def finding_value(content: Content, found: FoundSpan) -> str:
    """The normalised value of a finding, to be hashed under a key and forgotten. `content` is the original content."""
    value = content.segments()[found.segment][found.start : found.end_exclusive]
    kind = KIND_OF.get(found.entity_type)
    if kind is not None:
        try:
            return normalise(kind, value)
        except WrongUsage:
            pass
    return fold(value).text.strip()


def apply_redactions(content: Content, findings: Iterable[FoundSpan], policy: Policy) -> Content:
    """The content with every `redact` finding replaced by its constant, except where it touches a kept own value.

    Overlapping findings become one constant: the one with the highest score, then the longest, then by name.
    """
    by_segment: dict[int, list[FoundSpan]] = {}
    for found in findings:
        by_segment.setdefault(found.segment, []).append(found)
    segments = list(content.segments())
    for index, found_here in by_segment.items():
        segments[index] = replaced(segments[index], list(_parts(segments[index], found_here, policy)))
    return content.with_segments(segments)


def _parts(text: str, findings: list[FoundSpan], policy: Policy) -> Iterator[tuple[Interval, str]]:
    kept = [f.interval for f in findings if f.declared and f.action == "allow" and f.entity_type in KIND_OF]
    redact = [f for f in findings if f.action == "redact"]
    for cluster in clusters(f.interval for f in redact):
        members = [f for f in redact if overlaps(f.interval, cluster)]
        name = min(members, key=lambda f: (-f.score, f.start - f.end_exclusive, f.entity_type)).entity_type
        for piece in difference(cluster, kept):
            if trimmed := _trimmed(text, piece):
                yield trimmed, policy.constant(name)


def _trimmed(text: str, piece: Interval) -> Interval | None:
    """The piece without the spaces at its ends; None if no letter or digit is in it."""
    inside = text[slice(*piece)]
    if not any(character.isalnum() for character in inside):
        return None
    start = piece[0] + len(inside) - len(inside.lstrip())
    return start, start + len(inside.strip())


def _judged(gate: Gate, content: Content, declared: Sequence[str]) -> Decision:
    evidence = tuple(
        Evidence(gate.scanner.scan(text), gate.register.link(text), gate.suppression.link(text))
        for text in content.segments()
    )
    return decide(content, declared=declared, evidence=evidence, policy=gate.policy, strict=gate.strict)


def _settled(gate: Gate, decision: Decision, declared: Sequence[str]) -> bool:
    again = _judged(gate, decision.content, declared)
    return again.verdict == "allow" and again.content == decision.content


def _reason(verdict: Verdict, findings: Iterable[FoundSpan], policy: Policy) -> Reason:
    reasons = {_why_stopped(found, policy) for found in findings if found.action == verdict}
    match verdict:
        case "allow":
            return "clean"
        case "redact":
            return "identifiers_redacted"
        case "block":
            return "blocked_identifier"
        case "quarantine":
            return next(reason for reason in _QUARANTINE_REASONS if reason in reasons)


def _why_stopped(found: FoundSpan, policy: Policy) -> Reason:
    if found.entity_type == ART9_LEXICON:
        return "art9_lexicon"
    if found.ambiguous:
        return "ambiguous_name"
    rule = policy.entities.get(found.entity_type)
    if rule is None:
        return "unlisted_type"
    if found.score < rule.min_score:
        return "weak_finding"
    return "unknown_person" if found.entity_type == "PERSON" and not found.subject_keys else "quarantined_type"
