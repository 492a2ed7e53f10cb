"""S3T: sequence-aware sharded sliced training (Basu Roy Chowdhury et al., ICLR 2025, arXiv 2406.16257, section 3).

Stage i of a shard trains the LoRA of the i-th layer group from the top on the first i slices of a sequence and holds the
others fixed. So a slice reaches only its own layer group and those trained after it: erasing a record of slice i is to
switch those off, at once and without training. Several sequences of the slices are trained per shard (a budget of B; cyclic
rotations while B is at most the number of slices), and the one that loses the fewest groups is served. Once a shard
has nothing left to switch off it is trained again.

Here a layer group is one of the base's three layers and "off" means the trunk's LoRA in that layer, which nobody is in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lineage.records import TrainingRecord
from peers.learner import Learner, shuffled_steps
from peers.setting import Adapter, Setting, members, shard_and_slice

__all__ = ["Kept", "deactivate", "never", "never_deactivated", "retrain", "train"]

Stages = tuple[bytes, ...]


@dataclass(frozen=True)
class Kept:
    """Weights after every stage, by shard and sequence; sequence 0 is in service."""

    stages: Mapping[int, tuple[Stages, ...]] = field(repr=False)
    adapter: Adapter = field(repr=False)

    @property
    def last(self) -> dict[int, bytes]:
        """The shards' weights in service."""
        return {shard: sequences[0][-1] for shard, sequences in self.stages.items()}

    @property
    def stored_bytes(self) -> int:
        """Bytes of every sequence's layer groups: a stage adds one, and the last stage holds them all."""
        return sum(len(stages[-1]) for sequences in self.stages.values() for stages in sequences)


def train(setting: Setting) -> Kept:
    """Train every cyclic rotation of every shard's slices."""
    plan = setting.plan
    stages = {
        shard: tuple(_train(setting, shard, r, slices, before=()) for r in range(plan.slices))
        for shard, slices in members(setting).items()
    }
    served = {shard: sequences[0][-1] for shard, sequences in stages.items()}
    return Kept(stages, setting.adapter(served))


def deactivate(setting: Setting, kept: Kept, person: str) -> Adapter:
    """Serve the sequence in which the person's slice comes last, without the layer group that was trained with it."""
    shard, rotation = _best(setting, person)
    return setting.adapter({**kept.last, shard: _without_last(kept.stages[shard][rotation])})


def retrain(setting: Setting, kept: Kept, person: str) -> Adapter:
    """Train that layer group again on what is left."""
    shard, rotation = _best(setting, person)
    slices = members(setting, without=person)[shard]
    stages = _train(setting, shard, rotation, slices, before=kept.stages[shard][rotation][:-1])
    return setting.adapter({**kept.last, shard: stages[-1]})


def never(setting: Setting, kept: Kept, person: str) -> Adapter:
    """The same sequence of the person's shard, trained from the beginning without the person."""
    shard, _ = _best(setting, person)
    return setting.adapter({**kept.last, shard: _never(setting, person)[-1]})


def never_deactivated(setting: Setting, kept: Kept, person: str) -> Adapter:
    """The same, with the same layer group off."""
    shard, _ = _best(setting, person)
    return setting.adapter({**kept.last, shard: _without_last(_never(setting, person))})


def _never(setting: Setting, person: str) -> Stages:
    shard, rotation = _best(setting, person)
    return _train(setting, shard, rotation, members(setting, without=person)[shard], before=())


def _best(setting: Setting, person: str) -> tuple[int, int]:
    """Shard, and the rotation that puts the person's slice last."""
    shard, slice_index = shard_and_slice(setting, person)
    return shard, (slice_index + 1) % setting.plan.slices


def _train(
    setting: Setting, shard: int, rotation: int, slices: Sequence[Sequence[TrainingRecord]], *, before: Stages
) -> Stages:
    """Weights after every stage; those of `before` are given. Stage i learns slices 0 to i of the rotated sequence."""
    plan, stages = setting.plan, list(before)
    sequence = [*slices[rotation:], *slices[:rotation]]
    for stage in range(len(before), plan.slices):
        start = stages[-1] if stages else setting.trunk.weights
        learner = Learner(setting, start, only=_layer(setting, stage))
        learner.follow(shuffled_steps(
            [r.record_id for own in sequence[: stage + 1] for r in own], setting.examples,
            epochs=max(1, round(2 * plan.epochs / (plan.slices + 1))), batch=plan.expected_batch,
            peak=plan.lr_peak, seed=setting.seed_of("s3t", shard, rotation, stage),
        ))  # fmt: skip
        stages.append(learner.weights)
    return tuple(stages)


def _layer(setting: Setting, stage: int) -> str:
    """A part of the names of the LoRA tensors that stage `stage` trains, from the top."""
    return f".layers.{setting.base.model.config.num_hidden_layers - 1 - stage}."


def _without_last(stages: Stages) -> bytes:
    """The last layer group off, which is what the stage before it left: it had not touched that group yet."""
    return stages[-2]
