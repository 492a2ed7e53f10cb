"""Drift: a machine that computes otherwise than the one that trained. Neighbours stay; what is affected starts anew.

A library setting that changes no byte here (`MKL_DYNAMIC`, with one thread) stands for an update of torch or of the
processor: the fingerprint moves, so nothing of an affected shard may be reused but the trunk.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from command_line import lethe
from road import rebuilt_case
from small_world import ADAPTER, PLANTED, SECOND, bytes_in_service, copy_workspace, live_states

from lineage import builds
from lineage.builds import StateFacts
from lineage.evidence import evidence
from lineage.workspace import Workspace, open_workspace
from pipelines import deriving
from unlearn.plan import Plan


def chains(workspace: Workspace) -> dict[int, list[StateFacts]]:
    """The states in service, by shard, trunk first."""
    with workspace.database.reader() as session:
        parts = builds.parts_of(session, builds.current_release(session, ADAPTER) or "")
        return {shard: builds.ancestors(session, recipe) for shard, recipe in parts.items()}


@pytest.fixture
def drifted(trained, tmp_path, monkeypatch):
    """The trained world on a machine with another fingerprint."""
    monkeypatch.setenv("MKL_DYNAMIC", "FALSE")
    return open_workspace(copy_workspace(trained.folder, tmp_path / "ws"))


def test_a_changed_environment_alone_trains_nothing(drifted) -> None:
    from pipelines import training

    before = live_states(drifted)
    for shard in range(3):
        assert training.build_shard(drifted, ADAPTER, shard).steps == 0
    assert len(live_states(drifted)) == len(before)


def test_an_affected_shard_is_rebuilt_from_the_trunk_and_its_neighbours_stay(drifted) -> None:
    before = chains(drifted)
    case_id = rebuilt_case(drifted, PLANTED)
    with drifted.database.reader() as session:
        (affected,) = evidence(session, case_id, "before")["adapters"][ADAPTER]["affected"]
        hit = affected["shard"]
        told = evidence(session, case_id, "rebuild")["adapters"][ADAPTER]
    after = chains(drifted)
    assert {shard for shard in before if before[shard] != after[shard]} == {hit}
    trunk, *own = after[hit]
    assert trunk == before[hit][0], "the trunk is taken by digest, as it is"
    (old,) = {state.fingerprint_digest for chain in before.values() for state in chain}
    (new,) = {state.fingerprint_digest for state in own}
    assert new != old
    assert len(own) == 2, "also the slice before the person's was trained anew"
    assert [state[3] for state in told["shards"][str(hit)]["states"]] == [old, new, new]
    neighbours = {int(shard): {state[3] for state in facts["states"]} for shard, facts in told["neighbours"].items()}
    assert neighbours == {shard: {old} for shard in before if shard != hit}, "what the certificate says of them"


def test_what_was_rebuilt_after_the_drift_has_the_bytes_of_the_undrifted_erasure(drifted, erased) -> None:
    """This drift changes no byte, so it shows that starting from the trunk is the same function as starting from a state."""
    rebuilt_case(drifted, PLANTED)
    assert bytes_in_service(drifted.settings.workspace) == bytes_in_service(erased.folder)


def test_rederivation_and_a_second_erasure_hold_after_the_drift(drifted) -> None:
    first = rebuilt_case(drifted, PLANTED)
    second = rebuilt_case(drifted, SECOND)
    assert deriving.rederive(drifted, second)[second][ADAPTER]["equal"]
    assert first != second


@pytest.mark.slow
def test_the_command_trains_with_the_instruction_set_of_the_plan(ingested, trained, tmp_path) -> None:
    """In a fresh process: nothing may load torch before the plan is read."""
    folder = copy_workspace(ingested.folder, tmp_path / "ws")
    plan = replace(Plan.from_json(ingested.plan.read_text()), isa="default")
    (tmp_path / "plan.json").write_text(plan.to_json())
    lethe("train", ADAPTER, "--plan", tmp_path / "plan.json", workspace=folder)
    (pinned,) = {state.fingerprint_digest for state in live_states(open_workspace(folder))}
    (plain,) = {state.fingerprint_digest for state in live_states(open_workspace(trained.folder))}
    assert pinned != plain
    assert lethe("train", ADAPTER, "--json", workspace=folder).json()[ADAPTER]["release"]
