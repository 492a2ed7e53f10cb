"""Sensors: what starts by itself. The case table is the truth; no progress is kept in cursors.

All cases that wait for their execution go into one run, a window; what is approved while a window is at work waits for
the next. A run key is consumed for ever, even by a failed run, so it is made from each case's attempt and the digest it
acts on; a retry and the end of a legal hold raise the attempt.
"""

import hashlib
from collections.abc import Iterator
from contextlib import suppress

from dagster import (
    AddDynamicPartitionsRequest,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunFailureSensorContext,
    RunRequest,
    RunsFilter,
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
from lineage.case import CaseFile
from lineage.case_view import Beside, CaseView, list_cases
from lineage.duties import SYSTEM, require_may_start
from lineage.errors import Fault, LetheError, RefusedByRule
from lineage.lease import held, is_held
from lineage.stages import Stage
from pipelines.assets import partition_key, partitions_name
from pipelines.ingest import INGEST_LEASE, utc_now
from pipelines.jobs import DUTIES, case_config, case_erasure, case_preview, case_purge, case_tags, cases_of
from pipelines.resources import WorkspaceResource
from pipelines.windows import EXECUTION, WINDOW_LEASE, case_lease
from unlearn.plan import Plan

__all__ = ["cancel_sensor", "case_sensor", "failure_sensor", "shard_sensor"]

MAY_MEET = {"case_erasure": WINDOW_LEASE, "case_purge": INGEST_LEASE}
"""Jobs that wait for one another, by the lease they wait for."""
SINGLE = {Stage.ASSESSMENT: "case_preview", Stage.PURGE_APPROVED: "case_purge"}
JOB_AT = {**SINGLE, **dict.fromkeys(EXECUTION, "case_erasure")}
QUEUED = [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.QUEUED, DagsterRunStatus.STARTING]


def run_request(job: str, *cases: CaseView) -> RunRequest:
    """The run that cases wait for; the same cases at the same attempts, bound to the same digests, ask for the same run."""
    bound = [f"{c.id}:{c.evidence_digest if job == 'case_purge' else c.approved_digest}:{c.attempt}" for c in cases]
    key = f"{job}:{hashlib.sha256(' '.join(bound).encode()).hexdigest()[:32]}"
    ids = [case.id for case in cases]
    return RunRequest(run_key=key, job_name=job, run_config=dict(case_config(job, *ids)), tags=case_tags(job, *ids))


@sensor(
    jobs=[case_preview, case_erasure, case_purge], minimum_interval_seconds=5, default_status=DefaultSensorStatus.RUNNING,
    description="Starts previews of filed requests, one erasure for all cases that a DPO approved, and approved purges.",
)  # fmt: skip
def case_sensor(context: SensorEvaluationContext, workspace: WorkspaceResource) -> Iterator[RunRequest | SkipReason]:
    """Ask for a run for every case that waits for one; those that wait for their execution share one, the next window."""
    try:
        opened = workspace.open()
    except LetheError as error:
        yield SkipReason(str(error))
        return
    with opened.database.reader() as session:
        waiting = list_cases(session, *SINGLE, *EXECUTION)
        cases = [case for case in waiting if not case.hold_reason and _approved(context, case)]
        busy = is_held(session, WINDOW_LEASE, now=utc_now())
        ready = {Stage.ASSESSMENT}
        if not is_held(session, INGEST_LEASE, now=utc_now()):
            ready.add(Stage.PURGE_APPROVED)
    held_back = {case.id for case in cases if case.stage == Stage.PURGE_APPROVED and Beside.ON_HOLD in case.beside}
    yield from (run_request(SINGLE[c.stage], c) for c in cases if c.stage in ready and c.id not in held_back)
    window = [case for case in cases if case.stage in EXECUTION]
    if window and not busy and not _queued(context.instance):
        yield run_request("case_erasure", *window)


def _approved(context: SensorEvaluationContext, case: CaseView) -> bool:
    """Whether the system may act on a case by itself."""
    try:
        require_may_start(case, DUTIES[JOB_AT[case.stage]], SYSTEM)
    except RefusedByRule as refusal:
        context.log.warning(str(refusal))
        return False
    return True


def _queued(instance: DagsterInstance) -> bool:
    """Whether a window was asked for that has not begun."""
    return bool(instance.get_runs(RunsFilter(job_name="case_erasure", statuses=QUEUED), limit=1))


@run_failure_sensor(
    monitored_jobs=[case_preview, case_erasure, case_purge], default_status=DefaultSensorStatus.RUNNING,
    description="A case whose run died is marked FAILED, so that it is seen and can be retried.",
)  # fmt: skip
def failure_sensor(context: RunFailureSensorContext, workspace: WorkspaceResource) -> None:
    """Mark the case of a failed run, unless Dagster will retry the run itself. A case that ran
    alone says what the run said last; of a window's cases nobody knows which one it spoke of.
    """
    if context.dagster_run.tags.get("dagster/will_retry") == "true":
        return
    failures = (event.step_failure_data.user_failure_data for event in context.get_step_failure_events())
    said = [failure.description for failure in failures if failure and failure.description]
    _fail_cases_of(
        context.dagster_run,
        workspace,
        said[-1] if said and len(cases_of(context.dagster_run)) == 1 else "The run that worked on this case died.",
    )


@run_status_sensor(
    run_status=DagsterRunStatus.CANCELED, monitored_jobs=[case_preview, case_erasure, case_purge],
    default_status=DefaultSensorStatus.RUNNING,
    description="A case whose run was canceled is marked FAILED: its run key is used up, so nothing else would go on.",
)  # fmt: skip
def cancel_sensor(context: RunStatusSensorContext, workspace: WorkspaceResource) -> None:
    """Mark the case of a canceled run."""
    _fail_cases_of(context.dagster_run, workspace, "The run that worked on this case was canceled.")


def _fail_cases_of(run: DagsterRun, workspace: WorkspaceResource, problem: str) -> None:
    """Mark the cases of a run that ended, unless a hold keeps them or another process (the command line, say) has them.

    A window that met another one at work is not a failure: its cases go with the next. Nor is a purge that met an ingest,
    or a run that sent its case back to the search (a reopened one): it waits for another job now.
    """
    database = workspace.open().database
    for case_id in cases_of(run):
        with suppress(Fault), held(database, case_lease(case_id), utc_now), database.transaction() as session:
            case = CaseFile(session, case_id)
            if Beside.ON_HOLD in case.view.beside or JOB_AT.get(case.view.stage) != run.job_name:
                continue
            failed, met = case.fail(problem, now=utc_now()), MAY_MEET.get(run.job_name, "")
            if failed.stage == Stage.FAILED and is_held(session, met, now=utc_now()):
                case.retry(now=utc_now())


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
