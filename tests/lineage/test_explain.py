"""The rule that is named is the rule that decided: for any finding, and the text shows no value that stops the record."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lineage_world import DEFAULT, STRICT

from lineage.admit import decide
from lineage.explain import explain
from lineage.findings import Evidence
from lineage.keyring import PairMac
from lineage.policy import Policy
from lineage.records import PlainText
from lineage.register import Link
from lineage.scan import ART9_LEXICON, Span

PSEUDONYM = PairMac(bytes(32))
TEXT = "".join(chr(0x4E00 + i) for i in range(80))  # no character twice: what is shown can be told by its value
TYPES = ("PERSON", "EMAIL_ADDRESS", "CREDIT_CARD", "URL", "NOT_LISTED", ART9_LEXICON, "US_SSN")
PLACES = st.tuples(st.integers(0, 70), st.integers(4, 10))
SPANS = st.builds(
    lambda kind, place, score: Span(kind, place[0], place[0] + place[1], score, "fake"),
    st.sampled_from(TYPES), PLACES, st.sampled_from([0.4, 0.6, 0.95, 1.0]),
)  # fmt: skip
LINKS = st.builds(
    lambda kind, place, people: Link(
        start=place[0], end_exclusive=place[0] + place[1], kind=kind, subject_keys=frozenset(people), ambiguous=len(people) > 1
    ),
    st.sampled_from(["name", "email"]), PLACES, st.sets(st.sampled_from(["own", "b", "c"]), min_size=1, max_size=2),
)  # fmt: skip


def said(policy: Policy, entity_type: str, rule: str) -> str:
    """What the policy file says under a key."""
    match rule.split("."):
        case ["entities", kind, key]:
            assert kind == entity_type
            return getattr(policy.entities[kind], key)
        case ["art9", "action"]:
            return policy.art9.action
        case [key]:
            return getattr(policy, key)
    raise AssertionError(rule)


ERASED = LINKS.map(lambda link: link._replace(subject_keys=frozenset(), ambiguous=False))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(SPANS, max_size=4), st.lists(LINKS, max_size=3), st.lists(ERASED, max_size=2),
    st.sampled_from([DEFAULT, STRICT]),
)  # fmt: skip
def test_the_key_that_is_named_says_the_action(spans, links, erased, policy):
    content = PlainText(TEXT)
    evidence = [Evidence(tuple(spans), tuple(links), tuple(erased))]
    decision = decide(content, declared=["own"], evidence=evidence, policy=policy, strict=STRICT, pseudonym=PSEUDONYM)
    explained = explain(content, decision, policy, PSEUDONYM)
    for found in explained.findings:
        assert said(policy, found.entity_type, found.rule) == found.action
        assert found.because
    shown = explained.text[0]
    for found in explained.findings:
        value = TEXT[found.start : found.end_exclusive]
        if found.action in ("quarantine", "block"):
            assert value not in shown
    if explained.verdict in ("allow", "redact"):
        assert explained.text == decision.content.segments()
