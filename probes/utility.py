"""What is left of the model's use: negative log-likelihood on records nothing was trained on, and what an erasure cost.

The controls' records are held out by the plan, so they speak for everybody who was not erased. A person's records are
dependent: the bound of the difference counts people, not records or tokens.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from probes.bench import Bench
from probes.readings import TokenReadings
from probes.stats import Abstained

__all__ = ["Change", "SourceLoss", "Upkeep", "Utility", "change", "held_out_nll", "losses_by_source", "upkeep"]

BEFORE, AFTER = "composed_pre", "composed_post"
IN_SERVICE = ("base", BEFORE, "contained", AFTER)
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Utility:
    """Mean negative log-likelihood in nats per loss-carrying token, over `tokens` tokens."""

    nll: float
    tokens: int


@dataclass(frozen=True, slots=True)
class SourceLoss:
    """Held-out loss of one source's control records, in nats per token, by model: the base and the releases."""

    source: str
    people: int
    records: int
    tokens: int
    nll: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Change:
    """New release minus old, in nats per held-out token, over `people` control people.

    `lower` and `upper` are one-sided 95% bounds each: "not worse by more than the margin" looks at `upper` alone.
    """

    difference: float
    lower: float
    upper: float
    people: int


@dataclass(frozen=True, slots=True)
class Upkeep:
    """Whether the rest of the model is still as good. Its own finding: the verdict about the person ignores it."""

    sentence: str
    change: Change | Abstained
    by_source: tuple[SourceLoss, ...]


def held_out_nll(readings: Sequence[TokenReadings]) -> Utility:
    """Held-out NLL: the sum of losses by the number of *scored* tokens, not of all tokens; nan without tokens."""
    tokens = sum(len(reading.log_p) for reading in readings)
    nats = -sum(float(reading.log_p.sum()) for reading in readings)
    return Utility(nats / tokens if tokens else math.nan, tokens)


def change(people: Sequence[str], old: Sequence[TokenReadings], new: Sequence[TokenReadings]) -> Change:
    """Paired difference of two models' held-out loss, its bounds clustered by person; `people` names each record's.

    The difference is the ratio sum D_i / sum T_i, D_i the nats that person i lost and T_i their tokens, so it equals
    the difference of the two held-out losses. Its variance is the linearised one of a ratio (Cochran 1977, Sampling
    Techniques, Chapter 6; a cluster-robust error with m/(m - 1)), read on m - 1 degrees of freedom. At least two people.
    """
    lost: dict[str, float] = defaultdict(float)
    tokens: dict[str, int] = defaultdict(int)
    for person, before, after in zip(people, old, new, strict=True):
        if not len(before.log_p):
            continue  # cut before its first learnt token: it says nothing about this person
        lost[person] += float(before.log_p.sum() - after.log_p.sum())
        tokens[person] += len(before.log_p)
    nats, sizes = np.array(list(lost.values())), np.array(list(tokens.values()), dtype=float)
    m, ratio = len(nats), float(nats.sum() / sizes.sum())
    error = math.sqrt(m / (m - 1) * float(((nats - ratio * sizes) ** 2).sum())) / float(sizes.sum())
    half = float(stats.t.ppf(CONFIDENCE, m - 1)) * error
    return Change(ratio, ratio - half, ratio + half, m)


def losses_by_source(bench: Bench) -> tuple[SourceLoss, ...]:
    """Held-out loss of the base and the releases by source, in the order of the sources' names."""
    places: dict[str, list[int]] = defaultdict(list)
    for index, control in enumerate(bench.dossier.controls):
        places[control.source].append(index)
    models = [name for name in IN_SERVICE if name in bench.readings]
    found = []
    for source, indices in sorted(places.items()):
        losses = {name: held_out_nll([bench.readings[name].control[i] for i in indices]) for name in models}
        people = {bench.dossier.controls[i].subject_handle for i in indices}
        nll = {name: loss.nll for name, loss in losses.items()}
        found.append(SourceLoss(source, len(people), len(indices), losses[models[0]].tokens, nll))
    return tuple(found)


def upkeep(bench: Bench) -> Upkeep:
    """Compare the release before with the one after the erasure on the control people's records."""
    found = _change(bench)
    return Upkeep(_sentence(found, bench.protocol.utility_margin), found, losses_by_source(bench))


def _change(bench: Bench) -> Change | Abstained:
    if not {BEFORE, AFTER} <= bench.readings.keys():
        return Abstained("there is no release before and after the erasure to compare")
    people = [control.subject_handle for control in bench.dossier.controls]
    spoke = {person for person, r in zip(people, bench.readings[AFTER].control, strict=True) if len(r.log_p)}
    needed = bench.protocol.min_control_subjects
    if len(spoke) < max(2, needed):
        return Abstained(f"{len(spoke)} control people with learnt tokens; {needed} needed")
    return change(people, bench.readings[BEFORE].control, bench.readings[AFTER].control)


def _sentence(found: Change | Abstained, margin: float) -> str:
    """Nats in words: a difference of d nats per token is a factor exp(d) in perplexity."""
    if isinstance(found, Abstained):
        return f"Whether the rest of the model is as good as before was not tested: {found.reason}."
    measured = (
        f"on the records of {found.people} people nobody trained on, the new release's loss differs from the old one's "
        f"by {found.difference:+.3f}"
    )
    limit = f"more than {margin:g} nats per token"
    if found.upper < margin:
        return f"The rest of the model is not worse by {limit}: {measured}, at most {found.upper:+.3f} (one-sided 95% bound)."
    if found.lower > margin:
        return f"The rest of the model became worse by {limit}: {measured}, at least {found.lower:+.3f} (one-sided 95% bound)."
    return (
        f"It cannot be told whether the rest of the model is worse by {limit}: {measured}, between {found.lower:+.3f} "
        f"and {found.upper:+.3f} (one-sided 95% bounds)."
    )
