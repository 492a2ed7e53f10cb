"""The gate is in the data: a shard asset started by hand on a closed gate fails, whatever the UI offered."""

from __future__ import annotations

import pytest
from command_line import lethe_here
from small_world import ADAPTER, copy_workspace, live_states
from sqlmodel import col, delete, select

from lineage.catalog import training_contents
from lineage.errors import GateClosed
from lineage.tables import AdmissionRow, IngestRow, PlacementRow, RecordRow
from lineage.workspace import Workspace, open_workspace
from pipelines.assets import partition_key, partitions_name
from pipelines.instance import run_job, workspace_instance
from pipelines.launch import _job
from pipelines.states import open_atelier


def start_shard_by_hand(workspace: Workspace, shard: int = 0) -> None:
    """What the button "Materialize" of a shard's partition does: the job on the workspace's own instance."""
    job = _job(workspace, f"{ADAPTER}_shard")
    key = partition_key(ADAPTER, shard)
    with workspace_instance(workspace.home) as instance:
        instance.add_dynamic_partitions(partitions_name(ADAPTER), [key])
        run_job(job, instance, partition_key=key)


def interrupt_ingest(workspace: Workspace) -> None:
    with workspace.database.transaction() as session:
        session.exec(select(IngestRow)).first().status = "running"


def change_policy(workspace: Workspace) -> None:
    settings = workspace.settings.workspace / "lethe.toml"
    settings.write_text(settings.read_text().replace('policy = "default"', 'policy = "strict"'))


def drop_an_admission(workspace: Workspace) -> None:
    with workspace.database.transaction() as session:
        first = session.exec(select(AdmissionRow.record_id)).first()
        session.exec(delete(AdmissionRow).where(col(AdmissionRow.record_id) == first))


def test_by_hand_on_an_empty_workspace(tmp_path, here):
    lethe_here("init", tmp_path / "ws")
    with pytest.raises(GateClosed, match="no record was admitted") as said:
        start_shard_by_hand(open_workspace(tmp_path / "ws"))
    assert "lethe ingest" in said.value.hint


@pytest.mark.parametrize(
    ("close", "sentence"),
    [
        (interrupt_ingest, "an ingest did not finish"),
        (change_policy, "admitted under another policy"),
        (drop_an_admission, "1 records have no admission"),
    ],
)
def test_by_hand_on_a_gate_that_closed(trained, tmp_path, here, close, sentence):
    """Nothing is trained, and the hint says what opens the gate."""
    folder = copy_workspace(trained.folder, tmp_path / "ws")
    close(open_workspace(folder))
    workspace = open_workspace(folder)
    before = len(live_states(workspace))
    with pytest.raises(GateClosed, match=sentence) as said:
        start_shard_by_hand(workspace)
    assert said.value.hint
    assert len(live_states(workspace)) == before


def test_by_hand_on_an_open_gate_works(trained, tmp_path, here):
    """The control: the same button, an open gate."""
    start_shard_by_hand(open_workspace(copy_workspace(trained.folder, tmp_path / "ws")))


@pytest.mark.parametrize("command", [("train", ADAPTER), ("plan", ADAPTER, "--json")])
def test_training_a_closed_gate_exits_1(ingested, tmp_path, here, command):
    folder = copy_workspace(ingested.folder, tmp_path / "ws")
    interrupt_ingest(open_workspace(folder))
    if command[0] == "train":
        said = lethe_here(*command, workspace=folder, code=1)
        assert "an ingest did not finish" in said.err
    else:
        lethe_here(*command, workspace=folder)  # a plan is arithmetic over counts; it learns nothing


def test_a_record_without_an_admission_is_never_read(trained, tmp_path):
    """Below the gate's count: the reader itself refuses, and the members leave the record out."""
    workspace = open_workspace(copy_workspace(trained.folder, tmp_path / "ws"))
    atelier = open_atelier(workspace, ADAPTER)
    with workspace.database.transaction() as session:
        placed = session.exec(select(PlacementRow).where(PlacementRow.kind == "shard")).first()
        assert training_contents(session, [placed.record_id], keystore=workspace.keystore)
        session.exec(delete(AdmissionRow).where(col(AdmissionRow.record_id) == placed.record_id))
        with pytest.raises(GateClosed, match="no admission"):
            training_contents(session, [placed.record_id], keystore=workspace.keystore)
    members = {m.record_id for slices in atelier.members(placed.shard).values() for m in slices}
    assert placed.record_id not in members


def test_a_restricted_record_is_never_read(trained, tmp_path):
    """Art. 18: from containment on, whatever road a reader takes."""
    workspace = open_workspace(copy_workspace(trained.folder, tmp_path / "ws"))
    with workspace.database.transaction() as session:
        row = session.exec(select(RecordRow).where(RecordRow.status == "admitted")).first()
        row.restricted_by = "case-x"
        session.add(row)
    with workspace.database.reader() as session, pytest.raises(GateClosed):
        training_contents(session, [row.id], keystore=workspace.keystore)
