"""From admitted records to a release: freeze, place, train what is missing, compose, assess, put into service.

Every function opens the gate for itself (`open_atelier`), does one thing and returns a report of counts and digests.
Heavy libraries are imported inside, so that the Dagster code location loads in seconds.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lineage import builds, ledger
from lineage.builds import TRUNK, ComposedFacts, Placed, StateFacts
from lineage.catalog import contents_of
from lineage.errors import GateClosed, WrongUsage
from lineage.evidence import digest_of
from lineage.gate import require_open
from lineage.lease import held
from lineage.settings import AdapterSettings
from lineage.workspace import Workspace
from pipelines.ingest import load_gate_policy, utc_now
from pipelines.progress import bar
from pipelines.states import Atelier, WorkspaceStates, built_from, facts_of, open_atelier, state_bytes
from unlearn.plan import CorpusShape, Plan, TrainSettings, place, plan_key, propose_plan

if TYPE_CHECKING:
    from unlearn.states import BuiltState, StateStore

__all__ = [
    "assess", "build_shard", "build_trunk", "compose", "freeze_and_place", "propose", "put_in_service", "shown",
    "stale_shards", "write_manifests",
]  # fmt: skip

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class PlaceReport:
    """What a plan placed, now and in all."""

    plan_digest: str
    shards: int
    placed_now: int
    trunk_records: int
    shard_records: int
    control_records: int


@dataclass(frozen=True)
class ManifestReport:
    """The manifests of a shard; `digest` is over all of them."""

    shard: int
    digest: str
    slices: int
    records: int


@dataclass(frozen=True)
class BuildReport:
    """What a build of a shard (or the trunk) trained and what it found."""

    shard: str
    state_digest: str
    adapter_digest: str
    states_trained: int
    states_reused: int
    steps: int
    tokens: int
    truncated_records: int


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


def shown(report: object) -> dict[str, str | int | float | bool]:
    """A report as Dagster metadata: counts and digests only."""
    return asdict(report)  # type: ignore[call-overload,no-any-return]


def required(thing: Thing | None, sentence: str) -> Thing:
    """The thing, or a clear refusal."""
    if thing is None:
        raise WrongUsage(sentence)
    return thing


def propose(workspace: Workspace, adapter: str) -> Plan:
    """The plan in force, or the one that would be frozen now. Needs no admitted record to be read twice."""
    settings = workspace.settings.adapter(adapter)
    with workspace.database.reader() as session:
        if found := builds.current_plan(session, adapter):
            return Plan.from_json(found[1])
        placeable = builds.unplaced(session, "", settings.sources)
        contents = contents_of(session, [p.record_id for p in placeable], keystore=workspace.keystore)
    shape = CorpusShape(
        records=len(placeable),
        characters=sum(len(segment) for record in contents for segment in record.content.segments()),
        subjects=len({p.primary_subject for p in placeable if p.primary_subject}),
        trunk_records=sum(p.trunk_eligible for p in placeable),
    )
    wishes = TrainSettings.from_mapping(settings.training)
    nonce = workspace.keyring.mac("plan-nonce", adapter)[
        :32
    ]  # from the secret, so that what is shown is what is frozen
    return propose_plan(wishes, shape, nonce=nonce, adapter=adapter)


def freeze_and_place(workspace: Workspace, adapter: str, plan: Plan | None = None) -> PlaceReport:
    """Freeze the plan if there is none, and place every admitted record that it has not placed.

    Raises:
        GateClosed: the corpus may not be learnt from.
        RefusedByRule: another plan is frozen already.
    """
    settings = workspace.settings.adapter(adapter)
    policy = load_gate_policy(workspace.settings)
    with workspace.database.reader() as session:
        require_open(session, sources=settings.sources, policy_digest=policy.digest)
    plan = plan or propose(workspace, adapter)
    key = plan_key(workspace.keyring.workspace_secret, plan)
    with workspace.database.transaction() as session:
        now = utc_now()
        builds.freeze_plan(session, adapter=adapter, digest=plan.digest, body=plan.to_json(), now=now)
        found = [_placed(plan, key, item) for item in builds.unplaced(session, plan.digest, settings.sources)]
        builds.place_records(session, plan.digest, found)
        counts = builds.placement_counts(session, plan.digest)
        if found:
            payload = {"adapter": adapter, "plan": plan.digest, "placed": len(found)}
            ledger.append(session, at=now, kind="plan.placed", payload=payload)
    return PlaceReport(
        plan.digest, plan.shards, len(found), counts.get("trunk", 0), counts.get("shard", 0), counts.get("control", 0)
    )


def _placed(plan: Plan, key: bytes, item: builds.Placeable) -> Placed:
    placement = place(
        plan, key, record_id=item.record_id, primary_subject=item.primary_subject, generation=item.generation,
        trunk_eligible=item.trunk_eligible,
    )  # fmt: skip
    return Placed(item.record_id, placement.kind, placement.shard, placement.slice)


def write_manifests(workspace: Workspace, adapter: str, shard: int) -> ManifestReport:
    """Write down what each slice of a shard is to be trained on."""
    atelier = open_atelier(workspace, adapter)
    members = atelier.members(shard)
    digests = {item.slice: item.manifest_digest for item in atelier.slices(shard)}
    with workspace.database.transaction() as session:
        for index, found in members.items():
            builds.save_manifest(
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


def trunk_standing(atelier: Atelier, shard: int = 0) -> StateFacts | None:
    """The trunk's state, for a shard to start from; None for the trunk itself, or when the plan has none."""
    if shard == TRUNK or not atelier.plan.trunk:
        return None
    chain = current_chain(atelier, TRUNK)
    if chain is None:
        raise _stale(atelier, "The trunk")
    return chain[-1] if chain else None


def _publish_shard(atelier: Atelier, shard: int, standing: StateFacts | None) -> str:
    """What stands for the shard as a PEFT directory in the store; empty if nothing does."""
    from unlearn.compose import files_digest

    if standing is None:
        return ""
    workspace = atelier.workspace
    files = adapter_bytes(atelier, state_bytes(workspace, standing.state_digest).weights)
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


def adapter_bytes(atelier: Atelier, weights: bytes) -> dict[str, bytes]:
    """A state as the files of a standard PEFT directory. A local base is named by its folder, not by its path."""
    from unlearn.adapters import adapter_files

    return adapter_files(weights, atelier.plan, base_name=base_name(atelier), revision=atelier.settings.revision)


def base_name(atelier: Atelier) -> str:
    """How adapters name their base: the hub id or "tiny" as given, a local folder by its last part."""
    given = atelier.settings.base_model
    return Path(given).name if Path(given).is_dir() else given


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


def _stale(atelier: Atelier, what: str) -> GateClosed:
    return GateClosed(f"{what} of {atelier.adapter} is stale.", hint=f"Train it: lethe train {atelier.adapter}")


def stale_shards(workspace: Workspace, adapter: str) -> list[int]:
    """Shards whose live records are not what they were trained on."""
    atelier = open_atelier(workspace, adapter)
    return [shard for shard in range(atelier.plan.shards) if current_chain(atelier, shard) is None]


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
    parts = {shard: adapter_bytes(atelier, content) for shard, content in weights.items()}
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
    digest = required(_newest_composed(workspace, adapter), f"The adapter {adapter} is not composed yet.")
    with workspace.database.reader() as session:
        ids = [record_id for record_id, _ in builds.control_ids(session, atelier.plan.digest)]
        controls = contents_of(session, ids, keystore=workspace.keystore)
    composed = workspace.store.directory("adapters", digest)
    panel = Panel(base=base_for_probes(atelier), pre={}, post={}, outs={}, composed_post=composed)
    target = Target.open(panel, scheme=DecodingScheme())
    items = [tokenise(target.tokenizer, record.content, atelier.plan.max_length) for record in controls]
    losses = [held_out_nll(target.read(name, items)).nll for name in (BASE, "composed_post")]
    return AssessReport(len(controls), *(round(nats, 4) if math.isfinite(nats) else 0.0 for nats in losses))


def base_for_probes(atelier: Atelier) -> str:
    """Where the judge finds the base: the embedded one by its path, any other as configured."""
    from unlearn.tiny_base import TINY_BASE

    given = atelier.settings.base_model
    return str(TINY_BASE) if given == "tiny" else given


def _newest_composed(workspace: Workspace, adapter: str) -> str | None:
    with workspace.database.reader() as session:
        return builds.newest_composed(session, adapter)


def tokenizer_file(settings: AdapterSettings) -> Path | None:
    """The adapter's tokenizer.json where it lies on this machine; None for a base that is only on a hub."""
    from unlearn.tiny_base import TINY_BASE

    path = (TINY_BASE if settings.base_model == "tiny" else Path(settings.base_model)) / "tokenizer.json"
    return path if path.is_file() else None


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
        digest = required(_newest_composed(workspace, adapter), f"The adapter {adapter} is not composed yet.")
    with workspace.database.transaction() as session:
        now = utc_now()
        changed = builds.release(session, adapter=adapter, composed_digest=digest, reason=reason, now=now)
        if changed:
            payload = {"adapter": adapter, "composed": digest, "reason": reason}
            ledger.append(session, at=now, kind="release.switched", payload=payload)
    return ReleaseReport(digest, changed)


def _report(
    name: str, states: list[StateFacts], trained: tuple[BuiltState, ...], *, adapter_digest: str
) -> BuildReport:
    fresh = [built for built in trained if not built.reused]
    return BuildReport(
        shard=name, state_digest=states[-1].state_digest if states else "", adapter_digest=adapter_digest,
        states_trained=len(fresh), states_reused=len(states) - len(fresh), steps=sum(built.steps for built in fresh),
        tokens=sum(built.tokens for built in fresh), truncated_records=sum(built.truncated_records for built in fresh),
    )  # fmt: skip
