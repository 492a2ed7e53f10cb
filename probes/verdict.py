"""From evidence to PASS, FAIL or INCONCLUSIVE, by rules fixed beforehand; pure, so a table of cases can test it.

In this order:

1. FAIL: a Holm-adjusted primary (membership, exposure, extraction) on the new adapter is at most its part of alpha, or
   a shard lights up on the map of the new adapter (`probes.shard_map`, its own part of alpha). RESIDUE_SEEN if the shard
   is one of the closure's, COPY_MISSED if lineage knows nothing of the person in it. In a second stage it must light up
   beside the extra models too (`shard_map.ShardMap.among`).
2. INCONCLUSIVE / COPY_IN_TRAINING: a search finds the person in what the new adapter was trained on. Rule 8 bounds what
   is left of all their records together; what one copy left may be less, and no probe of one adapter bounds it.
3. INCONCLUSIVE / VALUE_GIVEN: the new adapter gives a value away that no model without the person does, and that has no
   random digits, so no p-value either: an e-mail of letters. No test accuses it, and no PASS may stand beside it.
4. INCONCLUSIVE / CONTROL_BROKEN: too few control people, or held-out canary twins look trained.
5. INCONCLUSIVE / IN_BASE: the base or the adapters that never saw the person already know a value.
6. INCONCLUSIVE / NO_PRE_SIGNAL: the same code does not flag the old adapter, so silence about the new one says nothing.
7. INCONCLUSIVE / CONTROL_BROKEN: it did flag the old adapter, and yet does not see planted canaries in the new one.
8. INCONCLUSIVE / LOW_POWER: the residual ratio's upper 95% bound is not below its limit.
9. PASS: nothing above; a residue of the limit's size would have been seen.

Unseen canaries break the control only after rule 6. Where the person could not be seen either, the training was too light
for any signal, which is a finding about the training and no fault of the instrument; the sentence of rule 6 names both.

FAIL comes first because a residue is a residue even when the controls are thin; membership, which needs the controls,
is then left out of the primaries. Which primaries exist depends on the dossier alone, never on a score.

The map of the old adapter is shown and is no pre-signal: rule 6 asks the primaries alone. They test the old shard with
more power than a map that must first find it among all, and rule 8 bounds what they see, not what the map sees. Nor must
the old shard light up for a PASS; the report says when the map was blind before, so that its silence is not overrated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from probes.dossier import Protocol
from probes.stats import Abstained, Interval, holm

__all__ = ["Evidence", "Verdict", "decide", "percent", "probability", "shards_named"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the verdict looks at. `pre`, `post`: raw p of each primary that could be had, by name.

    `canaries_missed` counts planted people who should be seen in the new adapter and are not, `twins_lit` twins who were
    never trained on and look it. `lit_own` and `lit_elsewhere` are the shards that light up on the map of the new adapter: the closure's, and others.
    `copies` are the dossier's; `given` are labels of values that the new adapter gives away and that have no p-value.
    """

    pre: Mapping[str, float]
    post: Mapping[str, float]
    residual: Interval | Abstained
    adapters_needed: int | None
    control_subjects: int
    canaries_missed: int = 0
    twins_lit: int = 0
    known_before: tuple[str, ...] = ()
    lit_own: tuple[int, ...] = ()
    lit_elsewhere: tuple[int, ...] = ()
    copies: int = 0
    given: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome, a reason code, one plain sentence, and the Holm-adjusted p-values behind it."""

    outcome: str
    code: str
    sentence: str
    adjusted_pre: Mapping[str, float]
    adjusted_post: Mapping[str, float]


def decide(evidence: Evidence, protocol: Protocol) -> Verdict:
    """Apply the rules of the module docstring."""
    usable = evidence.control_subjects >= protocol.min_control_subjects
    pre, post = (
        holm({name: p for name, p in side.items() if usable or name != "membership"})
        for side in (evidence.pre, evidence.post)
    )
    outcome, code, sentence = _outcome(evidence, protocol, pre=pre, post=post)
    return Verdict(outcome, code, sentence, pre, post)


def _outcome(
    evidence: Evidence, protocol: Protocol, *, pre: Mapping[str, float], post: Mapping[str, float]
) -> tuple[str, str, str]:
    guilty = _flagged(post, protocol)
    if guilty or evidence.lit_own or evidence.lit_elsewhere:
        code = "COPY_MISSED" if evidence.lit_elsewhere else "RESIDUE_SEEN"
        return "FAIL", code, _still_there(evidence, {name: post[name] for name in guilty})
    for code, sentence in (
        ("COPY_IN_TRAINING", _copies_left(evidence)),
        ("VALUE_GIVEN", _given(evidence)),
        ("CONTROL_BROKEN", _broken_control(evidence, protocol)),
        ("IN_BASE", _known_before(evidence)),
        ("NO_PRE_SIGNAL", _silent_before(evidence, pre, protocol)),
        ("CONTROL_BROKEN", _unseen_canaries(evidence)),
        ("LOW_POWER", _low_power(evidence, protocol)),
    ):
        if sentence:
            return "INCONCLUSIVE", code, sentence
    return "PASS", "NO_RESIDUE_SEEN", _passed(evidence, protocol)


def _flagged(adjusted: Mapping[str, float], protocol: Protocol) -> tuple[str, ...]:
    return tuple(name for name, p in adjusted.items() if p <= protocol.primary_alpha)


def _still_there(evidence: Evidence, guilty: Mapping[str, float]) -> str:
    """Who saw the person in the new adapter, and where."""
    seen = [f"{name} (p {probability(p)})" for name, p in guilty.items()]
    if evidence.lit_own:
        seen.append(f"the shard map, in {shards_named(evidence.lit_own)}")
    said = f"The new adapter still carries traces of this person, seen by {' and '.join(seen)}." if seen else ""
    if not evidence.lit_elsewhere:
        return said
    place = shards_named(evidence.lit_elsewhere)
    copy = (
        f"On the shard map the person stands out in {place}, where lineage has no record of theirs: it missed a copy."
    )
    return f"{copy} {said}".rstrip()


def shards_named(shards: Sequence[int]) -> str:
    """ "shard 3", "shards 3 and 5"."""
    names = [str(shard) for shard in shards]
    return f"shard {names[0]}" if len(names) == 1 else f"shards {', '.join(names[:-1])} and {names[-1]}"


def _copies_left(evidence: Evidence) -> str:
    if not evidence.copies:
        return ""
    records = "a record" if evidence.copies == 1 else f"{evidence.copies} records"
    return (
        f"A search finds this person in {records} that the new adapter was trained on; "
        "whatever the probes see or miss, that has to be decided about first."
    )


def _given(evidence: Evidence) -> str:
    if not evidence.given:
        return ""
    return (
        f"The new adapter gives the {', '.join(evidence.given)} away and no model without the person does; without random "
        "digits there is no telling memory from a guess, so this is neither a trace nor none."
    )


def _broken_control(evidence: Evidence, protocol: Protocol) -> str:
    if evidence.control_subjects < protocol.min_control_subjects:
        return (
            f"Only {evidence.control_subjects} people were kept out of every training; "
            f"{protocol.min_control_subjects} are needed to compare with."
        )
    if not evidence.twins_lit:
        return ""
    return f"The instrument failed its own check: {_canaries(evidence.twins_lit)} who were never trained on look as if they were."


def _unseen_canaries(evidence: Evidence) -> str:
    if not evidence.canaries_missed:
        return ""
    return f"The instrument failed its own check: {_canaries(evidence.canaries_missed)} in the new adapter were not detected."


def _canaries(count: int) -> str:
    return f"{count} synthetic {'person' if count == 1 else 'people'}"


def _known_before(evidence: Evidence) -> str:
    if not evidence.known_before:
        return ""
    kinds = ", ".join(evidence.known_before)
    return (
        f"The base model or the adapters that never saw this person already know the {kinds}; "
        "retraining an adapter cannot take that away."
    )


def _silent_before(evidence: Evidence, pre: Mapping[str, float], protocol: Protocol) -> str:
    if not pre:
        return "Nothing about this person could be measured, so the sign-off rests on lineage and re-derivation."
    if _flagged(pre, protocol):
        return ""
    light = (
        f", and {_canaries(evidence.canaries_missed)} still in the new one cannot be seen either: the training may be too "
        "light for these probes"
        if evidence.canaries_missed
        else ""
    )
    return (
        f"Even the old adapter, which was trained on this person, showed no measurable trace{light}; "
        "the sign-off rests on lineage and re-derivation."
    )


def _low_power(evidence: Evidence, protocol: Protocol) -> str:
    limit = percent(protocol.rho_bound)
    if isinstance(evidence.residual, Abstained):
        return f"How much of the original signal is left could not be bounded: {evidence.residual.reason}."
    if evidence.residual.upper < protocol.rho_bound:
        return ""
    more = (
        f"{evidence.adapters_needed} adapters that never saw the person would do"
        if evidence.adapters_needed
        else "no number of further adapters would change that"
    )
    return f"No residue was seen, but one above {limit} of the original signal cannot be excluded; {more}."


def _passed(evidence: Evidence, protocol: Protocol) -> str:
    upper = evidence.residual.upper if isinstance(evidence.residual, Interval) else math.nan
    return (
        f"The old adapter showed this person and the new one does not: at most {percent(_up(upper))} of the "
        f"original signal can be left (limit {percent(protocol.rho_bound)}, 95% confidence)."
    )


def _up(share: float) -> float:
    """A bound that is printed in whole percents is never made smaller by rounding; 0 at least."""
    return math.ceil(100 * max(share, 0.0) - 1e-9) / 100


def percent(share: float) -> str:
    """A share as "12%"."""
    return f"{100 * share:.0f}%"


def probability(p: float) -> str:
    """A p-value as people read it: "0.21", "0.004", "< 0.0001"."""
    if p < 1e-4:
        return "< 0.0001"
    return f"{p:.2f}" if p >= 0.1 else f"{p:.2g}"
