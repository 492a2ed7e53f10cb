"""Collecting the store's garbage changes nothing that anybody can ask for: training, service, and erasures go on as before."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from command_line import lethe_here
from road import rebuilt_case
from small_world import ADAPTER, ELSEWHERE, bytes_in_service, copy_workspace, live_states, store_path
from sqlmodel import select

from lineage import builds, plans
from lineage.errors import Fault
from lineage.lease import held
from lineage.tables import CaseRow, ComposedAdapterRow, LedgerRow
from lineage.workspace import Workspace, open_workspace
from pipelines import training
from pipelines.collecting import check_store, collect, survey
from pipelines.ingest import utc_now

LATER = timedelta(days=2)


@pytest.fixture
def ended(purged, tmp_path: Path) -> Workspace:
    """After an erasure that was signed off: its contained adapter is of no use to anybody."""
    workspace = open_workspace(copy_workspace(purged.folder, tmp_path / "ws"))
    with workspace.database.transaction() as session:
        session.get_one(CaseRow, purged.case_id).stage = "SIGNED_OFF"
    return workspace


def files(workspace: Workspace) -> set[Path]:
    return {path for path in (workspace.home / "store").rglob("*") if path.is_file()}


def test_after_a_collection_training_does_nothing_and_an_erasure_still_works(ended: Workspace) -> None:
    before = bytes_in_service(ended.settings.workspace)
    report = collect(ended, now=utc_now() + LATER)
    assert report.adapters > 0
    assert check_store(ended).missing == check_store(ended).damaged == check_store(ended).orphans == ()
    with ended.database.reader() as session:
        shards = len(builds.parts_of(session, builds.current_release(session, ADAPTER) or ""))
    assert [training.build_shard(ended, ADAPTER, shard).states_trained for shard in range(shards)] == [0] * shards
    assert bytes_in_service(ended.settings.workspace) == before
    rebuilt_case(ended, ELSEWHERE)
    assert bytes_in_service(ended.settings.workspace) != before
    assert collect(ended, now=utc_now() + LATER).states == 0, "the open case needs what was before it"


def test_collecting_again_does_nothing_and_looking_changes_nothing(ended: Workspace) -> None:
    now, there = utc_now() + LATER, files(ended)
    foreseen = survey(ended, now=now)
    assert files(ended) == there
    assert survey(ended, now=now) == foreseen == collect(ended, now=now)
    assert files(ended) < there
    assert set(vars(collect(ended, now=now)).values()) == {0}
    with ended.database.reader() as session:
        events = session.exec(select(LedgerRow).where(LedgerRow.kind == "store.collected")).all()
    assert len(events) == 1
    assert [row.destroyed_at for row in rows(ended, ComposedAdapterRow)].count(None) == 1


def rows(workspace: Workspace, table: type) -> list:
    with workspace.database.reader() as session:
        return list(session.exec(select(table)).all())


def test_what_is_young_stays(ended: Workspace) -> None:
    there = files(ended)
    assert set(vars(collect(ended)).values()) == {0}
    assert files(ended) == there


def test_an_open_case_keeps_what_it_will_be_judged_by(erased, tmp_path: Path) -> None:
    workspace = open_workspace(copy_workspace(erased.folder, tmp_path / "ws"))
    there = files(workspace)
    assert set(vars(collect(workspace, now=utc_now() + LATER)).values()) == {0}
    assert files(workspace) == there


def test_nothing_is_collected_while_somebody_builds(ended: Workspace) -> None:
    there = files(ended)
    for name in (f"shard:{ADAPTER}.1", "case:case-12345678"):
        with held(ended.database, name, utc_now), pytest.raises(Fault, match="working on"):
            collect(ended, now=utc_now() + LATER)
    assert files(ended) == there
    assert collect(ended, now=utc_now() + LATER).adapters > 0


def test_a_training_that_was_killed_loses_nothing_it_had_published(trained, tmp_path: Path) -> None:
    """The chain of the live records is a root as far as it is built, however old: the next training goes on there."""
    workspace = open_workspace(copy_workspace(trained.folder, tmp_path / "ws"))
    with workspace.database.transaction() as session:
        assert builds.withdraw(session, adapter=ADAPTER, now=utc_now())
        for row in session.exec(select(ComposedAdapterRow)).all():
            row.destroyed_at = utc_now()  # as if it had never come so far
    states = {state.recipe_digest for state in live_states(workspace)}
    assert collect(workspace, now=utc_now() + LATER).states == 0
    assert {state.recipe_digest for state in live_states(workspace)} == states


def test_the_store_without_a_plan_in_lethe_toml_is_left_alone(trained, tmp_path: Path) -> None:
    folder = copy_workspace(trained.folder, tmp_path / "ws")
    settings = folder / "lethe.toml"
    settings.write_text(settings.read_text().replace(f"[adapters.{ADAPTER}", "[adapters.other"))
    workspace = open_workspace(folder)
    with workspace.database.transaction() as session:
        builds.withdraw(session, adapter=ADAPTER, now=utc_now())
        assert plans.current_plan(session, ADAPTER)
    assert set(vars(collect(workspace, now=utc_now() + LATER)).values()) == {0}


def age(path: Path, at: datetime) -> None:
    for file in (path, *path.rglob("*")):
        os.utime(file, (at.timestamp(), at.timestamp()))


def test_what_crashes_left_goes_after_a_day(ended: Workspace) -> None:
    """Entries without a row or without a manifest, and files that were never renamed; an entry that arrives now stays."""
    store, folder = ended.store, ended.home / "store"
    store.publish("states", "ab" * 32, {"weights.safetensors": b"x"})
    (folder / "states" / ("cd" * 32)).mkdir()
    (folder / "states" / ("cd" * 32) / "weights.safetensors").write_bytes(b"x")
    (folder / "states" / ".partial-1").mkdir()
    assert (collect(ended).entries, collect(ended).leftovers) == (0, 0)
    for name in ("ab" * 32, "ab" * 32 + ".json", "cd" * 32, ".partial-1"):
        age(folder / "states" / name, utc_now() - LATER)
    report = collect(ended)
    assert (report.entries, report.leftovers) == (2, 1)
    assert store.digests("states") == {state.state_digest for state in live_states(ended)}


def test_the_commands_run_the_job_and_say_what_is_wrong(ended: Workspace, here) -> None:
    folder = ended.settings.workspace
    planned = lethe_here("store", "gc", "--dry-run", "--json", workspace=folder).json()
    assert planned["dry_run"]
    done = lethe_here("store", "gc", "--json", workspace=folder).json()
    assert {name: done[name] for name in ("states", "adapters", "entries")} == {
        "states": 0,
        "adapters": 0,
        "entries": 0,
    }
    assert lethe_here("store", "check", "--json", workspace=folder).json()["damaged"] == []
    one, two, *_ = sorted(state.state_digest for state in live_states(ended))
    (store_path(folder, "states", one) / "weights.safetensors").write_bytes(b"\0")
    ended.store.destroy("states", two)
    said = lethe_here("store", "check", "--json", workspace=folder, code=1).json()
    assert (said["damaged"], said["missing"]) == ([f"states/{one}"], [f"states/{two}"])


def test_no_file_of_the_store_is_a_pickle(erased) -> None:
    """Neither a pickle (protocol 2 and later begin with 0x80) nor a zip that holds one: weights are safetensors, the rest JSON."""
    found = [path for path in (erased.folder / ".lethe" / "store").rglob("*") if path.is_file()]
    assert {path.suffix for path in found} == {".safetensors", ".json"}
    for path in found:
        head = path.read_bytes()[:9]
        assert not head.startswith((b"\x80", b"PK"))
        assert head[8:9] == b"{" if path.suffix == ".safetensors" else head[:1] == b"{"
