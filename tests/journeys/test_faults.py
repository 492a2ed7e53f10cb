"""Faults: what the machine, the operator and other processes do to a workspace. One sentence, nothing half done, go on."""

from __future__ import annotations

import errno
import json
import os
import signal
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command_line import Running, lethe, lethe_here, one_sentence
from small_world import ADAPTER, bytes_in_service, copy_workspace, live_states
from sqlmodel import select

from lineage import database, store
from lineage.lease import LIFETIME, held
from lineage.tables import LeaseRow
from lineage.workspace import open_workspace
from pipelines.ingest import utc_now

LOOKUP = ("erase", "list")


@pytest.fixture
def folder(trained, tmp_path, here) -> Path:
    return copy_workspace(trained.folder, tmp_path / "ws")


@pytest.fixture
def untrained(ingested, tmp_path, here) -> Path:
    return copy_workspace(ingested.folder, tmp_path / "ws")


def half_written(folder: Path) -> list[Path]:
    return list((folder / ".lethe" / "store").rglob(".partial-*"))


# --- secrets and settings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["workspace.key", "vault.key"])
def test_a_secret_that_belongs_to_another_workspace(folder, name):
    (folder / ".lethe" / "secrets" / name).write_text("ab" * 32 + "\n")
    one_sentence(
        lethe_here(*LOOKUP, workspace=folder, code=None), 2, "not the ones its database was made with", "Restore"
    )


@pytest.mark.parametrize("name", ["workspace.key", "vault.key"])
def test_a_secret_that_others_can_read(folder, name):
    (folder / ".lethe" / "secrets" / name).chmod(0o644)
    one_sentence(lethe_here(*LOOKUP, workspace=folder, code=None), 2, name, "chmod 600")


def test_a_secret_that_is_gone(folder):
    (folder / ".lethe" / "secrets" / "vault.key").unlink()
    one_sentence(lethe_here(*LOOKUP, workspace=folder, code=None), 2, "vault.key", "missing")


@pytest.mark.parametrize("content", ["", "zz" * 32, "ab" * 31])
def test_a_secret_that_is_damaged(folder, content):
    (folder / ".lethe" / "secrets" / "workspace.key").write_text(content)
    one_sentence(lethe_here(*LOOKUP, workspace=folder, code=None), 2, "workspace.key")


def test_a_base_model_that_is_not_there(untrained):
    settings = untrained / "lethe.toml"
    settings.write_text(settings.read_text().replace('base_model = "tiny"', 'base_model = "/nowhere/model"'))
    one_sentence(lethe_here("train", ADAPTER, workspace=untrained, code=None), 2, "base")
    assert not live_states(open_workspace(untrained))


# --- the disk -------------------------------------------------------------------------------------------------------------------


def test_a_full_disk_while_a_state_is_written(untrained, ingested, trained, here):
    """The third file does not fit: nothing half-written is visible, and the next run gives the same bytes."""
    whole, written = store.write_synced, []

    def until_full(path: Path, content: bytes) -> None:
        written.append(path)
        if len(written) == 5:
            path.write_bytes(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(path, content)

    here.setattr(store, "write_synced", until_full)
    said = lethe_here("train", ADAPTER, "--plan", ingested.plan, workspace=untrained, code=None)
    one_sentence(said, 4, "the disk is full", "again")
    workspace = open_workspace(untrained)
    assert half_written(untrained) == []
    assert {state.state_digest for state in live_states(workspace)} == workspace.store.digests("states")
    for state in live_states(workspace):
        workspace.store.read("states", state.state_digest)
    here.setattr(store, "write_synced", whole)
    lethe_here("train", ADAPTER, workspace=untrained)
    assert bytes_in_service(untrained) == bytes_in_service(trained.folder)


@pytest.mark.parametrize("place", [(-1, 0), (0, 0), (0, 1)], ids=["trunk", "first slice", "last slice"])
def test_a_state_that_was_lost_from_the_store_is_built_again(folder, place):
    """The row alone is no state: training again brings the same bytes back, whichever state it was."""
    (lost,) = [state for state in live_states(open_workspace(folder)) if (state.shard, state.slice) == place]
    before = bytes_in_service(folder)
    open_workspace(folder).store.destroy("states", lost.state_digest)
    lethe_here("train", ADAPTER, workspace=folder)
    assert bytes_in_service(folder) == before


# --- other processes --------------------------------------------------------------------------------------------------------------


def test_a_database_that_another_process_holds(folder, here):
    here.setattr(database, "BUSY_TIMEOUT_MS", 200)
    other = sqlite3.connect(folder / ".lethe" / "lethe.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        said = lethe_here("staff", "add", "pia", "--role", "ml", "--as", "root", workspace=folder, code=None)
        one_sentence(said, 4, "locked by another process", "try again")
        assert lethe_here(*LOOKUP, workspace=folder).code == 0, "readers are not kept waiting"
    finally:
        other.rollback()
        other.close()
    lethe_here("staff", "add", "pia", "--role", "ml", "--as", "root", workspace=folder)


def test_a_second_process_on_a_shard_that_is_being_trained(untrained, ingested, trained):
    """This process holds the shard, a real second one asks for it: a fault with a sentence, and afterwards it goes on."""
    workspace = open_workspace(untrained)
    with held(workspace.database, f"shard:{ADAPTER}.0", utc_now):
        said = lethe("train", ADAPTER, "--plan", ingested.plan, workspace=untrained, code=None)
        one_sentence(said, 4, "Another process is working on", "Wait")
    lethe_here("train", ADAPTER, workspace=untrained)
    assert bytes_in_service(untrained) == bytes_in_service(trained.folder)


def test_a_second_process_on_a_running_ingest(untrained, tmp_path):
    workspace = open_workspace(untrained)
    (tmp_path / "one.jsonl").write_text(json.dumps({"id": "x", "text": "A lamp.", "subjects": []}))
    with held(workspace.database, "ingest", utc_now):
        said = lethe_here("ingest", tmp_path / "one.jsonl", "--source", "tickets", workspace=untrained, code=None)
        one_sentence(said, 4, "Another process is working on ingest")
    lethe_here("ingest", tmp_path / "one.jsonl", "--source", "tickets", workspace=untrained)
    lethe_here("plan", ADAPTER, workspace=untrained)


def test_the_lease_of_a_dead_process_is_free_at_once_and_of_one_elsewhere_when_it_expires(folder):
    workspace = open_workspace(folder)
    now = datetime.now(UTC)
    with workspace.database.transaction() as session:
        session.add(
            LeaseRow(name="dead", token=7, holder=f"{os.uname().nodename}:{2**22 - 1}:1.00", expires_at=now + LIFETIME)
        )
        session.add(
            LeaseRow(name="elsewhere", token=7, holder="other-host:1:1.00", expires_at=now + timedelta(seconds=1))
        )
    with held(workspace.database, "dead", utc_now) as lease:
        assert lease.token == 8
    with pytest.raises(Exception, match="Another process"), held(workspace.database, "elsewhere", lambda: now):
        pass
    with held(workspace.database, "elsewhere", lambda: now + timedelta(seconds=2)) as lease:
        assert lease.token == 8


def test_ctrl_c_in_a_training(untrained, ingested, trained):
    """A real process, interrupted when it has published a state: exit 4, one sentence; the next run goes on there."""
    running = Running("train", ADAPTER, "--plan", ingested.plan, workspace=untrained)
    states = untrained / ".lethe" / "store" / "states"
    assert running.stop_when(lambda: states.exists() and len(list(states.glob("*.json"))) >= 2, signal.SIGINT)
    said = running.end()
    one_sentence(said, 4, "Interrupted", "Run the same command again")
    workspace = open_workspace(untrained)
    done = {state.state_digest for state in live_states(workspace)}
    assert done
    lethe_here("train", ADAPTER, workspace=untrained)
    assert bytes_in_service(untrained) == bytes_in_service(trained.folder)
    with workspace.database.reader() as session:
        assert not [row for row in session.exec(select(LeaseRow)).all() if row.holder], "a lease was left behind"
