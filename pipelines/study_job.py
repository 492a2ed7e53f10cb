"""The study of an adapter as a Dagster job: one op, one run, counts and digests in its metadata."""

from dagster import Config, JobDefinition, OpExecutionContext, in_process_executor, job, op
from pydantic import Field

from pipelines import studying
from pipelines.instance import door
from pipelines.resources import WorkspaceResource

__all__ = ["StudyConfig", "study_config", "study_job"]


class StudyConfig(Config):
    """Run config of a study: how much of the grid."""

    full: bool = Field(default=False, description="Try 1 to 16 shards with 1, 2 and 4 slices.")


def study_job(adapter: str) -> JobDefinition:
    """`ADAPTER_study`: what other shards and slices would cost and give."""

    @op(name=f"{adapter}_study_grid", pool="training", description="Train, measure and destroy every plan of the grid.")
    def grid(context: OpExecutionContext, config: StudyConfig, workspace: WorkspaceResource) -> None:
        with door():
            report = studying.run_study(workspace.open(), adapter, study_id=context.run_id, full=config.full)
        context.add_output_metadata({"plans": len(report.lines), "learnt_records": report.learnt_records})

    @job(
        name=f"{adapter}_study",
        executor_def=in_process_executor,
        description="Compare shards and slices on this workspace's own corpus; its weights are destroyed at the end.",
    )
    def study() -> None:
        grid()

    return study


def study_config(adapter: str, *, full: bool) -> dict[str, object]:
    """Run config of a study job."""
    return {"ops": {f"{adapter}_study_grid": {"config": {"full": full}}}}
