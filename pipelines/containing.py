"""The first half of an erasure: restrict the records, cut back to clean states, recompose. See `pipelines.erasure`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from sqlmodel import Session, col, select

from lineage import builds, plans
from lineage.case import CaseFile
from lineage.closure import CHANGING
from lineage.database import in_chunks
from lineage.errors import RefusedByRule
from lineage.evidence import add_evidence, contract, digest_of, evidence, has_evidence, last_filed
from lineage.holds import held_of, require_spared
from lineage.renewal import superseded
from lineage.stages import Stage
from lineage.store import Store
from lineage.tables import RecordRow
from lineage.unredaction import take_back
from lineage.withdrawal import give_back, restricted_for
from lineage.workspace import Workspace
from pipelines import releasing
from pipelines.ingest import utc_now
from pipelines.previewing import erasure_plan, make_preview, require_every_adapter, search_closure
from pipelines.recomposing import Bodies, Facts, affecting, decided_ids, in_service, leaving_ids, recompose
from pipelines.redacting import redact_mentions
from pipelines.windows import Window, named
from unlearn.plan import Plan

__all__ = ["contain"]


def contain(workspace: Workspace, *case_ids: str) -> Bodies:
    """Restrict the records, cut the affected shards back to clean states, recompose, release. Seconds, not hours.

    Raises:
        RefusedByRule: no case could be contained: a hold, a preview that is no longer true (a new one was made), or an
            adapter in use that lethe.toml does not name.
        NotAcceptable: what was recomposed descends from a record of a closure, so it was not released.
    """
    require_every_adapter(workspace)
    window, started = Window(workspace, case_ids), time.perf_counter()
    bodies: Bodies = {}
    before: dict[str, Facts] = {}
    for case_id in window.cases:
        with window.apart(case_id):
            if done := _contained_before(workspace, case_id):
                bodies[case_id] = done
                continue
            _require_contract(workspace, case_id)
            before[case_id] = _remember(workspace, case_id)
    for case_id in window.still(before):
        with window.apart(case_id):
            _restrict(workspace, case_id)
    after = _contain_adapters(window, before)
    for case_id in window.still(before):
        with window.apart(case_id):
            bodies[case_id] = _file_containment(
                workspace, case_id, before[case_id], after=after, window=window.still(before), started=started
            )
    window.require_somebody()
    return bodies


def _contained_before(workspace: Workspace, case_id: str) -> Facts | None:
    """The evidence of a containment that was done already, if it was."""
    with workspace.database.reader() as session:
        contained = CaseFile(session, case_id).view.stage != Stage.APPROVED
        return evidence(session, case_id, "containment") if contained and has_evidence(session, case_id, "containment") else None  # fmt: skip


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


def _remember(workspace: Workspace, case_id: str) -> Facts:
    """What was in service and what the affected shards held, before anything changes; filed once for a contract, then kept.

    Under another contract, of a further round or of this one, other shards may be affected; a shard of the one before is
    told as it was seen first.
    """
    with workspace.database.transaction() as session:
        bound = CaseFile(session, case_id).view.approved_digest
        filed = last_filed(session, case_id, "before")
        if has_evidence(session, case_id, "before") and filed.get("contract", bound) == bound:
            return filed["adapters"]  # type: ignore[no-any-return]
        earlier = filed.get("adapters", {})
        leaving = {*decided_ids(session, case_id, *CHANGING), *leaving_ids(session, case_id)}
        changed = tuple(sorted(leaving.union(_coming_back(session, case_id))))
        found = {}
        for adapter in sorted(workspace.settings.adapters):
            if plan := plans.current_plan(session, adapter):
                now = _adapter_before(session, adapter, Plan.from_json(plan[1]), changed)
                first = earlier.get(adapter, {"affected": ()})
                found[adapter] = _as_first_seen(workspace.store, now, first) if first["affected"] else now
        add_evidence(session, case_id, "before", {"adapters": found, "contract": bound}, now=utc_now())
    return found


def _coming_back(session: Session, case_id: str) -> list[str]:
    """The records that the case has restricted or redacted, and keeps by now: their shards were cut back for it."""
    touched = restricted_for(session, case_id) | {record for record, _ in superseded(session, "redacted", by=case_id)}
    return sorted(touched.intersection(decided_ids(session, case_id, "keep")))


def _adapter_before(session: Session, adapter: str, plan: Plan, erased: tuple[str, ...]) -> Facts:
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


def _as_first_seen(store: Store, now: Facts, first: Facts) -> Facts:
    """An adapter as a reopened case finds it, but the shards of its earlier round as they were when they held the person.

    That is what the probes ask first and what the certificate compares with. `since` says what those shards stand for now:
    records that were learnt after the first containment are in it. An old shard that another case's purge has destroyed by
    now can be asked no more.
    """
    seen = {str(part["shard"]) for part in first["affected"]}
    shards = {
        s: digest for s, digest in first["shard_adapters"].items() if s in seen and store.holds("adapters", digest)
    }
    return {
        **now,
        "before": first["before"] or now["before"],
        "parts": now["parts"] | {shard: recipe for shard, recipe in first["parts"].items() if shard in seen},
        "since": {shard: recipe for shard, recipe in now["parts"].items() if shard in seen},
        "shard_adapters": now["shard_adapters"] | shards,
    }


def _restrict(workspace: Workspace, case_id: str) -> None:
    with workspace.database.transaction() as session:
        CaseFile(session, case_id).require(Stage.APPROVED, to="restrict records")
        require_spared(session, case_id, decided_ids(session, case_id, *CHANGING))
        give_back(session, case_id)  # a reopened case may decide otherwise about a record
        kept = decided_ids(session, case_id, "keep")
        take_back(session, workspace, case_id, only=set(kept) - held_of(session, kept), now=utc_now())
        for chunk in in_chunks(leaving_ids(session, case_id)):
            for row in session.exec(select(RecordRow).where(col(RecordRow.id).in_(chunk))).all():
                row.restricted_by = case_id
    redact_mentions(workspace, case_id)


def _contain_adapters(window: Window, before: Mapping[str, Facts]) -> dict[str, str]:
    """The digest in service for each adapter after containment; one composition for all cases of the window."""
    for adapter, cases in affecting(before).items():
        waiting = window.still(cases)
        if waiting and in_service(window.workspace, adapter):
            with window.apart(*waiting):
                recompose(window.workspace, adapter, partial=True, reason=f"contained {named(waiting)}")
    return {name: in_service(window.workspace, name) for name in window.workspace.settings.adapters}


def _file_containment(
    workspace: Workspace,
    case_id: str,
    before: Facts,
    *,
    after: Mapping[str, str],
    window: Sequence[str],
    started: float,
) -> Facts:
    now = utc_now()
    with workspace.database.transaction() as session:
        case, leaving = CaseFile(session, case_id), leaving_ids(session, case_id)
        old = superseded(session, "redacted", by=case_id)
        adapters = {
            adapter: {
                **facts, "after": after[adapter], "at": now.isoformat(timespec="seconds"),
                "clean": releasing.require_clean(session, after[adapter], leaving, superseded=old),
            }
            for adapter, facts in before.items()
        }  # fmt: skip
        body = {
            "adapters": adapters, "window": list(window), "seconds": str(round(time.perf_counter() - started, 2)),
            "seconds_since_approval": str(round((now - case.view.stage_since).total_seconds(), 1)),
        }  # fmt: skip
        add_evidence(session, case_id, "containment", body, now=now)
        case.advance(Stage.CONTAINED, now=now, adapters=len(adapters))
    return body
