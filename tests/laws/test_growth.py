"""Growth: a later ingest adds slices and moves nothing; `lethe train` says before what it will do, and writes nothing then."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest
from command_line import lethe_here
from road import rebuilt_case
from small_world import ADAPTER, ELSEWHERE, PLANTED, SOURCE, bytes_in_service, copy_workspace, live_states
from test_forget import state_files

from lineage import builds
from lineage.evidence import evidence
from lineage.workspace import open_workspace
from pipelines.demo_corpus import write_jsonl
from pipelines.demo_rows import Person
from pipelines.demo_writer import Writer


def later_file(folder: Path, *people: Person) -> Path:
    """Two new rows of each person."""
    writer = Writer(random.Random(11))
    folder.mkdir(parents=True, exist_ok=True)
    write_jsonl([writer.conversation(person) for person in people for _ in range(2)], folder / "later.jsonl")
    return folder / "later.jsonl"


def grow(folder: Path, *people: Person) -> Path:
    lethe_here("ingest", later_file(folder.parent / "given", *people), "--source", SOURCE, workspace=folder)
    return folder


def dry(folder: Path) -> dict:
    return lethe_here("train", ADAPTER, "--dry-run", "--json", workspace=folder).json()[ADAPTER]


def stale_of(told: dict) -> dict[int | None, dict]:
    return {place["shard"]: place for place in told["shards"] if place["rebuild"]}


def content(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a workspace but SQLite's shared-memory index, which readers also touch."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("-shm"))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def grown(trained, tmp_path_factory):
    """Trained, then a second generation with rows of two people; not trained again yet."""
    return grow(copy_workspace(trained.folder, tmp_path_factory.mktemp("grown") / "ws"), PLANTED, ELSEWHERE)


@pytest.mark.parametrize("stage", ["ingested", "trained"])
def test_a_dry_run_writes_nothing(request, tmp_path, stage):
    folder = copy_workspace(request.getfixturevalue(stage).folder, tmp_path / "ws")
    dry(folder)
    before = content(folder)
    told = dry(folder)
    assert content(folder) == before
    assert told["plan_is_new"] == (stage == "ingested")
    reasons = {reason for place in stale_of(told).values() for reason in place["reasons"]}
    assert reasons == ({"never trained"} if stage == "ingested" else set())


def test_a_later_generation_adds_slices_and_earlier_states_stay(grown, tmp_path):
    folder = copy_workspace(grown, tmp_path / "ws")
    told, before = dry(folder), state_files(folder)
    old = {state.recipe_digest for state in live_states(open_workspace(folder))}
    said = lethe_here("train", ADAPTER, workspace=folder)
    new = [s for s in live_states(open_workspace(folder)) if s.recipe_digest not in old]
    stale = stale_of(told)
    assert told["to_place"] == 4
    assert {(s.shard, s.slice) for s in new} == {(shard, k) for shard, place in stale.items() for k in place["rebuild"]}
    assert all(s.slice >= 2 for s in new), "slices 0 and 1 are the first generation's"
    assert told["steps"] == sum(s.steps for s in new) > 0
    assert {reason for place in stale.values() for reason in place["reasons"]} == {"2 new record(s) in generation 1"}
    assert "2 new record(s) in generation 1" in said.out, "a training says it first"
    assert {path: mark for path, mark in state_files(folder).items() if path in before} == before
    assert dry(folder)["steps"] == 0


def test_a_subject_in_several_slices_is_rebuilt_from_the_earliest(grown, tmp_path):
    folder = copy_workspace(grown, tmp_path / "ws")
    lethe_here("train", ADAPTER, workspace=folder)
    workspace = open_workspace(folder)
    old = {state.recipe_digest for state in live_states(workspace)}
    case_id = rebuilt_case(workspace, PLANTED)
    with workspace.database.reader() as session:
        (part,) = evidence(session, case_id, "forecast")["adapters"][ADAPTER]["affected"]
        chain = builds.ancestors(
            session, builds.parts_of(session, builds.current_release(session, ADAPTER))[part["shard"]]
        )
    assert part["first_slice"] == 1
    assert len(part["rebuild"]) == 2, "slice 1, and the one of the second generation"
    new = [s for s in chain if s.recipe_digest not in old]
    assert {s.slice for s in new} <= set(part["rebuild"])
    assert min(s.slice for s in new) == 1


def test_a_generation_left_empty_by_an_erasure_equals_one_that_never_was(trained, tmp_path):
    grown = grow(copy_workspace(trained.folder, tmp_path / "grown" / "ws"), PLANTED)
    lethe_here("train", ADAPTER, workspace=grown)
    never = copy_workspace(trained.folder, tmp_path / "never" / "ws")
    assert bytes_in_service(grown) != bytes_in_service(never)
    for folder in (grown, never):
        rebuilt_case(open_workspace(folder), PLANTED)
    assert bytes_in_service(grown) == bytes_in_service(never)


def test_a_dry_run_names_what_was_erased_and_what_was_lost(trained, tmp_path):
    from road import approved_case

    from pipelines import erasure

    folder = copy_workspace(trained.folder, tmp_path / "ws")
    workspace = open_workspace(folder)
    erasure.contain(workspace, approved_case(workspace, PLANTED))
    ((shard, place),) = stale_of(dry(folder)).items()
    assert (place["first_slice"], place["kept"], place["reasons"]) == (1, [0], ["4 record(s) erased or withdrawn"])
    lost = next(s for s in live_states(workspace) if s.shard not in (shard, -1) and s.slice == 0)
    workspace.store.destroy("states", lost.state_digest)
    assert stale_of(dry(folder))[lost.shard]["reasons"] == ["1 state(s) lost from the store"]
