"""Conventional training, shared by the peers: shuffled epochs, batches of equal size, AdamW, mean loss of the batch.

A training is a list of `Step`s made in advance, so that a trace is the list itself.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from safetensors.torch import load, save
from torch.nn.functional import cross_entropy

from peers.setting import Setting
from unlearn.adapters import attach
from unlearn.batches import TensorExample, collate
from unlearn.determinism import reseed

__all__ = ["FRESH", "Learner", "Step", "shuffled_steps", "total_loss"]

FRESH = save({})
"""An optimizer that has seen nothing."""
WARMUP, FLOOR = 0.1, 0.1


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step of a trace: the records in order, the learnt tokens that divide the loss, rate and dropout seed."""

    slots: tuple[str, ...]
    tokens: int
    rate: float
    seed: int


def shuffled_steps(
    records: Sequence[str], examples: Mapping[str, TensorExample], *, epochs: int, batch: int, peak: float, seed: int
) -> list[Step]:
    """The steps of a conventional training: one generator shuffles what is there, epoch after epoch, and cuts batches.

    Whoever leaves moves everybody behind them: order, batch, denominator, number of steps and so the rates change.
    """
    rng, order, batches = random.Random(seed), list(records), []
    for _ in range(epochs):
        rng.shuffle(order)
        batches += [tuple(order[i : i + batch]) for i in range(0, len(order), batch)]
    return [
        Step(slots, sum(_learnt(examples[r]) for r in slots), _rate(i, len(batches), peak), rng.getrandbits(62))
        for i, slots in enumerate(batches)
    ]


def _learnt(example: TensorExample) -> int:
    return int((example.targets != -100).sum())


def _rate(step: int, total: int, peak: float) -> float:
    """Linear up over the first tenth, linear down to a tenth of the peak, as Lethe's table has it."""
    warmup = int(WARMUP * total)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (1 - (1 - FLOOR) * (step - warmup) / max(1, total - 1 - warmup))


class Learner:
    """The LoRA of a setting with its optimizer. `only` names a part of the tensors; the others are held fixed."""

    def __init__(self, setting: Setting, weights: bytes, *, moments: bytes = FRESH, only: str = "") -> None:
        self._setting = setting
        self._model = setting.base.model
        self._lora = attach(setting.base, setting.plan)
        self._lora.load(weights)
        self._optimizer = torch.optim.AdamW([self._lora.flat], weight_decay=0.0, foreach=False, fused=False)
        if found := load(moments):
            self._optimizer.state[self._lora.flat] = found
        parts = [torch.full((view.numel(),), float(only in name)) for name, view in self._lora.views.items()]
        self._trains = torch.cat(parts)

    @property
    def weights(self) -> bytes:
        """The LoRA's tensors as safetensors."""
        return self._lora.weights()

    @property
    def moments(self) -> bytes:
        """The optimizer as safetensors."""
        return save({name: value.clone() for name, value in self._optimizer.state[self._lora.flat].items()})

    def follow(self, steps: Iterable[Step], *, erased: Collection[str] = ()) -> None:
        """Run a trace. The slot of an erased record stays where it was, blank and without loss; the denominator stays too."""
        for step in steps:
            examples = [self._blank if r in erased else self._setting.examples[r] for r in step.slots]
            self.step(
                lambda e=examples, n=step.tokens: total_loss(self._model, e).sum() / n, rate=step.rate, seed=step.seed
            )

    def step(self, loss, *, rate: float, seed: int) -> float:
        """One step down a loss, which is called with the model in training mode; its value."""
        self._model.train()
        self._lora.flat.grad.zero_()
        reseed(seed)
        value = loss()
        value.backward()
        self._lora.flat.grad.mul_(self._trains)
        self._optimizer.param_groups[0]["lr"] = rate
        self._optimizer.step()
        self._model.eval()
        return float(value.detach())

    @property
    def _blank(self) -> TensorExample:
        begin = self._setting.base.tokenizer.bos_token_id
        return TensorExample(torch.tensor([begin, begin]), torch.tensor([-100, -100]))


def total_loss(model: torch.nn.Module, examples: Sequence[TensorExample]) -> torch.Tensor:
    """-log p of the learnt tokens of each record, summed; shape (b,), in nats."""
    batch = collate(examples, pad_id=0)
    logits = model(batch.ids, logits_to_keep=batch.predicts, use_cache=False).logits
    losses = cross_entropy(logits.float(), batch.targets, reduction="none")
    owner = batch.predicts.nonzero()[:, 0]
    return torch.zeros(len(examples)).index_add(0, owner, losses)
