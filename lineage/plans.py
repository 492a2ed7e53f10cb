"""Frozen plans, and where each of them puts a record.

Frozen facts go in, rows stay here. Shard `TRUNK` (-1) stands for the trunk in every table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement
from sqlmodel import Session, and_, col, func, or_, select

from lineage.database import in_chunks
from lineage.errors import RefusedByRule
from lineage.planted import CANARY_SOURCE, planting_id
from lineage.tables import AdmissionRow, PlacementRow, PlanRow, RecordRow

__all__ = [
    "TRUNK", "Member", "Placeable", "Placed", "admitted_count", "control_ids", "control_sources", "current_plan", "freeze_plan",
    "live_members", "place_records", "placement_counts", "placements_of", "planted_count", "planted_subjects", "slice_count",
    "unplaced", "without_planted",
]  # fmt: skip

TRUNK = -1


@dataclass(frozen=True, slots=True)
class Placeable:
    """What placement may look at: nothing of any other record."""

    record_id: str
    primary_subject: str | None
    generation: int
    trunk_eligible: bool


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a plan puts a record; shard and slice are None for a control."""

    record_id: str
    kind: str
    shard: int | None
    slice: int | None


@dataclass(frozen=True, slots=True)
class Member:
    """A record in a slice: its id and the keyed digest of the content that is trained on."""

    record_id: str
    content_hmac: str


def current_plan(session: Session, adapter: str) -> tuple[str, str] | None:
    """Digest and JSON body of the plan in force, or None before the first."""
    row = session.exec(select(PlanRow).where(PlanRow.adapter == adapter, col(PlanRow.current).is_(True))).first()
    return (row.digest, row.body) if row else None


def freeze_plan(session: Session, *, adapter: str, digest: str, body: str, now: datetime) -> None:
    """Make a plan the adapter's own. Freezing the same plan again changes nothing.

    Raises:
        RefusedByRule: another plan is in force: every state and every proof depends on it.
    """
    if (current := current_plan(session, adapter)) is None:
        session.add(PlanRow(digest=digest, adapter=adapter, body=body, current=True, frozen_at=now))
        session.flush()
    elif current[0] != digest:
        raise RefusedByRule(
            f"The plan of {adapter} is frozen ({current[0][:12]}); a different one would move every record.",
            hint="Train a new adapter under another name in lethe.toml.",
        )


def unplaced(session: Session, plan_digest: str, sources: Sequence[str]) -> list[Placeable]:
    """Admitted records that the plan has not placed yet, of the given sources (all when empty), with its own canaries.

    Other plans' canaries are theirs alone.
    """
    placed = select(PlacementRow.record_id).where(PlacementRow.plan_digest == plan_digest)
    own = col(RecordRow.ingest_id) == planting_id(plan_digest)
    query = select(RecordRow).where(RecordRow.status == "admitted", col(RecordRow.id).not_in(placed))
    query = query.where(or_(_of_corpus(sources), own))
    rows = session.exec(query.order_by(col(RecordRow.id))).all()
    return [Placeable(row.id, row.primary_subject, row.generation, row.trunk_eligible) for row in rows]


def _of_corpus(sources: Sequence[str]) -> ColumnElement[bool]:
    """Records of the sources (all when empty) that are no planted canaries."""
    corpus = col(RecordRow.source) != CANARY_SOURCE
    return and_(corpus, col(RecordRow.source).in_(sources)) if sources else corpus


def admitted_count(session: Session, sources: Sequence[str]) -> int:
    """How many records of the corpus are admitted; planted canaries are not of the corpus."""
    query = select(func.count()).select_from(RecordRow).where(RecordRow.status == "admitted", _of_corpus(sources))
    return session.exec(query).one()


def place_records(session: Session, plan_digest: str, placed: Iterable[Placed]) -> int:
    """Write placements; each record is placed once per plan."""
    rows = [
        PlacementRow(plan_digest=plan_digest, record_id=p.record_id, kind=p.kind, shard=p.shard, slice=p.slice)
        for p in placed
    ]
    session.add_all(rows)
    session.flush()
    return len(rows)


def live_members(
    session: Session, plan_digest: str, shard: int, *, restricted_too: bool = False
) -> dict[int, tuple[Member, ...]]:
    """The admitted members of every slice of a shard (or of the trunk), sorted by record id; restricted ones on request."""
    kind = "trunk" if shard == TRUNK else "shard"
    query = (
        select(PlacementRow.slice, RecordRow.id, RecordRow.content_hmac)
        .join(RecordRow, col(RecordRow.id) == col(PlacementRow.record_id))
        .join(AdmissionRow, col(AdmissionRow.record_id) == col(RecordRow.id))
        .where(PlacementRow.plan_digest == plan_digest, PlacementRow.kind == kind)
        .where(RecordRow.status == "admitted")
        .order_by(col(RecordRow.id))
    )
    if not restricted_too:
        query = query.where(col(RecordRow.restricted_by).is_(None))
    if shard != TRUNK:
        query = query.where(PlacementRow.shard == shard)
    members: dict[int, list[Member]] = {}
    for slice_index, record_id, content_hmac in session.exec(query).all():
        members.setdefault(slice_index or 0, []).append(Member(record_id, content_hmac))
    return {index: tuple(found) for index, found in sorted(members.items())}


def live_contents(session: Session, record_ids: Sequence[str]) -> dict[str, str]:
    """Content digests of those of the records that may be trained on."""
    found: dict[str, str] = {}
    for chunk in in_chunks(record_ids):
        query = (
            select(RecordRow.id, RecordRow.content_hmac)
            .join(AdmissionRow, col(AdmissionRow.record_id) == col(RecordRow.id))
            .where(RecordRow.status == "admitted", col(RecordRow.restricted_by).is_(None), col(RecordRow.id).in_(chunk))
        )
        found |= dict(session.exec(query).all())
    return found


def control_ids(session: Session, plan_digest: str) -> list[tuple[str, str]]:
    """(record id, subject key) of every live record that is never trained on."""
    query = (
        select(RecordRow.id, RecordRow.primary_subject)
        .join(PlacementRow, col(PlacementRow.record_id) == col(RecordRow.id))
        .where(PlacementRow.plan_digest == plan_digest, PlacementRow.kind == "control")
        .where(RecordRow.status == "admitted", col(RecordRow.restricted_by).is_(None))
        .order_by(col(RecordRow.id))
    )
    return [(record_id, key or "") for record_id, key in session.exec(query).all()]


def control_sources(session: Session, plan_digest: str) -> dict[str, str]:
    """Where each record that is never trained on came from: record id to the source its ingest named."""
    query = (
        select(RecordRow.id, RecordRow.source)
        .join(PlacementRow, col(PlacementRow.record_id) == col(RecordRow.id))
        .where(PlacementRow.plan_digest == plan_digest, PlacementRow.kind == "control")
    )
    return dict(session.exec(query).all())


def planted_count(session: Session, plan_digest: str) -> int:
    """How many of a plan's own canary records it has placed."""
    query = (
        select(func.count()).select_from(PlacementRow).join(RecordRow, col(RecordRow.id) == col(PlacementRow.record_id))
    )
    own = (PlacementRow.plan_digest == plan_digest, RecordRow.ingest_id == planting_id(plan_digest))
    return session.exec(query.where(*own)).one()


def planted_subjects(session: Session) -> frozenset[str]:
    """Subject keys that are nobody's: those of planted canaries."""
    query = select(RecordRow.primary_subject).where(RecordRow.source == CANARY_SOURCE).distinct()
    return frozenset(key for key in session.exec(query).all() if key)


def without_planted(session: Session, record_ids: Iterable[str]) -> set[str]:
    """These records without planted canaries: what an erasure may reach."""
    return set(record_ids) - set(session.exec(select(RecordRow.id).where(RecordRow.source == CANARY_SOURCE)).all())


def slice_count(session: Session, plan_digest: str) -> int:
    """One more than the highest slice that any record was ever placed in."""
    highest = session.exec(select(PlacementRow.slice).where(PlacementRow.plan_digest == plan_digest)).all()
    return 1 + max((index for index in highest if index is not None), default=-1)


def placement_counts(session: Session, plan_digest: str) -> dict[str, int]:
    """How many records a plan holds in its trunk, its shards and among its controls."""
    query = select(PlacementRow.kind, func.count()).where(PlacementRow.plan_digest == plan_digest)
    return dict(session.exec(query.group_by(PlacementRow.kind)).all())


def placements_of(session: Session, plan_digest: str, record_ids: Sequence[str]) -> list[Placed]:
    """Where a plan put the given records; those it never placed are left out."""
    found: list[Placed] = []
    for chunk in in_chunks(record_ids):
        query = select(PlacementRow).where(
            PlacementRow.plan_digest == plan_digest, col(PlacementRow.record_id).in_(chunk)
        )
        found += [Placed(row.record_id, row.kind, row.shard, row.slice) for row in session.exec(query).all()]
    return sorted(found, key=lambda placed: placed.record_id)
