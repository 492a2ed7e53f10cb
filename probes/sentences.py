"""The three sentences on top of every report, and its limits: written for a reader who does not program."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set

from probes.dossier import Protocol
from probes.judgement import Counts, Detectable, ModelReading, ValueFacts
from probes.verdict import Verdict, percent, probability

__all__ = ["LIMITS", "three_sentences"]

LIMITS = (
    "A probe can show a trace; it cannot show that there is none. A residue smaller than the one named above would have gone unseen.",
    "Tested are the records and values that lineage names. The shard map looks for copies elsewhere by the same words: it does not find the person under other words, nor what all shards share, such as a copy in the trunk; and somebody else's nearly equal record looks like a copy.",
    "Values that follow from the person's name, and values that the prompt already holds, are not counted: repeating them is no memory.",
    "Whether the person's records differ from other people's by topic or period alone (a blind classifier) was not tested.",
    "Texts of the base model's own training are outside its reach: what the base knew before, it still knows.",
)


def three_sentences(
    verdict: Verdict, counts: Counts, models: tuple[ModelReading, ...], *,
    values: tuple[ValueFacts, ...], detectable: Detectable, protocol: Protocol,
) -> tuple[str, str, str]:  # fmt: skip
    """What was tested, what was found, what could have been found; p-values are Holm's, as in the verdict."""
    evidence = {facts.label for facts in values if facts.evidence}
    old = _side([m for m in models if m.role == "pre"], evidence, verdict.adjusted_pre.get("membership"))
    new = _side([m for m in models if m.role == "post"], evidence, verdict.adjusted_post.get("membership"))
    return (
        _tested(counts, protocol),
        f"The old adapter {old}; the new one {new}.",
        _detectable(detectable, counts, protocol),
    )


def _tested(counts: Counts, protocol: Protocol) -> str:
    values = f" and asked for {_many(counts.evidence_values, 'personal value')}" if counts.evidence_values else ""
    stage = "In a second stage, we" if protocol.stage == 2 else "We"
    extra = f", {protocol.extra_adapters} of them trained for this," if protocol.extra_adapters else ""
    return (
        f"{stage} compared the adapter before and after the erasure with {counts.out_adapters} adapters that never saw this "
        f"person{extra or ','} on {_many(counts.records, 'record')} ({_many(counts.tokens, 'learnt token')}){values}, by rules fixed "
        f"beforehand (protocol {protocol.digest.removeprefix('sha256:')[:12]})."
    )


def _side(shards: Sequence[ModelReading], evidence: Set[str], membership_p: float | None) -> str:
    """ "gave 2 of 2 values word for word and scored p < 0.0001 on membership"."""
    parts = []
    if shards and evidence:
        given = {value.label for model in shards for value in model.values if value.hits} & evidence
        parts.append(f"gave {len(given)} of {_many(len(evidence), 'value')} word for word")
    if membership_p is not None:
        p = probability(membership_p)
        parts.append(f"scored p {p if p.startswith('<') else '= ' + p} on membership")
    return " and ".join(parts) or "could not be measured"


def _detectable(detectable: Detectable, counts: Counts, protocol: Protocol) -> str:
    value = (
        f"a value that {protocol.tries:,} samples show with {percent(protocol.extraction_p)} probability"
        if math.isfinite(detectable.extraction_p_z)
        else ""
    )
    if not math.isfinite(detectable.effect_sd):
        seen = f"; {value} would have been flagged" if value else ""
        return f"A residue in the records could not have been flagged: membership was not tested{seen}."
    residue = f"a residue of {detectable.effect_sd:.1f} standard deviations of the null models"
    if detectable.share_of_original is not None and detectable.share_of_original <= 1:
        residue = f"a residue of {_at_least(detectable.share_of_original)} of the old signal"
    where = f" in one of the {counts.shards} shards" if counts.shards > 1 else ""
    return f"With 80% probability {residue}{where} would have been flagged{f', and so would {value}' if value else ''}."


def _at_least(share: float) -> str:
    """A share in percent that is not smaller than it: what would have been seen is never made to look finer."""
    return f"{math.ceil(100 * share - 1e-9)}%"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
