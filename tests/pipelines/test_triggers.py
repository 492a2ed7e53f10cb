"""What starts by itself: the sensor asks for the run a case waits for, once per attempt, and never for a held one."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus, RunRequest, SkipReason, build_sensor_context, instance_for_test

from lineage.access import Actor, Role
from lineage.case import CaseFile, Filing, file_request
from lineage.errors import Fault, RefusedByRule
from lineage.lease import held
from lineage.stages import Stage
from lineage.tables import CaseRow
from lineage.workspace import Workspace, create_workspace, open_workspace
from pipelines import reaper
from pipelines.ingest import INGEST_LEASE, utc_now
from pipelines.jobs import case_config
from pipelines.launch import run_case_job
from pipelines.resources import WorkspaceResource
from pipelines.triggers import cancel_sensor, case_sensor, failure_sensor, shard_sensor
from pipelines.windows import WINDOW_LEASE

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
INES, DANA, MAX = Actor("ines", Role.INTAKE), Actor("dana", Role.DPO), Actor("max", Role.ML)
JOB_AT = {
    Stage.ASSESSMENT: "case_preview", Stage.APPROVED: "case_erasure", Stage.CONTAINED: "case_erasure",
    Stage.EXECUTING: "case_erasure", Stage.VERIFYING: "case_erasure", Stage.PURGE_APPROVED: "case_purge",
}  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    create_workspace(tmp_path / "ws", controller="Test GmbH")
    return open_workspace(tmp_path / "ws")


def file_case(workspace: Workspace, case_id: str = "case-1") -> None:
    filing = Filing(
        case_id, f"subject of {case_id}", b"", "b", "by code", date(2026, 3, 2), date(2026, 4, 2), "one month"
    )
    with workspace.database.transaction() as session:
        file_request(session, filing, actor=INES, now=NOW)


def walk(workspace: Workspace, stage: Stage, case_id: str = "case-1") -> None:
    """Along the road, from ASSESSMENT to a stage, through the case's own steps."""
    with workspace.database.transaction() as session:
        case = CaseFile(session, case_id)
        steps = {
            Stage.PREVIEW_READY: lambda: case.preview_ready("p" * 64, now=NOW),
            Stage.APPROVED: lambda: case.approve(actor=DANA, digest="p" * 64, now=NOW),
            Stage.CONTAINED: lambda: case.advance(Stage.CONTAINED, now=NOW),
            Stage.EXECUTING: lambda: case.advance(Stage.EXECUTING, now=NOW),
            Stage.VERIFYING: lambda: case.advance(Stage.VERIFYING, now=NOW),
            Stage.EVIDENCE_READY: lambda: case.evidence_ready("e" * 64, now=NOW),
            Stage.PURGE_APPROVED: lambda: case.approve_purge(actor=DANA, digest="e" * 64, now=NOW),
            Stage.PURGED: lambda: case.purged(now=NOW),
        }
        road = list(steps)
        for step in road[: road.index(stage) + 1] if stage in road else []:
            steps[step]()


def asked(workspace: Workspace) -> list[RunRequest]:
    """What the sensor asks for now."""
    resource = WorkspaceResource(folder=str(workspace.settings.workspace))
    with (
        DagsterInstance.ephemeral() as instance,
        build_sensor_context(instance=instance, resources={"workspace": resource}) as context,
    ):
        given = list(case_sensor(context) or ())
    assert not any(isinstance(item, SkipReason) for item in given)
    return given  # type: ignore[return-value]


@pytest.mark.parametrize("stage", JOB_AT)
def test_each_stage_that_waits_for_a_job_gets_it(workspace: Workspace, stage: Stage) -> None:
    file_case(workspace)
    walk(workspace, stage)
    (request,) = asked(workspace)
    assert request.job_name == JOB_AT[stage]
    assert request.tags["lethe/case"] == "case-1"
    configs = [op["config"] for op in request.run_config["ops"].values()]
    expected = {"case_ids": ["case-1"]} if request.job_name == "case_erasure" else {"case_id": "case-1"}
    assert all(config == expected for config in configs), "run config holds case ids and nothing else"


@pytest.mark.parametrize("stage", [Stage.PREVIEW_READY, Stage.EVIDENCE_READY, Stage.PURGED])
def test_a_stage_that_waits_for_a_person_starts_nothing(workspace: Workspace, stage: Stage) -> None:
    file_case(workspace)
    walk(workspace, stage)
    assert asked(workspace) == []


def test_a_held_case_starts_nothing_until_the_hold_is_lifted(workspace: Workspace) -> None:
    file_case(workspace)
    walk(workspace, Stage.PURGE_APPROVED)
    for reason, expected in (("a court asked for it", 0), ("", 1)):
        with workspace.database.transaction() as session:
            CaseFile(session, "case-1").hold(actor=DANA, reason=reason, now=NOW)
        assert len(asked(workspace)) == expected


def test_asking_again_repeats_the_run_key_for_the_whole_erasure(workspace: Workspace) -> None:
    file_case(workspace)
    walk(workspace, Stage.APPROVED)
    first = asked(workspace)[0].run_key
    assert asked(workspace)[0].run_key == first
    with workspace.database.transaction() as session:
        CaseFile(session, "case-1").advance(Stage.CONTAINED, now=NOW)
    assert asked(workspace)[0].run_key == first, "an erasure on its way must not be started a second time"


def test_a_retry_gets_a_new_run_key(workspace: Workspace) -> None:
    file_case(workspace)
    walk(workspace, Stage.EXECUTING)
    first = asked(workspace)[0].run_key
    with workspace.database.transaction() as session:
        CaseFile(session, "case-1").fail("The disk is full.", now=NOW)
    assert asked(workspace) == [], "a failed case waits for a person"
    with workspace.database.transaction() as session:
        CaseFile(session, "case-1").retry(now=NOW)
    assert asked(workspace)[0].run_key != first


def test_every_preview_gets_its_own_run(workspace: Workspace) -> None:
    for case_id in ("case-1", "case-2"):
        file_case(workspace, case_id)
    keys = {request.run_key for request in asked(workspace)}
    assert len(keys) == 2


def test_all_cases_that_wait_for_their_execution_share_one_run(workspace: Workspace) -> None:
    for case_id, stage in (("case-1", Stage.APPROVED), ("case-2", Stage.EXECUTING), ("case-3", Stage.PURGE_APPROVED)):
        file_case(workspace, case_id)
        walk(workspace, stage, case_id)
    purge, window = sorted(asked(workspace), key=lambda request: request.job_name, reverse=True)
    assert (purge.job_name, window.job_name) == ("case_purge", "case_erasure")
    assert {tuple(op["config"]["case_ids"]) for op in window.run_config["ops"].values()} == {("case-1", "case-2")}
    first = window.run_key
    file_case(workspace, "case-4")
    walk(workspace, Stage.APPROVED, "case-4")
    (wider,) = [request for request in asked(workspace) if request.job_name == "case_erasure"]
    assert wider.run_key != first, "the key is made from all the cases"


WAITS_FOR = [(Stage.APPROVED, WINDOW_LEASE, "case_erasure"), (Stage.PURGE_APPROVED, INGEST_LEASE, "case_purge")]


@pytest.mark.parametrize(("stage", "lease", "_job"), WAITS_FOR)
def test_a_window_waits_for_the_one_at_work_and_a_purge_for_an_ingest(
    workspace: Workspace, stage: Stage, lease: str, _job: str
) -> None:
    file_case(workspace)
    walk(workspace, stage)
    with held(workspace.database, lease, utc_now):
        assert asked(workspace) == []
    assert len(asked(workspace)) == 1


def test_a_purge_started_by_hand_beside_an_ingest_is_refused_and_its_case_stays_where_it_is(
    workspace: Workspace,
) -> None:
    """A record judged before the purge and written after it would bring the erased person's key back."""
    file_case(workspace)
    walk(workspace, Stage.PURGE_APPROVED)
    with held(workspace.database, INGEST_LEASE, utc_now), pytest.raises(Fault, match="working on ingest"):
        run_case_job(workspace, "case_purge", "case-1", actor=MAX)
    assert stage_of(workspace) == Stage.PURGE_APPROVED


SPOILT = [
    (Stage.APPROVED, "preview_digest", "q" * 64), (Stage.EXECUTING, "approved_by", "ines"),
    (Stage.PURGE_APPROVED, "evidence_digest", "f" * 64), (Stage.PURGE_APPROVED, "purge_approved_by", "ines"),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "field", "value"), SPOILT)
def test_nothing_starts_by_itself_that_was_not_approved_as_it_stands(
    workspace: Workspace, stage: Stage, field: str, value: str
) -> None:
    for case_id in ("case-1", "case-2"):
        file_case(workspace, case_id)
        walk(workspace, stage, case_id)
    with workspace.database.transaction() as session:
        setattr(session.get_one(CaseRow, "case-1"), field, value)
    (request,) = asked(workspace)
    assert "case-1" not in str(request.run_config), "and the other one is not held up"
    assert "case-2" in str(request.run_config)


def test_a_run_started_by_hand_carries_out_nothing_else_either(workspace: Workspace) -> None:
    file_case(workspace)
    walk(workspace, Stage.PURGE_APPROVED)
    with workspace.database.transaction() as session:
        session.get_one(CaseRow, "case-1").evidence_digest = "f" * 64
    with pytest.raises(RefusedByRule, match="not approved as it stands"):
        run_case_job(workspace, "case_purge", "case-1", actor=MAX)
    assert stage_of(workspace) == Stage.PURGE_APPROVED


@pytest.mark.parametrize("job", ["case_preview", "case_erasure", "case_purge"])
def test_no_job_starts_for_who_may_not_start_it(workspace: Workspace, job: str) -> None:
    file_case(workspace)
    for who in (INES, Actor("axel", Role.AUDITOR), Actor("root", Role.ADMIN)):
        with pytest.raises(RefusedByRule, match="Only the role"):
            run_case_job(workspace, job, "case-1", actor=who)


def test_a_lifted_hold_is_a_new_attempt_so_the_erasure_starts_again_by_itself(workspace: Workspace) -> None:
    file_case(workspace)
    walk(workspace, Stage.CONTAINED)
    first = asked(workspace)[0].run_key
    for reason in ("a court asked for it", ""):
        with workspace.database.transaction() as session:
            CaseFile(session, "case-1").hold(actor=DANA, reason=reason, now=NOW)
    assert asked(workspace)[0].run_key != first


def ended_run(workspace: Workspace, status: DagsterRunStatus, tags: dict[str, str], job: str = "case_erasure") -> None:
    """Let the sensor that watches such ends see one of a run of the case."""
    from dagster import build_run_status_sensor_context
    from dagster._core.events import DagsterEvent, DagsterEventType
    from dagster._core.test_utils import create_run_for_test

    kind = DagsterEventType.RUN_CANCELED if status == DagsterRunStatus.CANCELED else DagsterEventType.RUN_FAILURE
    resource = WorkspaceResource(folder=str(workspace.settings.workspace))
    watching = cancel_sensor if status == DagsterRunStatus.CANCELED else failure_sensor
    with instance_for_test() as instance:
        config = dict(case_config(job, "case-1"))
        run = create_run_for_test(instance, job_name=job, status=status, run_config=config, tags=tags)
        context = build_run_status_sensor_context(
            watching.name, DagsterEvent(kind.value, job), instance, run, resources={"workspace": resource}
        )
        if status == DagsterRunStatus.FAILURE:
            context = context.for_run_failure()
        watching(context)


def stage_of(workspace: Workspace) -> Stage:
    with workspace.database.reader() as session:
        return CaseFile(session, "case-1").view.stage


@pytest.mark.parametrize("status", [DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED])
def test_a_case_whose_run_ended_badly_fails_and_can_be_retried(workspace: Workspace, status: DagsterRunStatus) -> None:
    file_case(workspace)
    walk(workspace, Stage.EXECUTING)
    ended_run(workspace, status, {})
    assert stage_of(workspace) == Stage.FAILED
    with workspace.database.transaction() as session:
        assert CaseFile(session, "case-1").retry(now=NOW).stage == Stage.EXECUTING


@pytest.mark.parametrize(("stage", "lease", "job"), WAITS_FOR)
def test_what_met_other_work_goes_on_after_it(workspace: Workspace, stage: Stage, lease: str, job: str) -> None:
    file_case(workspace)
    walk(workspace, stage)
    before = asked(workspace)[0].run_key
    with held(workspace.database, lease, utc_now):
        ended_run(workspace, DagsterRunStatus.FAILURE, {}, job)
    assert stage_of(workspace) == stage
    assert asked(workspace)[0].run_key != before, "a used run key would never start it again"


def test_a_case_that_its_purge_reopened_goes_on_by_itself_with_a_new_preview(workspace: Workspace) -> None:
    """The purge's run ended badly, as it had to; the case waits for another job, and its first preview's key is used up."""
    file_case(workspace)
    first = asked(workspace)[0].run_key
    walk(workspace, Stage.PURGE_APPROVED)
    with workspace.database.transaction() as session:
        CaseFile(session, "case-1").reopen("Two records came in.", now=NOW)
    ended_run(workspace, DagsterRunStatus.FAILURE, {}, "case_purge")
    assert stage_of(workspace) == Stage.ASSESSMENT
    (request,) = asked(workspace)
    assert (request.job_name, request.run_key != first) == ("case_preview", True)


def test_a_held_case_whose_run_was_refused_is_not_marked_as_failed(workspace: Workspace) -> None:
    file_case(workspace)
    walk(workspace, Stage.CONTAINED)
    with workspace.database.transaction() as session:
        CaseFile(session, "case-1").hold(actor=DANA, reason="a court asked for it", now=NOW)
    ended_run(workspace, DagsterRunStatus.FAILURE, {})
    assert stage_of(workspace) == Stage.CONTAINED


def test_a_case_whose_run_dagster_retries_by_itself_stays_where_it_is(workspace: Workspace) -> None:
    file_case(workspace)
    walk(workspace, Stage.EXECUTING)
    ended_run(workspace, DagsterRunStatus.FAILURE, {"dagster/will_retry": "true"})
    assert stage_of(workspace) == Stage.EXECUTING


def test_shards_wait_for_a_plan(workspace: Workspace) -> None:
    resource = WorkspaceResource(folder=str(workspace.settings.workspace))
    with (
        instance_for_test() as instance,
        build_sensor_context(instance=instance, resources={"workspace": resource}) as context,
    ):
        answer = shard_sensor("support")(context)
    assert isinstance(answer, SkipReason)
    assert answer.skip_message == "No plan is frozen yet."


# --- after a crash -----------------------------------------------------------------------------------------------------


def started(instance: DagsterInstance, pid: int | None, status: DagsterRunStatus = DagsterRunStatus.STARTED) -> str:
    """A run that says which process works on it, or that nobody has begun."""
    from dagster import job, op
    from dagster._core.events import EngineEventData
    from dagster._core.test_utils import create_run_for_test

    @op
    def nothing() -> None: ...

    @job
    def some_job() -> None:
        nothing()

    run = create_run_for_test(instance, job_name="some_job", status=status)
    if pid is not None:
        instance.report_engine_event("Started process for run.", run, EngineEventData.in_process(pid))
    return run.run_id


def test_the_runs_of_dead_processes_are_reported_failed_and_those_of_the_living_are_left_alone() -> None:
    import os
    import subprocess
    import sys

    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with instance_for_test() as instance:
        lost = started(instance, dead.pid)
        never_begun = started(instance, None, DagsterRunStatus.STARTING)
        cancelling = started(instance, dead.pid, DagsterRunStatus.CANCELING)
        working = started(instance, os.getpid())
        assert set(reaper.fail_dead_runs(instance)) == {lost, never_begun, cancelling}
        status = {run.run_id: run.status for run in instance.get_runs()}
        assert status[lost] == status[never_begun] == DagsterRunStatus.FAILURE
        assert status[cancelling] == DagsterRunStatus.CANCELED
        assert status[working] == DagsterRunStatus.STARTED
        assert reaper.fail_dead_runs(instance) == [], "safe to repeat"


def test_a_pid_that_was_given_to_a_later_process_does_not_keep_a_run_alive() -> None:
    import os
    import time

    now = time.time()
    assert reaper._lives(os.getpid(), now)
    assert not reaper._lives(os.getpid(), now - 10 * 365 * 86400)


def test_one_training_at_a_time() -> None:
    with instance_for_test() as instance:
        reaper.limit_pools(instance)
        assert {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()} == {"training": 1}
