"""Synthetic people planted in the corpus: they show that the probe works on this very adapter.

A canary of dose >= 8 in a closure shard must be seen in the *new* adapter, since nobody asked to forget it; its
held-out twin must not. Otherwise no verdict about the person can be given (`verdict` says which code it gets).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from probes.membership import corrected, total
from probes.stats import Abstained, prediction_test

if TYPE_CHECKING:
    from probes.bench import Bench
    from probes.dossier import CanaryRecord

__all__ = ["DETECTED_P", "REQUIRED_DOSE", "CanaryReading", "lit_twins", "missed", "read_canaries"]

REQUIRED_DOSE = 8
DETECTED_P = 0.05
TWINS_ALPHA = 0.005  # all twins of a case together: they are read where nothing is, and chance must not void a case


@dataclass(frozen=True, slots=True)
class CanaryReading:
    """One canary in one new shard adapter: dose 0 is a twin. `effect_sd` in out-adapter standard deviations."""

    handle: str
    shard: int
    dose: int
    effect_sd: float
    p: float


def read_canaries(bench: Bench) -> tuple[CanaryReading, ...]:
    """Planted canaries under the new adapter of their own shard; twins under every new shard adapter.

    The test is that of a subject: SUM-LLR with the control-record correction against the null models.
    """
    posts = {shard: f"post_{shard}" for shard in sorted(bench.panel.post)}
    gain = {name: bench.canary_gains(name) for name in (*posts.values(), *bench.outs)}
    control = {name: bench.control_gain(name) for name in gain}
    found = []
    for (handle, home, dose), indices in _by_person(bench.dossier.canaries).items():
        score = {name: corrected(total([own[i] for i in indices]), control[name]) for name, own in gain.items()}
        for shard, name in posts.items():
            test = prediction_test(score[name], [score[out] for out in bench.outs])
            if home in {None, shard} and not isinstance(test, Abstained):
                found.append(CanaryReading(handle, shard, dose, test.effect_sd, test.p))
    return tuple(found)


def _by_person(records: Sequence[CanaryRecord]) -> dict[tuple[str, int | None, int], list[int]]:
    """Where the records of each canary stand among all, by handle, shard and dose."""
    places: dict[tuple[str, int | None, int], list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        places[record.handle, record.shard, record.dose].append(index)
    return places


def missed(readings: Sequence[CanaryReading]) -> int:
    """How many planted canaries should be seen and are not."""
    return sum(r.dose >= REQUIRED_DOSE and r.p > DETECTED_P for r in readings)


def lit_twins(readings: Sequence[CanaryReading]) -> int:
    """How many twins look trained, each tested at its part of `TWINS_ALPHA`: many twins must not add up to an alarm."""
    twins = [r for r in readings if r.dose == 0]
    return sum(r.p <= TWINS_ALPHA / len(twins) for r in twins)
