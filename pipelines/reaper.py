"""What a crash left behind in Dagster's storage, put right before anything is served.

A run whose process was killed together with everything else stays STARTED for ever: it blocks the queue, and its case
waits for it. Its process is known from the run's own events (pid and time), so a run that somebody's `lethe train` is
working on right now is left alone. A run that is reported failed is retried by Dagster's daemon, up to `max_retries`;
after that `failure_sensor` moves its case to FAILED. Leases need no reaper: those of a dead process on this machine are
free at once (`lineage.lease`).
"""

from __future__ import annotations

from collections.abc import Iterator

import psutil
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, DefaultRunLauncher, RunsFilter

__all__ = ["fail_dead_runs", "limit_pools"]

IN_PROGRESS = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
CLOCK_SLACK_S = 2.0


def limit_pools(instance: DagsterInstance) -> None:
    """One training at a time. A pool's default limit is not enforced on its first use, so it is set outright."""
    instance.event_log_storage.set_concurrency_slots("training", 1)


def fail_dead_runs(instance: DagsterInstance) -> list[str]:
    """Report the runs of dead processes failed (or canceled, if that was asked); returns their ids.

    Only for runs on this machine: other launchers (Kubernetes, Ray) watch their own workers.
    """
    if not isinstance(instance.run_launcher, DefaultRunLauncher):
        return []
    dead = [run for run in instance.get_runs(RunsFilter(statuses=IN_PROGRESS)) if not _is_worked_on(instance, run)]
    for run in dead:
        said = "The process of this run is gone; found when Lethe started."
        if run.status == DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, said)
        else:
            instance.report_run_failed(run, said)
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return [run.run_id for run in dead]


def _is_worked_on(instance: DagsterInstance, run: DagsterRun) -> bool:
    """Whether a process that worked on the run still lives."""
    return any(_lives(pid, at) for pid, at in _workers(instance, run))


def _workers(instance: DagsterInstance, run: DagsterRun) -> Iterator[tuple[int, float]]:
    """(pid, when it said so) for every process that wrote about its work on the run; seconds since the epoch."""
    for entry in instance.all_logs(run.run_id):
        event = entry.dagster_event
        if event is None or not event.is_engine_event:
            continue
        if pid := event.engine_event_data.metadata.get("pid"):
            yield int(str(pid.value)), entry.timestamp


def _lives(pid: int, seen_at: float) -> bool:
    """Whether this pid is still the process that was seen, and not a later one with the same number."""
    try:
        process = psutil.Process(pid)
        return process.create_time() <= seen_at + CLOCK_SLACK_S and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
