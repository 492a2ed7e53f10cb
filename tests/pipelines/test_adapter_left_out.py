"""An adapter that learnt, and that lethe.toml no longer names: no case may pass it by and end well."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from road import STAFF, approved_case
from small_world import PLANTED
from sqlmodel import Session
from stream_books import register

from lineage import builds, plans
from lineage.access import Actor, Role, add_staff
from lineage.builds import ComposedFacts
from lineage.case import CaseFile
from lineage.errors import RefusedByRule
from lineage.evidence import has_evidence
from lineage.stages import Stage
from lineage.workspace import Workspace, create_workspace, open_workspace
from pipelines import erasure, previewing
from pipelines.ingest import utc_now
from unlearn.plan import CorpusShape, TrainSettings, propose_plan

PLAN = propose_plan(
    TrainSettings(shards=2, slices=1),
    CorpusShape(records=100, characters=10_000, subjects=50, trunk_records=0),
    nonce="00ff",
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A case that was approved before the other adapter came into use."""
    create_workspace(tmp_path / "ws", controller="Test GmbH")
    workspace = open_workspace(tmp_path / "ws")
    with workspace.database.transaction() as session:
        for name, role in {"root": "admin", **STAFF}.items():
            add_staff(session, name=name, role=Role(role), actor=Actor("root", Role.ADMIN), now=utc_now())
    register(workspace, [PLANTED])
    return workspace


def planned(session: Session) -> None:
    plans.freeze_plan(session, adapter="sales", digest=PLAN.digest, body=PLAN.to_json(), now=utc_now())


def released(session: Session) -> None:
    builds.save_composed(session, ComposedFacts("c" * 64, "sales", PLAN.digest, "full", {}), utc_now())
    builds.release(session, adapter="sales", composed_digest="c" * 64, reason="train", now=utc_now())


def stage_of(workspace: Workspace, case_id: str) -> Stage:
    with workspace.database.reader() as session:
        assert not has_evidence(session, case_id, "before")
        return CaseFile(session, case_id).view.stage


@pytest.mark.parametrize("use", [planned, released])
def test_no_case_goes_on_while_an_adapter_in_use_is_not_in_the_settings(
    workspace: Workspace, use: Callable[[Session], None]
) -> None:
    """Neither a preview nor a containment; with its section back, or out of use, both go on."""
    case_id = approved_case(workspace, PLANTED)
    with workspace.database.transaction() as session:
        use(session)
    for step in (previewing.make_preview, erasure.contain):
        with pytest.raises(RefusedByRule, match="the adapter sales") as refusal:
            step(workspace, case_id)
        assert "[adapters.sales]" in refusal.value.hint
    assert stage_of(workspace, case_id) == Stage.APPROVED
    with (workspace.settings.workspace / "lethe.toml").open("a", encoding="utf-8") as settings:
        settings.write("\n[adapters.sales]\n")
    back = open_workspace(workspace.settings.workspace)
    previewing.make_preview(back, case_id)
    assert stage_of(back, case_id) == (Stage.PREVIEW_READY if use is planned else Stage.APPROVED)


def test_what_was_taken_out_of_service_stops_no_case(workspace: Workspace) -> None:
    case_id = approved_case(workspace, PLANTED)
    with workspace.database.transaction() as session:
        released(session)
        builds.withdraw(session, adapter="sales", now=utc_now())
    previewing.make_preview(workspace, case_id)
    erasure.contain(workspace, case_id)
