"""Placed once. No orphans. Forget is complete. Forget is minimal: checks over tables and files after a real erasure."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from road import case_of, rebuilt_case
from small_world import ADAPTER, PLANTED, copy_workspace, live_states, store_path, values_of
from sqlmodel import select

from lineage import builds, manifests
from lineage.evidence import case_records, evidence
from lineage.plans import TRUNK
from lineage.tables import (
    AdmissionRow,
    ComposedAdapterRow,
    PlacementRow,
    RecordRow,
    ReleaseRow,
    ShardAdapterRow,
    SliceManifestRow,
    StateRow,
    VaultRow,
)
from lineage.workspace import Workspace, open_workspace
from pipelines import erasure, rebuilt


def rows(workspace: Workspace, table: type) -> list:
    with workspace.database.reader() as session:
        return list(session.exec(select(table)).all())


def closure_of(workspace: Workspace, case_id: str) -> set[str]:
    with workspace.database.reader() as session:
        return {r.record_id for r in case_records(session, case_id) if r.decision == "erase" and r.record_id}


def ancestors_of(workspace: Workspace, composed: str) -> list[builds.StateFacts]:
    with workspace.database.reader() as session:
        parts = builds.parts_of(session, composed)
        return [state for recipe in parts.values() for state in builds.ancestors(session, recipe)]


def records_below(workspace: Workspace, composed: str) -> set[str]:
    """Every record that a composed adapter descends from."""
    return {record_id for state in ancestors_of(workspace, composed) for record_id in trained_on(workspace, state)}


def trained_on(workspace: Workspace, state: builds.StateFacts) -> list[str]:
    """The records of a state's slice."""
    with workspace.database.reader() as session:
        return list(manifests.members_of(session, state.manifest_digest))


def in_service(workspace: Workspace) -> str:
    with workspace.database.reader() as session:
        return builds.current_release(session, ADAPTER) or ""


def state_files(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode-independent marks of every state file: (mtime in ns, size) by path below the store."""
    store = folder / ".lethe" / "store"
    files = (path for path in (store / "states").rglob("*") if path.is_file())
    return {str(p.relative_to(store)): (p.stat().st_mtime_ns, p.stat().st_size) for p in files}


# --- complete -----------------------------------------------------------------------------------------------------------


def test_the_old_adapter_held_the_person(erased):
    """The control of the tests below: the same question finds the person in what was in service before."""
    workspace = open_workspace(erased.folder)
    with workspace.database.reader() as session:
        before = evidence(session, erased.case_id, "containment")["adapters"][ADAPTER]["before"]
    closure = closure_of(workspace, erased.case_id)
    assert len(closure) == 4
    assert closure <= records_below(workspace, before)


def test_no_ancestor_of_what_was_released_since_holds_a_record_of_the_closure(erased):
    workspace = open_workspace(erased.folder)
    closure = closure_of(workspace, erased.case_id)
    releases = sorted(rows(workspace, ReleaseRow), key=lambda row: row.id)
    assert [row.reason.split()[0] for row in releases] == ["train", "contained", "erasure"]
    for row in releases[1:]:
        assert not closure & records_below(workspace, row.composed_digest)
    assert releases[-1].withdrawn_at is None
    assert all(row.withdrawn_at for row in releases[:-1])


def test_after_the_purge_nothing_that_survives_ever_held_the_person(erased, purged):
    closure = closure_of(open_workspace(erased.folder), erased.case_id)
    before, workspace = open_workspace(erased.folder), open_workspace(purged.folder)
    with before.database.reader() as session:
        tainted = manifests.manifests_holding(session, closure)
    assert tainted
    survivors = live_states(workspace)
    with workspace.database.reader() as session:
        chains = [builds.ancestors(session, state.recipe_digest) for state in survivors]
    assert not tainted & {state.manifest_digest for chain in chains for state in chain}
    doomed = [state for state in live_states(before) if state.manifest_digest in tainted]
    assert doomed
    assert not [s for s in doomed if store_path(purged.folder, "states", s.state_digest).exists()]
    for table in (RecordRow, VaultRow, AdmissionRow, PlacementRow):
        column = "id" if table is RecordRow else "record_id"
        assert not closure & {getattr(row, column) for row in rows(workspace, table)}
    halves = [bytes.fromhex(record_id[:32]) for record_id in closure]
    assert any(half in row.members for row in rows(before, SliceManifestRow) for half in halves)
    assert not any(half in row.members for row in rows(workspace, SliceManifestRow) for half in halves)


def test_the_store_holds_exactly_what_the_tables_say_survives(purged):
    """No file without a row, no row without its file: states, shard adapters, composed adapters."""
    workspace = open_workspace(purged.folder)
    adapters = [*rows(workspace, ShardAdapterRow), *rows(workspace, ComposedAdapterRow)]
    assert workspace.store.digests("states") == {state.state_digest for state in live_states(workspace)}
    assert workspace.store.digests("adapters") == {row.digest for row in adapters if row.destroyed_at is None}


# --- minimal ------------------------------------------------------------------------------------------------------------


def test_nothing_outside_the_affected_suffix_was_rebuilt(trained, erased):
    """Every state file of before is still there, untouched; new ones belong to the one suffix the preview named."""
    before, after = state_files(trained.folder), state_files(erased.folder)
    assert {path: mark for path, mark in after.items() if path in before} == before
    workspace = open_workspace(erased.folder)
    old = {state.recipe_digest for state in live_states(open_workspace(trained.folder))}
    new = [(state.shard, state.slice) for state in live_states(workspace) if state.recipe_digest not in old]
    with workspace.database.reader() as session:
        forecast = evidence(session, erased.case_id, "forecast")["adapters"][ADAPTER]["affected"]
    (part,) = forecast
    assert new == [(part["shard"], 1)]
    assert part["first_slice"] == 1


def test_the_steps_that_were_taken_are_the_steps_that_were_forecast(erased):
    workspace = open_workspace(erased.folder)
    with workspace.database.reader() as session:
        forecast = evidence(session, erased.case_id, "forecast")["adapters"][ADAPTER]
        rebuilt = evidence(session, erased.case_id, "rebuild")["adapters"][ADAPTER]
    assert rebuilt["steps"] == forecast["steps"]
    assert rebuilt["neighbour_shards"] == 2
    assert rebuilt["neighbours_unchanged"] > 0
    assert 0 < forecast["fraction"] < 0.3


def test_neighbours_in_the_new_composition_are_the_states_of_before(trained, erased):
    old, new = open_workspace(trained.folder), open_workspace(erased.folder)
    with old.database.reader() as session:
        before = builds.parts_of(session, in_service(old))
    with new.database.reader() as session:
        after = builds.parts_of(session, in_service(new))
    moved = [shard for shard in before if before[shard] != after[shard]]
    assert len(moved) == 1


def test_a_neighbour_that_moved_although_no_record_left_it_is_noticed(trained, tmp_path):
    """The same manifest under another recipe: retrained for no reason of the data. That an erasure may not report away."""
    workspace = open_workspace(copy_workspace(trained.folder, tmp_path / "ws"))
    with workspace.database.transaction() as session:
        recipe = builds.parts_of(session, in_service(workspace))[0]
        fields = session.get_one(StateRow, recipe).model_dump() | {"recipe_digest": "f" * 64}
        session.add(StateRow(**fields))
        session.flush()
        assert rebuilt._explained(session, recipe, recipe)
        assert not rebuilt._explained(session, "f" * 64, recipe)


# --- placed once, no orphans ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["trained", "erased", "purged"])
def test_every_admitted_record_is_placed_exactly_once(request, name):
    stage = request.getfixturevalue(name)
    workspace = open_workspace(stage.folder)
    admitted = {row.id for row in rows(workspace, RecordRow) if row.status == "admitted"}
    placed = Counter(row.record_id for row in rows(workspace, PlacementRow))
    assert placed == Counter(admitted)


@pytest.mark.parametrize("name", ["trained", "erased", "purged"])
def test_what_is_in_service_was_trained_on_exactly_the_live_records_that_are_placed(request, name):
    stage = request.getfixturevalue(name)
    workspace = open_workspace(stage.folder)
    restricted = {row.id for row in rows(workspace, RecordRow) if row.restricted_by}
    placed = {row.record_id for row in rows(workspace, PlacementRow) if row.kind != "control"}
    assert records_below(workspace, in_service(workspace)) == placed - restricted
    members = Counter()
    for state in {state.recipe_digest: state for state in ancestors_of(workspace, in_service(workspace))}.values():
        members.update(trained_on(workspace, state))
    assert set(members.values()) == {1}, "a record was trained on twice"


@pytest.mark.parametrize("name", ["trained", "erased", "purged"])
def test_every_state_descends_from_records_that_were_admitted_and_placed(request, name):
    stage = request.getfixturevalue(name)
    workspace = open_workspace(stage.folder)
    with workspace.database.reader() as session:
        chains = {
            state.recipe_digest: builds.ancestors(session, state.recipe_digest) for state in live_states(workspace)
        }
        for chain in chains.values():
            assert chain[0].shard == TRUNK
            for state in chain:
                manifests.manifest_facts(session, state.manifest_digest)
                assert store_path(stage.folder, "states", state.state_digest).exists()
    admitted = {row.record_id for row in rows(workspace, AdmissionRow)}
    entries = {
        row.members[at : at + 16] for row in rows(workspace, SliceManifestRow) for at in range(0, len(row.members), 32)
    }
    assert entries <= {bytes.fromhex(record_id[:32]) for record_id in admitted}


# --- idempotent ---------------------------------------------------------------------------------------------------------


def test_containing_and_rebuilding_again_changes_nothing(trained, tmp_path):
    folder = copy_workspace(trained.folder, tmp_path / "ws")
    workspace = open_workspace(folder)
    case_id = rebuilt_case(workspace, PLANTED)
    marks, head = state_files(folder), in_service(workspace)
    erasure.contain(workspace, case_id)
    again = erasure.rebuild(workspace, case_id)[case_id]
    assert again["adapters"][ADAPTER]["steps"] == 0
    assert state_files(folder) == marks
    assert in_service(workspace) == head


def test_the_evidence_holds_no_value_of_the_person(erased):
    workspace = open_workspace(erased.folder)
    with workspace.database.reader() as session:
        bodies = [
            evidence(session, erased.case_id, kind)
            for kind in ("contract", "forecast", "containment", "rebuild", "probe")
        ]
    told = json.dumps([bodies, case_of(erased.folder, erased.case_id)])
    assert not [value for value in values_of([PLANTED]) if value in told]
