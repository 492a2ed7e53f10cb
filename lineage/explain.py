"""What a policy does to one text, in words: verdict, the rule behind each finding, and the text as it would be learnt.

Pure. A value that stops the record is masked in the text, because it is shown to somebody who may not have known that it
is there; after a scan that did not end nobody can say what is in the text, so none of it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lineage.admit import UNREAD, Decision
from lineage.findings import FoundSpan
from lineage.policy import EntityRule, Policy
from lineage.pseudonyms import Pseudonym
from lineage.records import Content
from lineage.scan import ART9_LEXICON
from lineage.standins import apply_redactions

__all__ = ["Explained", "ExplainedFinding", "explain"]

STOPPING = ("quarantine", "block")


@dataclass(frozen=True, slots=True)
class ExplainedFinding:
    """One finding with the key of the policy that decided, and why that one. Never the value."""

    segment: int
    start: int
    end_exclusive: int
    entity_type: str
    score: float
    recognizer: str
    action: str
    rule: str
    because: str


@dataclass(frozen=True, slots=True)
class Explained:
    """A decision in words. `text` is what would be learnt, or what a reviewer would see; None if nobody may say."""

    policy: str
    policy_digest: str
    verdict: str
    reason: str
    trunk_eligible: bool
    findings: tuple[ExplainedFinding, ...]
    text: tuple[str, ...] | None = field(repr=False)


def explain(content: Content, decision: Decision, policy: Policy, pseudonym: Pseudonym | None = None) -> Explained:
    """The decision about `content` under `policy`, in words."""
    hidden = decision.reason in UNREAD
    return Explained(
        policy=policy.name,
        policy_digest=policy.digest,
        verdict=decision.verdict,
        reason=decision.reason,
        trunk_eligible=decision.trunk_eligible,
        findings=tuple(_explained(found, policy) for found in decision.findings),
        text=None if hidden else _shown(content, decision, policy, pseudonym).segments(),
    )


def _explained(found: FoundSpan, policy: Policy) -> ExplainedFinding:
    rule, because = _rule_of(found, policy)
    return ExplainedFinding(
        found.segment, found.start, found.end_exclusive, found.entity_type, found.score, found.recognizer, found.action,
        rule, because,
    )  # fmt: skip


def _rule_of(found: FoundSpan, policy: Policy) -> tuple[str, str]:
    """The key of the policy file that decided, and the reason in words. The order is that of the gate."""
    rule, name = policy.entities.get(found.entity_type), f"entities.{found.entity_type}"
    if found.entity_type == ART9_LEXICON:
        return "art9.action", "a word of the Art. 9 list stands there"
    if rule is None:
        return "default", "the policy does not list this type"
    if found.score < rule.min_score:
        return f"{name}.weak_action", f"the score is below {rule.min_score:g}"
    if found.ambiguous:
        return "ambiguous_name", "several people in the register share this name"
    key, because = _whose(found, rule)
    return (f"{name}.{key}" if getattr(rule, key) is not None else f"{name}.action"), because


def _whose(found: FoundSpan, rule: EntityRule) -> tuple[str, str]:
    if found.declared:
        return "declared_subject", "it belongs to the record's own person"
    if found.subject_keys:
        return "other_person", "it belongs to somebody else in the register"
    if found.recognizer == "suppression" or found.action != rule.action:
        return "other_person", "it belongs to a person who was erased"
    return "action", "nobody in the register is linked"


def _shown(content: Content, decision: Decision, policy: Policy, pseudonym: Pseudonym | None) -> Content:
    stopping = [found for found in decision.findings if found.action in STOPPING]
    if not stopping:
        return decision.content
    acted_on = [_masked(found) for found in decision.findings if found.action != "allow"]  # what is kept hides no mask
    return apply_redactions(content, acted_on, _masking(stopping, policy), pseudonym)


def _masked(found: FoundSpan) -> FoundSpan:
    """The finding as one to redact, under a type of its own and with the highest score, so that its mask wins."""
    if found.action not in STOPPING:
        return found
    return found._replace(action="redact", entity_type=_mask_type(found), score=2.0)


def _mask_type(found: FoundSpan) -> str:
    return f"masked {found.entity_type}"


def _masking(stopping: Sequence[FoundSpan], policy: Policy) -> Policy:
    masks = {
        _mask_type(f): EntityRule.model_construct(action="redact", constant=f"<{f.entity_type}>") for f in stopping
    }
    return policy.model_copy(update={"entities": {**policy.entities, **masks}})
