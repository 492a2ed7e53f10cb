"""Synthetic people planted in the corpus: they show that the probe works on this very adapter.

A canary of dose >= 8 in a closure shard must be seen in the *new* adapter, since nobody asked to forget it; its
held-out twin must not. Otherwise the instrument is broken, and no verdict about the person can be given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from probes.membership import Gain, corrected
from probes.stats import Abstained, prediction_test

__all__ = ["DETECTED_P", "REQUIRED_DOSE", "CanaryReading", "broken_by", "read_canary"]

REQUIRED_DOSE = 8
DETECTED_P = 0.05
TWIN_P = 0.001  # a twin is read in a known-empty place; a rare false alarm must not void the case


@dataclass(frozen=True, slots=True)
class CanaryReading:
    """One canary in one new shard adapter: dose 0 is a twin. `effect_sd` in out-adapter standard deviations."""

    handle: str
    shard: int
    dose: int
    effect_sd: float
    p: float


def read_canary(
    gain: Mapping[str, Gain], control: Mapping[str, Gain], *, model: str, outs: Sequence[str]
) -> tuple[float, float] | Abstained:
    """Effect in null standard deviations and p of one canary under `model`, against the out-adapters."""
    score = {name: corrected(gain[name], control[name]) for name in (model, *outs)}
    test = prediction_test(score[model], [score[name] for name in outs])
    return test if isinstance(test, Abstained) else (test.effect_sd, test.p)


def broken_by(readings: Sequence[CanaryReading]) -> str:
    """Why the canaries void the assay; empty when they do not."""
    missed = [r for r in readings if r.dose >= REQUIRED_DOSE and r.p > DETECTED_P]
    seen = [r for r in readings if r.dose == 0 and r.p <= TWIN_P]
    if missed:
        return f"{len(missed)} planted canaries of dose {REQUIRED_DOSE} or more were not detected"
    return f"{len(seen)} held-out canary twins looked trained" if seen else ""
