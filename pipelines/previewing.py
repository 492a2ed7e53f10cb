"""Find, then tell what it will cost: the closure of a case, the contract the DPO approves, and the forecast beside it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict

from sqlmodel import Session

from lineage import builds, plans
from lineage.case import CaseFile
from lineage.closure import Closure, Reach, find_closure
from lineage.decisions import decided_as, lay_over
from lineage.dossier import case_row
from lineage.errors import RefusedByRule
from lineage.evidence import add_evidence, contract, near_pairs, save_closure
from lineage.nearness import Near
from lineage.plans import TRUNK
from lineage.policy import load_gate_policy
from lineage.renewal import superseded
from lineage.scanned import scanned_by, summary
from lineage.search_report import search_report
from lineage.sightings import find_sightings, sighting_bodies
from lineage.sought import open_supplied, person_named, provisional_key, searched_forms, subject_forms
from lineage.unredaction import adopt_redactions
from lineage.withdrawal import withdrawn_closure
from lineage.workspace import Workspace
from pipelines.chains import drifted_shards
from pipelines.ingest import open_gate, utc_now
from pipelines.pricing import extra_costs
from unlearn.erase import ErasurePlan, SliceLoad, plan_erasure
from unlearn.plan import Placement, Plan

__all__ = ["erasure_plan", "make_preview", "require_every_adapter", "search_closure"]


def make_preview(workspace: Workspace, case_id: str) -> str:
    """Find the closure afresh and write the contract and the forecast; returns the digest the DPO will approve.

    If nothing is found of somebody whom the register does not know, it is the digest of the search report.

    Raises:
        RefusedByRule: the case has gone on already, or an adapter in use is out of reach.
    """
    require_every_adapter(workspace)
    with workspace.database.reader() as session:
        attempt = CaseFile(session, case_id).view.attempt
    closure = search_closure(workspace, case_id)
    if not closure.records and _is_unknown(workspace, case_id):
        return _report_search(workspace, case_id, closure)
    seen = _sightings(workspace, case_id, closure)
    with workspace.database.transaction() as session:
        now = utc_now()
        body = contract(session, case_id, closure, workspace.keyring)
        digest = add_evidence(session, case_id, "contract", body, now=now)
        save_closure(session, case_id, closure, workspace.keyring)
        near = near_pairs(session, case_id, workspace.keyring)
        add_evidence(session, case_id, "sightings", {"records": seen, "near": near}, now=now)
        add_evidence(session, case_id, "forecast", _forecast(session, workspace, closure), now=now)
        case = CaseFile(session, case_id)
        if case.view.attempt != attempt:  # a decision was taken, and taken back, meanwhile: the next run is on its way
            raise RefusedByRule("The case was sent back to its search meanwhile.", hint="Make the preview again.")
        case.preview_ready(digest, now=now)
    return digest


def require_every_adapter(workspace: Workspace) -> None:
    """What is not in lethe.toml is neither contained nor rebuilt, so no case may go on while such an adapter is in use.

    Raises:
        RefusedByRule: an adapter has a plan or a release, and lethe.toml does not name it.
    """
    with workspace.database.reader() as session:
        missing = sorted(builds.adapters_in_use(session) - workspace.settings.adapters.keys())
    if missing:
        raise RefusedByRule(
            f"An erasure would pass by what is in use and not in lethe.toml: the adapter {', '.join(missing)}.",
            hint=f"Put [adapters.{missing[0]}] back in lethe.toml, then do this again.",
        )


def _report_search(workspace: Workspace, case_id: str, closure: Closure) -> str:
    forms = subject_forms(workspace, case_id)[1]
    with workspace.database.transaction() as session:
        now = utc_now()
        digest = add_evidence(session, case_id, "search_report", search_report(session, closure, forms), now=now)
        CaseFile(session, case_id).searched(digest, now=now)
    return digest


def _is_unknown(workspace: Workspace, case_id: str) -> bool:
    with workspace.database.reader() as session:
        return case_row(session, case_id).subject_key == provisional_key(workspace.keyring, case_id)


def _recognise(workspace: Workspace, case_id: str) -> None:
    """Whoever was registered since the case was filed is searched for as themselves."""
    identifiers = open_supplied(workspace, case_id)
    with workspace.database.transaction() as session:
        if key := person_named(session, identifiers, workspace):
            unknown = provisional_key(workspace.keyring, case_id)
            CaseFile(session, case_id).recognise(key, instead_of=unknown, now=utc_now())
            adopt_redactions(session, case_id)


def search_closure(workspace: Workspace, case_id: str) -> Closure:
    """The person's closure as the vault and the quarantine stand now; of a withdrawal, the records it names.

    What a DPO decided about single records, and what is under a legal hold, lies over it.
    """
    found = _found_closure(workspace, case_id)
    with workspace.database.reader() as session:
        return lay_over(session, case_id, found, handle=lambda record: workspace.keyring.handle(case_id, record))


def _found_closure(workspace: Workspace, case_id: str) -> Closure:
    with workspace.database.reader() as session:
        if rescan_id := CaseFile(session, case_id).view.rescan_id:
            return withdrawn_closure(session, rescan_id)
    if _is_unknown(workspace, case_id):
        _recognise(workspace, case_id)
    key, forms = searched_forms(workspace, case_id)
    with workspace.database.reader() as session:
        reach = Reach(
            gate=lambda: open_gate(workspace, by=case_id)[0],
            redacted=frozenset(record_id for record_id, _ in superseded(session, "redacted", by=case_id)),
            free=decided_as(session, case_id, "redact"),
            only_consent=CaseFile(session, case_id).view.only_consent,
            near=Near.of(session, workspace.keyring, load_gate_policy(workspace.settings).near),
            unrelated=decided_as(session, case_id, "unrelated"),
        )
        return find_closure(session, key, forms, keystore=workspace.keystore, reach=reach)


def _sightings(workspace: Workspace, case_id: str, closure: Closure) -> dict[str, list[dict[str, object]]]:
    """What of the person stands in each record, by handle."""
    key, forms = searched_forms(workspace, case_id)
    with workspace.database.reader() as session:
        found = find_sightings(workspace, session, key, forms, closure.records)
    return {workspace.keyring.handle(case_id, record_id): sighting_bodies(those) for record_id, those in found.items()}


def _forecast(session: Session, workspace: Workspace, closure: Closure) -> dict[str, object]:
    """What it will cost, outside the contract's digest."""
    adapters = {}
    for adapter in sorted(workspace.settings.adapters):
        if found := plans.current_plan(session, adapter):
            plan = Plan.from_json(found[1])
            device = workspace.settings.adapter(adapter).device
            drifted = drifted_shards(session, adapter, plan, device=device)
            cost = erasure_plan(session, plan, closure.leaving_ids, drifted=drifted)
            adapters[adapter] = {
                "affected": [asdict(part) for part in cost.affected], "trunk_hit": cost.trunk_hit,
                "controls": cost.control_records, "steps": cost.steps, "full_steps": cost.full_steps,
                "fraction": round(cost.fraction, 4), "release": builds.current_release(session, adapter) or "",
                "seconds_estimate": round(_seconds(session, plan, cost), 1),
                "probes": _extras(session, workspace, plan, hit=len(cost.affected)),
            }  # fmt: skip
    tier, blind_spots = summary(scanned_by(session))
    counts = {"searched": closure.searched, "found": closure.found}
    return {"adapters": adapters, **counts, "tier": tier, "blind_spots": blind_spots}


def erasure_plan(
    session: Session, plan: Plan, record_ids: tuple[str, ...], *, drifted: Collection[int] = ()
) -> ErasurePlan:
    """Which slices of which shards the records are in, and what rebuilding them costs.

    An affected shard that drifted is rebuilt from the trunk; its neighbours stay (docs/adr/0008).
    """
    placed = plans.placements_of(session, plan.digest, record_ids)
    loads = [
        SliceLoad(None if shard == TRUNK else shard, index, len(members), 0)
        for shard in (TRUNK, *range(plan.shards))
        for index, members in plans.live_members(session, plan.digest, shard, restricted_too=True).items()
    ]
    held = {(load.shard, load.slice) for load in loads}
    closure = [Placement(p.kind, p.shard, p.slice) for p in placed]  # type: ignore[arg-type]
    trained = [p for p in closure if p.kind == "control" or (p.shard, p.slice) in held]
    return plan_erasure(plan, trained, loads=loads, drifted=drifted)


def _extras(session: Session, workspace: Workspace, plan: Plan, *, hit: int) -> dict[str, object]:
    """What the probes train besides: in the first stage, and in a second one after a FAIL."""
    generations = -(-plans.slice_count(session, plan.digest) // plan.slices)
    costs = extra_costs(plan, workspace.settings.adapter(plan.adapter), hit=hit, generations=max(1, generations))
    return {
        stage: {"extra_adapters": cost.adapters, "steps": cost.steps}
        for stage, cost in zip(("first", "if_fail"), costs, strict=True)
    }


def _seconds(session: Session, plan: Plan, cost: ErasurePlan) -> float:
    """Time for the steps, by the mean pace of the adapter's builds so far."""
    seconds, steps = builds.build_pace(session, plan.digest)
    return cost.steps * seconds / steps if steps else 0.0
