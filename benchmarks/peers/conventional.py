"""The unsharded LoRA as anybody would fine-tune it, with the trace that replay needs: where the other peers start."""

from __future__ import annotations

from dataclasses import dataclass, field

from peers.learner import Learner, Step, shuffled_steps
from peers.setting import Adapter, Setting

__all__ = ["Checkpoint", "Kept", "never", "train"]

CHECKPOINTS = 8


@dataclass(frozen=True)
class Checkpoint:
    """Weights and optimizer before step `before`."""

    before: int
    weights: bytes = field(repr=False)
    moments: bytes = field(repr=False)


@dataclass(frozen=True)
class Kept:
    """The trace, its checkpoints, the final weights and what is in service."""

    trace: tuple[Step, ...] = field(repr=False)
    checkpoints: tuple[Checkpoint, ...] = field(repr=False)
    weights: bytes = field(repr=False)
    adapter: Adapter = field(repr=False)


def train(setting: Setting, *, without: str | None = None) -> Kept:
    """Train on all records in shuffled epochs, with a checkpoint at every eighth of the way."""
    records = [r.record_id for own in setting.corpus.without(without).values() for r in own]
    trace = shuffled_steps(
        records, setting.examples, epochs=setting.plan.epochs, batch=setting.scale.batch,
        peak=setting.plan.lr_peak, seed=setting.seed_of("conventional"),
    )  # fmt: skip
    learner, checkpoints = Learner(setting, setting.trunk.weights), []
    parts = -(-len(trace) // CHECKPOINTS)
    for before in range(0, len(trace), parts):
        if before:
            checkpoints.append(Checkpoint(before, learner.weights, learner.moments))
        learner.follow(trace[before : before + parts])
    return Kept(tuple(trace), tuple(checkpoints), learner.weights, setting.adapter({0: learner.weights}))


def never(setting: Setting, _kept: Kept, person: str) -> Adapter:
    """The same recipe on a corpus that never held the person."""
    return train(setting, without=person).adapter
