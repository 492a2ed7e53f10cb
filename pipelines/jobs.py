"""The case jobs: preview, erasure, purge. Ops are thin; run config holds a case id and nothing else.

The erasure's ops run in one process and report what they built as materialisations, so that the asset graph shows each
shard's new weights. A failed op moves the case to FAILED with one sentence; `lethe erase run` or the UI goes on there.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from dagster import AssetKey, AssetMaterialization, In, Nothing, OpExecutionContext, Out, in_process_executor, job, op

from lineage.case import CaseFile
from lineage.errors import LetheError, RefusedByRule
from lineage.lease import held
from lineage.tables import CaseRunRow
from lineage.workspace import Workspace
from pipelines import erasure, judging, previewing, purging
from pipelines.assets import partition_key
from pipelines.ingest import utc_now
from pipelines.instance import door
from pipelines.resources import CaseConfig, WorkspaceResource

__all__ = ["case_config", "case_erasure", "case_preview", "case_purge"]

OPS = {
    "case_preview": ("find_and_preview",),
    "case_erasure": ("contain", "rebuild", "rederive", "probe"),
    "case_purge": ("purge",),
}


def case_config(job_name: str, case_id: str) -> Mapping[str, object]:
    """Run config of a case job."""
    return {"ops": {name: {"config": {"case_id": case_id}} for name in OPS[job_name]}}


def _opened(context: OpExecutionContext, resource: WorkspaceResource, case_id: str) -> Workspace:
    """The workspace, with this run written down in the case, so that the console can link to it."""
    workspace = resource.open()
    with workspace.database.transaction() as session:
        CaseFile(session, case_id)
        if session.get(CaseRunRow, (case_id, context.run_id)) is None:
            session.add(CaseRunRow(case_id=case_id, run_id=context.run_id, job=context.job_name, at=utc_now()))
    return workspace


@op(description="Search vault and quarantine afresh; write the contract and its forecast.")
def find_and_preview(context: OpExecutionContext, config: CaseConfig, workspace: WorkspaceResource) -> None:
    """Find the closure and write the preview."""
    with door(), working(workspace, config.case_id):
        digest = previewing.make_preview(_opened(context, workspace, config.case_id), config.case_id)
    context.add_output_metadata({"case": config.case_id, "preview": digest})


@op(out=Out(Nothing), description="Restrict the records and release an adapter cut back to clean states (Art. 18).")
def contain(context: OpExecutionContext, config: CaseConfig, workspace: WorkspaceResource) -> None:
    """Contain."""
    with door(), working(workspace, config.case_id):
        body = erasure.contain(_opened(context, workspace, config.case_id), config.case_id)
    context.add_output_metadata({"case": config.case_id, "seconds": str(body["seconds"])})


@op(ins={"start": In(Nothing)}, out=Out(Nothing), pool="training", description="Rebuild the affected suffixes only.")
def rebuild(context: OpExecutionContext, config: CaseConfig, workspace: WorkspaceResource) -> None:
    """Rebuild."""
    with door(), working(workspace, config.case_id):
        body = erasure.rebuild(workspace.open(), config.case_id)
    adapters: Mapping[str, Mapping[str, object]] = body["adapters"]  # type: ignore[assignment]
    for adapter, facts in adapters.items():
        _show(context, adapter, facts, config.case_id)
    context.add_output_metadata({"case": config.case_id, "seconds": str(body["seconds"])})


def _show(context: OpExecutionContext, adapter: str, facts: Mapping[str, object], case_id: str) -> None:
    """Tell the asset graph what an erasure built."""
    for shard in facts["shards"]:  # type: ignore[attr-defined]
        for name in ("shard_manifest", "shard_adapter"):
            key = AssetKey([adapter, name])
            partition = partition_key(adapter, int(shard))
            context.log_event(AssetMaterialization(key, partition=partition, metadata={"case": case_id}))
    for name in ("composed_adapter", "release"):
        metadata = {"case": case_id, "composed_digest": str(facts["composed"])}
        context.log_event(AssetMaterialization(AssetKey([adapter, name]), metadata=metadata))


@op(
    ins={"start": In(Nothing)},
    out=Out(Nothing),
    description="A second process rebuilds the same suffixes and compares.",
)
def rederive(context: OpExecutionContext, config: CaseConfig, workspace: WorkspaceResource) -> None:
    """Re-derive."""
    with door(), working(workspace, config.case_id):
        found = erasure.rederive(workspace.open(), config.case_id)
    states = sum(result["states"] for result in found.values())
    context.add_output_metadata({"case": config.case_id, "states_compared": states})


@op(
    ins={"start": In(Nothing)},
    description="Membership, exposure and extraction, with the old shard as positive control.",
)
def probe(context: OpExecutionContext, config: CaseConfig, workspace: WorkspaceResource) -> None:
    """Probe."""
    with door(), working(workspace, config.case_id):
        opened = workspace.open()
        body = judging.probe_case(opened, config.case_id)
    for adapter in body["adapters"]:  # type: ignore[attr-defined]
        context.log_event(AssetMaterialization(AssetKey([adapter, "probe_report"]), metadata={"case": config.case_id}))
    context.add_output_metadata(
        {"case": config.case_id, "verdict": str(body["verdict"]), "reason": str(body["reason"])}
    )


@op(description="Journal, tombstones, weights, rows, keys, byte scan; then the pipeline signs.")
def purge(context: OpExecutionContext, config: CaseConfig, workspace: WorkspaceResource) -> None:
    """Purge."""
    with door(), working(workspace, config.case_id):
        body = purging.purge_case(_opened(context, workspace, config.case_id), config.case_id)
    context.add_output_metadata({"case": config.case_id, "bytes_left": str(body["byte_scan"]["hits"])})  # type: ignore[index]


@contextmanager
def working(workspace: WorkspaceResource, case_id: str) -> Iterator[None]:
    """Hold the case's lease for the block, and move the case to FAILED when the block fails; the error goes on.

    A refusal by rule (a hold, a preview that changed) leaves the case where it is, and so does another process that is
    working on it already: a case is never carried by two.
    """
    with held(workspace.open().database, case_lease(case_id), utc_now), _failing(workspace, case_id):
        yield


def case_lease(case_id: str) -> str:
    """The name of a case's lease."""
    return f"case:{case_id}"


@contextmanager
def _failing(workspace: WorkspaceResource, case_id: str) -> Iterator[None]:
    try:
        yield
    except RefusedByRule:
        raise
    except Exception as error:
        problem = str(error) if isinstance(error, LetheError) else f"{type(error).__name__} while the case ran."
        with workspace.open().database.transaction() as session:
            CaseFile(session, case_id).fail(problem, now=utc_now())
        raise


@job(executor_def=in_process_executor, description="Find every record an erasure must reach, and what it will cost.")
def case_preview() -> None:
    """Preview a case."""
    find_and_preview()


@job(executor_def=in_process_executor, description="Contain, rebuild, re-derive and probe one approved case.")
def case_erasure() -> None:
    """Execute a case."""
    probe(start=rederive(start=rebuild(start=contain())))


@job(executor_def=in_process_executor, description="Destroy what the DPO approved, then prepare the certificate.")
def case_purge() -> None:
    """Purge a case."""
    purge()
