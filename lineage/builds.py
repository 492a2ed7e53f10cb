"""What was trained from what: states, adapters and releases.

Frozen facts go in, rows stay here. Plans and places are in `lineage.plans`, slice manifests in `lineage.manifests`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, delete, func, select

from lineage.errors import NotAcceptable
from lineage.tables import ComposedAdapterRow, ComposedPartRow, PlanRow, ReleaseRow, ShardAdapterRow, StateRow

__all__ = [
    "ComposedFacts", "StateFacts", "adapters_in_use", "ancestors", "any_state", "build_pace", "child_state", "current_release",
    "find_state", "newest_composed", "parts_of", "recipes_of_shard_adapters", "release", "save_composed",
    "save_shard_adapter", "save_state", "shard_adapters", "withdraw",
]  # fmt: skip


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


def recipes_of_shard_adapters(session: Session, digests: Collection[str]) -> dict[str, str]:
    """The recipe of the state that each PEFT directory was made of, by the directory's digest; unknown ones are left out."""
    rows = session.exec(select(ShardAdapterRow).where(col(ShardAdapterRow.digest).in_(digests))).all()
    return {row.digest: row.recipe_digest for row in rows}


def save_composed(session: Session, facts: ComposedFacts, now: datetime) -> None:
    """Write a composed adapter and its parts.

    The same bytes may come again from other parts, when a record that left had no token to learn: the newer parts stand.
    """
    if row := session.get(ComposedAdapterRow, facts.digest):
        row.destroyed_at, row.built_at = None, now
        row.kind = "full" if "full" in (row.kind, facts.kind) else facts.kind
        session.exec(delete(ComposedPartRow).where(col(ComposedPartRow.composed_digest) == facts.digest))
    else:
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


def adapters_in_use(session: Session) -> set[str]:
    """Every adapter with a plan in force or a release in service, whatever lethe.toml names."""
    planned = session.exec(select(PlanRow.adapter).where(col(PlanRow.current).is_(True))).all()
    serving = session.exec(select(ReleaseRow.adapter).where(col(ReleaseRow.withdrawn_at).is_(None))).all()
    return {*planned, *serving}


def current_release(session: Session, adapter: str) -> str | None:
    """Digest of the composed adapter in service."""
    row = _in_service(session, adapter)
    return row.composed_digest if row else None


def _in_service(session: Session, adapter: str) -> ReleaseRow | None:
    query = select(ReleaseRow).where(ReleaseRow.adapter == adapter, col(ReleaseRow.withdrawn_at).is_(None))
    return session.exec(query.order_by(col(ReleaseRow.id).desc())).first()


def _state(row: StateRow) -> StateFacts:
    return StateFacts(**{name: getattr(row, name) for name in StateFacts.__dataclass_fields__})


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


def newest_state(session: Session, plan_digest: str, place: int) -> StateFacts | None:
    """The state of a shard (or of the trunk) that was built last and ends its chain, destroyed or not."""
    query = select(StateRow).where(StateRow.plan_digest == plan_digest, StateRow.shard == place)
    row = session.exec(query.order_by(col(StateRow.built_at).desc(), col(StateRow.slice).desc())).first()
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
