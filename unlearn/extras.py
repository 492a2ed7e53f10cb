"""Extra out-adapters: models of a plan's recipe that never saw a case's records, from a fresh draw of all the others.

A shard and an extra adapter differ as two shards do: in the records, in the initial weights, in the order and the dropout.
So an extra is a shard of the same plan (steps, learning-rate table, denominators) under another key: the salted key draws
the place of every record, its step, the initial LoRA and every seed anew. A draw gives as many extras as the plan has
shards; the next draw gives the next ones. The trunk is shared, as it is among shards.

Law: an extra is a function of base, plan, key, salt, number, members and trunk; the same call gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lineage.records import TrainingRecord
from unlearn.base import Base
from unlearn.plan import Plan
from unlearn.states import BuiltState, State, slice_manifest
from unlearn.study import StudyMember, Unkept, arrange
from unlearn.train import Report, SliceInput, build_chain, initial_state

__all__ = ["Extra", "draw_extra", "extra_key", "train_extra"]


@dataclass(frozen=True)
class Extra:
    """One extra out-adapter before it is trained: its key, the shard of that draw, and the members of its slices."""

    number: int
    key: bytes = field(repr=False)
    shard: int
    members: Mapping[int, Sequence[StudyMember]] = field(repr=False)

    @property
    def manifests(self) -> dict[int, str]:
        """The manifest digest of every slice that has members."""
        return {
            index: slice_manifest([(m.record_id, m.content_hmac) for m in found])
            for index, found in sorted(self.members.items())
        }


def extra_key(key: bytes, *, salt: str, draw: int) -> bytes:
    """The 32-byte key of a draw: HKDF-SHA256 (RFC 5869) of the plan's own key. Nothing of it says where a record really is."""
    return HKDF(SHA256(), 32, salt=None, info=f"lethe/extra/{draw}/{salt}".encode()).derive(key)


def draw_extra(plan: Plan, key: bytes, members: Iterable[StudyMember], *, salt: str, number: int) -> Extra:
    """The extra adapter of this number (from 0) under a salt, such as the case and the stage it is for.

    `members` are the records that shards learn and that no such adapter may lack or hold by mistake: without the
    closure, the control records and the trunk. Nobody becomes a control and nothing a trunk by the new draw.
    """
    draw, shard = divmod(number, plan.shards)
    salted = extra_key(key, salt=salt, draw=draw)
    arranged = arrange(replace(plan, controls=0.0, trunk=False), salted, members)
    mine = {index: arranged[where, index] for where, index in sorted(arranged) if where == shard}
    return Extra(number, salted, shard, mine)


def train_extra(
    base: Base,
    plan: Plan,
    extra: Extra,
    *,
    load: Callable[[Sequence[StudyMember]], Sequence[TrainingRecord]],
    trunk: BuiltState | None,
    progress: Report | None = None,
) -> State:
    """Train it, from the trunk if there is one. Nothing of it is kept here: a crash loses it, and a repeat gives its bytes."""
    manifests = extra.manifests
    slices = [
        SliceInput(index, manifests[index], lambda found=found: load(found)) for index, found in extra.members.items()
    ]
    built = build_chain(
        base, plan, extra.key, shard=extra.shard, slices=slices, store=Unkept(), start=trunk, progress=progress
    )
    if built:
        return built[-1].state
    return trunk.state if trunk else initial_state(base, plan, extra.key, shard=extra.shard)
