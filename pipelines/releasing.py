"""From shards to a release: compose the exact average, assess it, put it into service."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lineage import builds, ledger
from lineage.builds import ComposedFacts
from lineage.catalog import contents_of
from lineage.errors import GateClosed, WrongUsage
from lineage.workspace import Workspace
from pipelines.bases import base_for_probes
from pipelines.chains import stale_shards, standing_states
from pipelines.ingest import utc_now
from pipelines.states import open_atelier, peft_files, state_bytes

__all__ = ["AssessReport", "ComposeReport", "ReleaseReport", "assess", "compose", "put_in_service"]


@dataclass(frozen=True)
class ComposeReport:
    """A composed adapter."""

    composed_digest: str
    shards: int
    rank: int
    megabytes: float


@dataclass(frozen=True)
class AssessReport:
    """Held-out loss on the never-trained control records, in nats per token."""

    control_records: int
    base_nll: float
    adapter_nll: float


@dataclass(frozen=True)
class ReleaseReport:
    """What is in service now."""

    composed_digest: str
    changed: bool


def compose(workspace: Workspace, adapter: str, *, partial: bool = False) -> ComposeReport:
    """The exact average of the shards, published. With `partial` a stale shard is cut back (containment).

    Raises:
        GateClosed: a shard is stale and `partial` was not asked for.
        WrongUsage: nothing is left to compose.
    """
    from unlearn.compose import compose as average

    atelier = open_atelier(workspace, adapter)
    states = standing_states(atelier, partial=partial)
    present = {shard: facts for shard, facts in states.items() if facts is not None}
    weights = {shard: state_bytes(workspace, facts.state_digest).weights for shard, facts in present.items()}
    parts = {shard: peft_files(atelier, content) for shard, content in weights.items()}
    composed = average(parts, shards=atelier.plan.shards)
    workspace.store.publish("adapters", composed.digest, composed.files)
    recipes = {shard: facts.recipe_digest if facts else None for shard, facts in states.items()}
    with workspace.database.transaction() as session:
        kind = "contained" if partial else "full"
        builds.save_composed(
            session, ComposedFacts(composed.digest, adapter, atelier.plan.digest, kind, recipes), utc_now()
        )
    size = sum(len(content) for content in composed.files.values()) / 1e6
    return ComposeReport(composed.digest, len(present), atelier.plan.lora_r * len(states), round(size, 2))


def assess(workspace: Workspace, adapter: str) -> AssessReport:
    """Held-out loss of the newest composition on the control records."""
    from probes.dossier import DecodingScheme, Panel
    from probes.target import BASE, Target
    from probes.tokens import tokenise
    from probes.utility import held_out_nll

    atelier = open_atelier(workspace, adapter)
    digest = _newest_composed(workspace, adapter)
    with workspace.database.reader() as session:
        ids = [record_id for record_id, _ in builds.control_ids(session, atelier.plan.digest)]
        controls = contents_of(session, ids, keystore=workspace.keystore)
    composed = workspace.store.directory("adapters", digest)
    panel = Panel(base=base_for_probes(atelier.settings), pre={}, post={}, outs={}, composed_post=composed)
    target = Target.open(panel, scheme=DecodingScheme())
    items = [tokenise(target.tokenizer, record.content, atelier.plan.max_length) for record in controls]
    losses = [held_out_nll(target.read(name, items)).nll for name in (BASE, "composed_post")]
    return AssessReport(len(controls), *(round(nats, 4) if math.isfinite(nats) else 0.0 for nats in losses))


def put_in_service(
    workspace: Workspace, adapter: str, *, digest: str | None = None, reason: str = "train"
) -> ReleaseReport:
    """Point the release at a composition: the given one, or the newest full one if no shard is stale.

    Raises:
        GateClosed: a shard is stale, so the newest composition is not of the live records.
    """
    if digest is None:
        if stale := stale_shards(workspace, adapter):
            raise GateClosed(f"{len(stale)} shards of {adapter} are stale.", hint=f"Train them: lethe train {adapter}")
        digest = _newest_composed(workspace, adapter)
    with workspace.database.transaction() as session:
        now = utc_now()
        changed = builds.release(session, adapter=adapter, composed_digest=digest, reason=reason, now=now)
        if changed:
            payload = {"adapter": adapter, "composed": digest, "reason": reason}
            ledger.append(session, at=now, kind="release.switched", payload=payload)
    return ReleaseReport(digest, changed)


def _newest_composed(workspace: Workspace, adapter: str) -> str:
    with workspace.database.reader() as session:
        digest = builds.newest_composed(session, adapter)
    if digest is None:
        raise WrongUsage(f"The adapter {adapter} is not composed yet.", hint=f"Train it: lethe train {adapter}")
    return digest
