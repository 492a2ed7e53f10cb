"""Where is this person? One statistic per shard, the largest peeled off, the rest tested again.

Each shard has the subject statistic over all of the subject's records (`probes.membership.corrected`). A shard that was
trained on the person stands out above the others. Two such shards hide each other from a test of the largest alone, so
this is the one-sided generalised ESD (Rosner 1983): step i asks whether the largest of the n - i + 1 shards that are
left stands out, and the last step that says yes decides how many shards light up.

Step i is Grubbs' test (1969) written as a prediction test of the largest against the shards below it, times the number
of shards it was the largest of: p_i = m P(T_{m-2} >= t), m = n - i + 1 (Pearson and Chandra Sekar 1936: exact where it
is small). "At most h shards are hot" is rejected by T_h = min over i > h of p_i; its law is that of n - h exchangeable
normal shards with as many steps, simulated with a fixed seed. These hypotheses are nested, so testing them in order,
each at alpha and stopping at the first that stands, keeps the family error: the first true one is wrongly rejected with
probability alpha at most. Heavier tails than the normal's break that promise (docs/adr/0024 has figures), which is what
the companion is for: the same statistic of people nobody trained on, an exact rank whatever the tails.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import special

from probes.stats import Abstained, detectable_effect

__all__ = ["DRAWS", "MIN_SHARDS", "Companion", "Peel", "ShardMap", "ShardScore", "draw_map", "map_budget"]

DRAWS, SEED = 100_000, 1983
MIN_SHARDS = 5
"""With 3 shards alpha .01 is reached in principle, by an effect of 200 standard deviations (4: 25). People whose records
were learnt show 9 to 23, so 5 shards (12 to 16) are the fewest of which silence says anything."""
PEELS = 3
LEFT = 3  # shards that are never peeled: with two, the last step would have one degree of freedom
MAP_ALPHA = 0.01
DRAWS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class ShardScore:
    """One shard: its corrected SUM-LLR in nats, and whether it lights up."""

    shard: int
    score: float
    lit: bool


@dataclass(frozen=True, slots=True)
class Peel:
    """One step: the largest shard left, its distance from the mean of those below it in their standard deviations, and
    the p-value adjusted for all shards and steps (never smaller than an earlier step's)."""

    shard: int
    effect_sd: float
    p: float


@dataclass(frozen=True, slots=True)
class Companion:
    """How the person's map ranks among those of people nobody trained on: 1 stands out the most, ties count against.

    `p` = rank / (controls + 1) is exact if the person is exchangeable with them, whatever the law of a shard's score.
    """

    rank: int
    controls: int

    @property
    def p(self) -> float:
        """The rank as a p-value; it cannot be smaller than 1/(controls + 1)."""
        return self.rank / (self.controls + 1)


@dataclass(frozen=True, slots=True)
class SecondLook:
    """What became of the shards that stood out, among models that were trained for a second stage.

    `extras`: the score of each such model, in nats; `p`: the smallest p of a shard that stood out, now among shards and
    extras, adjusted for all of them and all steps; `faded`: the shards that stood out among the shards alone.
    """

    extras: tuple[float, ...]
    p: float
    faded: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ShardMap:
    """All shards at one moment, in shard order. `extremity` is T_0, the statistic that controls are ranked by (small is
    extreme); `detectable_sd` the smallest effect of one single hot shard that would light up with 80% power. `second` is
    there where a shard stood out and was looked at again."""

    shards: tuple[ShardScore, ...]
    peels: tuple[Peel, ...]
    alpha: float
    draws: int
    detectable_sd: float
    extremity: float
    companion: Companion | None = None
    second: SecondLook | None = None

    @property
    def lit(self) -> tuple[int, ...]:
        """The shards that light up, in order."""
        return tuple(found.shard for found in self.shards if found.lit)

    @property
    def p(self) -> float:
        """The p-value of the whole map: no shard is hot. The larger of two valid ones is valid."""
        return max(self.peels[0].p, self.second.p if self.second else 0.0)

    def beside(self, others: Sequence[ShardMap | Abstained]) -> ShardMap:
        """The same map, ranked among the maps of people nobody trained on."""
        drawn = [other for other in others if isinstance(other, ShardMap)]
        rank = 1 + sum(other.extremity <= self.extremity for other in drawn)
        return replace(self, companion=Companion(rank, len(drawn)) if drawn else None)

    def among(self, extras: Sequence[float]) -> ShardMap:
        """The same map after a second look: a shard stays lit if it also stands out among these further models' scores.

        A few shards that happen to lie close together make an honest one stand out; more models show how far scores
        stray. An extra learns a share of all records, so several may hold a copy that lineage does not know: up to half
        of all models are peeled, or the copy would hide behind them. Where no wide map can be drawn, every lit shard
        stays lit.
        """
        models = {found.shard: found.score for found in self.shards}
        models |= {-1 - number: score for number, score in enumerate(extras)}
        wide = draw_map(models, alpha=self.alpha, suspected=len(models) // 2 - 1) if self.lit else None
        if not isinstance(wide, ShardMap):
            return self
        p = {peel.shard: peel.p for peel in wide.peels}
        look = SecondLook(
            extras=tuple(extras),
            p=min(p.get(shard, 1.0) for shard in self.lit),
            faded=tuple(shard for shard in self.lit if shard not in wide.lit),
        )
        shards = tuple(replace(found, lit=found.lit and found.shard not in look.faded) for found in self.shards)
        return replace(self, shards=shards, second=look)


def map_budget(shards: int) -> float:
    """What the map spends of the error budget: nothing with too few shards to draw one, so that the primaries have it."""
    return MAP_ALPHA if shards >= MIN_SHARDS else 0.0


def draw_map(scores: Mapping[int, float], *, alpha: float = MAP_ALPHA, suspected: int = 0) -> ShardMap | Abstained:
    """Which of the shards stand out; keys are shards, values the corrected SUM-LLR of all the subject's records.

    `suspected` shards may be hot at once (those of a closure), so that many and one more are peeled, at least `PEELS`.
    """
    if len(scores) < MIN_SHARDS:
        return Abstained(f"{len(scores)} shards; a map needs at least {MIN_SHARDS}")
    if not all(math.isfinite(score) for score in scores.values()):
        return Abstained("a shard has no finite score")
    order = sorted(scores, key=lambda shard: (-scores[shard], shard))
    steps = min(max(PEELS, suspected + 1), len(scores) - LEFT)
    falling = np.array([[scores[shard] for shard in order]]) - float(np.median(list(scores.values())))
    rest = falling[0, steps:]
    if np.ptp(rest) <= 1e-12 * np.abs(falling).max():
        return Abstained("the shards do not vary")
    effects, raw = _steps(falling, steps)
    adjusted = _adjusted(raw[0], len(scores))
    lit = set(order[: sum(p <= alpha for p in adjusted)])
    return ShardMap(
        shards=tuple(ShardScore(shard, scores[shard], shard in lit) for shard in sorted(scores)),
        peels=tuple(Peel(order[i], float(effects[0, i]), adjusted[i]) for i in range(steps)),
        alpha=alpha,
        draws=DRAWS,
        detectable_sd=_detectable(len(scores), steps, alpha),
        extremity=float(raw.min()),
    )


def _steps(falling: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Effect in standard deviations and raw p of every step; rows of scores (draws, n), largest first -> (draws, steps)."""
    effects, found = [], []
    for i in range(steps):
        rest = falling[:, i + 1 :]
        k = rest.shape[1]
        effect = (falling[:, i] - rest.mean(axis=1)) / rest.std(axis=1, ddof=1)
        effects.append(effect)
        found.append((k + 1) * special.stdtr(k - 1, -effect / math.sqrt(1 + 1 / k)))
    return np.stack(effects, axis=1), np.stack(found, axis=1)


def _adjusted(raw: np.ndarray, shards: int) -> list[float]:
    """Step-down p-values: step i rejects "at most i - 1 hot shards" by the smallest raw p from i on."""
    adjusted, worst = [], 0.0
    for i in range(len(raw)):
        law = _null_minima(shards - i, len(raw) - i)
        below = int(np.searchsorted(law, raw[i:].min(), side="right"))
        worst = max(worst, (1 + below) / (1 + len(law)))
        adjusted.append(worst)
    return adjusted


@lru_cache(maxsize=64)
def _null_minima(shards: int, steps: int) -> np.ndarray:
    """The law of the smallest raw p over the steps when no shard is hot: `DRAWS` draws of normal shards, sorted."""
    source = np.random.default_rng((SEED, shards, steps))
    found = []
    for _ in range(DRAWS // DRAWS_AT_ONCE):
        falling = -np.sort(-source.standard_normal((DRAWS_AT_ONCE, shards)), axis=1)
        found.append(_steps(falling, steps)[1].min(axis=1))
    return np.sort(np.concatenate(found))


@lru_cache(maxsize=64)
def _detectable(shards: int, steps: int, alpha: float) -> float:
    """One hot shard lights up when its raw p is below the alpha-quantile of the null law, a prediction test's power."""
    limit = float(_null_minima(shards, steps)[max(0, math.floor(alpha * (DRAWS + 1)) - 1)])
    return detectable_effect(shards - 1, alpha=limit / shards)
