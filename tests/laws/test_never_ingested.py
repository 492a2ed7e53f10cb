"""Never-ingested equality: after an erasure every byte equals a training that never saw the person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from command_line import Said, lethe, lethe_here
from road import approved_case, rebuilt_case
from small_world import (
    ADAPTER,
    ELSEWHERE,
    PLANTED,
    SECOND,
    Bytes,
    bytes_in_service,
    copy_workspace,
    corpus_without,
    live_states,
    store_path,
    write_corpus,
)
from world_making import make_world

from lineage.errors import NotAcceptable
from lineage.workspace import open_workspace
from pipelines import deriving, erasure, placing, training
from pipelines.demo_rows import Person
from unlearn.plan import Plan


@pytest.fixture(scope="session")
def never(trained, tmp_path_factory):
    """Makes a world in which some people never were: fresh database, same plan and secret; `run` says which process."""

    def make(*people: Person, run: Callable[..., Said]) -> Path:
        root = tmp_path_factory.mktemp("never")
        corpus, register = write_corpus(corpus_without(*people), root / "given")
        folder = make_world(root / "ws", corpus=corpus, people=register, secret=trained.secret, ingest=run)
        run("train", ADAPTER, "--plan", trained.plan, workspace=folder)
        return folder

    return make


@pytest.fixture(scope="session")
def never_planted(never) -> Bytes:
    return bytes_in_service(never(PLANTED, run=lethe))


@pytest.fixture(scope="session")
def never_both(never) -> Bytes:
    return bytes_in_service(never(PLANTED, SECOND, run=lethe_here))


@pytest.fixture(scope="session")
def never_apart(never) -> Bytes:
    return bytes_in_service(never(PLANTED, ELSEWHERE, run=lethe_here))


def test_the_real_road_equals_never_having_ingested(trained, erased, never_planted):
    """Two fresh processes each, separate workspaces; the erased one went up to EVIDENCE_READY by commands."""
    found = bytes_in_service(erased.folder)
    assert found.states.keys() == never_planted.states.keys()
    assert found == never_planted
    assert len(found.states) >= 2 * (1 + 3 + 3)  # trunk, then three shards of one or two slices, two files each
    assert found != bytes_in_service(trained.folder), "the erasure changed nothing, so the equality says nothing"


@pytest.mark.parametrize("order", [(PLANTED, SECOND), (SECOND, PLANTED)], ids=["A-B", "B-A"])
def test_two_erasures_one_after_the_other(trained, never_both, tmp_path, order):
    """In this process, by the functions the erasure job calls (contain, rebuild), without probes."""
    workspace = open_workspace(copy_workspace(trained.folder, tmp_path / "ws"))
    for person in order:
        rebuilt_case(workspace, person)
    assert bytes_in_service(tmp_path / "ws") == never_both


def test_two_erasures_approved_at_once(trained, never_both, tmp_path):
    """Both contained before either is rebuilt: the first rebuild serves both, the second finds nothing to do."""
    workspace = open_workspace(copy_workspace(trained.folder, tmp_path / "ws"))
    cases = [approved_case(workspace, person) for person in (PLANTED, SECOND)]
    for case_id in cases:
        erasure.contain(workspace, case_id)
    bodies = [erasure.rebuild(workspace, case_id)[case_id] for case_id in cases]
    assert bytes_in_service(tmp_path / "ws") == never_both
    assert [body["adapters"][ADAPTER]["steps"] > 0 for body in bodies] == [True, False]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["first-first", "second-first"])
def test_two_erasures_of_different_shards_approved_at_once(trained, never_apart, tmp_path, order):
    """Each rebuild meets a shard that the other case has contained or rebuilt since: it may neither stop nor undo it."""
    workspace = open_workspace(copy_workspace(trained.folder, tmp_path / "ws"))
    cases = [approved_case(workspace, person) for person in (PLANTED, ELSEWHERE)]
    for case_id in cases:
        erasure.contain(workspace, case_id)
    for index in order:
        erasure.rebuild(workspace, cases[index])
    assert bytes_in_service(tmp_path / "ws") == never_apart
    for case_id in cases:
        assert deriving.rederive(workspace, case_id)[case_id][ADAPTER]["equal"]


def test_an_erasure_that_starts_while_another_is_between_containment_and_rebuild(trained, never_apart, tmp_path):
    workspace = open_workspace(copy_workspace(trained.folder, tmp_path / "ws"))
    first = approved_case(workspace, PLANTED)
    erasure.contain(workspace, first)
    rebuilt_case(workspace, ELSEWHERE)
    erasure.rebuild(workspace, first)
    assert bytes_in_service(tmp_path / "ws") == never_apart


# --- the law can fail ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["weights.safetensors", "optimizer.safetensors"])
def test_one_flipped_bit_is_seen_by_the_comparison_and_refused_by_the_store(erased, never_planted, tmp_path, name):
    folder = copy_workspace(erased.folder, tmp_path / "ws")
    workspace = open_workspace(folder)
    state = next(state for state in live_states(workspace) if f"{state.shard}.{state.slice}" == "-1.0")
    path = store_path(folder, "states", state.state_digest) / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert bytes_in_service(folder) != never_planted
    with pytest.raises(NotAcceptable, match="damaged"):
        workspace.store.read("states", state.state_digest)


@pytest.mark.parametrize(
    "change",
    [{"nonce": "f" * 32}, {"expected_tokens": 3 * 128}, {"lora_dropout": 0.06}],
    ids=lambda change: next(iter(change)),
)
def test_one_changed_number_of_the_plan_moves_the_bytes(ingested, trained, tmp_path, change):
    """Trunk only, in this process: everything else descends from it."""
    plan = Plan.from_json(trained.plan.read_text())
    workspace = open_workspace(copy_workspace(ingested.folder, tmp_path / "ws"))
    placing.freeze_and_place(workspace, ADAPTER, replace(plan, **change))
    moved = training.build_trunk(workspace, ADAPTER).state_digest
    (trunk,) = {s.state_digest for s in live_states(open_workspace(trained.folder)) if s.shard == -1}
    assert moved != trunk


def test_the_same_plan_does_not_move_the_bytes(ingested, trained, tmp_path):
    """The control of the test above."""
    workspace = open_workspace(copy_workspace(ingested.folder, tmp_path / "ws"))
    placing.freeze_and_place(workspace, ADAPTER, Plan.from_json(trained.plan.read_text()))
    assert training.build_trunk(workspace, ADAPTER).state_digest in {
        s.state_digest for s in live_states(open_workspace(trained.folder))
    }


def test_a_second_training_does_nothing(trained, tmp_path):
    folder = copy_workspace(trained.folder, tmp_path / "ws")
    before, since = bytes_in_service(folder), datetime.now(UTC)
    lethe_here("train", ADAPTER, workspace=folder)
    assert bytes_in_service(folder) == before
    assert not [state for state in live_states(open_workspace(folder)) if state.built_at > since]
