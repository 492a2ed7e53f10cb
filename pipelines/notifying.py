"""Notices go out: a job that sends what is due, and a sensor that starts it. Who is told what is decided in `lineage.notices`.

Each notice is claimed in a transaction of its own before it goes out and its answer written in another, so that two senders
never send the same try, and a crash between repeats a notice under its own id.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dagster import (
    DagsterRunStatus,
    DefaultSensorStatus,
    OpExecutionContext,
    RunRequest,
    RunsFilter,
    SensorEvaluationContext,
    SkipReason,
    in_process_executor,
    job,
    op,
    sensor,
)

from lineage import supplementing
from lineage.case_view import list_cases
from lineage.closing import go_on
from lineage.endpoints import Endpoint, open_endpoint
from lineage.errors import LetheError, NotAcceptable, RefusedByRule, WrongUsage
from lineage.keys import load_private_key, private_path
from lineage.notices import Notice, State, answered, begin_try, change, due, find_notice
from lineage.stages import Stage
from lineage.workspace import Workspace
from pipelines.ingest import utc_now
from pipelines.instance import door
from pipelines.resources import WorkspaceResource
from pipelines.webhook import deliver

__all__ = ["notice_sensor", "notices_job", "prepare_supplements", "send_due"]

AT_WORK = [
    DagsterRunStatus.NOT_STARTED, DagsterRunStatus.QUEUED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED,
]  # fmt: skip


def send_due(workspace: Workspace, *, clock: Callable[[], datetime] = utc_now) -> dict[str, int]:
    """Send every notice that is due, once; returns how many came to which state.

    Certified cases are taken on first: one that was signed before its parties could be told has no notices yet.

    Raises:
        WrongUsage: the pipeline's key does not open. Nothing was sent then.
    """
    key = load_private_key(private_path(workspace.home / "secrets", "pipeline"))
    with workspace.database.transaction() as session:
        for case in list_cases(session, Stage.SIGNED_OFF, Stage.NOTIFYING):
            go_on(session, case.id, workspace.settings, now=clock())
        waiting = due(session, clock())
    return dict(Counter(done.state.value for notice in waiting if (done := _send(workspace, notice.id, key, clock))))


def prepare_supplements(workspace: Workspace, *, clock: Callable[[], datetime] = utc_now) -> dict[str, int]:
    """Give every closed case that wants one the supplement that a DPO is to sign; returns how many got one and how many did
    not, because their certificate does not verify."""
    with workspace.database.reader() as session:
        wanted = supplementing.wanted(workspace, session)
    counts: Counter[str] = Counter()
    for case_id in wanted:
        try:
            supplementing.prepare(workspace, case_id, now=clock())
        except (NotAcceptable, WrongUsage):
            counts["no supplement"] += 1
        else:
            counts["supplements"] += 1
    return dict(counts)


def _send(workspace: Workspace, notice_id: str, key: Ed25519PrivateKey, clock: Callable[[], datetime]) -> Notice | None:
    """One try, from claim to answer; None if somebody else was quicker."""
    claimed = _claim(workspace, notice_id, clock())
    if claimed is None or claimed.state == State.DEAD:
        return claimed
    endpoint = _endpoint(workspace, claimed.party)
    problem = endpoint if isinstance(endpoint, str) else deliver(endpoint, claimed, key=key, at=clock())
    now = clock()
    with workspace.database.transaction() as session:
        current = find_notice(session, notice_id)
        if (current.state, current.tries) != (State.SENT, claimed.tries):
            return current  # waived meanwhile, or this process was so slow that another tried again
        done = answered(current, problem, now)
        events = {State.ACKNOWLEDGED: "acknowledged", State.DEAD: "dead"}
        said = {"try": done.tries, **({"problem": done.problem} if problem else {})}
        change(session, done, events.get(done.state, "failed"), now=now, **said)
        go_on(session, done.case_id, workspace.settings, now=now)
        return done


def _claim(workspace: Workspace, notice_id: str, now: datetime) -> Notice | None:
    with workspace.database.transaction() as session:
        try:
            claimed = begin_try(find_notice(session, notice_id), now)
        except RefusedByRule:
            return None
        event = "dead" if claimed.state == State.DEAD else "sent"
        return change(session, claimed, event, now=now, **{"try": claimed.tries})


def _endpoint(workspace: Workspace, party: str) -> Endpoint | str:
    """Where a party is told, or why that cannot be known."""
    with workspace.database.reader() as session:
        try:
            return open_endpoint(session, workspace, party)
        except LetheError as error:
            return str(error)


@op(description="Send the notices under Art. 19 that are due, signed; count how far they came; prepare supplements.")
def send_notices(context: OpExecutionContext, workspace: WorkspaceResource) -> dict[str, int]:
    """Send."""
    with door():
        space = workspace.open()
        counts = {**send_due(space), **prepare_supplements(space)}
    context.add_output_metadata(counts)
    return counts


@job(name="notices", executor_def=in_process_executor, description="Tell the parties of erased cases (Art. 19 GDPR).")
def notices_job() -> None:
    """Send what is due."""
    send_notices()


@sensor(
    job=notices_job, minimum_interval_seconds=30, default_status=DefaultSensorStatus.RUNNING,
    description="Starts the sending of notices under Art. 19 as soon as one is due.",
)  # fmt: skip
def notice_sensor(context: SensorEvaluationContext, workspace: WorkspaceResource) -> RunRequest | SkipReason:
    """Ask for a run when a notice is due and none is at work. A run that dies leaves them due: there is no run key."""
    try:
        space = workspace.open()
        with space.database.reader() as session:
            count, complete = len(due(session, utc_now())), supplementing.wanted(space, session)
    except LetheError as error:
        return SkipReason(str(error))
    if complete and not count:  # once: a certificate that does not verify is no reason to ask for ever
        return RunRequest(run_key="-".join(["supplement", *complete]))
    if not count or context.instance.get_runs(RunsFilter(job_name="notices", statuses=AT_WORK), limit=1):
        return SkipReason("A run is at work." if count else "No notice is due.")
    return RunRequest()
