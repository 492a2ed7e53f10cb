"""Commands as Dagster jobs: the same jobs on the same instance that the UI and the sensors start."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from dagster import DagsterInstance, ExecuteInProcessResult, JobDefinition

from lineage.access import Actor
from lineage.duties import begin
from lineage.workspace import Workspace
from pipelines.assets import partition_key
from pipelines.ingest import IngestReport, report_of, request_ingest, utc_now
from pipelines.instance import run_job, workspace_instance
from pipelines.placing import PlaceReport, freeze
from pipelines.probe_job import probe_config
from pipelines.probing import request_probe
from pipelines.progress import bar
from pipelines.study_job import study_config
from unlearn.plan import Plan

__all__ = [
    "TrainReport",
    "audit_adapter",
    "collect_garbage",
    "expire_quarantine",
    "ingest_file",
    "probe_person",
    "replay_backup",
    "rescan_gate",
    "run_case_job",
    "send_notices",
    "study_adapter",
    "train_adapter",
]


@dataclass(frozen=True)
class TrainReport:
    """What `lethe train` did: the placement, what truncation took from the records trained now, and the adapter's size."""

    placed: PlaceReport
    truncated_records: int
    cut_tokens: int
    silenced_records: int
    rank: int
    megabytes: float


def _job(workspace: Workspace, name: str) -> JobDefinition:
    """A job of this workspace's code location."""
    os.environ["LETHE_WORKSPACE"] = str(workspace.settings.workspace)
    from pipelines.definitions import defs

    return defs.resolve_job_def(name)


def ingest_file(
    workspace: Workspace, path: Path, *, source: str, subject_column: str | None = None, generation: int | None = None,
    rectify: bool = False,
) -> IngestReport:  # fmt: skip
    """Request an ingest and run its job; the report comes from what the job wrote down."""
    ingest_id = request_ingest(
        workspace, path, source=source, subject_column=subject_column, generation=generation, rectify=rectify
    )
    with workspace_instance(workspace.home) as instance:
        config = {"ops": {"gate": {"config": {"request": ingest_id}}}}
        run_job(_job(workspace, "ingest"), instance, run_config=config)
    return report_of(workspace, ingest_id)


def train_adapter(workspace: Workspace, adapter: str, plan: Plan | None = None) -> TrainReport:
    """Freeze, place, train every shard, compose, assess, release: one run for the trunk, one a shard, one for the rest."""
    freeze(workspace, adapter, plan)
    with workspace_instance(workspace.home) as instance:
        runs = [run_job(_job(workspace, f"{adapter}_plan"), instance)]
        placed = PlaceReport(**{f.name: _told(runs, f.name)[0] for f in fields(PlaceReport)})
        with bar(f"Shards of {adapter}", placed.shards, unit="shards") as progress:
            for shard in range(placed.shards):
                runs.append(_train_shard(workspace, instance, adapter, shard))
                progress.advance()
        runs.append(run_job(_job(workspace, f"{adapter}_release"), instance))
    cut = {name: sum(_told(runs, name)) for name in ("truncated_records", "cut_tokens", "silenced_records")}
    return TrainReport(placed, **cut, rank=_told(runs, "rank")[-1], megabytes=_told(runs, "megabytes")[-1])


def study_adapter(workspace: Workspace, adapter: str, *, full: bool) -> None:
    """Run the study job of an adapter; what it found is in the files it wrote."""
    workspace.settings.adapter(adapter)
    with workspace_instance(workspace.home) as instance:
        run_job(_job(workspace, f"{adapter}_study"), instance, run_config=study_config(adapter, full=full))


def _train_shard(workspace: Workspace, instance: DagsterInstance, adapter: str, shard: int) -> ExecuteInProcessResult:
    return run_job(_job(workspace, f"{adapter}_shard"), instance, partition_key=partition_key(adapter, shard))


def _told(runs: Sequence[ExecuteInProcessResult], fact: str) -> list[Any]:
    """A number of the assets' reports, from every materialization that has it, in order."""
    events = [event for run in runs for event in run.all_events if event.is_step_materialization]
    found = [event.step_materialization_data.materialization.metadata.get(fact) for event in events]
    return [entry.value for entry in found if entry is not None]


def collect_garbage(workspace: Workspace) -> dict[str, int]:
    """Run the collection's job; returns its counts."""
    with workspace_instance(workspace.home) as instance:
        result = run_job(_job(workspace, "store_collection"), instance)
    counts: dict[str, int] = result.output_for_node("collect_garbage")
    return counts


def expire_quarantine(workspace: Workspace) -> int:
    """Run the quarantine's expiry job; returns how many records expired."""
    with workspace_instance(workspace.home) as instance:
        result = run_job(_job(workspace, "quarantine_expiry"), instance)
    expired: int = result.output_for_node("expire_quarantine")
    return expired


def audit_adapter(workspace: Workspace, adapter: str) -> str:
    """Run the audit job of an adapter; returns the audit's id. What it saw is in the ledger."""
    workspace.settings.adapter(adapter)
    with workspace_instance(workspace.home) as instance:
        return run_job(_job(workspace, f"{adapter}_audit"), instance).run_id


def probe_person(workspace: Workspace, adapter: str, subject_key: str, *, whole_map: bool) -> dict[str, Any]:
    """Request a probe outside a case and run its job; returns what it saw."""
    request_id = request_probe(workspace, adapter, subject_key, whole_map=whole_map)
    with workspace_instance(workspace.home) as instance:
        result = run_job(_job(workspace, "person_probe"), instance, run_config=probe_config(request_id))
    found: dict[str, Any] = result.output_for_node("look")
    return found


def rescan_gate(workspace: Workspace) -> str:
    """Run the rescan's job; returns the id of the comparison that it made or applied."""
    with workspace_instance(workspace.home) as instance:
        result = run_job(_job(workspace, "gate_rescan"), instance)
    rescan_id: str = result.output_for_node("rescan")
    return rescan_id


def replay_backup(workspace: Workspace) -> list[dict[str, Any]]:
    """Run the replay's job; returns what it did, an erasure each."""
    with workspace_instance(workspace.home) as instance:
        result = run_job(_job(workspace, "backup_replay"), instance)
    done: list[dict[str, Any]] = result.output_for_node("carry_out_again")
    return done


def send_notices(workspace: Workspace) -> dict[str, int]:
    """Run the job that sends what is due; returns how many notices came to which state."""
    with workspace_instance(workspace.home) as instance:
        result = run_job(_job(workspace, "notices"), instance)
    counts: dict[str, int] = result.output_for_node("send_notices")
    return counts


def run_case_job(workspace: Workspace, job: str, *case_ids: str, actor: Actor) -> str:
    """Run one of the case jobs: preview or purge for a case, the erasure for a window of cases; returns the run's id.

    Raises:
        RefusedByRule: the actor's role may not start it.
    """
    from pipelines.jobs import DUTIES, case_config, case_tags

    begin(workspace, DUTIES[job], case_ids, actor=actor, now=utc_now())
    with workspace_instance(workspace.home) as instance:
        result = run_job(
            _job(workspace, job), instance, run_config=case_config(job, *case_ids), tags=case_tags(job, *case_ids)
        )
    return result.run_id
