"""States between the trainer and the workspace: the store holds the bytes, the tables what they came from."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from lineage.builds import StateFacts, find_state, save_state
from lineage.catalog import training_contents
from lineage.errors import Fault, NotAcceptable, WrongUsage
from lineage.gate import require_open
from lineage.lease import Lease, check
from lineage.plans import TRUNK, Member, live_members
from lineage.policy import load_gate_policy
from lineage.records import TrainingRecord, canonical_bytes
from lineage.settings import AdapterSettings
from lineage.workspace import Workspace
from pipelines.bases import base_name
from pipelines.ingest import utc_now
from unlearn.instructions import ask_for
from unlearn.plan import Plan, plan_key

if TYPE_CHECKING:
    from unlearn.base import Base
    from unlearn.states import BuiltState, SliceInput, State
    from unlearn.study import StudyMember

__all__ = ["Atelier", "WorkspaceStates", "open_atelier", "peft_files", "state_bytes"]


@dataclass(frozen=True)
class Atelier:
    """One adapter's work under its frozen plan, after the gate was found open."""

    workspace: Workspace
    adapter: str
    settings: AdapterSettings
    plan: Plan
    key: bytes = field(repr=False)

    def base(self) -> Base:
        """The base model, loaded once per process."""
        from unlearn.base import base_spec

        wanted = self.settings
        return _loaded(base_spec(self.plan, wanted.base_model, revision=wanted.revision, device=wanted.device))

    def members(self, shard: int) -> Mapping[int, tuple[Member, ...]]:
        """Live members of each slice of a shard (TRUNK for the trunk)."""
        with self.workspace.database.reader() as session:
            return live_members(session, self.plan.digest, shard)

    def slices(self, shard: int, *, first: int = 0) -> list[SliceInput]:
        """The slices of a shard from `first` on, as the trainer takes them; texts are read when they are needed."""
        from unlearn.states import SliceInput, slice_manifest

        return [
            SliceInput(
                slice=index,
                manifest_digest=slice_manifest([(m.record_id, m.content_hmac) for m in members]),
                load=lambda members=members: self.read(members),
            )
            for index, members in self.members(shard).items()
            if index >= first
        ]

    def read(self, members: Sequence[Member | StudyMember]) -> list[TrainingRecord]:
        """The texts of a manifest.

        Raises:
            Fault: one of them was rectified or redacted since the manifest was written.
        """
        workspace = self.workspace
        with workspace.database.reader() as session:
            records = training_contents(session, [m.record_id for m in members], keystore=workspace.keystore)
        if [workspace.keyring.content(canonical_bytes(r.content)) for r in records] != [
            m.content_hmac for m in members
        ]:
            raise Fault("A record changed while it was about to be trained on.", hint="Run the same command again.")
        return records


@lru_cache(maxsize=2)
def _loaded(spec: object) -> Base:
    from unlearn.base import load_base

    return load_base(spec)


def open_atelier(workspace: Workspace, adapter: str) -> Atelier:
    """The adapter's plan and key, if its gate is open.

    Raises:
        GateClosed: the corpus may not be learnt from, and why.
        WrongUsage: no such adapter, or no plan was frozen yet.
    """
    from lineage.plans import current_plan

    settings = workspace.settings.adapter(adapter)
    with workspace.database.reader() as session:
        policy = load_gate_policy(workspace.settings)
        require_open(session, sources=settings.sources, policy_digest=policy.digest)
        found = current_plan(session, adapter)
    if found is None:
        raise WrongUsage(f"The adapter {adapter} has no frozen plan yet.", hint=f"Train it: lethe train {adapter}")
    plan = Plan.from_json(found[1])
    ask_for(plan.isa)
    return Atelier(workspace, adapter, settings, plan, plan_key(workspace.keyring.workspace_secret, plan))


class WorkspaceStates:
    """The trainer's `StateStore` over a workspace. Publishing checks the lease in the transaction that makes it known."""

    def __init__(self, atelier: Atelier, lease: Lease) -> None:
        self._atelier, self._lease = atelier, lease
        self._since = time.perf_counter()

    def find(self, recipe: str) -> State | None:
        """The state of a recipe, if it was built and its bytes are still there."""
        workspace = self._atelier.workspace
        with workspace.database.reader() as session:
            facts = find_state(session, recipe)
        if facts is None or not workspace.store.holds("states", facts.state_digest):
            return None
        return state_bytes(workspace, facts.state_digest)

    def publish(self, built: BuiltState) -> None:
        """Bytes first, then the row: a crash between leaves an entry nobody refers to, never a row without bytes."""
        workspace, plan = self._atelier.workspace, self._atelier.plan
        files = {"weights.safetensors": built.state.weights, "optimizer.safetensors": built.state.optimizer}
        workspace.store.publish("states", built.state_digest, files)
        with workspace.database.transaction() as session:
            check(session, self._lease)
            seconds = time.perf_counter() - self._since
            facts = facts_of(built, adapter=self._atelier.adapter, plan_digest=plan.digest, seconds=seconds)
            save_state(session, facts, utc_now())
        self._since = time.perf_counter()


def state_bytes(workspace: Workspace, state_digest: str) -> State:
    """Read a state and check that its bytes are those of its address.

    Raises:
        NotAcceptable: missing, or changed since it was built.
    """
    from unlearn.states import State

    files = workspace.store.read("states", state_digest)
    state = State(files["weights.safetensors"], files["optimizer.safetensors"])
    if state.digest != state_digest:
        raise NotAcceptable(f"The state {state_digest[:12]} does not have the bytes of its address.")
    return state


def facts_of(built: BuiltState, *, adapter: str, plan_digest: str, seconds: float = 0.0) -> StateFacts:
    """What the tables keep of a built state."""
    return StateFacts(
        recipe_digest=built.recipe_digest, state_digest=built.state_digest, adapter=adapter, plan_digest=plan_digest,
        shard=TRUNK if built.shard is None else built.shard, slice=built.slice, parent_recipe=built.parent_recipe,
        manifest_digest=built.manifest_digest, fingerprint_digest=built.fingerprint_digest, steps=built.steps,
        tokens=built.tokens, seconds=seconds,
    )  # fmt: skip


def built_from(workspace: Workspace, facts: StateFacts) -> BuiltState:
    """A state of the store as the trainer takes it for a start."""
    from unlearn.states import BuiltState

    return BuiltState(
        state=state_bytes(workspace, facts.state_digest), recipe_digest=facts.recipe_digest, parent_digest="",
        parent_recipe=facts.parent_recipe, shard=None if facts.shard == TRUNK else facts.shard, slice=facts.slice,
        manifest_digest=facts.manifest_digest, fingerprint_digest=facts.fingerprint_digest, reused=True, steps=0,
        tokens=0, truncated_records=0,
    )  # fmt: skip


def peft_files(atelier: Atelier, weights: bytes) -> dict[str, bytes]:
    """A state's weights as the files of a standard PEFT directory."""
    from unlearn.adapters import adapter_files

    name, revision = base_name(atelier.settings), atelier.settings.revision
    return adapter_files(weights, atelier.plan, base_name=name, revision=revision)
