"""A sensor that looks at the clocks of all cases and writes each alarm into the ledger, once."""

from dagster import DefaultSensorStatus, SkipReason, sensor

from lineage.alarms import raise_alarms
from lineage.errors import LetheError
from pipelines.ingest import utc_now
from pipelines.resources import WorkspaceResource

__all__ = ["alarm_sensor"]


@sensor(
    minimum_interval_seconds=600, default_status=DefaultSensorStatus.RUNNING,
    description="Writes into the ledger that a case has used up 50, 75, 90 or 100% of its time.",
)  # fmt: skip
def alarm_sensor(workspace: WorkspaceResource) -> SkipReason:
    """Raise the alarms that were not raised yet; nothing has to run for it."""
    try:
        alarmed = raise_alarms(workspace.open(), now=utc_now())
    except LetheError as error:
        return SkipReason(str(error))
    return SkipReason(f"{len(alarmed)} cases are at an alarm: lethe erase list --alarm" if alarmed else "No alarm.")
