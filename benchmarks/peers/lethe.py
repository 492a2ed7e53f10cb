"""Lethe: training as a pure function; an erasure rebuilds the suffix of one shard (`unlearn`, docs/adr)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from lineage.records import canonical_bytes
from peers.setting import Adapter, Setting, members, shard_and_slice
from unlearn.train import BuiltState, SliceInput, State, build_chain, origin_of, slice_manifest

__all__ = ["Kept", "erase", "never", "train"]


@dataclass
class Store:
    """States by recipe, in memory."""

    states: dict[str, State] = field(default_factory=dict)

    def find(self, recipe: str) -> State | None:
        """The state of a recipe."""
        return self.states.get(recipe)

    def publish(self, built: BuiltState) -> None:
        """Keep a state."""
        self.states[built.recipe_digest] = built.state


@dataclass(frozen=True)
class Kept:
    """Every state with weights and optimizer, the shards' last weights, and what is in service."""

    states: Mapping[str, State] = field(repr=False)
    last: Mapping[int, bytes] = field(repr=False)
    adapter: Adapter = field(repr=False)

    @property
    def stored_bytes(self) -> int:
        """Bytes of weights and moments of every state."""
        return sum(len(state.weights) + len(state.optimizer) for state in self.states.values())


def train(setting: Setting, *, without: str | None = None) -> Kept:
    """Train every shard in a fresh store."""
    store = Store()
    last = {shard: _build(setting, store, shard, without) for shard in range(setting.plan.shards)}
    return Kept(store.states, last, setting.adapter(last))


def erase(setting: Setting, kept: Kept, person: str) -> Adapter:
    """Rebuild the person's shard from their slice on: the states before it are found by their recipes."""
    shard, _ = shard_and_slice(setting, person)
    return setting.adapter({**kept.last, shard: _build(setting, Store(dict(kept.states)), shard, person)})


def never(setting: Setting, _kept: Kept, person: str) -> Adapter:
    """A full training, in a fresh store, of a corpus that never held the person."""
    return train(setting, without=person).adapter


def _build(setting: Setting, store: Store, shard: int, without: str | None) -> bytes:
    slices = [
        SliceInput(index, slice_manifest((r.record_id, _digest(r.content)) for r in records), lambda own=records: own)
        for index, records in enumerate(members(setting, without=without)[shard])
    ]
    chain = build_chain(
        setting.base, setting.plan, setting.key, shard=shard, slices=slices, store=store, start=_start(setting)
    )
    return chain[-1].state.weights if chain else setting.trunk.weights


def _start(setting: Setting) -> BuiltState:
    """The trunk as the state every shard starts from."""
    fingerprint = origin_of(setting.base, setting.plan).fingerprint_digest
    return BuiltState(
        state=setting.trunk, recipe_digest="trunk", parent_digest="", parent_recipe=None, shard=None, slice=0,
        manifest_digest="", fingerprint_digest=fingerprint, reused=True, steps=0, tokens=0, truncated_records=0,
    )  # fmt: skip


def _digest(content) -> str:
    return hashlib.sha256(canonical_bytes(content)).hexdigest()
