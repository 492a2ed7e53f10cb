"""SISA: sharded, isolated, sliced, aggregated training (Bourtoule et al., IEEE S&P 2021, arXiv 1912.03817, section IV).

Slice k of a shard is trained together with all slices before it, for 2 e / (R + 1) epochs, so that the whole costs what
e epochs over the shard cost (section V). After each slice the *weights* are saved. One optimizer runs through the
slices; an erasure reloads the weights before the person's slice and starts a new one, as the authors' code does.
That is complete for their plain SGD and not for AdamW. Here the shards are aggregated by averaging the LoRAs, not by a vote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lineage.records import TrainingRecord
from peers.learner import Learner, shuffled_steps
from peers.setting import Adapter, Setting, members, shard_and_slice

__all__ = ["Kept", "erase", "never", "train"]


@dataclass(frozen=True)
class Kept:
    """Weights after every slice, by shard, and what is in service."""

    checkpoints: Mapping[int, tuple[bytes, ...]] = field(repr=False)
    adapter: Adapter = field(repr=False)

    @property
    def last(self) -> dict[int, bytes]:
        """The shards' final weights."""
        return {shard: weights[-1] for shard, weights in self.checkpoints.items()}

    @property
    def stored_bytes(self) -> int:
        """Bytes of all checkpoints."""
        return sum(len(weights) for own in self.checkpoints.values() for weights in own)


def train(setting: Setting) -> Kept:
    """Train every shard through all of its slices."""
    shards = {
        shard: _train_shard(setting, shard, slices, start=setting.trunk.weights, first=0)
        for shard, slices in members(setting).items()
    }
    return Kept(shards, setting.adapter({shard: weights[-1] for shard, weights in shards.items()}))


def erase(setting: Setting, kept: Kept, person: str) -> Adapter:
    """Reload the weights before the person's slice and train on from there without the person."""
    shard, first = shard_and_slice(setting, person)
    start = kept.checkpoints[shard][first - 1] if first else setting.trunk.weights
    return _served(setting, kept, person, start=start, first=first)


def never(setting: Setting, kept: Kept, person: str) -> Adapter:
    """Train the person's shard from the beginning without the person; no other shard ever saw them."""
    return _served(setting, kept, person, start=setting.trunk.weights, first=0)


def _served(setting: Setting, kept: Kept, person: str, *, start: bytes, first: int) -> Adapter:
    shard, _ = shard_and_slice(setting, person)
    slices = members(setting, without=person)[shard]
    return setting.adapter({**kept.last, shard: _train_shard(setting, shard, slices, start=start, first=first)[-1]})


def _train_shard(
    setting: Setting, shard: int, slices: Sequence[Sequence[TrainingRecord]], *, start: bytes, first: int
) -> tuple[bytes, ...]:
    """Weights after each slice from `first` on. Slice k means all records of slices 0 to k."""
    plan, learner, saved = setting.plan, Learner(setting, start), []
    for k in range(first, plan.slices):
        records = [r.record_id for own in slices[: k + 1] for r in own]
        steps = shuffled_steps(
            records, setting.examples, epochs=max(1, round(2 * plan.epochs / (plan.slices + 1))),
            batch=plan.expected_batch, peak=plan.lr_peak, seed=setting.seed_of("sisa", shard, k),
        )  # fmt: skip
        learner.follow(steps)
        saved.append(learner.weights)
    return tuple(saved)
