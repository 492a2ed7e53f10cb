"""Every table of the application database, in the order data meets them.

Rows are written only from values that were validated before (SQLModel tables do not validate on construction) and never
leave `lineage`: other rooms see frozen values. No column holds a name, an identifier or a text in the clear; ciphertext
opens only with keys from the key store, which is another database.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Index,
    LargeBinary,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.engine import Dialect
from sqlmodel import Field, SQLModel

__all__ = [
    "AdmissionRow", "ApiTokenRow", "BackupRow", "CaseDecisionRow", "CasePauseRow", "CaseRecordRow", "CaseRow",
    "CaseRunRow", "ComposedAdapterRow", "ComposedPartRow", "CueRow", "DerivedFileRow", "EvidenceRow", "FindingRow",
    "FindingSubjectRow", "HeldBackRow", "IngestRow", "LeaseRow", "LedgerRow", "LoginLinkRow", "MetaRow", "NearEdgeRow",
    "NearTombstoneRow", "NoticeRow", "ParentRow", "PartyRow", "PlacementRow", "PlanRow", "QuarantineRow", "RecordRow",
    "RecordSubjectRow", "RegisterRow", "ReleaseRow", "RescanRecordRow", "RescanRow", "ScannerRow", "SessionRow",
    "ShardAdapterRow", "SliceManifestRow", "StateRow", "StudyWeightRow", "SubjectRow", "SupersededRow",
    "SuppressionRow", "TemplateWordRow", "TombstoneRow", "UserRow", "VaultRow",
]  # fmt: skip


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware UTC in Python, naive UTC in the database (SQLite has no time zones)."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times; store UTC."""
        del dialect
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("A naive time reached the database.")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the zone back."""
        del dialect
        return None if value is None else value.replace(tzinfo=UTC)


class MetaRow(SQLModel, table=True):
    """Facts about the workspace itself: check values of its secrets."""

    __tablename__ = "meta"
    name: str = Field(primary_key=True)
    value: str


class SubjectRow(SQLModel, table=True):
    """A data subject, by keyed pseudonym."""

    __tablename__ = "subject"
    key: str = Field(primary_key=True)
    since: datetime = Field(sa_type=UtcDateTime)


class RegisterRow(SQLModel, table=True):
    """One identifier the controller knows of a subject: encrypted, and findable by its keyed digest."""

    __tablename__ = "register_form"
    id: int | None = Field(default=None, primary_key=True)
    subject_key: str = Field(foreign_key="subject.key", index=True)
    kind: str
    form_hmac: str = Field(index=True)
    ciphertext: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class IngestRow(SQLModel, table=True):
    """One file on its way through the gate. `location` is the encrypted path, dropped when the ingest ends."""

    __tablename__ = "ingest"
    id: str = Field(primary_key=True)
    source: str
    generation: int
    rectify: bool = Field(default=False, sa_column_kwargs={"server_default": false()})  # Art. 16: takes no generation
    status: str = Field(index=True)  # requested | running | finished | failed
    location: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    policy_digest: str = ""
    scanner_digest: str = ""
    counts: dict[str, int] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    requested_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class RecordRow(SQLModel, table=True):
    """One training example that is in the vault or in quarantine."""

    __tablename__ = "record"
    id: str = Field(primary_key=True)
    ingest_id: str = Field(foreign_key="ingest.id", index=True)
    source: str = Field(index=True)
    generation: int
    primary_subject: str | None = Field(default=None, index=True)
    purpose: str
    lawful_basis: str
    language: str
    given_hmac: str = Field(index=True)  # keyed digest of the content as it was given
    content_hmac: str = Field(index=True)  # keyed digest of the content as it is trained on
    id_hmac: str = Field(index=True)  # keyed digest of source and given id
    status: str = Field(index=True)  # admitted | quarantined | blocked
    trunk_eligible: bool = False
    # How often its content was replaced; each version is sealed under a key of its own.
    version: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    restricted_by: str | None = Field(default=None, index=True)  # case that contained it, Art. 18


class RecordSubjectRow(SQLModel, table=True):
    """A person of a record: declared by the row, or found in its text."""

    __tablename__ = "record_subject"
    __table_args__ = (Index("ix_record_subject_subject", "subject_key", "record_id"),)
    record_id: str = Field(foreign_key="record.id", primary_key=True)
    subject_key: str = Field(primary_key=True)
    relation: str = Field(primary_key=True)  # declared | mentioned


class ParentRow(SQLModel, table=True):
    """A record was derived from another; the parent is known by the keyed digest of source and given id."""

    __tablename__ = "record_parent"
    record_id: str = Field(foreign_key="record.id", primary_key=True)
    parent_id_hmac: str = Field(primary_key=True, index=True)


class NearEdgeRow(SQLModel, table=True):
    """Two records that say nearly the same, once for the pair: `a` sorts before `b`. Goes with either of them."""

    __tablename__ = "near_edge"
    a: str = Field(foreign_key="record.id", primary_key=True)
    b: str = Field(foreign_key="record.id", primary_key=True, index=True)
    similarity: float  # estimated Jaccard similarity of their words, in [0, 1]


class TemplateWordRow(SQLModel, table=True):
    """A word that records of many people hold, as 32 keyed bits (`lineage.nearness`). It says nothing about any of them."""

    __tablename__ = "template_word"
    tag: int = Field(sa_type=BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False})


class FindingRow(SQLModel, table=True):
    """A span the gate found: where, what kind, what was done. Never the value.

    The span addresses the record as it came; `kept_*` its content as it is kept, None for what was taken out of it.
    """

    __tablename__ = "finding"
    id: int | None = Field(default=None, primary_key=True)
    record_id: str = Field(foreign_key="record.id", index=True)
    segment: int
    span_start: int
    span_end_exclusive: int
    kept_start: int | None = None
    kept_end_exclusive: int | None = None
    entity_type: str
    score: float
    action: str
    recognizer: str
    value_hmac: str


class FindingSubjectRow(SQLModel, table=True):
    """A finding names a known person."""

    __tablename__ = "finding_subject"
    finding_id: int = Field(foreign_key="finding.id", primary_key=True)
    subject_key: str = Field(primary_key=True, index=True)
    declared: bool


class AdmissionRow(SQLModel, table=True):
    """The gate's leave to learn from a record; without this row nothing reads the record's text for training."""

    __tablename__ = "admission"
    record_id: str = Field(foreign_key="record.id", primary_key=True)
    policy_digest: str
    scanner_digest: str
    verdict: str  # allow | redact | released
    reviewer: str = ""
    because: str = Field(default="", sa_column_kwargs={"server_default": text("''")})  # a code of `lineage.rulings`
    admitted_at: datetime = Field(sa_type=UtcDateTime)


class ScannerRow(SQLModel, table=True):
    """What a scanner digest stands for: versions, recognisers and models, the tier they make, and what it does not see."""

    __tablename__ = "scanner"
    digest: str = Field(primary_key=True)
    fingerprint: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    tier: str
    blind_spots: str


class QuarantineRow(SQLModel, table=True):
    """A record a human must look at; of a blocked one, who blocked it, when, and why (a code of `lineage.rulings`)."""

    __tablename__ = "quarantine"
    record_id: str = Field(foreign_key="record.id", primary_key=True)
    reason: str = Field(index=True)
    since: datetime = Field(sa_type=UtcDateTime)
    releasable: bool
    because: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    reviewer: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    decided_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class VaultRow(SQLModel, table=True):
    """Ciphertext of a record's content and given id, under the record's own key."""

    __tablename__ = "vault"
    record_id: str = Field(foreign_key="record.id", primary_key=True)
    ciphertext: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class SupersededRow(SQLModel, table=True):
    """A content that a record had before, until nothing that was trained on it is left. `by` replaced it.

    `ciphertext` and `aftermath` (`lineage.aftermath`) are kept only of a redacted one, until its case is purged: a legal hold
    may still stop the destruction, and a case that ends without it takes its redactions back. What was redacted is then
    itself a content that the record had before (`unredacted`).
    """

    __tablename__ = "superseded"
    record_id: str = Field(foreign_key="record.id", primary_key=True)
    content_hmac: str = Field(primary_key=True)
    given_hmac: str
    version: int
    reason: str = Field(index=True)  # rectified | redacted | unredacted
    by: str = Field(index=True)  # the ingest, or the case
    ciphertext: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    aftermath: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True), nullable=True))
    key_shredded: bool = False
    at: datetime = Field(sa_type=UtcDateTime)


class RescanRow(SQLModel, table=True):
    """A comparison of what the gate decided before with what it decides under the policy in force; and whether it was applied."""

    __tablename__ = "rescan"
    id: str = Field(primary_key=True)
    status: str = Field(index=True)  # scanning | compared | applying | applied
    policy_digest: str
    scanner_digest: str
    register_digest: str  # the people whom the gate knew
    digest: str = ""  # what an approval binds
    approved_by: str = ""
    case_id: str = ""  # the withdrawal, if a record had to be withdrawn
    requested_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class RescanRecordRow(SQLModel, table=True):
    """One record of a comparison: as it was, what the gate says now, and what follows. `done` when that was carried out."""

    __tablename__ = "rescan_record"
    rescan_id: str = Field(foreign_key="rescan.id", primary_key=True)
    record_id: str = Field(foreign_key="record.id", primary_key=True)
    source: str
    was: str  # admitted | quarantined
    verdict: str  # allow | redact | quarantine | block
    reason: str
    outcome: str = Field(index=True)  # keep | admit | redact | wait | quarantine | block | withdraw | locked
    content_before: str  # keyed digests of what was and would be trained on
    content_after: str
    done: bool = False


class PlanRow(SQLModel, table=True):
    """A frozen plan. One per adapter is current."""

    __tablename__ = "plan"
    digest: str = Field(primary_key=True)
    adapter: str = Field(index=True)
    body: str
    current: bool
    frozen_at: datetime = Field(sa_type=UtcDateTime)


class PlacementRow(SQLModel, table=True):
    """Where a plan puts a record: trunk, a slice of a shard, or among the never-trained controls."""

    __tablename__ = "placement"
    __table_args__ = (Index("ix_placement_where", "plan_digest", "kind", "shard", "slice"),)
    plan_digest: str = Field(foreign_key="plan.digest", primary_key=True)
    record_id: str = Field(foreign_key="record.id", primary_key=True)
    kind: str  # trunk | shard | control
    shard: int | None = None
    slice: int | None = None


class SliceManifestRow(SQLModel, table=True):
    """What a slice was trained on: a digest over its sorted members, their number and Merkle root. Shard -1 is the trunk.

    `members` is read and written by `lineage.manifests` only; erased records are taken out of it. It is the last column,
    so that a query for the others need not fetch it.
    """

    __tablename__ = "slice_manifest"
    digest: str = Field(primary_key=True)
    adapter: str = Field(index=True)
    plan_digest: str
    shard: int
    slice: int
    records: int
    merkle_root: str
    members: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class StateRow(SQLModel, table=True):
    """Weights and optimizer after a slice. The recipe is its key; the state digest its address in the store."""

    __tablename__ = "state"
    recipe_digest: str = Field(primary_key=True)
    state_digest: str = Field(index=True)
    adapter: str = Field(index=True)
    plan_digest: str
    shard: int
    slice: int
    parent_recipe: str | None = Field(default=None, index=True)
    manifest_digest: str = Field(index=True)
    fingerprint_digest: str
    steps: int
    tokens: int
    seconds: float
    built_at: datetime = Field(sa_type=UtcDateTime)
    destroyed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class ShardAdapterRow(SQLModel, table=True):
    """A shard's last state as a PEFT directory in the store."""

    __tablename__ = "shard_adapter"
    digest: str = Field(primary_key=True)
    adapter: str = Field(index=True)
    shard: int
    recipe_digest: str = Field(foreign_key="state.recipe_digest", index=True)
    built_at: datetime = Field(sa_type=UtcDateTime)
    destroyed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class ComposedAdapterRow(SQLModel, table=True):
    """The exact average of the shards as one PEFT directory in the store."""

    __tablename__ = "composed_adapter"
    digest: str = Field(primary_key=True)
    adapter: str = Field(index=True)
    plan_digest: str
    kind: str  # full | contained
    built_at: datetime = Field(sa_type=UtcDateTime)
    destroyed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class ComposedPartRow(SQLModel, table=True):
    """Which state stands for a shard in a composed adapter; no recipe means the shard counted as zero."""

    __tablename__ = "composed_part"
    composed_digest: str = Field(foreign_key="composed_adapter.digest", primary_key=True)
    shard: int = Field(primary_key=True)
    recipe_digest: str | None = Field(default=None, index=True)


class StudyWeightRow(SQLModel, table=True):
    """Weights of a study (`lethe plan --study`), kept only until it ends: which plan and manifests they come from."""

    __tablename__ = "study_weight"
    id: int | None = Field(default=None, primary_key=True)
    digest: str = Field(index=True)
    adapter: str = Field(index=True)
    study_id: str
    plan_digest: str
    shards: int
    slices: int
    manifests: dict[str, str] = Field(sa_column=Column(JSON, nullable=False))
    written_at: datetime = Field(sa_type=UtcDateTime)
    destroyed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class ReleaseRow(SQLModel, table=True):
    """A composed adapter in service from `at` until `withdrawn_at`."""

    __tablename__ = "release"
    id: int | None = Field(default=None, primary_key=True)
    adapter: str = Field(index=True)
    composed_digest: str = Field(foreign_key="composed_adapter.digest", index=True)
    reason: str
    at: datetime = Field(sa_type=UtcDateTime)
    withdrawn_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class DerivedFileRow(SQLModel, table=True):
    """A file outside the store that was made from a composed adapter, or (no digest) from records.

    `location` is what stood there, keyed, and the sealed path (`lineage.derived`), dropped when the file was withdrawn;
    without one only a human can withdraw it.
    """

    __tablename__ = "derived_file"
    name: str = Field(primary_key=True)  # a handle: it stands on certificates
    kind: str  # export | merged | quantised | cache
    composed_digest: str | None = Field(default=None, foreign_key="composed_adapter.digest", index=True)
    location: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    since: datetime = Field(sa_type=UtcDateTime)
    result: str = ""  # deleted | withdrawn | not_reached
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class CaseRow(SQLModel, table=True):
    """One erasure request. `subject_key` and `supplied` are dropped at the purge."""

    __tablename__ = "erasure_case"
    id: str = Field(primary_key=True)
    stage: str = Field(index=True)
    stage_since: datetime = Field(sa_type=UtcDateTime)
    received_on: date
    due_on: date
    due_basis: str
    ground: str
    identity_method: str
    subject_key: str | None = Field(default=None, index=True)
    supplied: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    filed_by: str
    approved_by: str = ""
    purge_approved_by: str = ""
    preview_digest: str = ""
    approved_digest: str = ""
    evidence_digest: str = ""
    purge_digest: str = ""
    attempt: int = 0
    resume_stage: str = ""
    problem: str = ""
    hold_reason: str = ""
    extension_reason: str = ""
    reopen_reason: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    # Art. 7(3): what rests on another lawful basis stays, and so does the person.
    only_consent: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    # A withdrawal by policy is about the records of this comparison and about nobody in particular.
    rescan_id: str | None = None


class CaseRecordRow(SQLModel, table=True):
    """A record of a case's closure with the decision about it; the record id is dropped at the purge."""

    __tablename__ = "case_record"
    case_id: str = Field(foreign_key="erasure_case.id", primary_key=True)
    handle: str = Field(primary_key=True)
    record_id: str | None = Field(default=None, index=True)
    relation: str  # declared | mentioned | duplicate | near_duplicate | derived
    decision: str  # erase | redact | already_redacted | keep | candidate | unrelated
    ground: str = ""


class CaseDecisionRow(SQLModel, table=True):
    """What a DPO decided about one record of a case, or why they hold it. It lays itself over every new search.

    An empty decision leaves it with what the search says; an empty reason is no hold.
    """

    __tablename__ = "case_decision"
    case_id: str = Field(foreign_key="erasure_case.id", primary_key=True)
    handle: str = Field(primary_key=True)
    decision: str = ""  # erase | redact | keep | unrelated | leave-out
    ground: str = ""  # why it is kept, Art. 17(3)
    hold_reason: str = ""
    decided_by: str
    decided_at: datetime = Field(sa_type=UtcDateTime)


class HeldBackRow(SQLModel, table=True):
    """A record under a legal hold that the purge of its case left out: what a case of its own needs once the hold is lifted.

    `supplied` is sealed under a key of its own (`lineage.held_back`); the purged case has forgotten whom it was about.
    """

    __tablename__ = "held_back"
    case_id: str = Field(foreign_key="erasure_case.id", primary_key=True)
    handle: str = Field(primary_key=True)
    record_id: str = Field(foreign_key="record.id", index=True)
    subject_key: str = Field(index=True)
    supplied: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    since: datetime = Field(sa_type=UtcDateTime)


class CasePauseRow(SQLModel, table=True):
    """Days on which a case's clock stands still: identity was in doubt and the person was asked (Art. 12(6) GDPR)."""

    __tablename__ = "case_pause"
    case_id: str = Field(foreign_key="erasure_case.id", primary_key=True)
    asked_on: date = Field(primary_key=True)
    answered_on: date | None = None


class EvidenceRow(SQLModel, table=True):
    """A piece of evidence: canonical JSON and its digest. The newest of a kind counts."""

    __tablename__ = "evidence"
    id: int | None = Field(default=None, primary_key=True)
    case_id: str = Field(foreign_key="erasure_case.id", index=True)
    kind: str
    digest: str
    body: str
    at: datetime = Field(sa_type=UtcDateTime)


class PartyRow(SQLModel, table=True):
    """Somebody outside who is told of erasures: who received an adapter's releases (Art. 19 GDPR), or the system behind a source.

    `endpoint` is the encrypted URL of its webhook; without one it is told by hand. A notice outlives `removed_at`.
    """

    __tablename__ = "party"
    name: str = Field(primary_key=True)
    kind: str  # recipient | upstream
    scope: str = ""  # the adapter or the source; empty means all
    whom: str  # the organisation or system as certificates call it
    endpoint: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    since: datetime = Field(sa_type=UtcDateTime)
    removed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class NoticeRow(SQLModel, table=True):
    """One erasure told to one party: canonical JSON without personal data, and how far it has come."""

    __tablename__ = "notice"
    __table_args__ = (UniqueConstraint("case_id", "party"),)
    id: str = Field(primary_key=True)
    case_id: str = Field(foreign_key="erasure_case.id", index=True)
    party: str = Field(foreign_key="party.name", index=True)
    body: str
    state: str = Field(index=True)  # pending | sent | acknowledged | dead | waived
    tries: int = 0
    next_try_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    problem: str = ""  # of the last try
    waived_by: str = ""
    waive_reason: str = ""
    made_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class BackupRow(SQLModel, table=True):
    """Copies that Lethe does not reach. They are gone on `expires_on`, or each `keep_days` after it was made."""

    __tablename__ = "backup"
    name: str = Field(primary_key=True)
    store: str  # what it is a copy of, and where
    holds: str  # record keys, texts, weights
    expires_on: date | None = None
    keep_days: int | None = None
    since: datetime = Field(sa_type=UtcDateTime)


class CaseRunRow(SQLModel, table=True):
    """A Dagster run that worked on a case."""

    __tablename__ = "case_run"
    case_id: str = Field(foreign_key="erasure_case.id", primary_key=True)
    run_id: str = Field(primary_key=True)
    job: str
    at: datetime = Field(sa_type=UtcDateTime)


class LedgerRow(SQLModel, table=True):
    """One event of the hash-chained, append-only ledger."""

    __tablename__ = "ledger"
    seq: int = Field(primary_key=True)
    at: str
    kind: str = Field(index=True)
    case_id: str = Field(default="", index=True)
    payload: str
    previous: str
    digest: str


class TombstoneRow(SQLModel, table=True):
    """Keyed digest that stops an erased record from coming back."""

    __tablename__ = "tombstone"
    __table_args__ = (UniqueConstraint("kind", "hmac"),)
    id: int | None = Field(default=None, primary_key=True)
    kind: str  # content | given_id
    hmac: str = Field(index=True)
    case_id: str
    keep_until: date


class NearTombstoneRow(SQLModel, table=True):
    """A keyed sketch of the words that only an erased record held, which stops near copies of it.

    `subject_hmac`: keyed digest of its primary subject's key, empty if it declared nobody.
    """

    __tablename__ = "near_tombstone"
    case_id: str = Field(primary_key=True)
    handle: str = Field(primary_key=True)
    subject_hmac: str = Field(index=True)
    words: int  # how many different words it was made of
    sketch: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    keep_until: date


class SuppressionRow(SQLModel, table=True):
    """Keyed digest of a normalised identifier of an erased person, so that the gate still redacts it.

    `cued`: its cue, if it has one, is among `CueRow`. Forms that were erased before there were cues have none.
    """

    __tablename__ = "suppression"
    __table_args__ = (UniqueConstraint("kind", "hmac"),)
    id: int | None = Field(default=None, primary_key=True)
    kind: str
    hmac: str = Field(index=True)
    case_id: str
    keep_until: date
    cued: bool = Field(default=False, sa_column_kwargs={"server_default": false()})


class CueRow(SQLModel, table=True):
    """24 bits of a keyed digest of a piece of suppressed forms (`lineage.cues`): where to look for them.

    Apart from the forms and once for all that share it, so that nobody can count how many are called by a first name.
    """

    __tablename__ = "suppression_cue"
    tag: str = Field(primary_key=True)
    keep_until: date  # as long as the last of its forms


class LeaseRow(SQLModel, table=True):
    """Who may build a shard now; the token grows with every taking and is checked when weights are published."""

    __tablename__ = "lease"
    name: str = Field(primary_key=True)
    token: int
    holder: str
    expires_at: datetime = Field(sa_type=UtcDateTime)


class UserRow(SQLModel, table=True):
    """A member of the controller's staff and the one role they hold."""

    __tablename__ = "staff"
    name: str = Field(primary_key=True)
    role: str
    since: datetime = Field(sa_type=UtcDateTime)
    password_hash: str = Field(default="", sa_column_kwargs={"server_default": text("''")})  # empty: by link only
    failed_logins: int = Field(default=0, sa_column_kwargs={"server_default": "0"})  # since the last that succeeded
    locked_until: datetime | None = Field(default=None, sa_type=UtcDateTime)


class LoginLinkRow(SQLModel, table=True):
    """A one-time link, by the hash of its token."""

    __tablename__ = "login_link"
    token_hash: str = Field(primary_key=True)
    user: str = Field(foreign_key="staff.name")
    expires_at: datetime = Field(sa_type=UtcDateTime)
    used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class SessionRow(SQLModel, table=True):
    """A browser session, by the hash of its cookie."""

    __tablename__ = "console_session"
    token_hash: str = Field(primary_key=True)
    user: str = Field(foreign_key="staff.name")
    form_token: str
    expires_at: datetime = Field(sa_type=UtcDateTime)


class ApiTokenRow(SQLModel, table=True):
    """A token for programs, by its hash: who acts with it, what it may do, until when."""

    __tablename__ = "api_token"
    token_hash: str = Field(primary_key=True)
    user: str = Field(foreign_key="staff.name")
    scope: str
    since: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
