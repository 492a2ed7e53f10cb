"""Train what is missing: write the manifests, walk a shard's chain under its lease, publish what stands for it.

Every verb opens the gate for itself (`open_atelier`) and returns a report of counts and digests. Heavy libraries are
imported inside, so that the Dagster code location loads in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lineage import builds, manifests
from lineage.builds import StateFacts
from lineage.evidence import digest_of
from lineage.lease import held
from lineage.plans import TRUNK
from lineage.workspace import Workspace
from pipelines.chains import current_chain, trunk_standing
from pipelines.ingest import utc_now
from pipelines.progress import bar
from pipelines.states import Atelier, WorkspaceStates, built_from, facts_of, open_atelier, peft_files, state_bytes

if TYPE_CHECKING:
    from unlearn.states import BuiltState, StateStore

__all__ = ["BuildReport", "ManifestReport", "build_shard", "build_trunk", "train_chain", "write_manifests"]


@dataclass(frozen=True)
class ManifestReport:
    """The manifests of a shard; `digest` is over all of them."""

    shard: int
    digest: str
    slices: int
    records: int


@dataclass(frozen=True)
class BuildReport:
    """What a build of a shard (or the trunk) trained and what it found.

    The last three count, over what was trained now: records longer than `max_length`, their tokens that were cut off, and
    records of which nothing was left to learn.
    """

    shard: str
    state_digest: str
    adapter_digest: str
    states_trained: int
    states_reused: int
    steps: int
    tokens: int
    truncated_records: int
    cut_tokens: int
    silenced_records: int


def write_manifests(workspace: Workspace, adapter: str, shard: int) -> ManifestReport:
    """Write down what each slice of a shard is to be trained on."""
    atelier = open_atelier(workspace, adapter)
    members = atelier.members(shard)
    digests = {item.slice: item.manifest_digest for item in atelier.slices(shard)}
    with workspace.database.transaction() as session:
        for index, found in members.items():
            manifests.save_manifest(
                session, digest=digests[index], adapter=adapter, plan_digest=atelier.plan.digest, place=(shard, index),
                members=found,
            )  # fmt: skip
    total = sum(len(found) for found in members.values())
    return ManifestReport(shard, digest_of({str(k): v for k, v in digests.items()}), len(members), total)


def build_trunk(workspace: Workspace, adapter: str) -> BuildReport:
    """State 0, from records without a data subject; an empty trunk leaves every shard at its own initial state."""
    atelier = open_atelier(workspace, adapter)
    states, trained = _build(atelier, TRUNK) if atelier.plan.trunk else ([], ())
    return _report("trunk", states, trained, adapter_digest="")


def build_shard(workspace: Workspace, adapter: str, shard: int) -> BuildReport:
    """Train what is missing of a shard, and publish what stands for it as a PEFT directory.

    A shard whose states were trained on exactly its live records is left alone, whatever machine trained it: a changed
    environment is drift, not staleness. An affected shard that drifted is rebuilt from the trunk, taken as it is.

    Raises:
        GateClosed: the corpus may not be learnt from.
        Fault: another process is building this shard.
    """
    atelier = open_atelier(workspace, adapter)
    states, trained = _build(atelier, shard)
    standing = states[-1] if states else trunk_standing(atelier)
    return _report(str(shard), states, trained, adapter_digest=_publish_shard(atelier, shard, standing))


def _build(atelier: Atelier, shard: int) -> tuple[list[StateFacts], tuple[BuiltState, ...]]:
    """The current chain of a shard (or the trunk), and which of it was looked up or trained just now."""
    write_manifests(atelier.workspace, atelier.adapter, shard)
    if (states := current_chain(atelier, shard)) is not None:
        return states, ()
    if shard != TRUNK and atelier.plan.trunk:
        _build(atelier, TRUNK)
    with held(atelier.workspace.database, f"shard:{atelier.adapter}.{shard}", utc_now) as lease:
        trained = train_chain(
            atelier, shard, store=WorkspaceStates(atelier, lease), start=trunk_standing(atelier, shard)
        )
    return [facts_of(built, adapter=atelier.adapter, plan_digest=atelier.plan.digest) for built in trained], trained


def train_chain(
    atelier: Atelier, shard: int, *, store: StateStore, start: StateFacts | None, first: int = 0
) -> tuple[BuiltState, ...]:
    """Walk the slices of a shard from `first` on, from the state `start` (None: its own initial state)."""
    from unlearn.train import build_chain

    slices = atelier.slices(shard, first=first)
    steps = len(slices) * atelier.plan.steps(None if shard == TRUNK else shard)
    label = "the trunk" if shard == TRUNK else f"shard {shard}"
    with bar(f"Training {label} of {atelier.adapter}", steps, unit="steps") as progress:
        return build_chain(
            atelier.base(), atelier.plan, atelier.key, shard=None if shard == TRUNK else shard, slices=slices,
            store=store, start=built_from(atelier.workspace, start) if start else None,
            progress=lambda _: progress.advance(),
        )  # fmt: skip


def _publish_shard(atelier: Atelier, shard: int, standing: StateFacts | None) -> str:
    """What stands for the shard as a PEFT directory in the store; empty if nothing does."""
    from unlearn.compose import files_digest

    if standing is None:
        return ""
    workspace = atelier.workspace
    files = peft_files(atelier, state_bytes(workspace, standing.state_digest).weights)
    digest = files_digest(files)
    workspace.store.publish("adapters", digest, files)
    with workspace.database.transaction() as session:
        builds.save_shard_adapter(
            session,
            digest=digest,
            adapter=atelier.adapter,
            shard=shard,
            recipe_digest=standing.recipe_digest,
            now=utc_now(),
        )
    return digest


def _report(
    name: str, states: list[StateFacts], trained: tuple[BuiltState, ...], *, adapter_digest: str
) -> BuildReport:
    fresh = [built for built in trained if not built.reused]
    return BuildReport(
        shard=name, state_digest=states[-1].state_digest if states else "", adapter_digest=adapter_digest,
        states_trained=len(fresh), states_reused=len(states) - len(fresh), steps=sum(built.steps for built in fresh),
        tokens=sum(built.tokens for built in fresh), truncated_records=sum(built.truncated_records for built in fresh),
        cut_tokens=sum(built.cut_tokens for built in fresh), silenced_records=sum(built.silenced_records for built in fresh),
    )  # fmt: skip
