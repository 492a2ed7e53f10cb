"""What happened, as OpenLineage RunEvents (core 2-0-2): ingest, train, compose, release, erase.

::

    source/S --ingest--> records/S --train--> state/D --compose--> adapter/NAME/D --release--> release/NAME
                                   erase: adapter/NAME/old (DROP) --> adapter/NAME/new

A run's id is a name-based UUID of what it made, so exporting twice gives the same events. Every run has a START and, once it
has ended, a COMPLETE, FAIL or ABORT. Datasets stand for many records; no event is about one, and nobody is in any.
The events are made from the tables and not from Dagster's log, so runs that made nothing are not told.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from lineage.evidence import last_filed
from lineage.labels import Labels, labels_of
from lineage.plans import TRUNK
from lineage.planted import CANARY_SOURCE
from lineage.tables import (
    ComposedAdapterRow,
    ComposedPartRow,
    IngestRow,
    LedgerRow,
    PlacementRow,
    RecordRow,
    ReleaseRow,
    StateRow,
)
from lineage.workspace import Workspace

__all__ = ["PRODUCER", "Run", "read_runs", "run_events"]

PRODUCER = "https://lethe.dev/export/openlineage/v1"
SPEC = "https://openlineage.io/spec"
SCHEMA_URL = f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
SPACE = uuid.UUID("7a6f7a0e-5d0c-5f5b-8a7e-0b9a5d1c4e33")
"""Namespace of run ids (RFC 9562, version 5)."""
ENDS = {"case.purged": "COMPLETE", "case.refused": "ABORT", "case.withdrawn": "ABORT", "case.not_found": "ABORT"}
ORDER = ("START", "COMPLETE", "FAIL", "ABORT")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job. `ended` is the type and time of its last event; None while it goes on. `rows`: how many records
    it wrote; `counts`: of an erasure, records by decision; `dropped`: datasets that it took out of service."""

    job: str
    id: str
    started_at: datetime
    ended: tuple[str, datetime] | None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    rows: int | None = None
    counts: dict[str, int] = field(default_factory=dict)


def read_runs(workspace: Workspace) -> list[Run]:
    """Every run that the tables know of."""
    with workspace.database.reader() as session:
        labels = labels_of(session, workspace)
        return [
            *_ingests(session, labels), *_trainings(session, labels), *_compositions(session), *_releases(session),
            *_erasures(session),
        ]  # fmt: skip


def _ingests(session: Session, labels: Labels) -> Iterator[Run]:
    rows = session.exec(select(IngestRow).where(IngestRow.source != CANARY_SOURCE).order_by(col(IngestRow.id))).all()
    ends = {"finished": "COMPLETE", "failed": "FAIL"}
    for row in rows:
        source = labels(row.source)
        ended = (ends[row.status], row.ended_at) if row.status in ends and row.ended_at else None
        rows_written = sum(row.counts.get(verdict, 0) for verdict in ("allow", "redact", "quarantine"))
        yield Run(
            "ingest", f"ingest/{row.id}", row.requested_at, ended, (f"source/{source}",), (f"records/{source}",),
            rows=rows_written if row.status == "finished" else None,
        )  # fmt: skip


def _trainings(session: Session, labels: Labels) -> Iterator[Run]:
    sources = _sources(session, labels)
    states = session.exec(select(StateRow).order_by(col(StateRow.recipe_digest))).all()
    digests = {row.recipe_digest: row.state_digest for row in states}
    for row in states:
        place = (row.shard, 0 if row.shard == TRUNK else row.slice)
        parent = [f"state/{digests[row.parent_recipe]}"] if row.parent_recipe in digests else []
        read = [f"records/{source}" for source in sorted(sources.get((row.plan_digest, *place), ()))]
        start = row.built_at - timedelta(seconds=row.seconds)
        yield Run(
            f"train.{row.adapter}", f"train/{row.recipe_digest}", start, ("COMPLETE", row.built_at),
            (*read, *parent), (f"state/{row.state_digest}",),
        )  # fmt: skip


def _sources(session: Session, labels: Labels) -> dict[tuple[str, int, int], set[str]]:
    """Which sources are placed in a slice of a plan, or in its trunk."""
    query = (
        select(PlacementRow.plan_digest, PlacementRow.shard, PlacementRow.slice, RecordRow.source)
        .join(RecordRow, col(RecordRow.id) == col(PlacementRow.record_id))
        .where(col(PlacementRow.kind).in_(("trunk", "shard")), RecordRow.source != CANARY_SOURCE)
        .distinct()
    )
    found: dict[tuple[str, int, int], set[str]] = {}
    for plan, shard, index, source in session.exec(query).all():
        place = (plan, TRUNK, 0) if shard is None else (plan, shard, index or 0)
        found.setdefault(place, set()).add(labels(source))
    return found


def _compositions(session: Session) -> Iterator[Run]:
    digests = {row.recipe_digest: row.state_digest for row in session.exec(select(StateRow)).all()}
    parts: dict[str, list[str]] = {}
    for part in session.exec(select(ComposedPartRow).order_by(col(ComposedPartRow.shard))).all():
        if part.recipe_digest in digests:
            parts.setdefault(part.composed_digest, []).append(f"state/{digests[part.recipe_digest]}")
    for row in session.exec(select(ComposedAdapterRow).order_by(col(ComposedAdapterRow.digest))).all():
        yield Run(
            f"compose.{row.adapter}", f"compose/{row.digest}", row.built_at, ("COMPLETE", row.built_at),
            tuple(parts.get(row.digest, ())), (_adapter(row.adapter, row.digest),),
        )  # fmt: skip


def _releases(session: Session) -> Iterator[Run]:
    for row in session.exec(select(ReleaseRow).order_by(col(ReleaseRow.id))).all():
        yield Run(
            f"release.{row.adapter}", f"release/{row.id}/{row.composed_digest}", row.at, ("COMPLETE", row.at),
            (_adapter(row.adapter, row.composed_digest),), (f"release/{row.adapter}",),
        )  # fmt: skip


def _erasures(session: Session) -> Iterator[Run]:
    """Cases from their receipt to their purge, or to their end without one."""
    kinds = ("case.received", *ENDS)
    query = select(LedgerRow.case_id, LedgerRow.kind, LedgerRow.at).where(col(LedgerRow.kind).in_(kinds))
    received: dict[str, datetime] = {}
    ended: dict[str, tuple[str, datetime]] = {}
    for case_id, kind, at in session.exec(query.order_by(col(LedgerRow.seq))).all():
        if kind in ENDS:
            ended[case_id] = (ENDS[kind], datetime.fromisoformat(at))
        else:
            received[case_id] = datetime.fromisoformat(at)
    for case_id, started_at in sorted(received.items()):
        rebuilt = last_filed(session, case_id, "rebuild").get("adapters", {})
        before = last_filed(session, case_id, "containment").get("adapters", {})
        old = tuple(_adapter(name, was["before"]) for name, was in sorted(before.items()) if was.get("before"))
        new = tuple(_adapter(name, now["composed"]) for name, now in sorted(rebuilt.items()) if now.get("composed"))
        records = last_filed(session, case_id, "contract").get("records", ())
        counts = Counter(record["decision"] for record in records)
        yield Run(
            "erase",
            f"erase/{case_id}",
            started_at,
            ended.get(case_id),
            old,
            new,
            tuple(set(old) - set(new)),
            counts=dict(sorted(counts.items())),
        )


def _adapter(name: str, digest: str) -> str:
    return f"adapter/{name}/{digest}"


# --- as events ------------------------------------------------------------------------------------------------------------


def run_events(runs: Sequence[Run], *, namespace: str) -> list[dict[str, object]]:
    """The events of the runs, oldest first; equal runs give equal events."""
    events = [event for run in runs for event in _events(run, namespace)]
    return sorted(events, key=lambda e: (e["eventTime"], ORDER.index(str(e["eventType"])), str(e["run"])))


def _events(run: Run, namespace: str) -> Iterator[dict[str, object]]:
    yield _event(run, ("START", run.started_at), namespace)
    if run.ended:
        yield _event(run, run.ended, namespace)


def _event(run: Run, moment: tuple[str, datetime], namespace: str) -> dict[str, object]:
    kind, at = moment
    done = kind == "COMPLETE"
    return {
        "eventType": kind,
        "eventTime": at.isoformat(timespec="microseconds"),
        "producer": PRODUCER,
        "schemaURL": SCHEMA_URL,
        "run": {"runId": str(uuid.uuid5(SPACE, run.id)), "facets": _run_facets(run) if done else {}},
        "job": {"namespace": namespace, "name": run.job, "facets": {"jobType": _job_type(run)}},
        "inputs": [_dataset(name, namespace, dropped=done and name in run.dropped) for name in run.inputs],
        "outputs": [{**_dataset(name, namespace), **_output_facets(run, done=done)} for name in run.outputs],
    }


def _run_facets(run: Run) -> dict[str, object]:
    """How many records an erasure decided about, by decision: a facet of our own."""
    return {"lethe_erasure": {**_base("https://lethe.dev/erasure/v1"), **run.counts}} if run.counts else {}


def _job_type(run: Run) -> dict[str, object]:
    url = f"{SPEC}/facets/2-0-4/JobTypeJobFacet.json#/$defs/JobTypeJobFacet"
    return {
        **_base(url),
        "processingType": "BATCH",
        "integration": "LETHE",
        "jobType": run.job.partition(".")[0].upper(),
    }


def _dataset(name: str, namespace: str, *, dropped: bool = False) -> dict[str, object]:
    url = f"{SPEC}/facets/1-0-1/LifecycleStateChangeDatasetFacet.json#/$defs/LifecycleStateChangeDatasetFacet"
    gone = {"lifecycleStateChange": {**_base(url), "lifecycleStateChange": "DROP"}} if dropped else {}
    return {"namespace": namespace, "name": name, "facets": gone}


def _output_facets(run: Run, *, done: bool) -> dict[str, object]:
    url = f"{SPEC}/facets/1-0-2/OutputStatisticsOutputDatasetFacet.json#/$defs/OutputStatisticsOutputDatasetFacet"
    return (
        {"outputFacets": {"outputStatistics": {**_base(url), "rowCount": run.rows}}}
        if done and run.rows is not None
        else {}
    )


def _base(url: str) -> dict[str, object]:
    return {"_producer": PRODUCER, "_schemaURL": url}
