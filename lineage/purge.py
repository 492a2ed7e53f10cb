"""Destroy: what is left of a person after the DPO approved it on the evidence.

Order, each step safe to repeat: journal (outside the database) -> tombstones and suppression list -> weights (states,
shard adapters, composed adapters that hold a record of the closure) -> derived files at a known place (`lineage.derived`)
-> rows -> keys -> compaction. What stays about the person is written by `lineage.tombstones`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, SQLModel, col, delete, select

from lineage.aftermath import forget_in_aftermaths
from lineage.database import in_chunks
from lineage.manifests import forget_members, manifests_holding, manifests_holding_content
from lineage.store import Store
from lineage.tables import (
    AdmissionRow,
    CaseRecordRow,
    CaseRow,
    ComposedAdapterRow,
    ComposedPartRow,
    FindingRow,
    FindingSubjectRow,
    HeldBackRow,
    NearEdgeRow,
    ParentRow,
    PlacementRow,
    QuarantineRow,
    RecordRow,
    RecordSubjectRow,
    RegisterRow,
    ReleaseRow,
    RescanRecordRow,
    ShardAdapterRow,
    StateRow,
    SubjectRow,
    SupersededRow,
    VaultRow,
)

__all__ = ["Tainted", "destroy_weights", "forget_rows", "tainted"]

OF_A_RECORD = (
    FindingRow, ParentRow, RecordSubjectRow, QuarantineRow, AdmissionRow, PlacementRow, RescanRecordRow, SupersededRow,
    HeldBackRow, VaultRow,
)  # fmt: skip
"""The tables whose rows name a record, and go before it."""


@dataclass(frozen=True, slots=True)
class Tainted:
    """Everything in the store that descends from a record of a closure, by digest."""

    states: tuple[str, ...]
    shard_adapters: tuple[str, ...]
    composed_adapters: tuple[str, ...]


def tainted_recipes(
    session: Session, record_ids: Sequence[str], *, superseded: Sequence[tuple[str, str]] = ()
) -> set[str]:
    """Recipes of all states with one of the records among their ancestors' members.

    `superseded` are pairs (record id, content digest) of records that stay, but no longer with that content.
    """
    manifests = manifests_holding(session, record_ids) | manifests_holding_content(session, superseded)
    recipes = set(
        session.exec(select(StateRow.recipe_digest).where(col(StateRow.manifest_digest).in_(manifests))).all()
    )
    frontier = set(recipes)
    while frontier:
        query = select(StateRow.recipe_digest).where(col(StateRow.parent_recipe).in_(frontier))
        frontier = set(session.exec(query).all()) - recipes
        recipes |= frontier
    return recipes


def tainted(session: Session, record_ids: Sequence[str], *, superseded: Sequence[tuple[str, str]] = ()) -> Tainted:
    """What an erasure of these records, or of these superseded contents, must destroy.

    A state shared with a clean recipe is not tainted.
    """
    recipes = tainted_recipes(session, record_ids, superseded=superseded)
    live = session.exec(select(StateRow).where(col(StateRow.destroyed_at).is_(None))).all()
    clean = {row.state_digest for row in live if row.recipe_digest not in recipes}
    states = {row.state_digest for row in live if row.recipe_digest in recipes} - clean
    shards = session.exec(select(ShardAdapterRow).where(col(ShardAdapterRow.recipe_digest).in_(recipes))).all()
    parts = select(ComposedPartRow.composed_digest).where(col(ComposedPartRow.recipe_digest).in_(recipes)).distinct()
    return Tainted(
        states=tuple(sorted(states)),
        shard_adapters=tuple(sorted(row.digest for row in shards if row.destroyed_at is None)),
        composed_adapters=tuple(sorted(session.exec(parts).all())),
    )


def destroy_weights(store: Store, doomed: Tainted) -> dict[str, int]:
    """Delete tainted entries of the store; returns how many of each kind were there."""
    return {
        "states": sum(store.destroy("states", digest) for digest in doomed.states),
        "shard_adapters": sum(store.destroy("adapters", digest) for digest in doomed.shard_adapters),
        "composed_adapters": sum(store.destroy("adapters", digest) for digest in doomed.composed_adapters),
    }


def mark_destroyed(
    session: Session,
    doomed: Tainted,
    record_ids: Sequence[str],
    now: datetime,
    *,
    superseded: Sequence[tuple[str, str]] = (),
) -> None:
    """Remember that the weights are gone, and withdraw releases of them."""
    recipes = tainted_recipes(session, record_ids, superseded=superseded)
    for row in session.exec(select(StateRow).where(col(StateRow.recipe_digest).in_(recipes))).all():
        row.destroyed_at = row.destroyed_at or now
    for shard in session.exec(
        select(ShardAdapterRow).where(col(ShardAdapterRow.digest).in_(doomed.shard_adapters))
    ).all():
        shard.destroyed_at = shard.destroyed_at or now
    composed = col(ComposedAdapterRow.digest).in_(doomed.composed_adapters)
    for adapter in session.exec(select(ComposedAdapterRow).where(composed)).all():
        adapter.destroyed_at = adapter.destroyed_at or now
    released = col(ReleaseRow.composed_digest).in_(doomed.composed_adapters)
    for release in session.exec(select(ReleaseRow).where(released)).all():
        release.withdrawn_at = release.withdrawn_at or now
    session.flush()


def forget_rows(
    session: Session, *, case_id: str, subject_key: str | None, record_ids: Sequence[str]
) -> dict[str, int]:
    """Delete the rows of the records and of the person (None: who stays known); returns counts by table."""
    counts = {"slice_manifest": forget_members(session, record_ids)}  # first: the placements say where to look

    def drop(table: type[SQLModel], column: str, values: Sequence[object]) -> None:
        for chunk in in_chunks(values):
            result = session.connection().execute(delete(table).where(getattr(table, column).in_(chunk)))
            counts[table.__tablename__] = counts.get(str(table.__tablename__), 0) + result.rowcount  # type: ignore[index]

    findings: list[int | None] = []
    for chunk in in_chunks(record_ids):
        findings += session.exec(select(FindingRow.id).where(col(FindingRow.record_id).in_(chunk))).all()
    if subject_key is not None:
        _forget_in_other_records(session, subject_key)
        drop(FindingSubjectRow, "subject_key", [subject_key])
    drop(FindingSubjectRow, "finding_id", findings)
    for table in OF_A_RECORD:
        drop(table, "record_id", record_ids)
    for end in ("a", "b"):
        drop(NearEdgeRow, end, record_ids)
    drop(RecordRow, "id", record_ids)
    if subject_key is not None:
        drop(RecordSubjectRow, "subject_key", [subject_key])
        drop(RegisterRow, "subject_key", [subject_key])
        drop(SubjectRow, "key", [subject_key])
    _forget_in_cases(session, case_id, subject_key, record_ids)
    return counts


def earlier_cases(session: Session, case_id: str, subject_key: str | None) -> list[str]:
    """Other cases of the same person (refused ones, say), whose sealed identifiers go with this purge."""
    if subject_key is None:
        return []
    query = select(CaseRow.id).where(CaseRow.subject_key == subject_key, CaseRow.id != case_id)
    return sorted(session.exec(query).all())


def _forget_in_cases(session: Session, case_id: str, subject_key: str | None, record_ids: Sequence[str]) -> None:
    """Every case keeps its handles only: this one, others that list a record, and what an earlier one knew of the person.

    This case itself forgets the person last, in `CaseFile.purged`.
    """
    listed = list(session.exec(select(CaseRecordRow).where(CaseRecordRow.case_id == case_id)).all())
    for chunk in in_chunks(record_ids):
        listed += session.exec(select(CaseRecordRow).where(col(CaseRecordRow.record_id).in_(chunk))).all()
    for row in listed:
        row.record_id = None
    earlier = select(CaseRow).where(CaseRow.subject_key == subject_key, CaseRow.id != case_id)
    for case in session.exec(earlier).all() if subject_key is not None else ():
        case.subject_key, case.supplied = None, None
    session.flush()


def _forget_in_other_records(session: Session, subject_key: str) -> None:
    """Findings of the person in records of others keep their place and type; the keyed digest of the value goes."""
    linked = select(FindingSubjectRow.finding_id).where(FindingSubjectRow.subject_key == subject_key)
    for row in session.exec(select(FindingRow).where(col(FindingRow.id).in_(linked))).all():
        row.value_hmac = ""
    session.flush()
    forget_in_aftermaths(session, subject_key)
