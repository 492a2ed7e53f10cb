"""The case jobs: preview, erasure, purge. Ops are thin; run config holds case ids and nothing else.

The erasure carries all cases of a window. Its ops run in one process and report what they built as materialisations, so
that the asset graph shows each shard's new weights. A case whose step failed moves to FAILED with one sentence and the
others go on; an op fails when no case is left. `lethe erase run` or the UI goes on where a case stands.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from dagster import (
    AssetKey,
    AssetMaterialization,
    DagsterRun,
    In,
    Nothing,
    OpExecutionContext,
    Out,
    in_process_executor,
    job,
    op,
)

from lineage.case import CaseFile
from lineage.duties import SYSTEM, Duty, require_may_start
from lineage.lease import held
from lineage.tables import CaseRunRow
from lineage.workspace import Workspace
from pipelines import deriving, erasure, judging, previewing, purging
from pipelines.assets import partition_key
from pipelines.ingest import INGEST_LEASE, utc_now
from pipelines.instance import door
from pipelines.resources import CaseConfig, WindowConfig, WindowResource, WorkspaceResource
from pipelines.windows import case_lease, fail_case

__all__ = ["case_config", "case_erasure", "case_preview", "case_purge", "case_tags", "cases_of"]

OPS = {
    "case_preview": ("find_and_preview",),
    "case_erasure": ("contain", "rebuild", "rederive", "probe"),
    "case_purge": ("purge",),
}
DUTIES = {"case_preview": Duty.PREVIEW, "case_erasure": Duty.ERASE, "case_purge": Duty.PURGE}


def case_config(job_name: str, *case_ids: str) -> Mapping[str, object]:
    """Run config of a case job: one case, or for `case_erasure` the cases of a window."""
    config = {"case_ids": list(case_ids)} if job_name == "case_erasure" else {"case_id": case_ids[0]}
    return {"ops": {name: {"config": config} for name in OPS[job_name]}}


def cases_of(run: DagsterRun) -> list[str]:
    """The cases of a run, from its config."""
    configs = [op["config"] for op in run.run_config.get("ops", {}).values()]
    return sorted({case_id for config in configs for case_id in config.get("case_ids", [config.get("case_id")])})


def case_tags(job_name: str, *case_ids: str) -> dict[str, str]:
    """Tags of a case job: to find it by its case, and to let Dagster's queue start one window after the other."""
    window = {"lethe/window": "erasure"} if job_name == "case_erasure" else {}
    return {"lethe/case": case_ids[0] if len(case_ids) == 1 else f"{len(case_ids)} cases", **window}


def _opened(context: OpExecutionContext, resource: WorkspaceResource, *case_ids: str) -> Workspace:
    """The workspace, with this run written down in the cases, so that the console can link to it.

    However it was started, a run carries out what was approved and nothing else.
    """
    workspace = resource.open()
    with workspace.database.transaction() as session:
        for case_id in case_ids:
            require_may_start(CaseFile(session, case_id).view, DUTIES[context.job_name], SYSTEM)
            if session.get(CaseRunRow, (case_id, context.run_id)) is None:
                session.add(CaseRunRow(case_id=case_id, run_id=context.run_id, job=context.job_name, at=utc_now()))
    return workspace


@op(description="Search every store afresh; write the contract and its forecast.")
def find_and_preview(context: OpExecutionContext, config: CaseConfig, workspace: WorkspaceResource) -> None:
    """Find the closure and write the preview."""
    with door(), working(workspace, config.case_id):
        digest = previewing.make_preview(_opened(context, workspace, config.case_id), config.case_id)
    context.add_output_metadata({"case": config.case_id, "preview": digest})


@op(out=Out(Nothing), description="Restrict the records and release an adapter cut back to clean states (Art. 18).")
def contain(context: OpExecutionContext, config: WindowConfig, window: WindowResource) -> None:
    """Contain."""
    with door():
        cases = window.hold(config.case_ids)
        bodies = erasure.contain(_opened(context, window, *cases), *cases)
    context.add_output_metadata({**_told(config, bodies), "seconds": max(body["seconds"] for body in bodies.values())})


@op(ins={"start": In(Nothing)}, out=Out(Nothing), pool="training", description="Rebuild each affected suffix once.")
def rebuild(context: OpExecutionContext, config: WindowConfig, window: WindowResource) -> None:
    """Rebuild."""
    with door():
        bodies = erasure.rebuild(window.open(), *window.hold(config.case_ids))
    for case_id, body in bodies.items():
        for adapter, facts in body["adapters"].items():
            _show(context, adapter, facts, case_id)
    context.add_output_metadata({**_told(config, bodies), "seconds": max(body["seconds"] for body in bodies.values())})


def _told(config: WindowConfig, bodies: Mapping[str, object]) -> dict[str, str]:
    """Which cases of the window went on; why another did not stands in its case."""
    return {"cases": ", ".join(bodies), "left": ", ".join(sorted(set(config.case_ids) - set(bodies))) or "none"}


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


@op(ins={"start": In(Nothing)}, out=Out(Nothing), description="A second process rebuilds the same and compares.")
def rederive(context: OpExecutionContext, config: WindowConfig, window: WindowResource) -> None:
    """Re-derive."""
    with door():
        bodies = deriving.rederive(window.open(), *window.hold(config.case_ids))
    states = sum(result["states"] for found in bodies.values() for result in found.values())
    context.add_output_metadata({**_told(config, bodies), "states_compared": states})


@op(
    ins={"start": In(Nothing)},
    description="Membership, exposure and extraction, with the old shard as positive control.",
)
def probe(context: OpExecutionContext, config: WindowConfig, window: WindowResource) -> None:
    """Probe."""
    with door():
        bodies = judging.probe_window(window.open(), *window.hold(config.case_ids))
    for case_id, body in bodies.items():
        for adapter in body["adapters"]:  # type: ignore[attr-defined]
            context.log_event(AssetMaterialization(AssetKey([adapter, "probe_report"]), metadata={"case": case_id}))
    verdicts = {case_id: f"{body['verdict']} ({body['reason']})" for case_id, body in bodies.items()}
    context.add_output_metadata({**_told(config, bodies), "verdicts": verdicts})


@op(description="Journal, tombstones, weights, rows, keys, byte scan; then the pipeline signs.")
def purge(context: OpExecutionContext, config: CaseConfig, workspace: WorkspaceResource) -> None:
    """Purge. Not beside an ingest: what was judged before and written after would bring the person's key back."""
    with door(), held(workspace.open().database, INGEST_LEASE, utc_now), working(workspace, config.case_id):
        body = purging.purge_case(_opened(context, workspace, config.case_id), config.case_id)
    context.add_output_metadata({"case": config.case_id, "bytes_left": str(body["byte_scan"]["hits"])})  # type: ignore[index]


@contextmanager
def working(workspace: WorkspaceResource, case_id: str) -> Iterator[None]:
    """Hold the case's lease for the block, and move the case to FAILED when the block fails; the error goes on.

    Another process that is working on the case already is left alone: a case is never carried by two.
    """
    opened = workspace.open()
    with held(opened.database, case_lease(case_id), utc_now):
        try:
            yield
        except Exception as error:
            fail_case(opened, case_id, error)
            raise


@job(executor_def=in_process_executor, description="Find every record an erasure must reach, and what it will cost.")
def case_preview() -> None:
    """Preview a case."""
    find_and_preview()


@job(executor_def=in_process_executor, description="Contain, rebuild, re-derive and probe the cases of a window.")
def case_erasure() -> None:
    """Execute a window."""
    probe(start=rederive(start=rebuild(start=contain())))


@job(executor_def=in_process_executor, description="Destroy what the DPO approved, then prepare the certificate.")
def case_purge() -> None:
    """Purge a case."""
    purge()
