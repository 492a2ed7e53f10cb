"""Approximate unlearning of the unsharded LoRA: a few steps on the person's records, in no relation to a retrain.

| method | loss | source |
|---|---|---|
| GradAscent | -NLL(forget) | TOFU, Maini et al. 2024, arXiv 2401.06121, section 4 |
| GradDiff | -NLL(forget) + NLL(retain) | the same |
| NPO | 2/b E log(1 + (p / p_ref)^b) + NLL(retain) | Zhang et al. 2024, arXiv 2404.05868, Eq. 3, with the retain term of its section 4 |
| SimNPO | -2/b E log s(-(b/|y|) log p - g) + NLL(retain) | Fan et al. 2024, arXiv 2410.07163 |

NLL is the mean over the learnt tokens, p the probability of a record's learnt tokens, |y| their number, p_ref the adapter
before the erasure, s the logistic function.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import logsigmoid

from peers.conventional import Kept
from peers.learner import Learner, total_loss
from peers.setting import Adapter, Setting
from unlearn.batches import TensorExample

__all__ = ["GRAD_ASCENT", "GRAD_DIFF", "NPO", "SIM_NPO", "Recipe", "erase"]


@dataclass(frozen=True)
class Forgetting:
    """One step's view of the forget set: each record's total -log p now and before the erasure, and its learnt tokens; (b,)."""

    nats: torch.Tensor
    nats_before: torch.Tensor
    tokens: torch.Tensor


Loss = Callable[[Forgetting], torch.Tensor]


@dataclass(frozen=True)
class Recipe:
    """A forget loss, whether the retain loss is added, and the numbers found by `--tune` on another corpus."""

    loss: Loss
    retain: bool
    steps: int
    rate: float


def grad_ascent(seen: Forgetting) -> torch.Tensor:
    """-NLL of the forget set (TOFU, gradient ascent)."""
    return -seen.nats.sum() / seen.tokens.sum()


def npo(seen: Forgetting, *, beta: float = 0.1) -> torch.Tensor:
    """2/b E[log(1 + (p/p_ref)^b)] = -2/b E[log s(-b log(p/p_ref))] (Eq. 3)."""
    return -2 / beta * logsigmoid(beta * (seen.nats - seen.nats_before)).mean()


def sim_npo(seen: Forgetting, *, beta: float = 2.5, gamma: float = 0.0) -> torch.Tensor:
    """-2/b E[log s(-(b/|y|) log p - g)]: NPO without a reference, its reward divided by the length."""
    return -2 / beta * logsigmoid(beta * seen.nats / seen.tokens - gamma).mean()


GRAD_ASCENT = Recipe(grad_ascent, retain=False, steps=10, rate=5e-4)
GRAD_DIFF = Recipe(grad_ascent, retain=True, steps=10, rate=5e-4)
NPO = Recipe(npo, retain=True, steps=10, rate=1e-3)
SIM_NPO = Recipe(sim_npo, retain=True, steps=10, rate=1e-3)


def erase(setting: Setting, kept: Kept, person: str, *, recipe: Recipe) -> Adapter:
    """Take the adapter in service and step down the recipe's loss; each step sees all records of the person.

    The retain set is everybody else's records; each step draws as many of them as the person has.
    """
    forget = [setting.examples[r.record_id] for r in setting.corpus.trained[person]]
    retain = [r.record_id for own in setting.corpus.without(person).values() for r in own]
    rng = random.Random(setting.seed_of("approximate", person))
    learner, model = Learner(setting, kept.weights), setting.base.model
    with torch.no_grad():
        before = total_loss(model, forget)
    tokens = _tokens(forget)

    def loss(kept_ones: Sequence[TensorExample]) -> torch.Tensor:
        value = recipe.loss(Forgetting(total_loss(model, forget), before, tokens))
        return value + total_loss(model, kept_ones).sum() / _tokens(kept_ones).sum() if recipe.retain else value

    for _ in range(recipe.steps):
        drawn = [setting.examples[r] for r in rng.sample(retain, len(forget))]
        learner.step(lambda d=drawn: loss(d), rate=recipe.rate, seed=rng.getrandbits(62))
    return setting.adapter({0: learner.weights})


def _tokens(examples: Sequence[TensorExample]) -> torch.Tensor:
    return torch.tensor([int((e.targets != -100).sum()) for e in examples])
