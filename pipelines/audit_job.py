"""The audit of lineage as a Dagster job with a weekly schedule: `ADAPTER_audit`. Metadata are counts, handles and shards."""

from dagster import (
    AssetObservation,
    DefaultScheduleStatus,
    JobDefinition,
    OpExecutionContext,
    ScheduleDefinition,
    in_process_executor,
    job,
    op,
)

from pipelines import auditing
from pipelines.assets import asset_key
from pipelines.instance import door
from pipelines.resources import WorkspaceResource, settings_of_location

__all__ = ["audit_job", "weekly_audit"]


def audit_job(adapter: str) -> JobDefinition:
    """`ADAPTER_audit`: are people where lineage says, and nowhere else?"""

    @op(name=f"{adapter}_audit_lineage", description="Draw people, look for each in every shard, tell the ledger.")
    def audit(context: OpExecutionContext, workspace: WorkspaceResource) -> None:
        with door():
            found = auditing.audit_lineage(workspace.open(), adapter, audit_id=context.run_id)
        facts = {
            "audit": found.audit_id, "subjects": found.subjects, "copies_missed": len(found.missed),
            "missed": {handle: list(shards) for handle, shards in found.missed.items()},
            "unmapped": found.unmapped or "none",
        }  # fmt: skip
        context.add_output_metadata(facts)
        context.log_event(AssetObservation(asset_key(adapter, "composed_adapter"), metadata=facts))
        if found.missed:
            context.log.warning("Lineage misses a copy of %d of %d people.", len(found.missed), found.subjects)

    @job(
        name=f"{adapter}_audit", executor_def=in_process_executor,
        description="Look for a few people in every shard; a shard that lineage does not know is an alarm in the ledger.",
    )  # fmt: skip
    def audited() -> None:
        audit()

    return audited


def weekly_audit(adapter: str, lineage_audit: JobDefinition) -> ScheduleDefinition:
    """Sunday mornings, if `[audit] subjects` is not 0."""
    settings = settings_of_location()
    on = settings is not None and settings.audit.subjects > 0
    status = DefaultScheduleStatus.RUNNING if on else DefaultScheduleStatus.STOPPED
    return ScheduleDefinition(
        name=f"{adapter}_weekly_audit", job=lineage_audit, cron_schedule="30 4 * * 0", default_status=status,
        description="Every Sunday: a few people are looked for in every shard. Off while [audit] subjects is 0.",
    )  # fmt: skip
