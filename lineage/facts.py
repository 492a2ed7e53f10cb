"""What a certificate says, as frozen values.

The vocabulary is `case.md`'s list of fields; `docs/certificate-format.md` explains each of them to an auditor, and a test
keeps the two together. JSON keys are the field names; `lineage.certificate` reads and writes them.

What happened to the model is in `lineage.facts_of_weights`; what a field may hold in `lineage.fact_forms`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from lineage.fact_forms import Digest, Handle, Text
from lineage.facts_of_weights import (
    AdapterChange,
    Ancestor,
    DerivedFile,
    Destroyed,
    NeighbourShard,
    NonInclusion,
    Probe,
    ProofLeaf,
    Rederivation,
    ShardMap,
    ShardRebuild,
    SliceChange,
)

__all__ = [
    "AdapterChange", "Ancestor", "Approval", "Backup", "CertificateFacts", "DerivedFile", "Destroyed", "Digest", "Handle",
    "Kept", "LedgerHead", "NeighbourShard", "NonInclusion", "Probe", "ProofLeaf", "RecordDecision", "Rederivation",
    "Request", "Scanner", "Search", "ShardMap", "ShardRebuild", "SliceChange", "StoreSearched", "Text", "ToBeTold",
]  # fmt: skip


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
    """What was decided for one record. `already_redacted`: the mention was a constant before training, no rebuild needed.
    `unrelated`: a record of others looked like a near copy, and a DPO found that it is none."""

    record: Handle
    decision: Literal["erase", "redact", "keep", "already_redacted", "unrelated"]
    ground: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Somebody in a role agreed to exactly these bytes. `approved_by` is `dpo:N`, the N-th officer who acted in the case."""

    digest: Digest
    approved_by: Handle
    at: datetime


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
    ancestors: tuple[Ancestor, ...]
    destroyed: tuple[Destroyed, ...]
    derived_files: tuple[DerivedFile, ...]
    probes: tuple[Probe, ...]
    backups: tuple[Backup, ...]
    to_be_told: tuple[ToBeTold, ...]
    kept: tuple[Kept, ...]
    limits: tuple[Text, ...]
    ledger: LedgerHead
