"""Lineage in both directions: subject -> records -> slices -> states -> adapters -> releases, and back.

A `Node` tree is what people see and what `--json` prints. It holds keys, ids, counts and digests, never a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, select

from lineage.errors import WrongUsage
from lineage.manifests import manifests_holding, members_of
from lineage.plans import TRUNK, planted_subjects
from lineage.planted import CANARY_SOURCE
from lineage.subjects import subject_by_key
from lineage.tables import (
    ComposedAdapterRow,
    ComposedPartRow,
    PlacementRow,
    RecordRow,
    RecordSubjectRow,
    ReleaseRow,
    SliceManifestRow,
    StateRow,
)

__all__ = ["Node", "descending_states", "trace_adapter", "trace_record", "trace_release", "trace_subject"]

SYNTHETIC = ("synthetic", "planted by Lethe, no person")


@dataclass(frozen=True, slots=True)
class Node:
    """One thing in a lineage: what kind, its full id, a few facts, and what hangs below it."""

    kind: str
    id: str
    facts: tuple[tuple[str, str | int], ...] = ()
    children: tuple[Node, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The node as plain JSON."""
        return {"kind": self.kind, "id": self.id, **dict(self.facts), "children": [c.as_json() for c in self.children]}


def trace_subject(session: Session, subject_key: str) -> Node:
    """Everything a person's records fed. A unique prefix of the key is enough; a subject without records has no children."""
    subject_key = subject_by_key(session, subject_key)
    rows = session.exec(select(RecordSubjectRow).where(RecordSubjectRow.subject_key == subject_key)).all()
    relations: dict[str, list[str]] = {}
    for row in rows:
        relations.setdefault(row.record_id, []).append(row.relation)
    children = tuple(
        _record_node(session, record_id, relation="+".join(sorted(kinds)))
        for record_id, kinds in sorted(relations.items())
    )
    facts: tuple[tuple[str, str | int], ...] = (("records", len(children)),)
    if subject_key in planted_subjects(session):
        facts += (SYNTHETIC,)
    return Node("subject", subject_key, facts, children)


def trace_record(session: Session, record_id: str) -> Node:
    """One record: what is known about it, and what it fed. A unique prefix of the id is enough."""
    return _record_node(session, _full_id(session, RecordRow.id, record_id, "record"))


def trace_adapter(session: Session, name_or_digest: str) -> Node:
    """A composed adapter down to the records of each slice; a name means its release in service."""
    query = select(ReleaseRow.composed_digest).where(ReleaseRow.adapter == name_or_digest)
    in_service = session.exec(query.where(col(ReleaseRow.withdrawn_at).is_(None))).first()
    return _composed_node(
        session, in_service or _full_id(session, ComposedAdapterRow.digest, name_or_digest, "adapter")
    )


def trace_release(session: Session, adapter: str) -> Node:
    """Every release an adapter ever had, newest first, each with its composed adapter's digest."""
    rows = session.exec(
        select(ReleaseRow).where(ReleaseRow.adapter == adapter).order_by(col(ReleaseRow.id).desc())
    ).all()
    if not rows:
        raise WrongUsage(f"The adapter {adapter!r} has no release.", hint=f"Train it: lethe train {adapter}")
    releases = tuple(
        Node("release", str(row.id), (
            ("reason", row.reason), ("from", row.at.isoformat(timespec="seconds")),
            ("until", row.withdrawn_at.isoformat(timespec="seconds") if row.withdrawn_at else "in service"),
        ), (_composed_summary(session, row.composed_digest),))
        for row in rows
    )  # fmt: skip
    return Node("adapter", adapter, (("releases", len(releases)),), releases)


def _record_node(session: Session, record_id: str, relation: str = "") -> Node:
    row = session.get(RecordRow, record_id)
    if row is None:
        raise WrongUsage("There is no such record.")
    facts: tuple[tuple[str, str | int], ...] = (
        ("source", row.source),
        ("status", row.status),
        ("generation", row.generation),
    )
    facts += (SYNTHETIC,) if row.source == CANARY_SOURCE else ()
    facts += (("relation", relation),) if relation else ()
    facts += (("restricted_by", row.restricted_by),) if row.restricted_by else ()
    placements = session.exec(select(PlacementRow).where(PlacementRow.record_id == record_id)).all()
    return Node("record", record_id, facts, tuple(_placement_node(session, placement) for placement in placements))


def _placement_node(session: Session, placement: PlacementRow) -> Node:
    of_plan = select(SliceManifestRow.digest).where(SliceManifestRow.plan_digest == placement.plan_digest)
    manifests = manifests_holding(session, [placement.record_id]) & set(session.exec(of_plan).all())
    states = descending_states(session, sorted(manifests))
    where = {"trunk": "trunk", "control": "never trained"}.get(
        placement.kind, f"shard {placement.shard}, slice {placement.slice}"
    )
    return Node("placement", where, (("states", len(states)),), tuple(_state_node(session, state) for state in states))


def descending_states(session: Session, manifests: Sequence[str]) -> list[StateRow]:
    """States trained on a manifest, and every later state that started from one of them."""
    found = {
        row.recipe_digest: row
        for row in session.exec(select(StateRow).where(col(StateRow.manifest_digest).in_(manifests))).all()
    }
    frontier = set(found)
    while frontier:
        rows = session.exec(select(StateRow).where(col(StateRow.parent_recipe).in_(frontier))).all()
        frontier = {row.recipe_digest for row in rows} - set(found)
        found |= {row.recipe_digest: row for row in rows}
    return sorted(found.values(), key=lambda row: (row.shard, row.slice, row.built_at))


def _state_node(session: Session, row: StateRow) -> Node:
    parts = session.exec(
        select(ComposedPartRow.composed_digest).where(ComposedPartRow.recipe_digest == row.recipe_digest)
    ).all()
    facts: tuple[tuple[str, str | int], ...] = (
        ("shard", row.shard if row.shard != TRUNK else "trunk"),
        ("slice", row.slice),
        ("destroyed", row.destroyed_at.isoformat(timespec="seconds") if row.destroyed_at else "no"),
    )
    return Node(
        "state", row.state_digest, facts, tuple(_composed_summary(session, digest) for digest in sorted(set(parts)))
    )


def _composed_summary(session: Session, digest: str) -> Node:
    row = session.get(ComposedAdapterRow, digest)
    releases = session.exec(select(ReleaseRow).where(ReleaseRow.composed_digest == digest)).all()
    standing = (
        "in service" if any(r.withdrawn_at is None for r in releases) else "withdrawn" if releases else "not released"
    )
    facts: tuple[tuple[str, str | int], ...] = (("release", standing),)
    if row is not None:
        destroyed = row.destroyed_at.isoformat(timespec="seconds") if row.destroyed_at else "no"
        facts = (("adapter", row.adapter), ("composition", row.kind), *facts, ("destroyed", destroyed))
    return Node("composed adapter", digest, facts)


def _composed_node(session: Session, digest: str) -> Node:
    parts = session.exec(
        select(ComposedPartRow).where(ComposedPartRow.composed_digest == digest).order_by(col(ComposedPartRow.shard))
    ).all()
    summary = _composed_summary(session, digest)
    return Node(summary.kind, digest, summary.facts, tuple(_part_node(session, part) for part in parts))


def _part_node(session: Session, part: ComposedPartRow) -> Node:
    chain = tuple(_slice_node(session, row) for row in _ancestors(session, part.recipe_digest))
    return Node("shard", str(part.shard), (("states", len(chain)),), chain)


def _ancestors(session: Session, recipe: str | None) -> Iterable[StateRow]:
    """The chain of states that ends in a recipe, oldest first."""
    chain: list[StateRow] = []
    while recipe and (row := session.get(StateRow, recipe)):
        chain.append(row)
        recipe = row.parent_recipe
    return reversed(chain)


def _slice_node(session: Session, row: StateRow) -> Node:
    members = members_of(session, row.manifest_digest)
    place = "trunk" if row.shard == TRUNK else f"slice {row.slice}"
    facts = (("place", place), ("records", len(members)), ("steps", row.steps))
    return Node("state", row.state_digest, facts, tuple(Node("record", record_id) for record_id in members))


def _full_id(session: Session, column: object, given: str, what: str) -> str:
    """Complete a unique prefix.

    Raises:
        WrongUsage: nothing or several things begin so.
    """
    found = session.exec(select(column).where(col(column).startswith(given, autoescape=True)).limit(2)).all()  # type: ignore[call-overload]
    if len(found) != 1 or not given:
        problem = "There is no" if not found else "There is more than one"
        raise WrongUsage(f"{problem} {what} that begins with {given[:12]!r}.")
    return str(found[0])
