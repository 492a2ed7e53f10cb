"""`lethe probe` as a Dagster job: run config holds the id of a request and nothing else."""

from dagster import Config, OpExecutionContext, in_process_executor, job, op
from pydantic import Field

from pipelines import probing
from pipelines.instance import door
from pipelines.resources import WorkspaceResource

__all__ = ["ProbeConfig", "person_probe", "probe_config"]


class ProbeConfig(Config):
    """Run config of a probe outside a case."""

    request: str = Field(description="Id of a request that waits; it names no person.")


@op(
    description="Look for the person of a request in an adapter: in the shards that hold them, or on the map of all shards."
)
def look(context: OpExecutionContext, config: ProbeConfig, workspace: WorkspaceResource) -> dict[str, object]:
    """Look."""
    with door():
        found = probing.answer_request(workspace.open(), config.request)
    context.add_output_metadata({"request": config.request, "missed_shards": len(found.get("missed", []))})  # type: ignore[arg-type]
    return found


@job(executor_def=in_process_executor, description="Look for a person in an adapter, outside a case.")
def person_probe() -> None:
    """Probe for one person."""
    look()


def probe_config(request_id: str) -> dict[str, object]:
    """Run config of the job."""
    return {"ops": {"look": {"config": {"request": request_id}}}}
