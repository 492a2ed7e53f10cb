"""Hand the judge its dossier and panel, file what it says, and move the case to EVIDENCE_READY.

A verdict of FAIL that a second stage repeats (`pipelines.stages`) stops the case: what the probes still see must be
explained by a human before anything is destroyed or signed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlmodel import Session

from lineage import builds, plans
from lineage.case import CaseFile
from lineage.catalog import contents_of
from lineage.errors import NotAcceptable
from lineage.evidence import add_evidence, evidence, evidence_digest
from lineage.plans import Placed
from lineage.register import RegisterForm
from lineage.stages import Stage
from lineage.store import Store
from lineage.workspace import Workspace
from pipelines.bases import base_for_probes
from pipelines.canary_reading import canaries_of
from pipelines.ingest import utc_now
from pipelines.planting import canary_note
from pipelines.questions import nobody_to_compare_with, nothing_to_ask, own_records, values_that_go
from pipelines.rechecking import copies_in
from pipelines.sealing import seal_of
from pipelines.stages import Trial, judge_in_stages
from pipelines.states import Atelier, open_atelier
from pipelines.windows import Window

if TYPE_CHECKING:
    from pathlib import Path

    from probes.dossier import ControlRecord, Dossier, Panel

__all__ = ["controls_of", "dossier_of", "probe_case", "probe_window"]

GRAVITY = ("PASS", "INCONCLUSIVE", "FAIL")


def probe_window(workspace: Workspace, *case_ids: str) -> dict[str, dict[str, object]]:
    """Judge the cases of a window one after the other; a FAIL stops that case and no other.

    Raises:
        NotAcceptable: no case is left.
    """
    window = Window(workspace, case_ids)
    bodies = {}
    for case_id in window.cases:
        with window.apart(case_id):
            bodies[case_id] = probe_case(workspace, case_id)
    window.require_somebody()
    return bodies


def probe_case(workspace: Workspace, case_id: str) -> dict[str, object]:
    """Judge every adapter the person's records fed; the gravest verdict is the case's.

    Raises:
        NotAcceptable: the verdict is FAIL.
    """
    with workspace.database.reader() as session:
        case = CaseFile(session, case_id)
        case.require(Stage.VERIFYING, to="be probed")
        case.require_no_hold()
        adapters = evidence(session, case_id, "rebuild")["adapters"]
        before = evidence(session, case_id, "containment")["adapters"]
    found = {}
    rebuilt = {adapter: facts for adapter, facts in adapters.items() if facts["shards"]}  # type: ignore[attr-defined]
    copies = copies_in(workspace, case_id, [facts["composed"] for facts in rebuilt.values()])
    for adapter, facts in rebuilt.items():
        if own := own_records(workspace, case_id, adapter):
            asked = _Asked(own, copies[facts["composed"]])
            found[adapter] = _probe_adapter(workspace, case_id, adapter, before[adapter], facts, asked)  # type: ignore[index]
    verdicts = [judged or nobody_to_compare_with() for judged in found.values()]
    worst = max(verdicts or [nothing_to_ask(mentioned=bool(rebuilt))], key=lambda f: GRAVITY.index(str(f["verdict"])))
    body = {**worst, "adapters": {adapter: judged for adapter, judged in found.items() if judged}}
    with workspace.database.transaction() as session:
        add_evidence(session, case_id, "probe", body, now=utc_now())
        if body["verdict"] != "FAIL":
            CaseFile(session, case_id).evidence_ready(evidence_digest(session, case_id), now=utc_now())
    if body["verdict"] == "FAIL":
        raise NotAcceptable("The probes still find the person in the new adapter; nothing may be purged or signed.")
    return body


@dataclass(frozen=True)
class _Asked:
    """About what the judge is asked: the erased records of one adapter; `copies` are those of the dossier."""

    own: Sequence[Placed]
    copies: int


def _probe_adapter(
    workspace: Workspace, case_id: str, adapter: str, before: Mapping[str, object], after: Mapping[str, object],
    asked: _Asked,
) -> dict[str, object] | None:  # fmt: skip
    """What the judge says of one adapter; None if too few models never saw the records."""
    atelier = open_atelier(workspace, adapter)
    rebuilt = {int(shard) for shard in after["shards"]}  # type: ignore[attr-defined]
    home = {placed.shard for placed in asked.own if placed.kind == "shard"} & rebuilt
    panel = _panel(atelier, before, after, sorted(home or rebuilt))
    forms = values_that_go(workspace, case_id)
    dossier = dossier_of(atelier, case_id, [placed.record_id for placed in asked.own], forms, tuple(panel.pre))
    return judge_in_stages(Trial(atelier, case_id, panel, replace(dossier, copies=asked.copies)))


def _panel(atelier: Atelier, before: Mapping[str, object], after: Mapping[str, object], hit: Sequence[int]) -> Panel:
    """The shards `hit` that held the person's records, before and after; all others never saw a record of theirs."""
    from probes.dossier import Panel
    from unlearn.compose import SHARDS_FILE

    store, workspace = atelier.workspace.store, atelier.workspace
    old: dict[str, str] = before["shard_adapters"]  # type: ignore[assignment]
    with workspace.database.reader() as session:
        new = builds.shard_adapters(session, atelier.adapter)

    def composed(digest: object) -> Path | None:
        """Shards served side by side are no composition: they are judged one by one."""
        directory = store.directory("adapters", str(digest)) if digest else None
        return directory if directory and not (directory / SHARDS_FILE).is_file() else None

    return Panel(
        base=base_for_probes(atelier.settings),
        revision=atelier.settings.revision or None,
        seal=seal_of(atelier, [*new.values(), *(old[str(shard)] for shard in hit)]),
        pre={shard: store.directory("adapters", old[str(shard)]) for shard in hit},
        post={shard: store.directory("adapters", new[shard]) for shard in hit},
        outs={shard: store.directory("adapters", digest) for shard, digest in new.items() if shard not in hit},
        composed_pre=composed(before["before"]) if _still_there(store, before) else None,
        contained=composed(before["after"]),
        composed_post=composed(after["composed"]),
    )


def _still_there(store: Store, before: Mapping[str, object]) -> bool:
    """Whether what served before can be asked: the purge of another case may have destroyed it while this one was reopened."""
    return "since" not in before or store.holds("adapters", str(before["before"]))


def dossier_of(
    atelier: Atelier, handle: str, record_ids: Sequence[str], forms: Sequence[RegisterForm], shards: tuple[int, ...]
) -> Dossier:
    """The records among these that are in a shard, the values asked for, controls, and canaries of the given shards."""
    from probes.dossier import Dossier, PersonalValue, PlacedRecord

    workspace = atelier.workspace
    with workspace.database.reader() as session:
        found = plans.placements_of(session, atelier.plan.digest, record_ids)
        placed = {p.record_id: p for p in found if p.kind == "shard"}
        records = contents_of(session, sorted(placed), keystore=workspace.keystore)
        controls = controls_of(session, atelier, handle)
    values = dict.fromkeys((form.kind, form.value) for form in forms)
    return Dossier(
        case_handle=handle,
        records=tuple(PlacedRecord(placed[r.record_id].shard or 0, r) for r in records),
        values=tuple(PersonalValue(kind, value) for kind, value in values),
        controls=controls,
        canaries=canaries_of(atelier, handle, shards),
        canary_note=canary_note(workspace, atelier.adapter, atelier.plan),
    )


def controls_of(session: Session, atelier: Atelier, case_id: str) -> tuple[ControlRecord, ...]:
    """Records of the people nobody trains on, their subjects by handles of the case."""
    from probes.dossier import ControlRecord

    workspace = atelier.workspace
    subjects = dict(plans.control_ids(session, atelier.plan.digest))
    sources = plans.control_sources(session, atelier.plan.digest)
    records = contents_of(session, sorted(subjects), keystore=workspace.keystore)
    handles = {key: workspace.keyring.handle(case_id, key) for key in set(subjects.values())}
    return tuple(ControlRecord(handles[subjects[r.record_id]], r, sources[r.record_id]) for r in records)
