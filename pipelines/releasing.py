"""From shards to a release: compose the exact average (or lay the shards side by side), assess it, put it into service."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlmodel import Session

from lineage import builds, ledger, plans, renewal
from lineage.builds import ComposedFacts
from lineage.catalog import contents_of, restricted_ids
from lineage.errors import GateClosed, NotAcceptable, WrongUsage
from lineage.purge import tainted_recipes
from lineage.workspace import Workspace
from pipelines.bases import base_for_probes
from pipelines.chains import stale_shards, standing_states
from pipelines.ingest import utc_now
from pipelines.states import Atelier, open_atelier, peft_files, state_bytes
from pipelines.superseding import destroy_old_weights

if TYPE_CHECKING:
    from pathlib import Path

    from probes.dossier import Panel

__all__ = ["AssessReport", "ComposeReport", "ReleaseReport", "assess", "compose", "put_in_service", "require_clean"]


@dataclass(frozen=True)
class ComposeReport:
    """A composed adapter. `shards` of them are in it; `rank` is that of each PEFT directory."""

    composed_digest: str
    shards: int
    rank: int
    megabytes: float


@dataclass(frozen=True)
class AssessReport:
    """Held-out loss on the never-trained control records, in nats per token; the mean over shards that are served apart."""

    control_records: int
    base_nll: float
    adapter_nll: float


@dataclass(frozen=True)
class ReleaseReport:
    """What is in service now."""

    composed_digest: str
    changed: bool


def compose(workspace: Workspace, adapter: str, *, partial: bool = False) -> ComposeReport:
    """The exact average of the shards, or the shards side by side if lethe.toml says so, published.

    With `partial` a stale shard is cut back to its clean states, and left out if none is left (containment).

    Raises:
        GateClosed: a shard is stale and `partial` was not asked for.
        WrongUsage: nothing is left to compose.
    """
    from unlearn.compose import compose as average
    from unlearn.compose import side_by_side

    atelier = open_atelier(workspace, adapter)
    apart = atelier.settings.compose == "none"
    states = standing_states(atelier, partial=partial)
    present = {shard: facts for shard, facts in states.items() if facts is not None}
    weights = {shard: state_bytes(workspace, facts.state_digest).weights for shard, facts in present.items()}
    parts = {shard: peft_files(atelier, content) for shard, content in weights.items()}
    composed = (side_by_side if apart else average)(parts, shards=atelier.plan.shards)
    workspace.store.publish("adapters", composed.digest, composed.files)
    recipes = {shard: facts.recipe_digest if facts else None for shard, facts in states.items()}
    with workspace.database.transaction() as session:
        kind = "contained" if partial else "full"
        builds.save_composed(
            session, ComposedFacts(composed.digest, adapter, atelier.plan.digest, kind, recipes), utc_now()
        )
    size = sum(len(content) for content in composed.files.values()) / 1e6
    rank = atelier.plan.lora_r * (1 if apart else len(states))
    return ComposeReport(composed.digest, len(present), rank, round(size, 2))


def assess(workspace: Workspace, adapter: str) -> AssessReport:
    """Held-out loss of the newest composition on the control records."""
    from probes.decoding import DecodingScheme
    from probes.target import BASE, Target
    from probes.tokens import tokenise
    from probes.utility import held_out_nll

    atelier = open_atelier(workspace, adapter)
    digest = _newest_composed(workspace, adapter)
    with workspace.database.reader() as session:
        ids = [record_id for record_id, _ in plans.control_ids(session, atelier.plan.digest)]
        controls = contents_of(session, ids, keystore=workspace.keystore)
    panel = _served(atelier, workspace.store.directory("adapters", digest))
    target = Target.open(panel, scheme=DecodingScheme())
    items = [tokenise(target.tokenizer, record.content, atelier.plan.max_length) for record in controls]
    base, *losses = [held_out_nll(target.read(name, items)).nll for name in (BASE, *panel.adapters())]
    found = (base, sum(losses) / len(losses))
    return AssessReport(len(controls), *(round(nats, 4) if math.isfinite(nats) else 0.0 for nats in found))


def _served(atelier: Atelier, directory: Path) -> Panel:
    """What is in service as the judge takes it: one composed adapter, or every shard by itself."""
    from probes.dossier import Panel
    from unlearn.compose import SHARDS_FILE

    base, revision = base_for_probes(atelier.settings), atelier.settings.revision or None
    if not (directory / SHARDS_FILE).is_file():
        return Panel(base=base, revision=revision, pre={}, post={}, outs={}, composed_post=directory)
    shards = {int(path.name.removeprefix("s")): path for path in directory.glob("s[0-9]*") if path.is_dir()}
    return Panel(base=base, revision=revision, pre={}, post=shards, outs={})


def put_in_service(
    workspace: Workspace, adapter: str, *, digest: str | None = None, reason: str = "train"
) -> ReleaseReport:
    """Point the release at a composition: the given one, or the newest full one if no shard is stale.

    Raises:
        GateClosed: a shard is stale, so the newest composition is not of the live records.
        NotAcceptable: it descends from a restricted record; what was in service stays.
    """
    if digest is None:
        if stale := stale_shards(workspace, adapter):
            raise GateClosed(f"{len(stale)} shards of {adapter} are stale.", hint=f"Train them: lethe train {adapter}")
        digest = _newest_composed(workspace, adapter)
    with workspace.database.transaction() as session:
        now = utc_now()
        old = renewal.superseded(session, "redacted", "rectified")
        require_clean(session, digest, restricted_ids(session), superseded=old)
        changed = builds.release(session, adapter=adapter, composed_digest=digest, reason=reason, now=now)
        if changed:
            payload = {"adapter": adapter, "composed": digest, "reason": reason}
            ledger.append(session, at=now, kind="release.switched", payload=payload)
    destroy_old_weights(workspace, now=now)
    return ReleaseReport(digest, changed)


def require_clean(
    session: Session, composed: str, record_ids: Sequence[str], *, superseded: Sequence[tuple[str, str]] = ()
) -> dict[str, int]:
    """The law "forget is complete", asked of one composed adapter: no ancestor of a part was trained on one of the records,
    or on one of the contents (record id, content digest) that records had before they were redacted or rectified.

    Returns how many ancestors were looked at, and how many states of the workspace descend from the records.

    Raises:
        NotAcceptable: an ancestor descends from one of them.
    """
    parts = builds.parts_of(session, composed).values()
    below = {state.recipe_digest for recipe in parts for state in builds.ancestors(session, recipe)}
    tainted = tainted_recipes(session, record_ids, superseded=superseded)
    if guilty := len(below & tainted):
        raise NotAcceptable(
            f"{guilty} ancestor(s) of the adapter {composed[:12]} hold a record that must be gone; it was not released.",
            hint="This is a fault in Lethe; please report it. What was in service before still is.",
        )
    return {"ancestors": len(below), "descendants_of_the_records": len(tainted)}


def _newest_composed(workspace: Workspace, adapter: str) -> str:
    with workspace.database.reader() as session:
        digest = builds.newest_composed(session, adapter)
    if digest is None:
        raise WrongUsage(f"The adapter {adapter} is not composed yet.", hint=f"Train it: lethe train {adapter}")
    return digest
