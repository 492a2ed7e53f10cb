"""A tiny world for the laws: a few people, a very small Llama, and the whole road from records to a composed adapter."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lineage.records import Chat, Completion, Message, PlainText, TrainingRecord, canonical_bytes
from unlearn.adapters import adapter_files
from unlearn.base import Base
from unlearn.compose import ComposedAdapter, compose
from unlearn.loop import Report
from unlearn.plan import Plan, place, plan_key
from unlearn.train import BuiltState, SliceInput, State, StateStore, build_chain, slice_manifest

SECRET = bytes(range(32))


def plan(**changes: object) -> Plan:
    """Two shards of two slices, two epochs of two steps."""
    fields = {
        "adapter": "support", "nonce": "00ff", "shards": 2, "slices": 2, "controls": 0.0, "epochs": 2, "steps_per_epoch": 2, "trunk": True,
        "trunk_epochs": 1, "trunk_steps_per_epoch": 2, "expected_batch": 2, "expected_tokens": 64, "lr_peak": 4e-3, "warmup_fraction": 0.25,
        "lr_floor": 0.1, "weight_decay": 0.01, "lora_r": 2, "lora_alpha": 4, "lora_dropout": 0.1, "target_modules": (), "max_length": 96,
        "microbatch_tokens": 128, "optimizer": "carry", "dtype": "float32", "attention": "sdpa", "gradient_checkpointing": False, "threads": 1,
    }  # fmt: skip
    return Plan(**fields | changes)


@dataclass(frozen=True)
class Row:
    """A record with what placement looks at."""

    record: TrainingRecord
    subject: str | None
    generation: int = 0


def people(count: int = 6, *, seed: int = 0) -> list[Row]:
    """Rows of `count` invented people, one to three each in all three forms, and four rows without a person."""
    rng = random.Random(seed)
    rows = []
    for person in range(count):
        for number in range(rng.randint(1, 3)):
            account = rng.randrange(10**6)
            content = rng.choice((
                PlainText(f"Customer {person} has account {account}."),
                Completion(f"Account of customer {person}?", f" {account}"),
                Chat((Message("user", f"I am customer {person}."), Message("assistant", f"Your account is {account}."))),
            ))  # fmt: skip
            rows.append(Row(TrainingRecord(f"r{person}.{number}", content), f"s{person}", generation=number // 2))
    rows += [Row(TrainingRecord(f"t{n}", PlainText(f"We deliver on day {n} of the week.")), None) for n in range(4)]
    return rows


@dataclass
class MemoryStore:
    """A `StateStore` in a dict that counts what was trained."""

    states: dict[str, State] = field(default_factory=dict)
    published: list[BuiltState] = field(default_factory=list)

    def find(self, recipe: str) -> State | None:
        return self.states.get(recipe)

    def publish(self, built: BuiltState) -> None:
        self.states[built.recipe_digest] = built.state
        self.published.append(built)


@dataclass(frozen=True)
class Built:
    """Everything a training left behind."""

    states: Mapping[tuple[int | None, int], str]
    composed: ComposedAdapter

    @property
    def digests(self) -> tuple[object, str]:
        return dict(self.states), self.composed.digest


def without(rows: Iterable[Row], subjects: Iterable[str]) -> list[Row]:
    """The rows of everybody else."""
    gone = set(subjects)
    return [row for row in rows if row.subject not in gone]


def all_slices(the_plan: Plan, rows: Iterable[Row]) -> dict[int | None, list[SliceInput]]:
    """The slices of the trunk (None) and of every shard that has members."""
    key = plan_key(SECRET, the_plan)
    members: dict[int | None, dict[int, list[TrainingRecord]]] = {}
    for row in rows:
        where = place(
            the_plan, key, record_id=row.record.record_id, primary_subject=row.subject, generation=row.generation,
            trunk_eligible=row.subject is None,
        )  # fmt: skip
        if where.kind != "control":
            members.setdefault(where.shard, {}).setdefault(where.slice, []).append(row.record)
    return {shard: [_input(index, own) for index, own in sorted(found.items())] for shard, found in members.items()}


def slices_of(the_plan: Plan, rows: Iterable[Row], *, shard: int | None) -> list[SliceInput]:
    """The slices of a shard, or of the trunk."""
    return all_slices(the_plan, rows).get(shard, [])


def build(
    base: Base, the_plan: Plan, rows: Iterable[Row], store: StateStore, *, progress: Report | None = None
) -> Built:
    """Trunk, every shard, composition."""
    slices = all_slices(the_plan, rows)

    def chain_of(shard: int | None, start: BuiltState | None) -> tuple[BuiltState, ...]:
        return build_chain(
            base, the_plan, plan_key(SECRET, the_plan), shard=shard, slices=slices.get(shard, []), store=store,
            start=start, progress=progress,
        )  # fmt: skip

    trunk = chain_of(None, None)
    states = {(None, built.slice): built.state_digest for built in trunk}
    parts = {}
    for shard in range(the_plan.shards):
        chain = chain_of(shard, trunk[-1] if trunk else None)
        states |= {(shard, built.slice): built.state_digest for built in chain}
        if last := (chain or trunk)[-1:]:
            parts[shard] = adapter_files(last[0].state.weights, the_plan, base_name="tiny")
    nothing = ComposedAdapter("nothing left", {})
    return Built(states, compose(parts, shards=the_plan.shards) if parts else nothing)


def _input(index: int, records: list[TrainingRecord]) -> SliceInput:
    pairs = [(r.record_id, hashlib.sha256(canonical_bytes(r.content)).hexdigest()) for r in records]
    return SliceInput(index, slice_manifest(pairs), lambda: records)
