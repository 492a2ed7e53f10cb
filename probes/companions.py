"""Every score by its name in the report, of one record and of one person: printed beside the verdict, never part of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from probes.bench import Bench
from probes.calibration import lira_offline, log_ratio, rmia
from probes.readings import TokenReadings
from probes.scores import (
    error_zone,
    exact_match,
    extraction_score,
    gain_mean,
    loss,
    min_k,
    min_k_plus_plus,
    window_votes,
    zlib_ratio,
)
from probes.stats import Abstained
from probes.target import BASE

__all__ = ["calibrated_scores", "mean_log_p", "record_scores", "subject_scores"]

Scores = dict[str, float | Abstained]


def record_scores(readings: TokenReadings, base: TokenReadings, text: str) -> dict[str, float]:
    """The scores that one pass of the adapter and one of the base give; `text` is what was scored."""
    gains = readings.log_p - base.log_p
    return {
        "loss": loss(readings.log_p),
        "gain_mean": gain_mean(readings.log_p, base.log_p),
        "zlib": zlib_ratio(readings.log_p, text),
        "min_k": min_k(readings.log_p),
        "min_k_plus_plus": min_k_plus_plus(readings),
        "error_zone": error_zone(gains, readings.greedy),
        "window_votes": window_votes(gains),
        "exact_match": exact_match(readings.greedy),
        "extraction_score": extraction_score(readings.greedy),
    }


def mean_log_p(readings: Sequence[TokenReadings]) -> np.ndarray:
    """The mean log-probability of each record that carried loss, shape (n,)."""
    return np.array([loss(reading.log_p) for reading in readings if len(reading.log_p)])


def calibrated_scores(own: float, outs: np.ndarray, population: np.ndarray) -> Scores:
    """RMIA and LiRA of one record: its mean log-probability under the suspect and under the out-adapters (K,), and the
    log ratios of the control records under the suspect (n,)."""
    return {"rmia": rmia(float(log_ratio(own, outs)), population), "lira": lira_offline(own, list(outs))}


def subject_scores(bench: Bench, side: str) -> Scores:
    """Mean over the subject's records of every score, under their own shard's adapter; `side` is "pre" or "post".

    EZ is taken over all tokens of the person at once, because one record without a wrong token would make its mean
    infinite; a person without any has the top rank, which is no number.
    """
    kept = [i for i, reading in enumerate(bench.readings[BASE].subject) if len(reading.log_p)]
    if not kept:
        return {}
    populations = {name: _population(bench, name) for name in {_suspect(bench, side, i) for i in kept}}
    rows = []
    for i in kept:
        name = _suspect(bench, side, i)
        own, base = bench.readings[name].subject[i], bench.readings[BASE].subject[i]
        outs = mean_log_p([bench.readings[out].subject[i] for out in bench.outs])
        calibrated = calibrated_scores(loss(own.log_p), outs, populations[name])
        rows.append(record_scores(own, base, bench.subject[i].learnt_text()) | calibrated)
    means = {score: _mean([row[score] for row in rows]) for score in rows[0]}
    return means | {"error_zone": _pooled_zone(bench, side, kept)}


def _suspect(bench: Bench, side: str, index: int) -> str:
    return f"{side}_{bench.dossier.records[index].shard}"


def _population(bench: Bench, name: str) -> np.ndarray:
    """Log ratios of the control records under one suspect."""
    outs = np.array([mean_log_p(bench.readings[out].control) for out in bench.outs])
    return log_ratio(mean_log_p(bench.readings[name].control), outs)


def _mean(values: Sequence[float | Abstained]) -> float | Abstained:
    """The mean, or the first reason why there is none."""
    silent = [value for value in values if isinstance(value, Abstained)]
    return silent[0] if silent else float(np.mean(values))


def _pooled_zone(bench: Bench, side: str, kept: Sequence[int]) -> float | Abstained:
    own = [bench.readings[_suspect(bench, side, i)].subject[i] for i in kept]
    base = [bench.readings[BASE].subject[i] for i in kept]
    gains = np.concatenate([a.log_p - b.log_p for a, b in zip(own, base, strict=True)])
    found = error_zone(gains, np.concatenate([reading.greedy for reading in own]))
    return found if np.isfinite(found) else Abstained("no token is wrong, so there is no error zone: the top rank")
