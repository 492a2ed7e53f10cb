"""What a certificate says of the model: manifests and their proofs, states, adapters, what was destroyed, the probes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from lineage.fact_forms import Digest, Handle, Hex, Text

__all__ = [
    "AdapterChange",
    "Ancestor",
    "DerivedFile",
    "Destroyed",
    "NeighbourShard",
    "NonInclusion",
    "Probe",
    "ProofLeaf",
    "Rederivation",
    "ShardMap",
    "ShardRebuild",
    "SliceChange",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofLeaf:
    """One leaf (hex) of an ancestor's Merkle tree and its way to the root: places in the ancestor's `nodes`."""

    leaf: Hex
    index: int
    path: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NonInclusion:
    """No leaf under the ancestor's root begins with `absent` (hex): its neighbours, as places in the ancestor's `leaves`."""

    record: Handle
    absent: Hex
    left: int | None = None
    right: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestor:
    """A state that what is in service descends from; of the trunk without `shard`. See `lineage.absence`.

    The tree has `records` leaves. `unproven` says why there is no proof.
    """

    adapter: Handle
    shard: int | None = None
    slice: int
    state: Digest
    parent: Digest | None = None
    records: int
    root: Digest
    nodes: tuple[Digest, ...]
    leaves: tuple[ProofLeaf, ...]
    proofs: tuple[NonInclusion, ...]
    unproven: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceChange:
    """One affected slice: number of records and Merkle root of its manifest, before and after."""

    adapter: Handle
    shard: int
    slice: int
    records_before: int
    records_after: int
    root_before: Digest
    root_after: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRebuild:
    """One rebuilt shard: from which state it started, what ran, and the state it ended in."""

    shard: int
    start_point: Text
    start_digest: Digest
    slices_rebuilt: int
    code_fingerprint: Digest
    environment_fingerprint: Digest
    final_state_digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighbourShard:
    """A shard that was not rebuilt: the state that stands for it, and the environment that one was built in."""

    shard: int
    environment_fingerprint: Digest
    final_state_digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Rederivation:
    """Grade A: a second process got the same bytes for every rebuilt state. Grade B: shown by construction only."""

    grade: Literal["A", "B"]
    states_compared: int
    states_equal: int
    result: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterChange:
    """One adapter: composed digest before and after, what it was made from, and when the release switched."""

    adapter: Handle
    old_digest: Digest
    new_digest: Digest
    base_digest: Digest
    plan_digest: Digest
    shards: tuple[ShardRebuild, ...]
    neighbours: tuple[NeighbourShard, ...] = ()
    rederivation: Rederivation
    contained_at: datetime | None = None
    released_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Destroyed:
    """Things of one kind that no longer exist. Weights carry their digests; record texts and keys are counted only."""

    kind: Literal["state", "shard_adapter", "composed_adapter", "release", "record_text", "record_key", "other"]
    count: int
    digests: tuple[Digest, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedFile:
    """A file made from an old adapter or a record: an export, a merged or quantised child, a cache."""

    file: Handle
    kind: Text
    result: Literal["deleted", "withdrawn", "not_reached"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardMap:
    """In which shards the person stood out, before and after: numbers of shards, p-values and a rank, no score.

    `known`: where lineage had records of the person. A `p_*` is that of a whole map; it is missing where none could be
    drawn. `rank`: the place of the map afterwards among `rank_of`, the person's own and those of people nobody trained on;
    1 stands out the most. `result` says all of it in words, or why there is no map.
    """

    known: tuple[int, ...]
    lit_before: tuple[int, ...]
    lit_after: tuple[int, ...]
    p_before: Decimal | None = None
    p_after: Decimal | None = None
    rank: int | None = None
    rank_of: int | None = None
    result: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One judgement of the new adapter under a protocol that was fixed, and its digest written down, before scoring.

    `records`: n; `controls`: control records; `out_adapters`: K, models that never saw the person, of which
    `extra_out_adapters` were trained for this judgement and destroyed after it; `positive_control`: did the same code find
    the person in the old adapter; `p_value` one-sided; `detectable_effect`: the smallest effect that would have been seen.
    `stage` stands only where there were two, listed in this order: 1 said FAIL, 2 decides. `shard_map` is missing where no
    shard was asked.
    """

    protocol_digest: Digest
    judged_by: Handle
    at: datetime
    level: Text
    records: int
    controls: int
    out_adapters: int
    thresholds: Text
    positive_control: Text
    p_value: Decimal | None = None
    interval: Text | None = None
    detectable_effect: Text
    verdict: Literal["PASS", "FAIL", "INCONCLUSIVE"]
    reason: Text
    report_digest: Digest
    stage: int | None = None
    extra_out_adapters: int | None = None
    shard_map: ShardMap | None = None
