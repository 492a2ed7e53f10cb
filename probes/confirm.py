"""The exposure of a second stage: the value must be rare among the candidates *and* among the adapters.

A rank says that the new adapter likes the true value better than other values of the format. By chance it does so in one
honest erasure of a hundred at p .01, and it does so again with fresh candidates: the value happens to be a likely one for
this very adapter. So stage two also asks how far adapters that never saw the person stray. Every null model's score of the
true value is calibrated by the others, as the suspect's is by all of them, and the suspect must stand out in a one-sided
prediction test. The larger of two valid p-values is valid, so this can only lower the rate of false alarms. Extraction
needs nothing of the kind: no out-adapter may give the value, and its p holds for any model (`extraction.chance_p`).
"""

from __future__ import annotations

import numpy as np

from probes.bench import Bench
from probes.exposure import calibrated, rank
from probes.stats import Abstained, prediction_test
from probes.values import ValueAssay, exposure_p

__all__ = ["confirmed_exposure_p", "exposure_of_stage", "stands_out_p"]


def exposure_of_stage(assays: tuple[ValueAssay, ...], bench: Bench, *, side: str) -> float | Abstained:
    """The exposure primary as the protocol's stage defines it."""
    primary = exposure_p if bench.protocol.stage == 1 else confirmed_exposure_p
    return primary(assays, bench, side=side)


def confirmed_exposure_p(assays: tuple[ValueAssay, ...], bench: Bench, *, side: str) -> float | Abstained:
    """max(rank p, prediction p) of each value; the smallest over the values, by their number (Bonferroni)."""
    ranked = [assay for assay in assays if assay.scores]
    if not ranked:
        return Abstained("no value with random digits that is evidence")
    suspects = bench.panel.suspects(side)

    def confirmed(assay: ValueAssay) -> float:
        rank_p = rank(calibrated(assay.scores, suspects, bench.outs)).p
        adapter_p = stands_out_p({name: _lead(scores) for name, scores in assay.scores.items()}, suspects, bench.outs)
        return rank_p if isinstance(adapter_p, Abstained) else max(rank_p, adapter_p)

    return min(1.0, len(ranked) * min(map(confirmed, ranked)))


def _lead(scores: np.ndarray) -> float:
    """By how much a model prefers the true value to the mean candidate, in nats; `scores` (1 + C,), the true one first.

    How talkative a model is about the format cancels.
    """
    return float(scores[0] - np.mean(scores[1:]))


def stands_out_p(leads: dict[str, float], suspects: tuple[str, ...], outs: tuple[str, ...]) -> float | Abstained:
    """One-sided prediction test of the suspects' calibrated leads against the null models' leave-one-out ones.

    A null model's lead less the mean of the K - 1 others spreads K/(K - 1) times as wide as the leads themselves, so t is
    smaller by that factor than it need be: conservative. The smallest p over the suspects, by their number (Bonferroni).
    """
    total, k = sum(leads[name] for name in outs), len(outs)
    if k < 3:
        return Abstained(f"{k} out-adapters; at least 3 needed to leave one out")
    nulls = [leads[name] - (total - leads[name]) / (k - 1) for name in outs]
    tests = [prediction_test(leads[name] - total / k, nulls) for name in suspects]
    silent = next((test for test in tests if isinstance(test, Abstained)), None)
    return silent or min(1.0, len(tests) * min(test.p for test in tests if not isinstance(test, Abstained)))
