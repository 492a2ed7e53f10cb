"""Rectification (Art. 16): afterwards every byte equals a training that only ever saw the corrected contents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import lethe_here
from crashes import Killed, boundaries, crashing, let_die
from small_world import (
    ADAPTER,
    CORPUS,
    PLANTED,
    SECOND,
    SOURCE,
    Bytes,
    bytes_in_service,
    copy_workspace,
    live_states,
    store_path,
    write_corpus,
)
from sqlalchemy import text
from sqlmodel import col, select
from world_making import make_world

from lineage.catalog import contents_of
from lineage.records import canonical_bytes
from lineage.tables import IngestRow, PlacementRow, RecordRow, SupersededRow
from lineage.vault import record_key
from lineage.workspace import Workspace, open_workspace
from pipelines.demo_rows import DemoRow, Turn, write_jsonl
from pipelines.ingest import request_ingest, run_ingest

NOBODY = [row for row in CORPUS.rows if not row.subjects]
OWN = [row for row in CORPUS.rows if row.subjects == (PLANTED.customer_id,)]


def saying(row: DemoRow, text: str) -> DemoRow:
    """The row with its first turn replaced."""
    return replace(row, turns=(Turn(row.turns[0].role, (text,)), *row.turns[1:]))


ONE = [saying(OWN[0], "My order came to the wrong house. It is number nineteen, not ninety.")]
MANY = [
    saying(NOBODY[0], "Which colours does the lamp come in today?"),  # stays in the trunk
    saying(NOBODY[1], f"Write to {SECOND.email} about the lamp."),  # a person is in it now: leaves the trunk
    saying(next(r for r in CORPUS.rows if SECOND.customer_id in r.subjects), "The diagnosis was cancer."),  # waits
    saying(next(r for r in CORPUS.rows if CORPUS.people[5].customer_id in r.subjects), "It is the blue one."),
]


def corrections(rows: list[DemoRow], folder: Path) -> Path:
    path = folder / "corrected.jsonl"
    write_jsonl(rows, path)
    return path


def rectified(trained, rows: list[DemoRow], folder: Path) -> Path:
    """A trained workspace in which these rows were rectified, and that was trained again."""
    workspace = copy_workspace(trained.folder, folder / "ws")
    lethe_here("ingest", corrections(rows, folder), "--source", SOURCE, "--rectify", workspace=workspace)
    lethe_here("train", ADAPTER, workspace=workspace)
    return workspace


def always_so(trained, rows: list[DemoRow], folder: Path) -> Bytes:
    """A fresh workspace, same plan and secret, whose corpus held these rows from the start."""
    now = {row.row_id: row for row in rows}
    corpus = replace(CORPUS, rows=tuple(now.get(row.row_id, row) for row in CORPUS.rows))
    files = write_corpus(corpus, folder / "given")
    world = make_world(folder / "fresh", corpus=files[0], people=files[1], secret=trained.secret)
    lethe_here("train", ADAPTER, "--plan", trained.plan, workspace=world)
    return bytes_in_service(world)


def records(workspace: Workspace) -> dict[str, RecordRow]:
    with workspace.database.reader() as session:
        return {row.id: row for row in session.exec(select(RecordRow)).all()}


def changed(before: Mapping[str, RecordRow], after: Mapping[str, RecordRow]) -> list[tuple[RecordRow, RecordRow]]:
    assert before.keys() == after.keys()
    return [(before[r], after[r]) for r in before if before[r].given_hmac != after[r].given_hmac]


@pytest.fixture(scope="module")
def one(trained, tmp_path_factory) -> Path:
    return rectified(trained, ONE, tmp_path_factory.mktemp("one"))


def test_a_rectified_record_equals_one_that_always_said_so(trained, one, tmp_path):
    found = bytes_in_service(one)
    assert found == always_so(trained, ONE, tmp_path)
    assert found != bytes_in_service(trained.folder)


def test_only_the_suffix_of_its_shard_is_rebuilt(trained, one):
    old = {state.recipe_digest for state in live_states(open_workspace(trained.folder))}
    new = [(state.shard, state.slice) for state in live_states(open_workspace(one)) if state.recipe_digest not in old]
    assert len(new) == 1
    assert new[0][1] == 1


def test_it_keeps_id_generation_and_place_and_its_old_text_does_not_open(trained, one):
    before, after = open_workspace(trained.folder), open_workspace(one)
    ((was, now),) = changed(records(before), records(after))
    assert (now.generation, now.ingest_id, now.source, now.version) == (was.generation, was.ingest_id, was.source, 1)
    with before.database.reader() as old, after.database.reader() as new:
        places = select(PlacementRow).where(PlacementRow.record_id == now.id)
        assert [p.model_dump() for p in old.exec(places)] == [p.model_dump() for p in new.exec(places)]
        (record,) = contents_of(new, [now.id], keystore=after.keystore)
        assert new.exec(select(IngestRow.rectify).where(col(IngestRow.generation) > 0)).all() == [True]
    assert "nineteen" in record.content.segments()[0]
    assert after.keystore._find({record_key(now.id)}) == {}
    assert before.keystore._find({record_key(now.id)}), "the control: the old key was there"


def test_weights_that_learnt_the_old_content_are_destroyed_once_they_are_out_of_service(trained, one):
    before, after = open_workspace(trained.folder), open_workspace(one)
    gone = {s.state_digest for s in live_states(before)} - {s.state_digest for s in live_states(after)}
    assert len(gone) == 1
    assert not [digest for digest in gone if store_path(one, "states", digest).exists()]
    with after.database.reader() as session:
        assert session.exec(select(SupersededRow)).all() == []


@pytest.mark.slow
def test_records_that_leave_the_trunk_or_the_gate_go_where_a_fresh_workspace_puts_them(trained, tmp_path):
    folder = rectified(trained, MANY, tmp_path)
    workspace = open_workspace(folder)
    assert bytes_in_service(folder) == always_so(trained, MANY, tmp_path)
    moved = changed(records(open_workspace(trained.folder)), records(workspace))
    assert sorted((was.trunk_eligible, now.trunk_eligible, now.status) for was, now in moved) == [
        (False, False, "admitted"), (False, False, "quarantined"), (True, False, "admitted"), (True, True, "admitted"),
    ]  # fmt: skip


@pytest.mark.slow
def test_back_and_forth_is_as_it_was(trained, one, tmp_path):
    folder = copy_workspace(one, tmp_path / "ws")
    lethe_here("ingest", corrections(OWN[:1], tmp_path), "--source", SOURCE, "--rectify", workspace=folder)
    lethe_here("train", ADAPTER, workspace=folder)
    assert bytes_in_service(folder) == bytes_in_service(trained.folder)


def test_the_same_again_is_held_and_a_second_wording_in_one_file_is_refused(one, tmp_path):
    folder = copy_workspace(one, tmp_path / "ws")
    twice = corrections([*ONE, saying(OWN[0], "It is number twenty."), saying(NOBODY[0], "What?")], tmp_path)
    for expected in ({"held": 1, "rectified": 1, "rejected": 1}, {"held": 2, "rectified": 0, "rejected": 1}):
        said = lethe_here("ingest", twice, "--source", SOURCE, "--rectify", "--json", workspace=folder).json()[0]
        assert {name: said["counts"].get(name, 0) for name in expected} == expected
    assert sorted(r.version for r in records(open_workspace(folder)).values())[-3:] == [0, 1, 1]


@pytest.mark.slow
def test_a_crash_at_any_step_leaves_every_live_record_readable_and_the_same_ingest_ends_it(ingested, tmp_path):
    def run(workspace: Workspace) -> None:
        path = corrections(MANY, tmp_path)
        run_ingest(workspace, request_ingest(workspace, path, source=SOURCE, rectify=True))

    done = open_workspace(copy_workspace(ingested.folder, tmp_path / "done"))
    steps = boundaries(lambda: run(done))
    assert steps > 10
    for at in range(1, steps + 1):
        workspace = open_workspace(copy_workspace(ingested.folder, tmp_path / f"at-{at}"))
        with pytest.raises(Killed), crashing(at):
            run(workspace)
        let_die(workspace)
        assert_readable(workspace)
        run(workspace)
        assert_readable(workspace)
        assert told(workspace) == told(done), f"a crash at step {at}"


def assert_readable(workspace: Workspace) -> None:
    live = [row for row in records(workspace).values() if row.status == "admitted"]
    with workspace.database.reader() as session:
        found = contents_of(session, [row.id for row in live], keystore=workspace.keystore)
    digests = {r.record_id: workspace.keyring.content(canonical_bytes(r.content)) for r in found}
    assert digests == {row.id: row.content_hmac for row in live}


def told(workspace: Workspace) -> object:
    """The records, and the keys there are: none of an old text."""
    rows = [(r.id, r.content_hmac, r.status, r.version, r.generation) for r in records(workspace).values()]
    with workspace.keystore._database.reader() as session:
        names = session.execute(text("SELECT name FROM data_key WHERE name NOT LIKE 'ingest:%'")).scalars().all()
    return sorted(rows), sorted(names)


def test_without_the_flag_another_content_is_refused_as_ever(trained, tmp_path):
    folder = copy_workspace(trained.folder, tmp_path / "ws")
    lethe_here("ingest", corrections(ONE, tmp_path), "--source", SOURCE, workspace=folder)
    (line,) = next((folder / ".lethe" / "rejects").iterdir()).read_text().splitlines()
    assert "used before with another content" in json.loads(line)["reason"]
