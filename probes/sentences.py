"""The three sentences on top of every report, and its limits: written for a reader who does not program."""

from __future__ import annotations

from probes.dossier import Protocol
from probes.judgement import Counts, Detectable, ModelReading
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
    verdict: Verdict, counts: Counts, models: tuple[ModelReading, ...], *, detectable: Detectable, protocol: Protocol
) -> tuple[str, str, str]:
    """What was tested, what was found, what could have been found; p-values are Holm's, as in the verdict."""
    old = _side(models, "pre", verdict.adjusted_pre.get("membership"))
    new = _side(models, "post", verdict.adjusted_post.get("membership"))
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


def _side(models: tuple[ModelReading, ...], role: str, membership_p: float | None) -> str:
    """ "gave 2 of 2 values word for word and scored p < 0.0001 on membership"."""
    own = [model for model in models if model.role == role]
    parts = []
    if own and own[0].greedy_values:
        parts.append(f"gave {max(m.greedy_hits for m in own)} of {_many(own[0].greedy_values, 'value')} word for word")
    if membership_p is not None:
        p = probability(membership_p)
        parts.append(f"scored p {p if p.startswith('<') else '= ' + p} on membership")
    return " and ".join(parts) or "could not be measured"


def _detectable(detectable: Detectable, counts: Counts, protocol: Protocol) -> str:
    share = (
        f"a residue of {percent(detectable.share_of_original)} of the old signal"
        if detectable.share_of_original is not None and detectable.share_of_original <= 1
        else f"a residue of {detectable.effect_sd:.1f} standard deviations of the null models"
    )
    value = (
        f", and so would a value that {protocol.tries:,} samples show with {percent(protocol.extraction_p)} probability"
        if counts.evidence_values
        else ""
    )
    return f"With 80% probability {share} would have been flagged{value}."


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
