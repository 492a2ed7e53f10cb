"""Which records meet in which step, and how a step becomes microbatches.

Steps are fixed by the plan; a record's step and its order inside the batch are draws about that record alone. Batches
therefore vary in size, as in Poisson sampling, and may be empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import pad_sequence

from unlearn.plan import Plan, order_of, step_of
from unlearn.tokens import Example

__all__ = ["Microbatch", "TensorExample", "collate", "schedule", "split_by_tokens", "to_tensors"]


@dataclass(frozen=True, slots=True)
class TensorExample:
    """One record's token ids and next-token targets, both int64 of shape (n,); targets are -100 where no loss falls."""

    ids: torch.Tensor
    targets: torch.Tensor


@dataclass(frozen=True, slots=True)
class Microbatch:
    """`ids` (b, n) padded on the right, `predicts` (b, n) true where the next token carries loss, `targets` (k,) those."""

    ids: torch.Tensor
    predicts: torch.Tensor
    targets: torch.Tensor

    def to(self, device: str) -> Microbatch:
        """The same on another device."""
        return self if device == "cpu" else Microbatch(*(t.to(device) for t in (self.ids, self.predicts, self.targets)))


def to_tensors(example: Example) -> TensorExample:
    """Shift once per record: position t predicts the token at t + 1."""
    ids = torch.tensor(example.ids, dtype=torch.long)
    targets = torch.full_like(ids, -100)
    learnt = torch.tensor(example.learnt[1:], dtype=torch.bool)
    targets[:-1] = torch.where(learnt, ids[1:], -100)
    return TensorExample(ids, targets)


def schedule(plan: Plan, key: bytes, record_ids: Iterable[str], *, trunk: bool = False) -> list[list[str]]:
    """The batch of every step of a slice, epoch after epoch; length epochs x steps per epoch."""
    epochs, steps = (plan.trunk_epochs, plan.trunk_steps_per_epoch) if trunk else (plan.epochs, plan.steps_per_epoch)
    batches: list[list[tuple[int, str]]] = [[] for _ in range(epochs * steps)]
    for record_id in record_ids:
        for epoch in range(epochs):
            step = step_of(plan, key, record_id=record_id, epoch=epoch, trunk=trunk)
            batches[epoch * steps + step].append((order_of(key, record_id=record_id, epoch=epoch), record_id))
    return [[record_id for _, record_id in sorted(batch)] for batch in batches]


def split_by_tokens(batch: Sequence[str], lengths: Mapping[str, int], *, budget: int) -> list[list[str]]:
    """Cut a batch, in its order, into microbatches of at most `budget` tokens including padding; never an empty one.

    A record longer than the budget stands alone.
    """
    parts: list[list[str]] = []
    widest = 0
    for record_id in batch:
        width = max(widest, lengths[record_id])
        if parts and width * (len(parts[-1]) + 1) <= budget:
            parts[-1].append(record_id)
            widest = width
        else:
            parts.append([record_id])
            widest = lengths[record_id]
    return parts


def collate(examples: Sequence[TensorExample], *, pad_id: int) -> Microbatch:
    """One microbatch. No attention mask: causal attention never looks right, where all the padding is."""
    ids = pad_sequence([example.ids for example in examples], batch_first=True, padding_value=pad_id)
    targets = pad_sequence([example.targets for example in examples], batch_first=True, padding_value=-100)
    predicts = targets != -100
    return Microbatch(ids, predicts, targets[predicts])
