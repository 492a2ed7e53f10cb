"""Commands as Dagster jobs: the same jobs on the same instance that the UI and the sensors start."""

from __future__ import annotations

import os
from pathlib import Path

from dagster import DagsterInstance, JobDefinition

from lineage.tables import IngestRow
from lineage.workspace import Workspace
from pipelines.assets import partition_key
from pipelines.ingest import IngestReport, request_ingest
from pipelines.instance import run_job, workspace_instance
from pipelines.placing import PlaceReport, freeze_and_place
from pipelines.progress import bar
from unlearn.plan import Plan

__all__ = ["ingest_file", "run_case_job", "train_adapter"]


def _job(workspace: Workspace, name: str) -> JobDefinition:
    """A job of this workspace's code location."""
    os.environ["LETHE_WORKSPACE"] = str(workspace.settings.workspace)
    from pipelines.definitions import defs

    return defs.resolve_job_def(name)


def ingest_file(
    workspace: Workspace, path: Path, *, source: str, subject_column: str | None, generation: int | None
) -> IngestReport:
    """Request an ingest and run its job; the report comes from what the job wrote down."""
    ingest_id = request_ingest(workspace, path, source=source, subject_column=subject_column, generation=generation)
    with workspace_instance(workspace.home) as instance:
        config = {"ops": {"gate": {"config": {"request": ingest_id}}}}
        run_job(_job(workspace, "ingest"), instance, run_config=config)
    with workspace.database.reader() as session:
        row = session.get_one(IngestRow, ingest_id)
    counts = {k: v for k, v in row.counts.items() if not k.startswith("why/")}
    reasons = {k.removeprefix("why/"): v for k, v in row.counts.items() if k.startswith("why/")}
    rejects = workspace.home / "rejects" / f"{ingest_id}.jsonl"
    return IngestReport(
        ingest_id,
        source,
        row.generation,
        counts.get("rows", 0),
        counts,
        reasons,
        str(rejects) if rejects.exists() else None,
    )


def train_adapter(workspace: Workspace, adapter: str, plan: Plan | None = None) -> PlaceReport:
    """Freeze, place, train every shard, compose, assess, release: one run for the trunk, one a shard, one for the rest."""
    placed = freeze_and_place(workspace, adapter, plan)
    with workspace_instance(workspace.home) as instance:
        run_job(_job(workspace, f"{adapter}_plan"), instance)
        with bar(f"Shards of {adapter}", placed.shards, unit="shards") as progress:
            for shard in range(placed.shards):
                _train_shard(workspace, instance, adapter, shard)
                progress.advance()
        run_job(_job(workspace, f"{adapter}_release"), instance)
    return placed


def _train_shard(workspace: Workspace, instance: DagsterInstance, adapter: str, shard: int) -> None:
    run_job(_job(workspace, f"{adapter}_shard"), instance, partition_key=partition_key(adapter, shard))


def run_case_job(workspace: Workspace, job: str, case_id: str) -> str:
    """Run one of the case jobs (preview, erasure, purge) for a case; returns the run's id."""
    from pipelines.jobs import case_config

    with workspace_instance(workspace.home) as instance:
        result = run_job(
            _job(workspace, job), instance, run_config=case_config(job, case_id), tags={"lethe/case": case_id}
        )
    return result.run_id
