"""By commands: what is decided about single records, who asks, who takes a request back, and whose time runs out."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from command_line import lethe_here
from dagster import DagsterInstance, build_sensor_context
from road import hire

from lineage import desk, ledger
from lineage.access import Actor, Role
from lineage.alarms import ALARM
from lineage.case import CaseFile
from lineage.closure import Closure, ClosureRecord
from lineage.evidence import add_evidence, contract, save_closure
from lineage.stages import Stage
from lineage.tables import IngestRow, RecordRow
from lineage.workspace import Workspace, create_workspace, open_workspace
from pipelines.alarming import alarm_sensor
from pipelines.resources import WorkspaceResource
from pipelines.triggers import case_sensor

NOW = datetime.now(UTC)
TODAY = NOW.date()
INES, DANA = Actor("ines", Role.INTAKE), Actor("dana", Role.DPO)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    create_workspace(tmp_path / "ws", controller="Test GmbH")
    hire(tmp_path / "ws")
    return open_workspace(tmp_path / "ws")


def filed(workspace: Workspace, received: date = TODAY) -> str:
    intake = desk.Intake(["C-1"], "b", "portal", received)
    return desk.file_case(workspace, intake, actor=INES, now=NOW).id


def previewed(workspace: Workspace) -> tuple[str, str]:
    """A case about one record, with a preview; returns the record's handle too."""
    case_id = filed(workspace)
    with workspace.database.transaction() as session:
        session.add(IngestRow(id="i", source="s", generation=0, status="finished", requested_at=NOW))
        session.add(
            RecordRow(
                id="r1", ingest_id="i", source="s", generation=0, purpose="p", lawful_basis="contract", language="en",
                given_hmac="g", content_hmac="c", id_hmac="h", status="admitted",
            )
        )  # fmt: skip
        session.flush()
        closure = Closure((ClosureRecord("r1", "declared", "erase"),))
        digest = add_evidence(
            session, case_id, "contract", contract(session, case_id, closure, workspace.keyring), now=NOW
        )
        save_closure(session, case_id, closure, workspace.keyring)
        CaseFile(session, case_id).preview_ready(digest, now=NOW)
    return case_id, workspace.keyring.handle(case_id, "r1")


def look(workspace: Workspace, case_id: str) -> dict:
    return lethe_here("erase", "show", case_id, "--json", workspace=workspace.settings.workspace).json()["standing"][
        "case"
    ]


def test_a_record_is_kept_and_held_and_let_go(workspace: Workspace) -> None:
    case_id, handle = previewed(workspace)
    folder = workspace.settings.workspace
    keep = ("erase", "decide", case_id, handle[:8], "keep", "--as", "dana")
    assert "letter from a to e" in lethe_here(*keep, workspace=folder, code=2).err
    told = lethe_here(*keep, "--exception", "b", "--reason", "Tax law.", workspace=folder).out
    assert "ASSESSMENT" in told
    assert "PARTLY_REFUSED" in told
    held = ("erase", "hold", case_id, "--record", handle, "--as", "dana")
    lethe_here(*held, "--reason", "pending claim", workspace=folder)
    assert look(workspace, case_id)["beside"] == ["ON_HOLD", "PARTLY_REFUSED"]
    shown = lethe_here("erase", "show", case_id, workspace=folder).out
    assert "under legal hold" in shown
    assert "refused in part" in shown
    lethe_here(*held, "--lift", workspace=folder)
    lethe_here("erase", "decide", case_id, handle, "as-found", "--as", "dana", workspace=folder)
    assert look(workspace, case_id)["beside"] == []
    refused = lethe_here("erase", "decide", case_id, handle, "erase", "--as", "max", workspace=folder, code=3)
    assert "Only the role dpo" in refused.err


def test_a_doubt_pauses_and_a_proof_goes_on(workspace: Workspace) -> None:
    folder, received = workspace.settings.workspace, TODAY - timedelta(days=9)
    case_id = filed(workspace, received)
    before = look(workspace, case_id)["due_on"]
    asked, answered = (str(received + timedelta(days=n)) for n in (2, 7))
    assert (
        "IDENTITY_CHECK"
        in lethe_here("erase", "doubt", case_id, "--asked", asked, "--as", "ines", workspace=folder).out
    )
    assert "the clock stands still" in lethe_here("erase", "list", workspace=folder).out
    confirm = ("erase", "confirm", case_id, "--identity", "passport", "--answered", answered, "--as", "ines")
    assert "ASSESSMENT" in lethe_here(*confirm, workspace=folder).out
    case = look(workspace, case_id)
    assert case["due_on"] > before
    assert "5 days added" in case["due_basis"]
    lethe_here("erase", "withdraw", case_id, "--reason", "By telephone.", "--as", "ines", workspace=folder)
    assert look(workspace, case_id)["stage"] == Stage.WITHDRAWN


def test_the_list_of_alarms_says_no_with_its_exit_code(workspace: Workspace) -> None:
    folder = workspace.settings.workspace
    assert "No case is at an alarm" in lethe_here("erase", "list", "--alarm", workspace=folder).out
    case_id = filed(workspace, TODAY - timedelta(days=25))
    for _ in range(2):
        listed = lethe_here("erase", "list", "--alarm", "--json", workspace=folder, code=1).json()
        assert [(line["case"], line["alarm"] in (75, 90)) for line in listed] == [(case_id, True)]
    assert len(told(workspace, case_id)) == 1
    assert lethe_here("erase", "list", "--json", workspace=folder).json()[0]["alarm"] in (75, 90)


def told(workspace: Workspace, case_id: str) -> list:
    with workspace.database.reader() as session:
        return [event for event in ledger.events_of_case(session, case_id) if event.kind == ALARM]


def test_the_sensor_raises_each_alarm_once(workspace: Workspace) -> None:
    case_id = filed(workspace, TODAY - timedelta(days=25))
    resource = WorkspaceResource(folder=str(workspace.settings.workspace))
    for _ in range(2):
        with DagsterInstance.ephemeral() as instance:
            context = build_sensor_context(instance=instance, resources={"workspace": resource})
            with context:
                assert "1 cases are at an alarm" in str(alarm_sensor(context))
    assert len(told(workspace, case_id)) == 1


def test_no_purge_is_asked_for_while_a_record_is_held_and_it_is_not_a_failure(workspace: Workspace) -> None:
    case_id, handle = previewed(workspace)
    with workspace.database.transaction() as session:
        case = CaseFile(session, case_id)
        case.approve(actor=DANA, digest=case.view.preview_digest, now=NOW)
        for step in (Stage.CONTAINED, Stage.EXECUTING, Stage.VERIFYING):
            case.advance(step, now=NOW)
        case.evidence_ready("e" * 64, now=NOW)
        case.approve_purge(actor=DANA, digest="e" * 64, now=NOW)
    assert asked_for(workspace) == ["case_purge"]
    desk.hold_record(workspace, case_id, handle, reason="pending claim", actor=DANA, now=NOW)
    assert asked_for(workspace) == []
    desk.hold_record(workspace, case_id, handle, reason="", actor=DANA, now=NOW)
    assert asked_for(workspace) == ["case_preview"], "a hold that was lifted asks for a new preview"


def asked_for(workspace: Workspace) -> list[str]:
    resource = WorkspaceResource(folder=str(workspace.settings.workspace))
    with DagsterInstance.ephemeral() as instance:
        context = build_sensor_context(instance=instance, resources={"workspace": resource})
        with context:
            found = case_sensor(context)
            return [request.job_name for request in found]  # type: ignore[union-attr]
