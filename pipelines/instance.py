"""The Dagster instance of a workspace, and the one way to run a job on it from a command.

Whoever starts a job, it is this job on this instance: the CLI runs it in its own process (an in-process step costs about
a second, a queued one fifteen), the UI and the sensors through the daemon. Errors of ours cross Dagster by type and
sentence; their cause stays behind, because Dagster keeps what it is told for ever.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml
from dagster import DagsterInstance, ExecuteInProcessResult, Failure, JobDefinition

from lineage import errors
from lineage.errors import Fault, LetheError

__all__ = ["dagster_home", "door", "run_job", "workspace_instance", "write_instance_settings"]

QUIET = {"console": {"config": {"log_level": "CRITICAL"}}}
ROOT_SETTINGS = Path(__file__).with_name("dagster.yaml")


def dagster_home(home: Path) -> Path:
    """DAGSTER_HOME of a workspace's data directory."""
    return home / "dagster"


def write_instance_settings(home: Path) -> bool:
    """Put the instance settings, with absolute storage paths, where DAGSTER_HOME points; never over an existing file."""
    target = dagster_home(home) / "dagster.yaml"
    if target.exists():
        return False
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings = yaml.safe_load(ROOT_SETTINGS.read_text(encoding="utf-8"))
    settings["storage"] = {"sqlite": {"base_dir": str(target.parent / "storage")}}
    settings["local_artifact_storage"] = {
        "module": "dagster.core.storage.root",
        "class": "LocalArtifactStorage",
        "config": {"base_dir": str(target.parent)},
    }
    target.write_text("# Written by lethe init from dagster.yaml.\n" + yaml.safe_dump(settings), encoding="utf-8")
    return True


@contextmanager
def workspace_instance(home: Path) -> Iterator[DagsterInstance]:
    """The workspace's instance, open for the block."""
    write_instance_settings(home)
    os.environ["DAGSTER_HOME"] = str(dagster_home(home))
    with DagsterInstance.from_config(str(dagster_home(home))) as instance:
        yield instance


def run_job(
    job: JobDefinition,
    instance: DagsterInstance,
    *,
    run_config: Mapping[str, object] | None = None,
    tags: Mapping[str, str] | None = None,
    partition_key: str | None = None,
) -> ExecuteInProcessResult:
    """Run a job to its end in this process.

    Raises:
        LetheError: what one of our steps raised, as itself.
        KeyboardInterrupt: Ctrl-C, which Dagster turns into a failed run.
        Fault: the run failed for another reason; its id says where to look.
    """
    config = {**(run_config or {}), "loggers": QUIET}  # Dagster's log is in the UI; a command prints its own progress
    result = job.execute_in_process(
        instance=instance, run_config=config, tags=dict(tags or {}), partition_key=partition_key,
        raise_on_error=False,
    )  # fmt: skip
    if not result.success:
        if _interrupted(result):
            raise KeyboardInterrupt
        raise _error_of(result)
    return result


@contextmanager
def door() -> Iterator[None]:
    """The door of every step: what goes wrong inside leaves as one sentence, without cause, values or traceback.

    A fault of ours in the code is named by its type and the line of ours it came from, so that it can be found.
    """
    try:
        yield
    except LetheError as error:
        raise Failure(
            str(error), metadata={"kind": type(error).__name__, "hint": error.hint}, allow_retries=False
        ) from None
    except Exception as error:  # noqa: BLE001 - the exception may quote a record; only its type may pass
        if os.environ.get("LETHE_DEBUG"):
            traceback.print_exception(error)
        where = [f for f in traceback.extract_tb(error.__traceback__) if "site-packages" not in f.filename][-1]
        sentence = f"{type(error).__name__} in {Path(where.filename).name}, line {where.lineno}."
        raise Failure(
            sentence, metadata={"kind": "Fault", "hint": "This is a fault in Lethe; please report it."}
        ) from None


def _interrupted(result: ExecuteInProcessResult) -> bool:
    failures = (event.job_failure_data for event in result.all_events if event.is_job_failure)
    return any(failure.error and "Interrupt" in (failure.error.cls_name or "") for failure in failures)


def _error_of(result: ExecuteInProcessResult) -> LetheError:
    for event in result.get_step_failure_events():
        data = event.step_failure_data.user_failure_data
        if data is not None:
            said = {name: str(value.value) for name, value in data.metadata.items()}
            family = getattr(errors, said.get("kind", ""), Fault)
            return family(data.description or "A step failed.", hint=said.get("hint", ""))
    return Fault(f"The run {result.run_id} failed.", hint="Open it in the Dagster UI: lethe up")
