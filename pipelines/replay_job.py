"""The replay after a restored backup as a Dagster job: the one job that opens a workspace which nothing else may open."""

from dataclasses import asdict
from typing import Any

from dagster import OpExecutionContext, in_process_executor, job, op

from pipelines.instance import door
from pipelines.replaying import replay
from pipelines.resources import WorkspaceResource

__all__ = ["backup_replay"]


@op(description="Destroy again what the journal says was destroyed and a restored backup has brought back.")
def carry_out_again(context: OpExecutionContext, workspace: WorkspaceResource) -> list[dict[str, Any]]:
    """Replay."""
    with door():
        done = [asdict(each) for each in replay(workspace.open(even_restored=True))]
    context.add_output_metadata({"cases": ", ".join(sorted({each["case_id"] for each in done})) or "none"})
    return done


@job(executor_def=in_process_executor, description="Carry out again the erasures that a restored backup has undone.")
def backup_replay() -> None:
    """Replay the journal."""
    carry_out_again()
