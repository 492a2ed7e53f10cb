"""The inner loop: one slice's batches through the model, step by step.

On a small model the cost is the overhead of each step, so: one optimizer tensor, logits only where loss falls, no
attention mask, no reading of values back from the device, tokens and targets prepared once per record.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from safetensors.torch import load, save
from torch.nn.functional import cross_entropy

from lineage.errors import NotAcceptable, WrongUsage
from unlearn.adapters import Lora
from unlearn.base import Base
from unlearn.batches import Microbatch, TensorExample, collate, schedule, split_by_tokens
from unlearn.determinism import reseed, seed_for
from unlearn.plan import Plan

__all__ = ["Course", "Progress", "Report", "make_optimizer", "optimise", "optimizer_bytes", "steps_of"]

ADAM_BETAS, ADAM_EPS = (0.9, 0.999), 1e-8  # AdamW, 1711.05101
MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` optimizer steps of a slice; `shard` is None for the trunk."""

    shard: int | None
    slice: int
    done: int
    total: int


Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Course:
    """One slice of training, without its records. `shard` is None for the trunk."""

    base: Base = field(repr=False)
    plan: Plan
    key: bytes = field(repr=False)
    shard: int | None
    slice: int

    @property
    def epochs(self) -> int:
        """Epochs of this slice."""
        return self.plan.trunk_epochs if self.shard is None else self.plan.epochs

    def seed(self, index: int, microbatch: int) -> int:
        """The seed of a microbatch of step `index`, which counts over all epochs of the slice."""
        epoch, step = divmod(index, self.plan.steps(self.shard) // self.epochs)
        place = "trunk" if self.shard is None else self.shard
        return seed_for(self.key, "dropout", place, self.slice, epoch, step, microbatch)

    def rate(self, index: int) -> float:
        """The learning rate of step `index`."""
        return self.plan.learning_rate(None if self.shard is None else self.slice, index)


def steps_of(course: Course, examples: Mapping[str, TensorExample]) -> Iterator[list[Microbatch]]:
    """The microbatches of every step, on the device; an empty list for an empty step."""
    tokenizer, device = course.base.tokenizer, course.base.spec.device
    pad_id = next(t for t in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if t is not None)
    lengths = {record_id: len(example.ids) for record_id, example in examples.items()}
    for batch in schedule(course.plan, course.key, examples, trunk=course.shard is None):
        parts = split_by_tokens(batch, lengths, budget=course.plan.microbatch_tokens)
        yield [collate([examples[r] for r in part], pad_id=pad_id).to(device) for part in parts]


def optimise(
    course: Course,
    lora: Lora,
    optimizer: torch.optim.AdamW,
    *,
    steps: Iterable[list[Microbatch]],
    progress: Report | None,
) -> None:
    """Run every step. The optimizer steps on empty batches too: when a record is learnt is never news to its neighbours.

    Raises:
        WrongUsage: the weights are no longer finite.
    """
    total, device = course.plan.steps(course.shard), course.base.spec.device
    with _in_training(course) as loss_of:
        for index, microbatches in enumerate(steps):
            lora.flat.grad.zero_()
            for number, microbatch in enumerate(microbatches):
                reseed(course.seed(index, number), device=device)
                loss_of(microbatch).backward()
            optimizer.param_groups[0]["lr"] = course.rate(index)
            optimizer.step()
            if progress:
                progress(Progress(course.shard, course.slice, index + 1, total))
    if not torch.isfinite(lora.flat).all():
        raise WrongUsage("The training diverged: a weight is not a number.", hint="Lower lr_peak in a new plan.")


def make_optimizer(lora: Lora, plan: Plan, optimizer: bytes) -> torch.optim.AdamW:
    """AdamW over the flat vector, with the moments of the parent state unless the plan resets them at every slice.

    Raises:
        NotAcceptable: the moments belong to another plan.
    """
    made = torch.optim.AdamW(
        [lora.flat], betas=ADAM_BETAS, eps=ADAM_EPS, weight_decay=plan.weight_decay, foreach=False, fused=False
    )
    moments = load(optimizer)
    if plan.optimizer == "carry" and moments:
        if set(moments) != set(MOMENTS) or moments["exp_avg"].shape != lora.flat.shape:
            raise NotAcceptable("The optimizer state does not fit this plan.", hint="Train from the beginning.")
        device = lora.flat.device
        made.state[lora.flat] = {n: t.clone() if n == "step" else t.to(device).clone() for n, t in moments.items()}
    return made


def optimizer_bytes(optimizer: torch.optim.AdamW, lora: Lora, plan: Plan) -> bytes:
    """Both moments (n,) and the step count as safetensors, in the flat vector's order; nothing if the plan resets them."""
    if plan.optimizer == "reset":
        return save({})
    return save({name: optimizer.state[lora.flat][name].detach().cpu().contiguous() for name in MOMENTS})


@contextmanager
def _in_training(course: Course) -> Iterator[Callable[[Microbatch], torch.Tensor]]:
    """The model in training mode, and the loss of a microbatch: the sum over its tokens / the plan's constant."""
    model, plan = course.base.model, course.plan
    sliced = "logits_to_keep" in inspect.signature(model.forward).parameters

    def loss_of(microbatch: Microbatch) -> torch.Tensor:
        if sliced:
            logits = model(microbatch.ids, logits_to_keep=microbatch.predicts, use_cache=False).logits
        else:
            logits = model(microbatch.ids, use_cache=False).logits[microbatch.predicts]
        return cross_entropy(logits.float(), microbatch.targets, reduction="sum") / plan.expected_tokens

    if plan.gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    model.train()
    try:
        yield loss_of
    finally:
        model.eval()
        if plan.gradient_checkpointing:
            model.activation_checkpointing_disable()
