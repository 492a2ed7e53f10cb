"""The Dagster code location: assets, checks, jobs and sensors of the workspace it is started in.

Without a workspace (in the repository root, say) it shows the family of one adapter called `support`, so that
`dagster definitions validate` and a first look need no set-up.
"""

from dagster import AssetSelection, Definitions, define_asset_job, in_process_executor

from pipelines.alarming import alarm_sensor
from pipelines.assets import adapter_assets, asset_key, gate_assets
from pipelines.audit_job import audit_job, weekly_audit
from pipelines.checks import adapter_checks, gate_is_open
from pipelines.housekeeping import daily_expiry, quarantine_expiry, store_collection
from pipelines.jobs import case_erasure, case_preview, case_purge
from pipelines.notifying import notice_sensor, notices_job
from pipelines.probe_job import person_probe
from pipelines.replay_job import backup_replay
from pipelines.rescan_job import gate_rescan
from pipelines.resources import WindowResource, WorkspaceResource, settings_of_location
from pipelines.study_job import study_job
from pipelines.triggers import cancel_sensor, case_sensor, failure_sensor, shard_sensor

__all__ = ["adapter_names", "defs"]


def adapter_names() -> list[str]:
    """The adapters of this location's workspace."""
    settings = settings_of_location()
    return sorted(settings.adapters) if settings else ["support"]


def _jobs_of(adapter: str) -> list[object]:
    def chosen(*names: str) -> AssetSelection:
        return AssetSelection.assets(*(asset_key(adapter, name) for name in names))

    return [
        define_asset_job(f"{adapter}_plan", chosen("plan", "trunk"), description="Freeze, place, train the trunk."),
        define_asset_job(f"{adapter}_shard", chosen("shard_manifest", "shard_adapter"), description="Train one shard."),
        define_asset_job(
            f"{adapter}_release",
            chosen("composed_adapter", "probe_report", "release"),
            description="Compose, assess, release.",
        ),
        study_job(adapter),
    ]


def _definitions() -> Definitions:
    names = adapter_names()
    audits = {name: audit_job(name) for name in names}
    ingest = define_asset_job("ingest", AssetSelection.assets("corpus", "findings", "admissions"))
    return Definitions(
        assets=[gate_assets, *(asset for name in names for asset in adapter_assets(name))],
        asset_checks=[gate_is_open, *(check for name in names for check in adapter_checks(name))],
        jobs=[
            ingest,
            case_preview,
            case_erasure,
            case_purge,
            store_collection,
            quarantine_expiry,
            gate_rescan,
            backup_replay,
            person_probe,
            notices_job,
            *audits.values(),
            *(job for name in names for job in _jobs_of(name)),
        ],
        sensors=[
            case_sensor,
            failure_sensor,
            cancel_sensor,
            alarm_sensor,
            notice_sensor,
            *(shard_sensor(name) for name in names),
        ],
        schedules=[daily_expiry, *(weekly_audit(name, audit) for name, audit in audits.items())],
        resources={"workspace": WorkspaceResource(), "window": WindowResource()},
        executor=in_process_executor,
    )


defs = _definitions()
