"""Weights for a while: written down before they are written, and destroyed when what they were trained for ends.

A study compares plans with them and holds the lease `study:ADAPTER`; the probes of a case compare a new adapter with
them (extra out-adapters) under the lease `extras:ADAPTER`. Whatever a dead process left is found here by the next of its
kind, by `lethe train`, by `lethe store gc` and by every purge, which destroys all of it, whoever is in it: such weights
serve nobody. A purge also waits for a living one, which may hold the person's records in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from lineage.database import Database
from lineage.errors import Fault
from lineage.lease import held
from lineage.plans import Placeable
from lineage.planted import CANARY_SOURCE
from lineage.store import Store
from lineage.tables import AdmissionRow, RecordRow, StudyWeightRow

__all__ = [
    "KIND", "StudyWeight", "Use", "announce", "destroy_leftovers", "destroy_weights", "extras_id", "learnable", "lease_name",
]  # fmt: skip

KIND = "study"
"""The store's kind of these entries."""
Use = Literal["study", "extras"]
USES: tuple[Use, ...] = ("study", "extras")


@dataclass(frozen=True, slots=True)
class StudyWeight:
    """An entry of the store: what it was trained on. `manifests` maps "shard/slice" to a slice manifest's digest;
    the trunk's shard is -1, and a composed adapter has the manifests of all its shards. `study_id` is the study's, or
    the case's as `extras_id` spells it."""

    digest: str
    adapter: str
    study_id: str
    plan_digest: str
    shards: int
    slices: int
    manifests: Mapping[str, str]


def lease_name(adapter: str, use: Use = "study") -> str:
    """The lease that is held while weights of an adapter exist for this use."""
    return f"{use}:{adapter}"


def extras_id(case_id: str) -> str:
    """What stands for a study where the weights are a case's extra out-adapters."""
    return f"extras:{case_id}"


def learnable(session: Session, sources: Sequence[str], *, planted: bool = False) -> list[tuple[Placeable, str]]:
    """Every admitted, unrestricted record of the sources (all when empty), with the keyed digest of its content.

    A study is about the corpus, so planted canaries are not in it, unless they are asked for: a null model has to know
    texts of their make as well as the shards do.
    """
    query = (
        select(RecordRow)
        .join(AdmissionRow, col(AdmissionRow.record_id) == col(RecordRow.id))
        .where(RecordRow.status == "admitted", col(RecordRow.restricted_by).is_(None))
    )
    if not planted:
        query = query.where(RecordRow.source != CANARY_SOURCE)
    if sources:
        query = query.where(col(RecordRow.source).in_((*sources, CANARY_SOURCE)))
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


def _left(adapter: str, use: Use) -> SelectOfScalar[StudyWeightRow]:
    of_cases = col(StudyWeightRow.study_id).startswith(extras_id(""), autoescape=True)
    query = select(StudyWeightRow).where(StudyWeightRow.adapter == adapter, col(StudyWeightRow.destroyed_at).is_(None))
    return query.where(of_cases if use == "extras" else ~of_cases)


def destroy_weights(database: Database, store: Store, *, adapter: str, now: datetime, use: Use = "study") -> int:
    """Destroy every undestroyed weight of an adapter for this use, entries first, rows after; returns how many entries.

    The caller holds the lease of that use.
    """
    query = _left(adapter, use)
    with database.reader() as session:
        digests = sorted({row.digest for row in session.exec(query).all()})
    found = sum(store.destroy(KIND, digest) for digest in digests)
    if digests:
        with database.transaction() as session:
            for row in session.exec(query.where(col(StudyWeightRow.digest).in_(digests))).all():
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
    """Destroy what the dead left, of these adapters and of any that has weights; returns how many entries were there.

    Without `skip_running` nothing of such weights is in anybody's memory either when this returns.

    Raises:
        Fault: a study is running, or a case is compared with extra out-adapters, and `skip_running` was not asked for.
    """
    with database.reader() as session:
        query = select(StudyWeightRow.adapter).where(col(StudyWeightRow.destroyed_at).is_(None)).distinct()
        known = sorted({*session.exec(query).all(), *adapters})
    found = 0
    for adapter, use in ((adapter, use) for adapter in known for use in USES):
        with ExitStack() as stack:
            try:
                stack.enter_context(held(database, lease_name(adapter, use), clock))
            except Fault:
                if not skip_running:
                    raise
                continue
            found += destroy_weights(database, store, adapter=adapter, now=clock(), use=use)
    return found
