"""Training as a pure function: state = F(base, plan, key, shard, slice, records, parent state).

Nothing a record does depends on another record. A step's loss is a sum over its tokens divided by a constant of the plan;
the learning rate comes from a table; the optimizer steps whether or not a batch is empty; random numbers are seeded anew
before every microbatch. So a record that leaves changes the steps it was in, and through them what follows, but never
when, with what weight or with which dropout a neighbour is learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from safetensors.torch import save

from lineage.errors import WrongUsage
from lineage.records import TrainingRecord
from unlearn.adapters import attach, initial_weights
from unlearn.base import Base
from unlearn.batches import to_tensors
from unlearn.determinism import environment_fingerprint, pin_environment
from unlearn.loop import Course, Progress, Report, make_optimizer, optimise, optimizer_bytes, steps_of
from unlearn.plan import TRAINING_PATH, Plan
from unlearn.states import (
    EMPTY_MANIFEST,
    BuiltState,
    Origin,
    SliceInput,
    State,
    StateStore,
    recipe_digest,
    slice_manifest,
)
from unlearn.tokens import tokenise

__all__ = [
    "EMPTY_MANIFEST", "BuiltState", "Origin", "Progress", "SliceInput", "State", "StateStore", "build_chain", "initial_state",
    "origin_of", "recipe_digest", "slice_manifest", "train_slice",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Trained:
    state: State
    steps: int
    tokens: int
    truncated_records: int
    cut_tokens: int
    silenced_records: int


@dataclass(frozen=True, slots=True)
class _Parent:
    state: State
    recipe_digest: str | None


def origin_of(base: Base, plan: Plan) -> Origin:
    """What every recipe of this base and plan shares on this machine.

    Raises:
        WrongUsage: the plan was made for another version of the training path.
    """
    if plan.training_path != TRAINING_PATH:
        raise WrongUsage(
            f"The plan wants training path {plan.training_path}; this version of Lethe has {TRAINING_PATH}.",
            hint="Use the version of Lethe that froze the plan, or train a new adapter.",
        )
    pin_environment(plan, device=base.spec.device)
    fingerprint = environment_fingerprint(plan, device=base.spec.device)
    return Origin(base.digest, base.tokenizer_digest, plan, fingerprint.digest)


def initial_state(base: Base, plan: Plan, key: bytes, *, shard: int | None) -> State:
    """The state before the first slice of a shard that has no trunk, or of the trunk itself (None)."""
    return State(initial_weights(attach(base, plan), key, shard=shard), save({}))


def train_slice(  # noqa: PLR0913 - a pure function names all it depends on
    base: Base,
    plan: Plan,
    key: bytes,
    *,
    shard: int | None,
    slice: int,  # noqa: A002 - the word of the domain
    records: Sequence[TrainingRecord],
    parent: State,
    progress: Report | None = None,
) -> State:
    """Train one slice from its parent state. Without records the parent comes back unchanged.

    Raises:
        WrongUsage: a record stands in the slice twice, its chat template cannot be trained on, or the training diverged.
    """
    return _train(Course(base, plan, key, shard, slice), records, parent, progress).state


def build_chain(  # noqa: PLR0913 - as train_slice, for a whole shard
    base: Base,
    plan: Plan,
    key: bytes,
    *,
    shard: int | None,
    slices: Sequence[SliceInput],
    store: StateStore,
    start: BuiltState | None,
    progress: Report | None = None,
) -> tuple[BuiltState, ...]:
    """Walk a shard (None: the trunk): reuse every state whose recipe matches, train and publish the rest.

    `start` is the state before the first of `slices`: the trunk's, or one of this shard that stays; None for a fresh
    start. The result has one state per slice with members; it is empty if there is none, and then the shard stands for
    its start. A crash loses the slice being trained and nothing else.
    """
    origin = origin_of(base, plan)
    parent = _Parent(start.state, start.recipe_digest) if start else None
    chain: list[BuiltState] = []
    for item in sorted(slices, key=lambda item: item.slice):
        if item.manifest_digest == EMPTY_MANIFEST:
            continue
        parent = parent or _Parent(initial_state(base, plan, key, shard=shard), None)
        course = Course(base, plan, key, shard, item.slice)
        built = _find_or_train(course, item, origin=origin, parent=parent, store=store, progress=progress)
        chain.append(built)
        parent = _Parent(built.state, built.recipe_digest)
    return tuple(chain)


def _find_or_train(
    course: Course, item: SliceInput, *, origin: Origin, parent: _Parent, store: StateStore, progress: Report | None
) -> BuiltState:
    """The state of one slice: reused if its recipe is known, else trained and published."""
    place = {
        "shard": course.shard,
        "manifest_digest": item.manifest_digest,
        "parent_digest": parent.state.digest,
    }
    recipe = recipe_digest(origin, slice_index=item.slice, **place)
    found = store.find(recipe)
    trained = _Trained(found, 0, 0, 0, 0, 0) if found else _train(course, item.load(), parent.state, progress)
    built = BuiltState(
        state=trained.state,
        recipe_digest=recipe,
        parent_recipe=parent.recipe_digest,
        slice=item.slice,
        fingerprint_digest=origin.fingerprint_digest,
        reused=found is not None,
        steps=trained.steps,
        tokens=trained.tokens,
        truncated_records=trained.truncated_records,
        cut_tokens=trained.cut_tokens,
        silenced_records=trained.silenced_records,
        **place,
    )
    if found is None:
        store.publish(built)
    return built


def _train(course: Course, records: Sequence[TrainingRecord], parent: State, progress: Report | None) -> _Trained:
    if not records:
        return _Trained(parent, 0, 0, 0, 0, 0)
    base, plan = course.base, course.plan
    pin_environment(plan, device=base.spec.device)
    found = {r.record_id: tokenise(base.tokenizer, r.content, max_length=plan.max_length) for r in records}
    if len(found) != len(records):
        raise WrongUsage("A slice holds the same record twice.")
    examples = {record_id: to_tensors(example) for record_id, example in found.items() if any(example.learnt)}
    lora = attach(base, plan)
    lora.load(parent.weights)
    optimizer = make_optimizer(lora, plan, parent.optimizer)
    optimise(course, lora, optimizer, steps=steps_of(course, examples), progress=progress)
    return _Trained(
        State(lora.weights(), optimizer_bytes(optimizer, lora, plan)),
        steps=plan.steps(course.shard),
        tokens=course.epochs * sum(len(example.ids) for example in examples.values()),
        truncated_records=sum(example.cut_tokens > 0 for example in found.values()),
        cut_tokens=sum(example.cut_tokens for example in found.values()),
        silenced_records=sum(example.silenced for example in found.values()),
    )
