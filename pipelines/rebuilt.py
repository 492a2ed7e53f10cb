"""What an erasure changed, read from the tables after the rebuild: the facts of its evidence."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path

from sqlmodel import Session

from lineage import builds, manifests, plans
from lineage.builds import StateFacts
from lineage.errors import Fault, NotAcceptable
from lineage.plans import TRUNK
from lineage.workspace import Workspace
from pipelines.states import Atelier, open_atelier

__all__ = ["rebuild_facts"]


def rebuild_facts(
    workspace: Workspace, adapter: str, before: Mapping[str, object], *, composed: str, stale: Collection[int]
) -> dict[str, object]:
    """What one case's evidence says of one adapter. `stale` names the shards that wait for another case's rebuild.

    Raises:
        Fault: a shard of the case is stale again: another request cut it back meanwhile.
        NotAcceptable: a neighbour moved although no record left it.
    """
    planned: dict[int, int] = {part["shard"]: part["first_slice"] for part in before["affected"]}  # type: ignore[attr-defined]
    if set(planned) & set(stale):
        raise Fault("A shard was cut back by another request while it trained.", hint="Retry the case.")
    atelier = open_atelier(workspace, adapter)
    old: Mapping[str, str] = before["parts"]  # type: ignore[assignment]
    since: Mapping[str, str] = before.get("since", {})  # type: ignore[assignment]
    with workspace.database.reader() as session:
        new = builds.parts_of(session, composed)
        first = {s: _first_rebuilt(session, old.get(str(s)), new.get(s), planned=k) for s, k in planned.items()}
        neighbours = [shard for shard in new if shard not in first]
        moved = [shard for shard in neighbours if not _explained(session, old.get(str(shard)), new[shard])]
        slices = {
            str(shard): _slice_changes(session, (since.get(str(shard)), old.get(str(shard))), new.get(shard))
            for shard in first
        }
        chains = {shard: _states(session, new.get(shard)) for shard in (*first, *neighbours)}
        full_steps, kept = _chain_steps(session, atelier), _records_untouched(session, atelier, first)
    if moved:
        raise NotAcceptable(
            f"{len(moved)} neighbouring shards changed while an erasure ran; their states must not move."
        )
    return {
        "composed": composed, "first": {str(shard): index for shard, index in first.items()}, "full_steps": full_steps,
        "neighbours_unchanged": kept, "neighbour_shards": len(neighbours), "slices": slices, "base_digest": atelier.base().digest,
        "code_digest": code_digest(), "shards": {str(shard): chains[shard] for shard in first},
        "neighbours": {str(shard): chains[shard] for shard in neighbours},
    }  # fmt: skip


def _parting(session: Session, old: str | None, new: str | None) -> tuple[StateFacts, StateFacts] | None:
    """The first states in which two chains differ; None if one goes on where the other ends."""
    pairs = zip(builds.ancestors(session, old or None), builds.ancestors(session, new), strict=False)
    return next(((was, now) for was, now in pairs if was.recipe_digest != now.recipe_digest), None)


def _first_rebuilt(session: Session, old: str | None, new: str | None, *, planned: int) -> int:
    """The first slice that was rebuilt for a case: the planned one, or an earlier one when the shard had drifted.

    Chains that part at a slice with the same records part because of the environment.
    """
    parted = _parting(session, old, new)
    drifted = parted is not None and parted[0].manifest_digest == parted[1].manifest_digest
    return min(planned, parted[1].slice) if parted and drifted else planned


def _explained(session: Session, old: str | None, new: str | None) -> bool:
    """Whether a neighbour is as it was, or differs only as it may: it goes on after the old chain (a later ingest), stops
    before its end (contained by another case), or parts from it at a slice whose records changed (erased, rectified)."""
    if (parted := _parting(session, old, new)) is None:
        return True
    was, now = parted
    return was.slice < now.slice or (was.slice == now.slice and was.manifest_digest != now.manifest_digest)


def code_digest() -> str:
    """SHA-256 over the sources of the training path."""
    import unlearn

    sources = sorted(Path(unlearn.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in sources)).hexdigest()


def _slice_changes(
    session: Session, old: tuple[str | None, str | None], new: str | None
) -> dict[str, dict[str, object]]:
    """Manifests of a shard's slices before and after, by slice, where they differ.

    `old` are the chains a reopened case began its last round and its first one with: a slice is told as the first had it,
    and one that was learnt in between as the last found it.
    """
    sides = [*(("before", recipe or None) for recipe in old), ("after", new)]
    found: dict[str, dict[str, object]] = {}
    for side, recipe in sides:
        for state in builds.ancestors(session, recipe):
            if state.shard != TRUNK:
                records, root = manifests.manifest_facts(session, state.manifest_digest)
                found.setdefault(str(state.slice), {})[side] = [records, root]
    return {index: change for index, change in found.items() if change.get("before") != change.get("after")}


def _states(session: Session, recipe: str | None) -> dict[str, object]:
    """The chain that stands for a shard: place, state digest and environment of every state."""
    chain = builds.ancestors(session, recipe)
    return {"states": [[state.shard, state.slice, state.state_digest, state.fingerprint_digest] for state in chain]}


def _records_untouched(session: Session, atelier: Atelier, first: Mapping[int, int]) -> int:
    """Live records in slices that nothing of the erasure came near."""
    return sum(
        len(members)
        for shard in range(atelier.plan.shards)
        for index, members in plans.live_members(session, atelier.plan.digest, shard).items()
        if index < first.get(shard, index + 1)
    )


def _chain_steps(session: Session, atelier: Atelier) -> int:
    """Optimizer steps of a full training of the live records, trunk included."""
    places = [TRUNK, *range(atelier.plan.shards)]
    counts = {place: len(plans.live_members(session, atelier.plan.digest, place)) for place in places}
    return sum(atelier.plan.steps(None if place == TRUNK else place) * count for place, count in counts.items())
