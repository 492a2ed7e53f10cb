"""Which states hold exactly the live records: what is current, what is stale, and what stands for a shard meanwhile.

Decided on the manifests in the tables, not on fingerprints: a changed machine is drift, not staleness (docs/adr/0008).
"""

from __future__ import annotations

from sqlmodel import Session

from lineage import builds
from lineage.builds import StateFacts
from lineage.errors import GateClosed
from lineage.plans import TRUNK
from lineage.workspace import Workspace
from pipelines.states import Atelier, open_atelier
from unlearn.instructions import ask_for
from unlearn.plan import Plan

__all__ = ["current_chain", "drifted_shards", "stale_shards", "standing_states", "trunk_standing"]


def current_chain(atelier: Atelier, shard: int) -> list[StateFacts] | None:
    """The states that were trained on exactly the shard's live records, slice by slice; None if one is missing."""
    chain, complete = current_prefix(atelier, shard)
    return chain if complete else None


def current_prefix(atelier: Atelier, shard: int) -> tuple[list[StateFacts], bool]:
    """The longest part of a shard's chain that holds only live records, and whether it is all of it.

    A state whose bytes were lost from the store is none: the next training builds it again.
    """
    store = atelier.workspace.store
    chain: list[StateFacts] = []
    parent = None
    if shard != TRUNK and atelier.plan.trunk:
        trunk, complete = current_prefix(atelier, TRUNK)
        if not complete:
            return [], False
        parent = trunk[-1] if trunk else None
    for item in atelier.slices(shard):
        with atelier.workspace.database.reader() as session:
            parent = builds.child_state(
                session, plan_digest=atelier.plan.digest, place=shard, manifest_digest=item.manifest_digest,
                parent_recipe=parent.recipe_digest if parent else None,
            )  # fmt: skip
        if parent is None or not store.holds("states", parent.state_digest):
            return chain, False
        chain.append(parent)
    return chain, True


def standing_states(atelier: Atelier, *, partial: bool) -> dict[int, StateFacts | None]:
    """What stands for each shard: its newest state, the trunk if it has none, None if there is no trunk either.

    With `partial`, a stale shard stands for the part of its chain that holds only live records: that is containment.

    Raises:
        GateClosed: a shard is stale and `partial` was not asked for.
    """
    trunk, trunk_complete = current_prefix(atelier, TRUNK) if atelier.plan.trunk else ([], True)
    ground = trunk[-1] if trunk and trunk_complete else None
    found: dict[int, StateFacts | None] = {}
    for shard in range(atelier.plan.shards):
        chain, complete = current_prefix(atelier, shard)
        if not complete and not partial:
            raise _stale(atelier, f"Shard {shard}")
        found[shard] = chain[-1] if chain else ground
    return found


def trunk_standing(atelier: Atelier, shard: int = 0) -> StateFacts | None:
    """The trunk's state, for a shard to start from; None for the trunk itself, or when the plan has none."""
    if shard == TRUNK or not atelier.plan.trunk:
        return None
    chain = current_chain(atelier, TRUNK)
    if chain is None:
        raise _stale(atelier, "The trunk")
    return chain[-1] if chain else None


def stale_shards(workspace: Workspace, adapter: str) -> list[int]:
    """Shards whose live records are not what they were trained on."""
    atelier = open_atelier(workspace, adapter)
    return [shard for shard in range(atelier.plan.shards) if current_chain(atelier, shard) is None]


def drifted_shards(session: Session, adapter: str, plan: Plan, *, device: str = "cpu") -> frozenset[int]:
    """Shards in service with a state of their own from another environment than this machine's; loads no base model."""
    ask_for(plan.isa)  # before torch comes in
    from unlearn.determinism import environment_fingerprint, pin_environment

    released = builds.current_release(session, adapter)
    parts = builds.parts_of(session, released) if released else {}
    pin_environment(plan, device=device)
    here = environment_fingerprint(plan, device=device).digest
    return frozenset(
        shard
        for shard, recipe in parts.items()
        if any(s.shard == shard and s.fingerprint_digest != here for s in builds.ancestors(session, recipe))
    )


def _stale(atelier: Atelier, what: str) -> GateClosed:
    return GateClosed(f"{what} of {atelier.adapter} is stale.", hint=f"Train it: lethe train {atelier.adapter}")
