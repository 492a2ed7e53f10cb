"""Garbage in the store: what no live recipe reaches. A pure decision over values, and the rows it is read from and written to.

A state is reachable if it is a root or the ancestor of a reachable one; a root's ancestors are what a rebuild starts
from and what a certificate tells of. A shard's adapter is reachable with its state, a composed adapter only as a root,
and then its parts are roots too. What is younger than a limit stays in any case: somebody may just be building on it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from lineage import builds
from lineage.case_view import list_cases
from lineage.database import in_chunks
from lineage.evidence import last_filed
from lineage.stages import SETTLED
from lineage.tables import ComposedAdapterRow, ComposedPartRow, PlanRow, ReleaseRow, ShardAdapterRow, StateRow

__all__ = [
    "Garbage", "Holding", "KeptAdapter", "KeptState", "Roots", "doomed_entries", "garbage_in", "held_by_tables",
    "known_adapters", "mark_collected", "needed_by_cases", "needed_by_releases", "of_adapter", "promises",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class KeptState:
    """A state that was not destroyed: the recipe it was built by, its bytes' digest, the recipe it started from."""

    recipe: str
    digest: str
    parent: str | None
    built_at: datetime


@dataclass(frozen=True, slots=True)
class KeptAdapter:
    """A PEFT directory that was not destroyed, and the recipes of the states it was made of."""

    digest: str
    recipes: tuple[str, ...]
    composed: bool
    built_at: datetime


@dataclass(frozen=True, slots=True)
class Holding:
    """Everything in the store that the tables know of. `parents` also tells of destroyed states: chains go through them."""

    states: tuple[KeptState, ...]
    adapters: tuple[KeptAdapter, ...]
    parents: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Roots:
    """What must stay for its own sake: states by recipe, adapters by digest."""

    recipes: frozenset[str] = frozenset()
    adapters: frozenset[str] = frozenset()

    def __or__(self, other: Roots) -> Roots:
        """The roots of both."""
        return Roots(self.recipes | other.recipes, self.adapters | other.adapters)


@dataclass(frozen=True, slots=True)
class Garbage:
    """What nothing reaches and is old enough to go: recipes of states, digests of adapters."""

    recipes: frozenset[str]
    adapters: frozenset[str]


def garbage_in(holding: Holding, roots: Roots, *, older_than: datetime) -> Garbage:
    """What may go. Removing it and asking again gives nothing. Bytes that anything else needs stay."""
    young = {state.recipe for state in holding.states if state.built_at >= older_than}
    keep = {a for a in holding.adapters if a.digest in roots.adapters or a.built_at >= older_than}
    starts = roots.recipes | young | {recipe for adapter in keep for recipe in adapter.recipes}
    reached = _with_ancestors(starts, holding.parents)
    keep |= {a for a in holding.adapters if not a.composed and reached.issuperset(a.recipes)}
    return Garbage(
        recipes=frozenset(state.recipe for state in holding.states) - reached,
        adapters=frozenset(a.digest for a in holding.adapters) - {a.digest for a in keep},
    )


def promises(holding: Holding, *, without: Garbage | None = None) -> dict[str, set[str]]:
    """Digests by kind that are to be in the store; `without` the garbage, those that stay."""
    recipes, adapters = (without.recipes, without.adapters) if without else ((), ())
    return {
        "states": {state.digest for state in holding.states if state.recipe not in recipes},
        "adapters": {adapter.digest for adapter in holding.adapters if adapter.digest not in adapters},
    }


def _with_ancestors(starts: Iterable[str], parents: Mapping[str, str | None]) -> set[str]:
    """The recipes and everything they descend from."""
    reached: set[str] = set()
    for start in starts:
        recipe: str | None = start
        while recipe is not None and recipe not in reached:
            reached.add(recipe)
            recipe = parents.get(recipe)
    return reached


def held_by_tables(session: Session) -> Holding:
    """Every row of a state or an adapter that was not destroyed."""
    states = session.exec(select(StateRow)).all()
    shards = session.exec(select(ShardAdapterRow).where(col(ShardAdapterRow.destroyed_at).is_(None))).all()
    composed = session.exec(select(ComposedAdapterRow).where(col(ComposedAdapterRow.destroyed_at).is_(None))).all()
    parts: dict[str, list[str]] = {}
    for part in session.exec(select(ComposedPartRow).where(col(ComposedPartRow.recipe_digest).is_not(None))).all():
        parts.setdefault(part.composed_digest, []).append(part.recipe_digest or "")
    return Holding(
        states=tuple(
            KeptState(s.recipe_digest, s.state_digest, s.parent_recipe, s.built_at)
            for s in states
            if s.destroyed_at is None
        ),
        adapters=(
            *(KeptAdapter(s.digest, (s.recipe_digest,), False, s.built_at) for s in shards),
            *(KeptAdapter(c.digest, tuple(sorted(parts.get(c.digest, ()))), True, c.built_at) for c in composed),
        ),
        parents={state.recipe_digest: state.parent_recipe for state in states},
    )


def needed_by_releases(session: Session) -> Roots:
    """What is in service, and each adapter's newest full composition, which its next release will be."""
    in_service = select(ReleaseRow.composed_digest).where(col(ReleaseRow.withdrawn_at).is_(None))
    adapters = session.exec(select(ComposedAdapterRow.adapter).distinct()).all()
    newest = {builds.newest_composed(session, adapter) for adapter in adapters}
    return Roots(adapters=frozenset(session.exec(in_service).all()) | frozenset(d for d in newest if d))


def needed_by_cases(session: Session) -> Roots:
    """What cases that have not ended still need: the old adapters are the probes' positive control, the new ones are judged."""
    roots = Roots()
    for case in list_cases(session):
        for kind in ("before", "containment", "rebuild"):
            filed = last_filed(session, case.id, kind) if case.stage not in SETTLED else {}
            for facts in filed.get("adapters", {}).values():
                roots |= _named_in(facts)
    return roots


def _named_in(facts: Mapping[str, object]) -> Roots:
    """The recipes and adapters that a piece of evidence names."""
    parts, shards = facts.get("parts"), facts.get("shard_adapters")
    composed = {facts.get(name) for name in ("before", "after", "composed")}
    return Roots(
        recipes=frozenset(filter(None, parts.values())) if isinstance(parts, dict) else frozenset(),
        adapters=frozenset(digest for digest in composed if isinstance(digest, str) and digest)
        | (frozenset(shards.values()) if isinstance(shards, dict) else frozenset()),
    )


def of_adapter(session: Session, adapter: str) -> Roots:
    """Everything an adapter has."""
    recipes = session.exec(select(StateRow.recipe_digest).where(StateRow.adapter == adapter)).all()
    composed = session.exec(select(ComposedAdapterRow.digest).where(ComposedAdapterRow.adapter == adapter)).all()
    return Roots(frozenset(recipes), frozenset(composed) | frozenset(builds.shard_adapters(session, adapter).values()))


def known_adapters(session: Session) -> set[str]:
    """Every adapter that has a plan."""
    return set(session.exec(select(PlanRow.adapter).distinct()).all())


def mark_collected(session: Session, garbage: Garbage, now: datetime) -> None:
    """Say in the rows that the bytes are gone."""
    for chunk in in_chunks(sorted(garbage.recipes)):
        for state in session.exec(select(StateRow).where(col(StateRow.recipe_digest).in_(chunk))).all():
            state.destroyed_at = now
    for chunk in in_chunks(sorted(garbage.adapters)):
        for shard in session.exec(select(ShardAdapterRow).where(col(ShardAdapterRow.digest).in_(chunk))).all():
            shard.destroyed_at = shard.destroyed_at or now
        for row in session.exec(select(ComposedAdapterRow).where(col(ComposedAdapterRow.digest).in_(chunk))).all():
            row.destroyed_at = row.destroyed_at or now
    session.flush()


def doomed_entries(
    stored: Mapping[str, Mapping[str, datetime]],
    *,
    promised: Mapping[str, Collection[str]],
    kept: Mapping[str, Collection[str]],
    older_than: datetime,
) -> list[tuple[str, str]]:
    """(kind, digest) of entries whose promise ends, and of old ones that no row promises: those a crash left.

    `stored` says when each entry was written, `promised` and `kept` what the rows say before and after the collection.
    """
    return sorted(
        (kind, digest)
        for kind, entries in stored.items()
        for digest, written_at in entries.items()
        if digest not in kept[kind] and (digest in promised[kind] or written_at < older_than)
    )
