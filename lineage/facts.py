"""What a certificate says, as frozen values.

The vocabulary is `case.md`'s list of fields; `docs/certificate-format.md` explains each of them to an auditor, and a test
keeps the two together. JSON keys are the field names; `lineage.certificate` reads and writes them.

No field has room for a name, an identifier, a given id or a text of the person: who and what are `Handle`s, made for the
case and without meaning outside it. A `Digest` is SHA-256 over weights, recipes, manifests or reports, never over a text.
`Text` is a sentence that Lethe or the DPO writes about the procedure. A measured quantity is a `Decimal`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal, TypeAlias

__all__ = [
    "AdapterChange", "Approval", "Backup", "CertificateFacts", "DerivedFile", "Destroyed", "Digest", "Handle",
    "Kept", "LedgerHead", "NeighbourShard", "NonInclusion", "Probe", "ProofLeaf", "RecordDecision", "Rederivation",
    "Request", "Scanner", "Search", "ShardMap", "ShardRebuild", "SliceChange", "StoreSearched", "Text", "ToBeTold",
]  # fmt: skip

Digest: TypeAlias = Annotated[str, re.compile(r"[0-9a-f]{64}")]
Handle: TypeAlias = Annotated[str, re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,79}")]
Text: TypeAlias = Annotated[str, re.compile(r"(?=.*\S)[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,2000}")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The request and its clock. `basis` is `lineage.clock.DueDate.basis`; `ground` is the letter of Art. 17(1)."""

    case: Handle
    received: date
    due: date
    basis: Text
    paused_days: int = 0
    extended: bool = False
    extension_reasons: Text | None = None
    identity_method: Text
    ground: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSearched:
    """One place that was searched. A store where nothing was found is listed with zero, not left out."""

    store: Handle
    items_searched: int
    records_found: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanner:
    """What scanned records that are learnt from now: the fingerprint of recognisers, versions and models, the tier that ran
    when they came in, what that tier cannot see, and how many records it was."""

    fingerprint: Digest
    tier: Text
    cannot_see: tuple[Text, ...]
    records: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """The search for the person before anything was decided.

    `scanner` scanned most of the records; `further_scanners` the others, for instance before a model was added.
    """

    stores: tuple[StoreSearched, ...]
    scanner: Scanner
    further_scanners: tuple[Scanner, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordDecision:
    """What was decided for one record. `already_redacted`: the mention was a constant before training, no rebuild needed."""

    record: Handle
    decision: Literal["erase", "redact", "keep", "already_redacted"]
    ground: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Somebody in a role agreed to exactly these bytes. `approved_by` is a role handle such as `dpo:1`, not a name."""

    digest: Digest
    approved_by: Handle
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofLeaf:
    """One leaf of a manifest's Merkle tree and its way to the root; hex, see `lineage.merkle`."""

    leaf: Annotated[str, re.compile(r"([0-9a-f]{2})+")]
    index: int
    size: int
    path: tuple[Digest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NonInclusion:
    """`absent` (hex) stands in no leaf under the slice's root after the erasure: here are its neighbours."""

    absent: Annotated[str, re.compile(r"([0-9a-f]{2})+")]
    left: ProofLeaf | None = None
    right: ProofLeaf | None = None


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
    proofs: tuple[NonInclusion, ...] = ()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A copy that Lethe does not reach, and the day it is gone."""

    store: Text
    holds: Text
    expires: date


@dataclass(frozen=True, slots=True, kw_only=True)
class ToBeTold:
    """Art. 19: an organisation that received the data, or an upstream source that still holds it. Not yet told here."""

    kind: Literal["recipient", "upstream"]
    whom: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What stays about the person or the case, on which legal basis, for how long."""

    what: Text
    legal_basis: Text
    retention: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerHead:
    """Head and length of the hash chain when the certificate was made; it also shows if the chain is cut later."""

    digest: Digest
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """All that a certificate attests. It attests only what has happened: acknowledgements come in a signed supplement."""

    certificate: Handle
    issued: datetime
    controller: Text
    request: Request
    search: Search
    decisions: tuple[RecordDecision, ...]
    preview: Approval
    purge: Approval
    slices: tuple[SliceChange, ...]
    neighbours_unchanged: int
    adapters: tuple[AdapterChange, ...]
    destroyed: tuple[Destroyed, ...]
    derived_files: tuple[DerivedFile, ...]
    probes: tuple[Probe, ...]
    backups: tuple[Backup, ...]
    to_be_told: tuple[ToBeTold, ...]
    kept: tuple[Kept, ...]
    limits: tuple[Text, ...]
    ledger: LedgerHead
