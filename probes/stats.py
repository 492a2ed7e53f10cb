"""The few statistics the verdict rests on: prediction test, conformal p, Fieller interval, Holm, power.

The unit of replication is the adapter: K models of the same recipe that never saw the person.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

__all__ = [
    "Abstained",
    "Interval",
    "Prediction",
    "RatioInput",
    "adapters_needed",
    "conformal_p",
    "detectable_effect",
    "fieller",
    "holm",
    "power",
    "prediction_test",
]


ROUNDING = 1e-12  # of the largest null: less spread than this is float64's, not the models'


@dataclass(frozen=True, slots=True)
class Abstained:
    """A number that could not be had, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """One score against K null models: does it come from the same distribution?"""

    score: float
    mean: float
    sd: float
    k: int
    t: float
    p: float
    conformal_p: float

    @property
    def effect_sd(self) -> float:
        """Distance from the null models' mean in their standard deviations."""
        return (self.score - self.mean) / self.sd


def prediction_test(score: float, nulls: Sequence[float]) -> Prediction | Abstained:
    """One-sided prediction test: t = (score - mean)/(sd sqrt(1 + 1/K)) on K - 1 degrees of freedom."""
    k = len(nulls)
    if k < 2:
        return Abstained(f"{k} out-adapters; at least 2 needed")
    mean, sd = float(np.mean(nulls)), float(np.std(nulls, ddof=1))
    if sd <= ROUNDING * max(map(abs, nulls)):
        return Abstained("the out-adapters do not vary")
    t = (score - mean) / (sd * math.sqrt(1 + 1 / k))
    return Prediction(score, mean, sd, k, t, float(stats.t.sf(t, k - 1)), conformal_p(score, nulls))


def conformal_p(score: float, nulls: Sequence[float]) -> float:
    """(1 + #{null >= score}) / (K + 1): exact under exchangeability alone; a tie counts for the null."""
    return (1 + sum(null >= score for null in nulls)) / (len(nulls) + 1)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down adjusted p-values (Holm 1979): max over j <= i of (m - j + 1) p_(j), at most 1."""
    adjusted: dict[str, float] = {}
    worst = 0.0
    for i, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        worst = max(worst, min(1.0, (len(p_values) - i) * p))
        adjusted[name] = worst
    return adjusted


@dataclass(frozen=True, slots=True)
class RatioInput:
    """Numerator and denominator of the residual ratio, and the variances of the K null models.

    `own_var` is one adapter's variance (the sum over shards), `mean_var` that of the null models' mean, which both
    numerator and denominator subtract.
    """

    numerator: float
    denominator: float
    own_var: float
    mean_var: float
    df: int


@dataclass(frozen=True, slots=True)
class Interval:
    """A point and its interval; `bounded` is False when the denominator is not clearly away from zero."""

    point: float
    lower: float
    upper: float

    @property
    def bounded(self) -> bool:
        """Whether the interval says anything."""
        return math.isfinite(self.upper)


def fieller(ratio: RatioInput, *, confidence: float = 0.95) -> Interval:
    """Fieller's (1954) interval of numerator/denominator with common mean: roots of a r^2 - 2 b r + c = 0.

    Var = own + mean for both, covariance = mean (both subtract the same mean of the null models).
    """
    t2 = float(stats.t.ppf((1 + confidence) / 2, ratio.df)) ** 2
    var, cov = ratio.own_var + ratio.mean_var, ratio.mean_var
    a = ratio.denominator**2 - t2 * var
    b = ratio.numerator * ratio.denominator - t2 * cov
    c = ratio.numerator**2 - t2 * var
    point = ratio.numerator / ratio.denominator if ratio.denominator else math.nan
    if a <= 0 or ratio.denominator <= 0:
        return Interval(point, -math.inf, math.inf)
    root = math.sqrt(max(0.0, b * b - a * c))
    return Interval(point, (b - root) / a, (b + root) / a)


def power(effect_sd: float, k: int, *, alpha: float) -> float:
    """Probability that the prediction test at `alpha` flags a shift of `effect_sd` null standard deviations."""
    critical = float(stats.t.ppf(1 - alpha, k - 1))
    return float(stats.nct.sf(critical, k - 1, effect_sd / math.sqrt(1 + 1 / k)))


def detectable_effect(k: int, *, alpha: float, wanted_power: float = 0.8) -> float:
    """Smallest effect, in null standard deviations, that is flagged with the wanted power (bisection)."""
    low, high = 0.0, 1.0
    while power(high, k, alpha=alpha) < wanted_power and high < 1e4:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle, k, alpha=alpha) < wanted_power else (low, middle)
    return high


def adapters_needed(ratio: RatioInput, *, bound: float, limit: int = 400) -> int | None:
    """Smallest K with which the same effects would bring the upper bound of the ratio below `bound`; None: no K."""
    for k in range(2, limit + 1):
        if (
            fieller(RatioInput(ratio.numerator, ratio.denominator, ratio.own_var, ratio.own_var / k, k - 1)).upper
            < bound
        ):
            return k
    return None
