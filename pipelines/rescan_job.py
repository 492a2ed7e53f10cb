"""The rescan of the gate as a Dagster job: started bare it goes on with what was approved, or else compares."""

from dagster import OpExecutionContext, in_process_executor, job, op

from pipelines.instance import door
from pipelines.rescanning import run_rescan
from pipelines.resources import WorkspaceResource

__all__ = ["gate_rescan"]


@op(
    description="Scan every held record under the policy in force and compare; or apply a comparison that was approved."
)
def rescan(context: OpExecutionContext, workspace: WorkspaceResource) -> str:
    """Compare or apply; which of them, the workspace says, because somebody approved a comparison in it or did not."""
    with door():
        found = run_rescan(workspace.open())
    outcomes = {f"outcome/{name}": count for name, count in found.outcomes.items()}
    facts = {"rescan": found.id, "status": found.status, "digest": found.digest, "case": found.case_id or "none"}
    context.add_output_metadata({**facts, **outcomes})
    return found.id


@job(executor_def=in_process_executor, description="Compare the policy in force with what was admitted, or apply it.")
def gate_rescan() -> None:
    """Rescan the gate."""
    rescan()
