"""The asset graph: corpus -> findings -> admissions, then one family per adapter up to its release.

Each asset reads inputs, calls one function of the work modules, and returns counts and digests. Every consumer enforces
the gate on the data, because an asset launched by hand runs whatever a check said (see docs/adr/0003).
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    DataVersion,
    DynamicPartitionsDefinition,
    MaterializeResult,
    asset,
    multi_asset,
)

from pipelines import placing, releasing, training
from pipelines.ingest import oldest_pending, run_ingest
from pipelines.instance import door
from pipelines.resources import IngestConfig, WorkspaceResource
from pipelines.scan_metadata import gate_metadata
from pipelines.scan_reporting import write_scan_report

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["adapter_assets", "gate_assets", "partition_key", "partitions_name", "shard_of"]

GATE_KEYS = ("corpus", "findings", "admissions")


def partitions_name(adapter: str) -> str:
    """Name of an adapter's dynamic partitions."""
    return f"{adapter}_shards"


def partition_key(adapter: str, shard: int) -> str:
    """The partition of a shard, unique over all adapters: `support.s00`."""
    return f"{adapter}.s{shard:02d}"


def shard_of(key: str) -> int:
    """The shard of a partition key; `shard_of(partition_key(a, s)) == s`."""
    return int(key.rsplit(".s", 1)[1])


@multi_asset(
    name="gate",
    group_name="gate",
    specs=[
        AssetSpec("corpus", description="Rows read from files, streamed; a bad row is refused with its line and reason."),
        AssetSpec("findings", deps=["corpus"], description="What Presidio, the register and the tripwire found: spans, never values."),
        AssetSpec("admissions", deps=["findings"], description="Records with leave to be learnt, encrypted in the vault."),
    ],
)  # fmt: skip
def gate_assets(config: IngestConfig, workspace: WorkspaceResource) -> Iterator[MaterializeResult]:
    """One streaming pass makes all three; text never rests in between."""
    with door():
        opened = workspace.open()
        report = run_ingest(opened, config.request or oldest_pending(opened))
        shown = gate_metadata(report, write_scan_report(opened, report.ingest_id))
    for key, metadata in shown.items():
        yield MaterializeResult(asset_key=key, metadata=metadata)


def adapter_assets(adapter: str) -> Sequence[AssetsDefinition]:
    """The assets of one adapter; shard assets have a partition per shard."""
    shards = DynamicPartitionsDefinition(name=partitions_name(adapter))
    common = {"key_prefix": adapter, "group_name": adapter}

    @asset(**common, deps=["admissions"], description="The frozen plan, and every admitted record placed by it.")
    def plan(context: AssetExecutionContext, workspace: WorkspaceResource) -> MaterializeResult:
        with door():
            report = placing.freeze_and_place(workspace.open(), adapter)
        keys = [partition_key(adapter, shard) for shard in range(report.shards)]
        context.instance.add_dynamic_partitions(partitions_name(adapter), keys)
        return MaterializeResult(metadata=_shown(report), data_version=DataVersion(report.plan_digest))

    @asset(**common, deps=[plan], description="State 0, shared by all shards, from records about nobody.")
    def trunk(workspace: WorkspaceResource) -> MaterializeResult:
        with door():
            report = training.build_trunk(workspace.open(), adapter)
        return MaterializeResult(metadata=_shown(report), data_version=DataVersion(report.state_digest))

    @asset(**common, deps=[plan], partitions_def=shards, description="What each slice of the shard is trained on.")
    def shard_manifest(context: AssetExecutionContext, workspace: WorkspaceResource) -> MaterializeResult:
        with door():
            report = training.write_manifests(workspace.open(), adapter, shard_of(context.partition_key))
        return MaterializeResult(metadata=_shown(report), data_version=DataVersion(report.digest))

    @asset(
        **common, deps=[shard_manifest, trunk], partitions_def=shards, pool="training",
        description="The shard's own LoRA: trained slice by slice, resumed where a recipe still matches.",
    )  # fmt: skip
    def shard_adapter(context: AssetExecutionContext, workspace: WorkspaceResource) -> MaterializeResult:
        with door():
            report = training.build_shard(workspace.open(), adapter, shard_of(context.partition_key))
        return MaterializeResult(metadata=_shown(report), data_version=DataVersion(report.state_digest))

    @asset(**common, deps=[shard_adapter], description="The exact average of the shards, one standard PEFT adapter.")
    def composed_adapter(workspace: WorkspaceResource) -> MaterializeResult:
        with door():
            report = releasing.compose(workspace.open(), adapter)
        return MaterializeResult(metadata=_shown(report), data_version=DataVersion(report.composed_digest))

    @asset(**common, deps=[composed_adapter], description="Held-out loss of base and adapter on the control records.")
    def probe_report(workspace: WorkspaceResource) -> MaterializeResult:
        with door():
            return MaterializeResult(metadata=_shown(releasing.assess(workspace.open(), adapter)))

    @asset(**common, deps=[composed_adapter, probe_report], description="The composed adapter in service.")
    def release(workspace: WorkspaceResource) -> MaterializeResult:
        with door():
            report = releasing.put_in_service(workspace.open(), adapter)
        return MaterializeResult(metadata=_shown(report), data_version=DataVersion(report.composed_digest))

    return [plan, trunk, shard_manifest, shard_adapter, composed_adapter, probe_report, release]


def _shown(report: "DataclassInstance") -> dict[str, str | int | float]:
    """A report as metadata: counts and digests only."""
    return asdict(report)


def asset_key(adapter: str, name: str) -> AssetKey:
    """The key of one of an adapter's assets."""
    return AssetKey([adapter, name])
