"""A study: whole trainings under several plans on one corpus, so that a team can see what a plan costs and gives.

Everybody under one plan is trained on; who is held out is decided before, once for all plans, so that their losses can
be compared. The states go through a `StateStore` like those of any training.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lineage.records import TrainingRecord
from unlearn.base import Base
from unlearn.plan import Plan, place
from unlearn.states import BuiltState, SliceInput, State, StateStore, slice_manifest
from unlearn.train import Report, build_chain

__all__ = ["Spent", "StudyMember", "Trained", "Unkept", "arrange", "full_retrain", "one_erasure", "train_plan"]

Place = tuple[int | None, int]
"""Shard (None: the trunk) and slice."""


@dataclass(frozen=True, slots=True)
class StudyMember:
    """A record as a study places it: what placement looks at, and the keyed digest of its content."""

    record_id: str
    content_hmac: str
    subject: str | None
    generation: int
    trunk_eligible: bool


@dataclass(frozen=True, slots=True)
class Spent:
    """What a piece of training cost: optimizer steps, tokens, and seconds of processor time of this process."""

    steps: float = 0.0
    tokens: float = 0.0
    cpu_s: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.steps + other.steps, self.tokens + other.tokens, self.cpu_s + other.cpu_s)

    def __mul__(self, share: float) -> Spent:
        return Spent(self.steps * share, self.tokens * share, self.cpu_s * share)


@dataclass(frozen=True)
class Trained:
    """A plan, trained whole: what stands for each shard, the trunk, where every subject went,
    and what each slice cost and was trained on (digests of manifests)."""

    plan: Plan
    trunk: BuiltState | None = field(repr=False)
    standing: Mapping[int, BuiltState] = field(repr=False)
    subjects: Mapping[str, Place] = field(repr=False)
    spent: Mapping[Place, Spent]
    manifests: Mapping[Place, str]


def arrange(plan: Plan, key: bytes, members: Iterable[StudyMember]) -> dict[Place, list[StudyMember]]:
    """The members of every slice; those the plan holds out itself are left out."""
    found: dict[Place, list[StudyMember]] = {}
    for member in members:
        where = place(
            plan, key, record_id=member.record_id, primary_subject=member.subject, generation=member.generation,
            trunk_eligible=member.trunk_eligible,
        )  # fmt: skip
        if where.kind != "control":
            found.setdefault((where.shard, where.slice or 0), []).append(member)
    return found


def train_plan(  # noqa: PLR0913 - as build_chain
    base: Base,
    plan: Plan,
    key: bytes,
    *,
    members: Mapping[Place, Sequence[StudyMember]],
    load: Callable[[Sequence[StudyMember]], Sequence[TrainingRecord]],
    store: StateStore,
    trunk: BuiltState | None = None,
    progress: Report | None = None,
) -> Trained:
    """Train trunk and shards under a plan. A `trunk` that is given is taken instead of training one."""
    clocked = _Clocked(store)

    def chain(shard: int | None, start: BuiltState | None) -> tuple[BuiltState, ...]:
        slices = [_slice(index, found, load) for (own, index), found in members.items() if own == shard]
        clocked.restart()
        return build_chain(base, plan, key, shard=shard, slices=slices, store=clocked, start=start, progress=progress)

    if trunk is None and plan.trunk:
        trunk = next(iter(chain(None, None)), None)
    chains = {shard: chain(shard, trunk) for shard in range(plan.shards)}
    standing = {shard: (*([trunk] if trunk else []), *built)[-1] for shard, built in chains.items() if built or trunk}
    subjects = {
        m.subject: where for where, found in members.items() for m in found if m.subject and where[0] is not None
    }
    return Trained(plan, trunk, standing, subjects, clocked.spent, clocked.manifests)


def full_retrain(trained: Trained) -> Spent:
    """Everything once, the trunk included."""
    return sum(trained.spent.values(), Spent())


def one_erasure(trained: Trained, *, shards: int = 1) -> Spent:
    """The mean cost of a closure that lies in `shards` shards: in each, the suffix from a person's slice on.

    People are weighted equally inside a shard and shards equally among each other. The records of the closure itself
    are counted, so this is an upper bound.
    """
    suffixes = {where: _suffix(trained, where) for where in set(trained.subjects.values())}
    own: dict[int | None, list[Spent]] = {}
    for where in trained.subjects.values():
        own.setdefault(where[0], []).append(suffixes[where])
    means = [sum(found, Spent()) * (1 / len(found)) for found in own.values()]
    return sum(means, Spent()) * (shards / max(1, len(means)))


def _suffix(trained: Trained, where: Place) -> Spent:
    return sum((s for (shard, index), s in trained.spent.items() if shard == where[0] and index >= where[1]), Spent())


def _slice(
    index: int, members: Sequence[StudyMember], load: Callable[[Sequence[StudyMember]], Sequence[TrainingRecord]]
) -> SliceInput:
    return SliceInput(index, slice_manifest([(m.record_id, m.content_hmac) for m in members]), lambda: load(members))


class Unkept:
    """A `StateStore` that keeps nothing: every plan of a study is trained anew, and a crash loses the study."""

    def find(self, recipe: str) -> State | None:
        """Nothing is ever found."""
        del recipe

    def publish(self, built: BuiltState) -> None:
        """Nothing to do."""
        del built


class _Clocked:
    """A `StateStore` that notes what each slice cost between two publications."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self.spent: dict[Place, Spent] = {}
        self.manifests: dict[Place, str] = {}
        self.restart()

    def restart(self) -> None:
        self._since = time.process_time()

    def find(self, recipe: str) -> State | None:
        return self._store.find(recipe)

    def publish(self, built: BuiltState) -> None:
        cpu_s = time.process_time() - self._since
        self.spent[built.shard, built.slice] = Spent(built.steps, built.tokens, cpu_s)
        self.manifests[built.shard, built.slice] = built.manifest_digest
        self._store.publish(built)
        self.restart()
