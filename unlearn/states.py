"""States and recipes: what a slice of training starts from, what it yields, and the digest under which it is looked up."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import rfc8785

from lineage.errors import WrongUsage
from lineage.records import TrainingRecord
from unlearn.draw import framed
from unlearn.plan import Plan

__all__ = [
    "EMPTY_MANIFEST", "BuiltState", "Origin", "SliceInput", "State", "StateStore", "recipe_digest", "slice_manifest",
]  # fmt: skip


@dataclass(frozen=True)
class State:
    """LoRA weights and optimizer after a slice, both deterministic safetensors bytes.

    An optimizer without tensors means that the next slice starts a fresh one.
    """

    weights: bytes = field(repr=False)
    optimizer: bytes = field(repr=False)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over both byte strings, length-framed: the address in the store, and what the laws compare."""
        return hashlib.sha256(framed(self.weights, self.optimizer)).hexdigest()


@dataclass(frozen=True)
class Origin:
    """What every recipe of one training shares: base, tokenizer, plan and environment."""

    base_digest: str
    tokenizer_digest: str
    plan: Plan
    fingerprint_digest: str


def recipe_digest(
    origin: Origin, *, shard: int | None, slice_index: int, parent_digest: str, manifest_digest: str
) -> str:
    """The key under which `train` looks a state up: everything its bytes depend on (exactness.md, "Recipe digest").

    `parent_digest` is the digest of the parent state's bytes, not of its recipe.
    """
    plan = origin.plan
    ingredients = {
        "base": origin.base_digest,
        "tokenizer": origin.tokenizer_digest,
        "max_length": plan.max_length,
        "truncation": "right",
        "plan_prefix": plan.prefix_digest(shard, slice_index),
        "shard": shard,
        "slice": slice_index,
        "parent_state": parent_digest,
        "manifest": manifest_digest,
        "training_path": plan.training_path,
        "fingerprint": origin.fingerprint_digest,
    }
    return hashlib.sha256(rfc8785.dumps(ingredients)).hexdigest()


def slice_manifest(members: Iterable[tuple[str, str]]) -> str:
    """SHA-256 over the sorted (record id, content HMAC) pairs of a slice.

    Raises:
        WrongUsage: a record id stands in it twice.
    """
    ordered = sorted(members)
    if len({record_id for record_id, _ in ordered}) != len(ordered):
        raise WrongUsage("A slice holds the same record twice.")
    return hashlib.sha256(b"".join(framed(*member) for member in ordered)).hexdigest()


EMPTY_MANIFEST = slice_manifest(())
"""The manifest of a slice without members; such a slice is skipped, as if it had never been."""


@dataclass(frozen=True)
class SliceInput:
    """One slice of a shard: its manifest, and a way to read its records when they are needed at all."""

    slice: int
    manifest_digest: str
    load: Callable[[], Sequence[TrainingRecord]] = field(repr=False)


@dataclass(frozen=True)
class BuiltState:
    """A state and where it stands. `shard` is None for the trunk; a reused state cost no steps and no tokens now.

    `truncated_records` were longer than the plan's `max_length` and lost `cut_tokens` in all; of `silenced_records`
    everything that would have been learnt was cut off.
    """

    state: State
    recipe_digest: str
    parent_digest: str
    parent_recipe: str | None
    shard: int | None
    slice: int
    manifest_digest: str
    fingerprint_digest: str
    reused: bool
    steps: int
    tokens: int
    truncated_records: int
    cut_tokens: int = 0
    silenced_records: int = 0

    @property
    def state_digest(self) -> str:
        """SHA-256 of the state's bytes."""
        return self.state.digest


class StateStore(Protocol):
    """Where states are kept between runs. `publish` must be atomic: after a crash a state is there whole or not at all."""

    def find(self, recipe: str) -> State | None:
        """The state built by this recipe, if it was and still exists."""

    def publish(self, built: BuiltState) -> None:
        """Keep a state that was just trained."""
