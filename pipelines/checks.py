"""Blocking checks: they show in the UI what the data enforces anyway."""

from collections.abc import Sequence

from dagster import AssetCheckResult, AssetChecksDefinition, AssetCheckSeverity, asset_check

from lineage.gate import standing
from lineage.policy import load_gate_policy
from pipelines.assets import asset_key
from pipelines.chains import stale_shards
from pipelines.instance import door
from pipelines.resources import WorkspaceResource

__all__ = ["adapter_checks", "gate_is_open"]


@asset_check(
    asset="admissions", blocking=True, description="Every admitted record was admitted under the policy in force."
)
def gate_is_open(workspace: WorkspaceResource) -> AssetCheckResult:
    """The gate's standing over all sources."""
    with door():
        opened = workspace.open()
        with opened.database.reader() as session:
            found = standing(session, sources=(), policy_digest=load_gate_policy(opened.settings).digest)
    counts = {"admitted": found.admitted, "quarantined": found.quarantined, "blocked": found.blocked}
    return AssetCheckResult(
        passed=found.open,
        # An ingest that admits nothing has done its work, and leaves nothing that could be learnt.
        severity=AssetCheckSeverity.ERROR if found.admitted else AssetCheckSeverity.WARN,
        description=f"{found.reason} {found.hint}".strip(),
        metadata=counts,
    )


def adapter_checks(adapter: str) -> Sequence[AssetChecksDefinition]:
    """The checks of one adapter's family."""

    @asset_check(
        asset=asset_key(adapter, "composed_adapter"), name="no_shard_is_stale", blocking=True,
        description="Every shard in the composition was trained on exactly its live records.",
    )  # fmt: skip
    def no_shard_is_stale(workspace: WorkspaceResource) -> AssetCheckResult:
        with door():
            stale = stale_shards(workspace.open(), adapter)
        names = ", ".join(str(shard) for shard in stale)
        return AssetCheckResult(
            passed=not stale, description=f"Stale shards: {names}" if stale else "All shards are current."
        )

    return [no_shard_is_stale]
