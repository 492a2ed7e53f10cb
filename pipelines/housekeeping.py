"""Housekeeping as Dagster jobs, on the same road as everything else that changes something: the store's, and every night's."""

from dataclasses import asdict

from dagster import DefaultScheduleStatus, OpExecutionContext, ScheduleDefinition, in_process_executor, job, op

from lineage.forgetting import forget_ended
from lineage.retention import expire_kept
from lineage.rulings import clear_out
from pipelines.collecting import collect
from pipelines.ingest import utc_now
from pipelines.instance import door
from pipelines.probing import sweep_requests
from pipelines.resources import WorkspaceResource

__all__ = ["daily_expiry", "quarantine_expiry", "store_collection"]


@op(pool="training", description="Remove what no live recipe reaches and is older than a day; count it in the ledger.")
def collect_garbage(context: OpExecutionContext, workspace: WorkspaceResource) -> dict[str, int]:
    """Collect."""
    with door():
        counts = asdict(collect(workspace.open()))
    context.add_output_metadata(counts)
    return counts


@job(executor_def=in_process_executor, description="Collect the store's garbage.")
def store_collection() -> None:
    """Collect the store's garbage."""
    collect_garbage()


@op(description="Block what nobody reviewed within [gate] quarantine_days and shred its text; count it in the ledger.")
def expire_quarantine(context: OpExecutionContext, workspace: WorkspaceResource) -> int:
    """Expire."""
    with door():
        expired = clear_out(workspace.open(), now=utc_now())
    context.add_output_metadata({"expired": expired})
    return expired


@op(description="Forget whom a case was about that ended without an erasure half a year ago.")
def forget_ended_cases(context: OpExecutionContext, workspace: WorkspaceResource) -> int:
    """Forget."""
    with door():
        forgotten = forget_ended(workspace.open(), now=utc_now())
    context.add_output_metadata({"forgotten": forgotten})
    return forgotten


@op(
    description="Let go of tombstones, suppressed forms and journal lines whose last day is past; count them in the ledger."
)
def expire_what_was_kept(context: OpExecutionContext, workspace: WorkspaceResource) -> int:
    """Let go."""
    with door():
        expired = expire_kept(workspace.open(), now=utc_now())
    context.add_output_metadata({"expired": expired})
    return expired


@op(description="Remove requests of `lethe probe` that nobody answered within a day: they hold a pseudonym.")
def sweep_probe_requests(context: OpExecutionContext, workspace: WorkspaceResource) -> int:
    """Sweep."""
    with door():
        swept = sweep_requests(workspace.open(), now=utc_now())
    context.add_output_metadata({"swept": swept})
    return swept


@job(
    executor_def=in_process_executor,
    description="Block what has waited in quarantine for too long; forget whom old cases without an erasure were about; "
    "let go of tombstones and suppressed forms whose time is over, and of requests that nobody answered.",
)
def quarantine_expiry() -> None:
    """Expire what has waited in quarantine for too long, what ended cases still know, and what stayed of old erasures."""
    expire_quarantine()
    forget_ended_cases()
    expire_what_was_kept()
    sweep_probe_requests()


daily_expiry = ScheduleDefinition(
    name="daily_expiry", job=quarantine_expiry, cron_schedule="15 3 * * *", default_status=DefaultScheduleStatus.RUNNING,
    description="Every night: what nobody reviewed in time is blocked, and what was kept for long enough goes.",
)  # fmt: skip
