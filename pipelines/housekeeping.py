"""The store's housekeeping as a Dagster job, on the same road as everything else that changes something."""

from dataclasses import asdict

from dagster import OpExecutionContext, in_process_executor, job, op

from pipelines.collecting import collect
from pipelines.instance import door
from pipelines.resources import WorkspaceResource

__all__ = ["store_collection"]


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
