"""Whether a record may be learnt, and what of it: findings and links in, one decision out.

`decide` is pure. Three kinds of evidence meet in a segment: Presidio's spans, the register's links to known people, and
the suppression list's links to erased ones. The verdict is the maximum over the findings, and these laws hold:

* A value of the record's own declared subject is never ambiguous, and what happens to it does not depend on who else is
  registered: other people's findings are cut back to what lies outside it. Only a structured identifier of somebody
  else (an address, a phone, an account) that contains the subject's name swallows that name.
* What other people are called becomes a constant, whether they are registered or already erased; what a declared subject
  is called may become their pseudonym (`standins`).
* A redacted record is scanned again before it is admitted; if that finds more to do, a human looks (`redaction_unstable`).
* Fail closed: whatever goes wrong in `examine` quarantines the record, with a reason and without its text.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, TypeAlias, get_args

from lineage.errors import LetheError, WrongUsage
from lineage.findings import KIND_OF, Evidence, FoundSpan, findings_of
from lineage.folding import folded_text
from lineage.forms import normalise
from lineage.keyring import PairMac
from lineage.languages import primary
from lineage.policy import Action, Policy, worst
from lineage.pseudonyms import Pseudonym
from lineage.quiet import Complaint
from lineage.records import Content
from lineage.register import Link
from lineage.scan import ART9_LEXICON, Fingerprint, ScanFailed, Span
from lineage.standins import redacted

__all__ = [
    "UNREAD",
    "Decision",
    "Evidence",
    "FoundSpan",
    "Gate",
    "Reason",
    "Verdict",
    "decide",
    "examine",
    "finding_digests",
    "mentions",
    "normal_value",
    "unread",
]

Verdict: TypeAlias = Action
Unread: TypeAlias = Literal["oversize", "language_not_covered", Complaint, "redaction_unstable"]
UNREAD: frozenset[str] = frozenset(get_args(Unread))
"""Reasons that leave nobody able to say what is in the record: nothing of it may be shown, and no reviewer may release it."""
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
    "near_erased",
    Unread,
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

    @property
    def fingerprint(self) -> Fingerprint:
        """What its findings depend on."""

    def scan(self, text: str) -> tuple[Span, ...]:
        """The findings of one text; raises ScanFailed."""


class Links(Protocol):
    """A register or a suppression list."""

    def link(self, text: str) -> tuple[Link, ...]:
        """The known people's forms in one text."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Everything a verdict depends on. `strict` decides who may enter the trunk; `pseudonym` names declared subjects.

    `scanner` reads the policy's own language, `others` the further ones, by code.
    """

    scanner: Finds
    register: Links
    suppression: Links
    policy: Policy
    strict: Policy
    others: Mapping[str, Finds] = field(default_factory=dict)
    pseudonym: Pseudonym | None = field(default=None, repr=False)

    def reading(self, language: str | None) -> Gate | None:
        """The gate for a record in this language (None: the policy's own); None if nobody scans it."""
        code = self.policy.language if language is None else primary(language)
        if code == self.policy.language:
            return self
        return replace(self, scanner=self.others[code]) if code in self.others else None


def examine(gate: Gate, content: Content, *, declared: Sequence[str], language: str | None = None) -> Decision:
    """Scan, link and decide one record, then scan what was redacted again. `declared` are subject keys.

    Anything that goes wrong with this record quarantines it.

    Raises:
        GateClosed: the scanner's self-test does not pass, or the key of the pseudonyms is missing: no record can be judged.
        WrongUsage: the policy does not fit the scanner.
    """
    policy = gate.policy
    if sum(len(segment) for segment in content.segments()) > policy.max_chars:
        return unread(policy, content, "oversize")
    reading = gate.reading(language)
    if reading is None:
        return unread(policy, content, "language_not_covered")
    try:
        decision = _judged(reading, content, declared)
        if decision.verdict == "redact" and not _settled(reading, decision, declared):
            return unread(policy, content, "redaction_unstable")
    except ScanFailed as failure:
        return unread(policy, content, failure.reason)
    except LetheError:
        raise
    except Exception:  # noqa: BLE001 - fail closed; the exception may quote the text and is dropped
        return unread(policy, content, "scan_failed")
    return decision


def decide(
    content: Content, *, declared: Collection[str], evidence: Sequence[Evidence], policy: Policy, strict: Policy,
    pseudonym: Pseudonym | None = None,
) -> Decision:  # fmt: skip
    """The verdict on one record from what was found in its segments, one `Evidence` each.

    Raises:
        GateClosed: the policy asks for pseudonyms and `pseudonym` is not given.
    """
    findings = findings_of(evidence, frozenset(declared), policy)
    actions = {f.action for f in findings}
    verdict = worst(*actions)
    kept = content
    if "redact" in actions:
        kept, findings = redacted(content, findings, policy, pseudonym)
    nobody = not declared and not any(e.links or e.suppressed for e in evidence)
    seen = policy.min_score <= strict.min_score  # else the scan left out what strict would have acted upon
    return Decision(
        verdict=verdict,
        reason=_reason(verdict, findings, policy),
        findings=findings,
        content=kept,
        trunk_eligible=nobody and seen and all(f.action == "allow" for f in findings_of(evidence, frozenset(), strict)),
    )


def unread(policy: Policy, content: Content, reason: Unread) -> Decision:
    """The decision on a record that could not be judged: closed, with the reason, as it came."""
    return Decision(policy.on_error, reason, (), content)


def mentions(decision: Decision) -> frozenset[str]:
    """The subjects found in the record who are not its declared subjects."""
    return frozenset().union(*(f.subject_keys for f in decision.findings if not f.declared))


def finding_digests(content: Content, findings: Iterable[FoundSpan], mac: PairMac) -> list[str]:
    """The keyed digest of each finding's value; a record repeats many. `content` is the original content."""
    segments = content.segments()
    known: dict[tuple[str, str], str] = {}
    digests: list[str] = []
    for found in findings:
        written = found.entity_type, segments[found.segment][found.start : found.end_exclusive]
        digest = known.get(written)
        if digest is None:
            digest = known[written] = mac(found.entity_type, normal_value(*written))
        digests.append(digest)
    return digests


def normal_value(entity_type: str, value: str) -> str:
    """The normalised value of a finding, to be hashed under a key and forgotten."""
    kind = KIND_OF.get(entity_type)
    if kind is not None:
        try:
            return normalise(kind, value)
        except WrongUsage:
            pass
    return folded_text(value).strip()


def _judged(gate: Gate, content: Content, declared: Sequence[str]) -> Decision:
    evidence = tuple(
        Evidence(gate.scanner.scan(text), gate.register.link(text), gate.suppression.link(text))
        for text in content.segments()
    )
    return decide(
        content, declared=declared, evidence=evidence, policy=gate.policy, strict=gate.strict, pseudonym=gate.pseudonym
    )


def _settled(gate: Gate, decision: Decision, declared: Sequence[str]) -> bool:
    again = _judged(gate, decision.content, declared)
    return again.verdict == "allow" and again.content == decision.content


def _reason(verdict: Verdict, findings: Iterable[FoundSpan], policy: Policy) -> Reason:
    match verdict:
        case "allow":
            return "clean"
        case "redact":
            return "identifiers_redacted"
        case "block":
            return "blocked_identifier"
        case "quarantine":
            reasons = {_why_stopped(found, policy) for found in findings if found.action == verdict}
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
