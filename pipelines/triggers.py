"""Sensors: what starts by itself. The case table is the truth; no progress is kept in cursors.

A run key is consumed for ever, even by a failed run, so it carries the case's attempt and the digest it acts on; `retry`
raises the attempt.
"""

from collections.abc import Iterator

from dagster import (
    AddDynamicPartitionsRequest,
    DagsterRun,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunFailureSensorContext,
    RunRequest,
    RunStatusSensorContext,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    run_failure_sensor,
    run_status_sensor,
    sensor,
)

from lineage import plans
from lineage.case import CaseFile, CaseView, Stage, list_cases
from lineage.errors import Fault, LetheError
from lineage.lease import held
from pipelines.assets import partition_key, partitions_name
from pipelines.ingest import utc_now
from pipelines.jobs import case_config, case_erasure, case_lease, case_preview, case_purge
from pipelines.resources import WorkspaceResource
from unlearn.plan import Plan

__all__ = ["cancel_sensor", "case_sensor", "failure_sensor", "shard_sensor"]

WORK = {
    Stage.ASSESSMENT: "case_preview",
    Stage.APPROVED: "case_erasure",
    Stage.CONTAINED: "case_erasure",
    Stage.EXECUTING: "case_erasure",
    Stage.VERIFYING: "case_erasure",
    Stage.PURGE_APPROVED: "case_purge",
}


def run_request(case: CaseView) -> RunRequest:
    """The run a case waits for; the same case at the same stage of the same attempt asks for the same run."""
    job = WORK[case.stage]
    bound = case.evidence_digest if job == "case_purge" else case.approved_digest
    key = f"{case.id}:{job}:{bound[:16]}:{case.attempt}"
    return RunRequest(
        run_key=key, job_name=job, run_config=dict(case_config(job, case.id)), tags={"lethe/case": case.id}
    )


@sensor(
    jobs=[case_preview, case_erasure, case_purge], minimum_interval_seconds=5, default_status=DefaultSensorStatus.RUNNING,
    description="Starts previews of filed requests, erasures that a DPO approved, and purges that a DPO approved.",
)  # fmt: skip
def case_sensor(context: SensorEvaluationContext, workspace: WorkspaceResource) -> Iterator[RunRequest | SkipReason]:
    """Ask for a run for every case that waits for one."""
    del context
    try:
        opened = workspace.open()
    except LetheError as error:
        yield SkipReason(str(error))
        return
    with opened.database.reader() as session:
        cases = [case for case in list_cases(session, *WORK) if not case.hold_reason]
    yield from (run_request(case) for case in cases)


@run_failure_sensor(
    monitored_jobs=[case_preview, case_erasure, case_purge], default_status=DefaultSensorStatus.RUNNING,
    description="A case whose run died is marked FAILED, so that it is seen and can be retried.",
)  # fmt: skip
def failure_sensor(context: RunFailureSensorContext, workspace: WorkspaceResource) -> None:
    """Mark the case of a failed run, unless Dagster will retry the run itself."""
    if context.dagster_run.tags.get("dagster/will_retry") != "true":
        _fail_case_of(context.dagster_run, workspace, "The run that worked on this case died.")


@run_status_sensor(
    run_status=DagsterRunStatus.CANCELED, monitored_jobs=[case_preview, case_erasure, case_purge],
    default_status=DefaultSensorStatus.RUNNING,
    description="A case whose run was canceled is marked FAILED: its run key is used up, so nothing else would go on.",
)  # fmt: skip
def cancel_sensor(context: RunStatusSensorContext, workspace: WorkspaceResource) -> None:
    """Mark the case of a canceled run."""
    _fail_case_of(context.dagster_run, workspace, "The run that worked on this case was canceled.")


def _fail_case_of(run: DagsterRun, workspace: WorkspaceResource, problem: str) -> None:
    case_id = run.tags.get("lethe/case")
    if not case_id:
        return
    database = workspace.open().database
    try:
        with held(database, case_lease(case_id), utc_now), database.transaction() as session:
            CaseFile(session, case_id).fail(problem, now=utc_now())
    except Fault:  # another process, the command line say, is carrying this case on
        return


def shard_sensor(adapter: str) -> SensorDefinition:
    """Reports an adapter's shards as partitions once its plan is frozen."""

    @sensor(
        name=f"{adapter}_shards", minimum_interval_seconds=30, default_status=DefaultSensorStatus.RUNNING,
        description=f"Shows the shards of {adapter} as partitions.",
    )  # fmt: skip
    def report(context: SensorEvaluationContext, workspace: WorkspaceResource) -> SensorResult | SkipReason:
        try:
            opened = workspace.open()
        except LetheError as error:
            return SkipReason(str(error))
        with opened.database.reader() as session:
            found = plans.current_plan(session, adapter)
        wanted = [partition_key(adapter, s) for s in range(Plan.from_json(found[1]).shards)] if found else []
        known = set(context.instance.get_dynamic_partitions(partitions_name(adapter)))
        new = [key for key in wanted if key not in known]
        if not new:
            return SkipReason("Every shard is a partition already." if wanted else "No plan is frozen yet.")
        return SensorResult(dynamic_partitions_requests=[AddDynamicPartitionsRequest(partitions_name(adapter), new)])

    return report
