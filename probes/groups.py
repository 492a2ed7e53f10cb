"""How well a score tells a group of members from a group of controls: AUC, and detections at a fixed false-alarm rate.

Legitimate for canaries and batches of subjects, whose records are independent. Never for one person: the records of a
person are not, and at five of them the standard error of an AUC is .13.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from probes.stats import Abstained, Interval

__all__ = ["DELONG_NEEDED", "Separation", "auc", "controls_needed", "detections", "separation"]

DELONG_NEEDED = 20  # of each group; below, the normal approximation of the logit is not good enough
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Separation:
    """AUC of members against controls, its 95% interval or why there is none, and a one-sided p against chance."""

    auc: float
    interval: Interval | Abstained
    p: float
    members: int
    controls: int


def separation(members: Sequence[float], controls: Sequence[float]) -> Separation | Abstained:
    """Logit-DeLong interval and normal p with at least 20 in each group; below, an exact permutation p and no interval."""
    few = min(len(members), len(controls))
    if not few:
        return Abstained("a group without a score has no AUC")
    exact = few < DELONG_NEEDED
    p = _permutation_p(members, controls) if exact else _rank_sum_p(members, controls)
    interval = Abstained(f"{few} scores in a group; {DELONG_NEEDED} needed") if exact else _delong(members, controls)
    return Separation(auc(members, controls), interval, p, len(members), len(controls))


def auc(members: Sequence[float], controls: Sequence[float]) -> float:
    """Chance that a member scores above a control, a tie counting one half (Mann and Whitney 1947)."""
    return float(_wins(members, controls).mean())


def _wins(members: Sequence[float], controls: Sequence[float]) -> np.ndarray:
    """For each member the share of controls below it, ties one half, shape (members,)."""
    ordered = np.sort(np.asarray(controls, dtype=float))
    own = np.asarray(members, dtype=float)
    below, upto = np.searchsorted(ordered, own, side="left"), np.searchsorted(ordered, own, side="right")
    return (below + upto) / (2 * len(ordered))


def _delong(members: Sequence[float], controls: Sequence[float]) -> Interval | Abstained:
    """Interval of the AUC: DeLong, DeLong and Clarke-Pearson 1988, on the logit, so that it stays between 0 and 1.

    The variance is that of the placements: how often each member beats the controls, how often each control is beaten.
    """
    wins, losses = _wins(members, controls), 1 - _wins(controls, members)
    area = float(wins.mean())
    error = math.sqrt(wins.var(ddof=1) / len(wins) + losses.var(ddof=1) / len(losses))
    if not 0 < area < 1 or not error:
        return Abstained("the groups do not overlap, so the scores show no variance")
    half = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) * error / (area * (1 - area))
    centre = math.log(area / (1 - area))
    return Interval(area, *(1 / (1 + math.exp(-logit)) for logit in (centre - half, centre + half)))


def _rank_sum_p(members: Sequence[float], controls: Sequence[float]) -> float:
    """Normal approximation with tie correction; scores that are all equal say nothing."""
    if np.ptp([*members, *controls]) == 0:
        return 1.0
    return float(stats.mannwhitneyu(members, controls, alternative="greater", method="asymptotic").pvalue)


def _permutation_p(members: Sequence[float], controls: Sequence[float]) -> float:
    """Share of all ways to deal the labels that give the members at least this rank sum: exact, also with ties.

    `ways[j][s]` counts the subsets of j scores whose doubled mid-ranks, which are whole numbers, sum to s.
    """
    ranks = np.rint(2 * stats.rankdata([*members, *controls])).astype(int)
    few = min(len(members), len(controls))
    dealt = ranks[: len(members)] if few == len(members) else ranks[len(members) :]
    ways = np.zeros((few + 1, int(np.sort(ranks)[-few:].sum()) + 1))
    ways[0, 0] = 1
    for rank in ranks:
        for j in range(few, 0, -1):
            ways[j, rank:] += ways[j - 1, : ways.shape[1] - rank]
    seen = int(dealt.sum())
    tail = ways[few, seen:] if few == len(members) else ways[few, : seen + 1]
    return float(tail.sum() / ways[few].sum())


def controls_needed(false_alarms: float) -> int:
    """Smallest number of controls of which none above the threshold shows, at 95%, that its rate is at most this.

    59 for 5%, 299 for 1%, 2,995 for 0.1%: (1 - rate)^n <= .05 (Wilks 1941).
    """
    return math.ceil(math.log(1 - CONFIDENCE) / math.log1p(-false_alarms))


def detections(members: Sequence[float], controls: Sequence[float], *, false_alarms: float) -> Interval | Abstained:
    """Share of members above a threshold whose false-alarm rate is at most `false_alarms`, with its 95% interval.

    The threshold is the lowest control score that so few controls exceed that Clopper and Pearson's one-sided 95% bound
    of their share is still at most `false_alarms`. A member has to exceed it: a tie is no detection. Nothing is read
    between two points of the curve. The interval is Clopper and Pearson's (1934) and is that of the members alone.
    """
    if len(controls) < controls_needed(false_alarms):
        return Abstained(f"{len(controls)} controls; {controls_needed(false_alarms)} needed")
    if not members:
        return Abstained("no member was scored")
    ordered = np.sort(np.asarray(controls, dtype=float))[::-1]
    allowed = _exceedances_allowed(len(ordered), false_alarms)
    hits = int(np.sum(np.asarray(members, dtype=float) > ordered[allowed]))
    found = stats.binomtest(hits, len(members)).proportion_ci(CONFIDENCE, method="exact")
    return Interval(hits / len(members), float(found.low), float(found.high))


def _exceedances_allowed(controls: int, false_alarms: float) -> int:
    """Largest k of n with P(at most k alarms | rate) <= .05: what Clopper and Pearson's upper bound says, inverted."""
    k = int(stats.binom.ppf(1 - CONFIDENCE, controls, false_alarms))
    return k if stats.binom.cdf(k, controls, false_alarms) <= 1 - CONFIDENCE else k - 1
