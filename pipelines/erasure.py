"""An erasure carried into the weights: contain, rebuild, re-derive. What goes before and after has modules of its own:
`pipelines.previewing`, `pipelines.judging`, `pipelines.purging`.

Each step is safe to repeat: it asks the case where it stands, does what is missing, files its evidence and moves the case
on its last line. The erased records are *restricted* first (Art. 18); from then on every reader of training text leaves
them out, so a rebuild by anybody, by whatever road, is already a rebuild without the person.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from sqlmodel import Session, col, select

from lineage import builds, manifests, plans
from lineage.case import CaseFile, Stage
from lineage.database import in_chunks
from lineage.errors import Fault, NotAcceptable, RefusedByRule, WrongUsage
from lineage.evidence import add_evidence, case_records, contract, digest_of, evidence, has_evidence
from lineage.plans import TRUNK
from lineage.tables import RecordRow
from lineage.workspace import Workspace
from pipelines import releasing, training
from pipelines.chains import current_chain, stale_shards
from pipelines.ingest import utc_now
from pipelines.previewing import erasure_plan, make_preview, search_closure
from pipelines.states import Atelier, open_atelier
from unlearn.plan import Plan

__all__ = ["contain", "rebuild", "rederive"]


def contain(workspace: Workspace, case_id: str) -> dict[str, object]:
    """Restrict the records, cut the affected shards back to clean states, recompose, release. Seconds, not hours.

    Raises:
        RefusedByRule: the preview that was approved is no longer true; a new one was made.
    """
    with workspace.database.reader() as session:
        stage = CaseFile(session, case_id).view.stage
        if has_evidence(session, case_id, "containment") and stage not in (Stage.APPROVED,):
            return evidence(session, case_id, "containment")
    _require_contract(workspace, case_id)
    started = time.perf_counter()
    before = _remember(workspace, case_id)
    _restrict(workspace, case_id)
    adapters = {}
    for adapter, facts in before.items():
        after = _contain_adapter(workspace, adapter, case_id, affected=bool(facts["affected"]))
        adapters[adapter] = {**facts, "after": after, "at": utc_now().isoformat(timespec="seconds")}
    body = {"adapters": adapters, "seconds": str(round(time.perf_counter() - started, 2))}
    with workspace.database.transaction() as session:
        add_evidence(session, case_id, "containment", body, now=utc_now())
        CaseFile(session, case_id).advance(Stage.CONTAINED, now=utc_now(), adapters=len(adapters))
    return body


def _require_contract(workspace: Workspace, case_id: str) -> None:
    closure = search_closure(workspace, case_id)
    with workspace.database.transaction() as session:
        case = CaseFile(session, case_id)
        case.require(Stage.APPROVED, to="execute")
        case.require_no_hold()
        stale = digest_of(contract(session, case_id, closure, workspace.keyring)) != case.view.approved_digest
    if stale:
        make_preview(workspace, case_id)
        raise RefusedByRule("The approved preview is no longer true; a new one was made.", hint="Read and approve it.")


def _remember(workspace: Workspace, case_id: str) -> dict[str, dict[str, object]]:
    """What was in service and what the affected shards held, before anything changes; filed once, then kept."""
    with workspace.database.transaction() as session:
        if has_evidence(session, case_id, "before"):
            return evidence(session, case_id, "before")["adapters"]  # type: ignore[return-value]
        erased = tuple(r.record_id for r in case_records(session, case_id) if r.decision == "erase")
        found = {}
        for adapter in sorted(workspace.settings.adapters):
            if plan := plans.current_plan(session, adapter):
                found[adapter] = _adapter_before(session, adapter, Plan.from_json(plan[1]), erased)
        add_evidence(session, case_id, "before", {"adapters": found}, now=utc_now())
    return found


def _adapter_before(session: Session, adapter: str, plan: Plan, erased: tuple[str, ...]) -> dict[str, object]:
    composed = builds.current_release(session, adapter) or ""
    parts = builds.parts_of(session, composed) if composed else {}
    cost = erasure_plan(session, plan, erased)
    shards = builds.shard_adapters(session, adapter)
    return {
        "before": composed,
        "trunk_hit": cost.trunk_hit,
        "affected": [{"shard": part.shard, "first_slice": part.first_slice} for part in cost.affected],
        "parts": {str(shard): recipe or "" for shard, recipe in parts.items()},
        "shard_adapters": {str(shard): digest for shard, digest in shards.items()},
    }


def _restrict(workspace: Workspace, case_id: str) -> None:
    with workspace.database.transaction() as session:
        erased = [r.record_id for r in case_records(session, case_id) if r.decision == "erase"]
        for chunk in in_chunks(erased):
            for row in session.exec(select(RecordRow).where(col(RecordRow.id).in_(chunk))).all():
                row.restricted_by = case_id


def _contain_adapter(workspace: Workspace, adapter: str, case_id: str, *, affected: bool) -> str:
    """The digest in service after containment; empty when no clean shard is left and the base model serves alone."""
    with workspace.database.reader() as session:
        in_service = builds.current_release(session, adapter)
    if not affected or in_service is None:
        return in_service or ""
    try:
        report = releasing.compose(workspace, adapter, partial=True)
    except WrongUsage:
        with workspace.database.transaction() as session:
            builds.withdraw(session, adapter=adapter, now=utc_now())
        return ""
    releasing.put_in_service(workspace, adapter, digest=report.composed_digest, reason=f"contained {case_id}")
    return report.composed_digest


def rebuild(workspace: Workspace, case_id: str) -> dict[str, object]:
    """Rebuild the affected suffixes only, compose, release, and show that every neighbour stayed byte-equal."""
    with workspace.database.transaction() as session:
        CaseFile(session, case_id).advance(Stage.EXECUTING, now=utc_now())
        before = evidence(session, case_id, "containment")["adapters"]
    started = time.perf_counter()
    found = {
        adapter: _rebuild_adapter(workspace, adapter, facts, case_id)
        for adapter, facts in before.items()  # type: ignore[attr-defined]
    }
    body = {"adapters": found, "seconds": str(round(time.perf_counter() - started, 2))}
    with workspace.database.transaction() as session:
        add_evidence(session, case_id, "rebuild", body, now=utc_now())
    return body


def _rebuild_adapter(
    workspace: Workspace, adapter: str, before: Mapping[str, object], case_id: str
) -> dict[str, object]:
    shards = [part["shard"] for part in before["affected"]]  # type: ignore[index,attr-defined]
    if not shards:
        return {
            "steps": 0,
            "composed": before["after"],
            "released_at": utc_now().isoformat(timespec="seconds"),
            "shards": {},
        }
    reports = {shard: training.build_shard(workspace, adapter, shard) for shard in shards}
    waiting = set(stale_shards(workspace, adapter)) - set(shards)  # contained by other cases, not rebuilt yet
    composed = releasing.compose(workspace, adapter, partial=bool(waiting)).composed_digest
    releasing.put_in_service(workspace, adapter, digest=composed, reason=f"erasure {case_id}")
    atelier = open_atelier(workspace, adapter)
    old = before["parts"]
    with workspace.database.reader() as session:
        new = builds.parts_of(session, composed)
        neighbours = [shard for shard in new if shard not in shards]
        moved = [shard for shard in neighbours if not _explained(session, old.get(str(shard)), new[shard])]  # type: ignore[attr-defined]
        slices = {str(shard): _slice_changes(session, old.get(str(shard)), new[shard]) for shard in shards}  # type: ignore[attr-defined]
        pre_steps = _chain_steps(session, atelier)
        first = {part["shard"]: part["first_slice"] for part in before["affected"]}  # type: ignore[attr-defined]
        kept = _records_untouched(session, atelier, first)
    if moved:
        raise NotAcceptable(
            f"{len(moved)} neighbouring shards changed while an erasure ran; their states must not move."
        )
    return {
        "composed": composed, "released_at": utc_now().isoformat(timespec="seconds"),
        "steps": sum(report.steps for report in reports.values()), "full_steps": pre_steps,
        "neighbours_unchanged": kept, "neighbour_shards": len(neighbours), "slices": slices, "base_digest": atelier.base().digest,
        "code_digest": code_digest(),
        "shards": {str(shard): _shard_facts(workspace, new[shard]) for shard in shards},
        "neighbours": {str(shard): _shard_facts(workspace, new[shard]) for shard in neighbours},
    }  # fmt: skip


def _explained(session: Session, old: str | None, new: str | None) -> bool:
    """Whether a neighbour is as it was, or differs only as it may: it goes on after the old chain (a later ingest), stops
    before its end (contained by another case), or parts from it at a slice that lost records (erased by another case)."""
    pairs = zip(builds.ancestors(session, old or None), builds.ancestors(session, new), strict=False)
    parted = next(((was, now) for was, now in pairs if was.recipe_digest != now.recipe_digest), None)
    if parted is None:
        return True
    was, now = parted
    before, after = (manifests.manifest_facts(session, state.manifest_digest)[0] for state in parted)
    return was.slice < now.slice or (was.slice == now.slice and after < before)


def code_digest() -> str:
    """SHA-256 over the sources of the training path."""
    import unlearn

    sources = sorted(Path(unlearn.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in sources)).hexdigest()


def _slice_changes(session: Session, old: str | None, new: str | None) -> dict[str, dict[str, object]]:
    """Manifests of a shard's slices before and after, by slice, where they differ."""
    chains = {"before": builds.ancestors(session, old or None), "after": builds.ancestors(session, new)}
    found: dict[str, dict[str, object]] = {}
    for side, chain in chains.items():
        for state in chain:
            if state.shard != TRUNK:
                records, root = manifests.manifest_facts(session, state.manifest_digest)
                found.setdefault(str(state.slice), {})[side] = [records, root]
    return {index: change for index, change in found.items() if change.get("before") != change.get("after")}


def _shard_facts(workspace: Workspace, recipe: str | None) -> dict[str, object]:
    with workspace.database.reader() as session:
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


def rederive(workspace: Workspace, case_id: str) -> dict[str, object]:
    """Let a second process rebuild the affected suffixes from the vault, without the first one's states, and compare.

    Raises:
        NotAcceptable: the second process got other bytes.
    """
    with workspace.database.transaction() as session:
        CaseFile(session, case_id).advance(Stage.VERIFYING, now=utc_now())
        contained = evidence(session, case_id, "containment")["adapters"]
    found = {}
    for adapter, facts in contained.items():  # type: ignore[attr-defined]
        first = {part["shard"]: part["first_slice"] for part in facts["affected"]}
        found[adapter] = _rederive_adapter(workspace, adapter, first)
    with workspace.database.transaction() as session:
        add_evidence(session, case_id, "rederivation", {"adapters": found}, now=utc_now())
    if unequal := [adapter for adapter, result in found.items() if not result["equal"]]:
        raise NotAcceptable(f"Re-derivation of {', '.join(unequal)} gave other bytes; nothing may be signed.")
    return found


def _rederive_adapter(workspace: Workspace, adapter: str, first: Mapping[int, int]) -> dict[str, object]:
    if not first:
        return {"equal": True, "states": 0, "grade": "B", "sentence": "Nothing had to be rebuilt."}
    atelier = open_atelier(workspace, adapter)
    expected = {}
    for shard in first:
        chain = current_chain(atelier, shard)
        if chain is None:
            raise NotAcceptable(f"Shard {shard} of {adapter} is stale; it cannot be re-derived.")
        expected[shard] = {state.slice: state.state_digest for state in chain if state.slice >= first[shard]}
    derived = _second_process(workspace, adapter, first)
    states = sum(len(chain) for chain in expected.values())
    equal = derived == expected
    sentence = f"A second process rebuilt {states} state(s) from the vault: {'every byte is' if equal else 'not every byte is'} equal."
    return {"equal": equal, "states": states, "grade": "A", "sentence": sentence}


def _second_process(workspace: Workspace, adapter: str, first: Mapping[int, int]) -> dict[int, dict[int, str]]:
    request = json.dumps({str(shard): index for shard, index in first.items()})
    command = [sys.executable, "-m", "pipelines.rederive", str(workspace.settings.workspace), adapter]
    result = subprocess.run(command, input=request, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise Fault("The re-deriving process failed.", hint="Run the case again: lethe erase run CASE")
    return {int(shard): {int(k): v for k, v in chain.items()} for shard, chain in json.loads(result.stdout).items()}
