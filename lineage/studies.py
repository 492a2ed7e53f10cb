"""Weights that a study trains to compare plans: written down before they are written, and destroyed when it ends.

A study holds the lease `study:ADAPTER`. Whatever a dead study left is found here by the next study, by `lethe train` and
by every purge, which destroys all of it, whoever is in it: such weights serve nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from lineage.database import Database
from lineage.errors import Fault
from lineage.lease import held
from lineage.plans import Placeable
from lineage.store import Store
from lineage.tables import AdmissionRow, RecordRow, StudyWeightRow

__all__ = ["KIND", "StudyWeight", "announce", "destroy_leftovers", "destroy_weights", "learnable", "lease_name"]

KIND = "study"
"""The store's kind of these entries."""


@dataclass(frozen=True, slots=True)
class StudyWeight:
    """An entry of the store: what it was trained on. `manifests` maps "shard/slice" to a slice manifest's digest;
    the trunk's shard is -1, and a composed adapter has the manifests of all its shards."""

    digest: str
    adapter: str
    study_id: str
    plan_digest: str
    shards: int
    slices: int
    manifests: Mapping[str, str]


def lease_name(adapter: str) -> str:
    """The lease a study of an adapter holds while its weights exist."""
    return f"study:{adapter}"


def learnable(session: Session, sources: Sequence[str]) -> list[tuple[Placeable, str]]:
    """Every admitted, unrestricted record of the sources (all when empty), with the keyed digest of its content."""
    query = (
        select(RecordRow)
        .join(AdmissionRow, col(AdmissionRow.record_id) == col(RecordRow.id))
        .where(RecordRow.status == "admitted", col(RecordRow.restricted_by).is_(None))
    )
    if sources:
        query = query.where(col(RecordRow.source).in_(sources))
    rows = session.exec(query.order_by(col(RecordRow.id))).all()
    return [(Placeable(r.id, r.primary_subject, r.generation, r.trunk_eligible), r.content_hmac) for r in rows]


def announce(session: Session, weights: Iterable[StudyWeight], now: datetime) -> None:
    """Write weights down before their bytes are: a crash leaves a row without an entry, never an entry without a row."""
    session.add_all(
        StudyWeightRow(
            digest=w.digest, adapter=w.adapter, study_id=w.study_id, plan_digest=w.plan_digest, shards=w.shards,
            slices=w.slices, manifests=dict(w.manifests), written_at=now,
        )
        for w in weights
    )  # fmt: skip
    session.flush()


def destroy_weights(database: Database, store: Store, *, adapter: str, now: datetime) -> int:
    """Destroy every undestroyed weight of an adapter's studies, entries first, rows after; returns how many entries.

    The caller holds the adapter's study lease.
    """
    undestroyed = select(StudyWeightRow).where(
        StudyWeightRow.adapter == adapter, col(StudyWeightRow.destroyed_at).is_(None)
    )
    with database.reader() as session:
        digests = sorted({row.digest for row in session.exec(undestroyed).all()})
    found = sum(store.destroy(KIND, digest) for digest in digests)
    if digests:
        with database.transaction() as session:
            for row in session.exec(undestroyed.where(col(StudyWeightRow.digest).in_(digests))).all():
                row.destroyed_at = now
    return found


def destroy_leftovers(
    database: Database,
    store: Store,
    *,
    adapters: Iterable[str],
    clock: Callable[[], datetime],
    skip_running: bool = False,
) -> int:
    """Destroy what dead studies left, of these adapters and of any that has weights; returns how many entries were there.

    Without `skip_running` nothing of a study is in anybody's memory either when this returns.

    Raises:
        Fault: a study is running, and `skip_running` was not asked for.
    """
    with database.reader() as session:
        query = select(StudyWeightRow.adapter).where(col(StudyWeightRow.destroyed_at).is_(None)).distinct()
        known = sorted({*session.exec(query).all(), *adapters})
    found = 0
    for adapter in known:
        with ExitStack() as stack:
            try:
                stack.enter_context(held(database, lease_name(adapter), clock))
            except Fault:
                if not skip_running:
                    raise
                continue
            found += destroy_weights(database, store, adapter=adapter, now=clock())
    return found
