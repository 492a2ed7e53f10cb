"""What was trained from what: plans, placements, slice manifests, states, adapters, releases.

Frozen facts go in, rows stay here. Shard `TRUNK` (-1) stands for the trunk in every table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, func, select

from lineage import merkle
from lineage.database import in_chunks
from lineage.errors import NotAcceptable, RefusedByRule
from lineage.tables import (
    AdmissionRow,
    ComposedAdapterRow,
    ComposedPartRow,
    PlacementRow,
    PlanRow,
    RecordRow,
    ReleaseRow,
    ShardAdapterRow,
    SliceManifestRow,
    SliceMemberRow,
    StateRow,
)

__all__ = [
    "TRUNK", "ComposedFacts", "Member", "Placeable", "Placed", "StateFacts", "current_plan", "current_release",
    "freeze_plan", "live_members", "parts_of", "place_records", "release", "save_composed", "save_manifest",
    "save_shard_adapter", "save_state", "unplaced",
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


@dataclass(frozen=True, slots=True)
class StateFacts:
    """A state without its weights."""

    recipe_digest: str
    state_digest: str
    adapter: str
    plan_digest: str
    shard: int
    slice: int
    parent_recipe: str | None
    manifest_digest: str
    fingerprint_digest: str
    steps: int
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ComposedFacts:
    """A composed adapter without its weights; `parts` maps each shard to the recipe that stands for it, or None."""

    digest: str
    adapter: str
    plan_digest: str
    kind: str
    parts: Mapping[int, str | None]


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
    """Admitted records that the plan has not placed yet, of the given sources (all when empty)."""
    placed = select(PlacementRow.record_id).where(PlacementRow.plan_digest == plan_digest)
    query = select(RecordRow).where(RecordRow.status == "admitted", col(RecordRow.id).not_in(placed))
    if sources:
        query = query.where(col(RecordRow.source).in_(sources))
    rows = session.exec(query.order_by(col(RecordRow.id))).all()
    return [Placeable(row.id, row.primary_subject, row.generation, row.trunk_eligible) for row in rows]


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


def slice_count(session: Session, plan_digest: str) -> int:
    """One more than the highest slice that any record was ever placed in."""
    highest = session.exec(select(PlacementRow.slice).where(PlacementRow.plan_digest == plan_digest)).all()
    return 1 + max((index for index in highest if index is not None), default=-1)


def merkle_root(members: Sequence[Member]) -> str:
    """RFC 6962 root over the members: what proofs of absence are made against."""
    return merkle.root(member_leaf(member) for member in members).hex()


def member_leaf(member: Member) -> bytes:
    """The leaf of a member: record id, then content digest, both already keyed."""
    return f"{member.record_id}:{member.content_hmac}".encode()


def save_manifest(
    session: Session, *, digest: str, adapter: str, plan_digest: str, place: tuple[int, int], members: Sequence[Member]
) -> None:
    """Write a slice manifest once. `place` is (shard, slice)."""
    if session.get(SliceManifestRow, digest):
        return
    session.add(
        SliceManifestRow(
            digest=digest, adapter=adapter, plan_digest=plan_digest, shard=place[0], slice=place[1],
            records=len(members), merkle_root=merkle_root(members),
        )
    )  # fmt: skip
    session.flush()
    session.add_all(SliceMemberRow(manifest_digest=digest, record_id=member.record_id) for member in members)
    session.flush()


def find_state(session: Session, recipe_digest: str) -> StateFacts | None:
    """The state built by a recipe, unless it was destroyed."""
    row = session.get(StateRow, recipe_digest)
    return None if row is None or row.destroyed_at else _state(row)


def save_state(session: Session, facts: StateFacts, now: datetime) -> None:
    """Write a state once.

    Raises:
        NotAcceptable: the same recipe gave other bytes before: training is not deterministic here.
    """
    row = session.get(StateRow, facts.recipe_digest)
    if row is None:
        session.add(StateRow(**{name: getattr(facts, name) for name in StateFacts.__dataclass_fields__}, built_at=now))
    elif row.state_digest != facts.state_digest:
        raise NotAcceptable("The same recipe gave different weights; this machine does not train deterministically.")
    else:
        row.destroyed_at = None
    session.flush()


def save_shard_adapter(
    session: Session, *, digest: str, adapter: str, shard: int, recipe_digest: str, now: datetime
) -> None:
    """Record the PEFT directory of a shard's last state."""
    row = session.get(ShardAdapterRow, digest)
    if row is None:
        row = ShardAdapterRow(digest=digest, adapter=adapter, shard=shard, recipe_digest=recipe_digest, built_at=now)
    row.recipe_digest, row.built_at, row.destroyed_at = recipe_digest, now, None
    session.add(row)
    session.flush()


def shard_adapters(session: Session, adapter: str) -> dict[int, str]:
    """The newest undestroyed PEFT directory of each shard, by digest."""
    query = select(ShardAdapterRow).where(
        ShardAdapterRow.adapter == adapter, col(ShardAdapterRow.destroyed_at).is_(None)
    )
    rows = session.exec(query.order_by(col(ShardAdapterRow.built_at))).all()
    return {row.shard: row.digest for row in rows}


def save_composed(session: Session, facts: ComposedFacts, now: datetime) -> None:
    """Write a composed adapter and its parts once."""
    if row := session.get(ComposedAdapterRow, facts.digest):
        row.destroyed_at, row.built_at = None, now
        return
    session.add(
        ComposedAdapterRow(
            digest=facts.digest, adapter=facts.adapter, plan_digest=facts.plan_digest, kind=facts.kind, built_at=now
        )
    )
    session.flush()
    session.add_all(
        ComposedPartRow(composed_digest=facts.digest, shard=shard, recipe_digest=recipe)
        for shard, recipe in facts.parts.items()
    )
    session.flush()


def parts_of(session: Session, composed_digest: str) -> dict[int, str | None]:
    """The recipe that stands for each shard."""
    rows = session.exec(select(ComposedPartRow).where(ComposedPartRow.composed_digest == composed_digest)).all()
    return {row.shard: row.recipe_digest for row in rows}


def release(session: Session, *, adapter: str, composed_digest: str, reason: str, now: datetime) -> bool:
    """Put a composed adapter into service and withdraw the one before; False when it is in service already."""
    row = _in_service(session, adapter)
    if row and row.composed_digest == composed_digest:
        return False
    if row:
        row.withdrawn_at = now
    session.add(ReleaseRow(adapter=adapter, composed_digest=composed_digest, reason=reason, at=now))
    session.flush()
    return True


def current_release(session: Session, adapter: str) -> str | None:
    """Digest of the composed adapter in service."""
    row = _in_service(session, adapter)
    return row.composed_digest if row else None


def _in_service(session: Session, adapter: str) -> ReleaseRow | None:
    query = select(ReleaseRow).where(ReleaseRow.adapter == adapter, col(ReleaseRow.withdrawn_at).is_(None))
    return session.exec(query.order_by(col(ReleaseRow.id).desc())).first()


def _state(row: StateRow) -> StateFacts:
    return StateFacts(**{name: getattr(row, name) for name in StateFacts.__dataclass_fields__})


def placement_counts(session: Session, plan_digest: str) -> dict[str, int]:
    """How many records a plan holds in its trunk, its shards and among its controls."""
    query = select(PlacementRow.kind, func.count()).where(PlacementRow.plan_digest == plan_digest)
    return dict(session.exec(query.group_by(PlacementRow.kind)).all())


def child_state(
    session: Session, *, plan_digest: str, place: int, manifest_digest: str, parent_recipe: str | None
) -> StateFacts | None:
    """The undestroyed state that a slice's manifest gave on top of a parent; the newest, if environments changed."""
    query = select(StateRow).where(
        StateRow.plan_digest == plan_digest, StateRow.shard == place, StateRow.manifest_digest == manifest_digest,
        StateRow.parent_recipe == parent_recipe, col(StateRow.destroyed_at).is_(None),
    )  # fmt: skip
    row = session.exec(query.order_by(col(StateRow.built_at).desc())).first()
    return _state(row) if row else None


def newest_composed(session: Session, adapter: str) -> str | None:
    """The newest full composition that still exists."""
    query = select(ComposedAdapterRow.digest).where(
        ComposedAdapterRow.adapter == adapter, ComposedAdapterRow.kind == "full",
        col(ComposedAdapterRow.destroyed_at).is_(None),
    )  # fmt: skip
    return session.exec(query.order_by(col(ComposedAdapterRow.built_at).desc())).first()


def ancestors(session: Session, recipe_digest: str | None) -> list[StateFacts]:
    """The chain of states that ends in a recipe, oldest first, destroyed ones included."""
    chain: list[StateFacts] = []
    while recipe_digest and (row := session.get(StateRow, recipe_digest)):
        chain.append(_state(row))
        recipe_digest = row.parent_recipe
    return chain[::-1]


def manifest_facts(session: Session, digest: str) -> tuple[int, str]:
    """Number of records and Merkle root of a manifest.

    Raises:
        NotAcceptable: the manifest is not in the tables.
    """
    row = session.get(SliceManifestRow, digest)
    if row is None:
        raise NotAcceptable("A state refers to a manifest that is not in the tables.")
    return row.records, row.merkle_root


def placements_of(session: Session, plan_digest: str, record_ids: Sequence[str]) -> list[Placed]:
    """Where a plan put the given records; those it never placed are left out."""
    found: list[Placed] = []
    for chunk in in_chunks(record_ids):
        query = select(PlacementRow).where(
            PlacementRow.plan_digest == plan_digest, col(PlacementRow.record_id).in_(chunk)
        )
        found += [Placed(row.record_id, row.kind, row.shard, row.slice) for row in session.exec(query).all()]
    return sorted(found, key=lambda placed: placed.record_id)


def withdraw(session: Session, *, adapter: str, now: datetime) -> bool:
    """Take the adapter out of service without a successor; the base model alone serves."""
    row = _in_service(session, adapter)
    if row:
        row.withdrawn_at = now
        session.flush()
    return row is not None


def any_state(session: Session, plan_digest: str) -> str | None:
    """The digest of some state of a plan that was not destroyed, for its size."""
    query = select(StateRow.state_digest).where(
        StateRow.plan_digest == plan_digest, col(StateRow.destroyed_at).is_(None)
    )
    return session.exec(query.limit(1)).first()


def build_pace(session: Session, plan_digest: str) -> tuple[float, int]:
    """Seconds and steps of all states built under a plan, for estimates."""
    query = select(func.sum(StateRow.seconds), func.sum(StateRow.steps)).where(StateRow.plan_digest == plan_digest)
    seconds, steps = session.exec(query).one()
    return float(seconds or 0.0), int(steps or 0)
