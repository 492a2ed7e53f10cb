"""After a FAIL one second stage decides: a false FAIL is freed, both results stand, and no extra adapter outlives its use.

`SECOND`'s erasure is accused by chance: exposure over two null models. States and release are byte-equal to those of a world
that never knew the person (tests/laws/test_window.py), so the FAIL of the first stage is false and the second must not
repeat it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from command_line import lethe_here
from crashes import Killed, count, let_die
from road import approved_case, sign, to_purge_approved
from small_world import ADAPTER, SECOND, copy_workspace

from lineage import builds, ledger, plans, studies
from lineage.case import CaseFile
from lineage.certificate import read_half_signed, read_statement
from lineage.errors import Fault, NotAcceptable, RefusedByRule
from lineage.evidence import case_records, evidence, has_evidence
from lineage.lease import held
from lineage.stages import Stage
from lineage.trusted import load_public_key
from lineage.workspace import Workspace, open_workspace
from pipelines import deriving, erasure, extras, judging, purging
from pipelines.collecting import collect
from pipelines.extras import ExtrasWanted, extra_adapters
from pipelines.ingest import utc_now
from pipelines.stages import stage_kind
from pipelines.states import open_atelier

LEFT = "select count(*) from study_weight where destroyed_at is null"
EVER = "select count(*) from study_weight"
NO_MORE = 3  # extra adapters where it does not matter how many


@pytest.fixture(scope="module")
def verifying(trained, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The accused erasure, rebuilt and derived again, not yet probed."""
    folder = copy_workspace(trained.folder, tmp_path_factory.mktemp("verifying") / "ws")
    workspace = open_workspace(folder)
    case_id = approved_case(workspace, SECOND)
    erasure.contain(workspace, case_id)
    erasure.rebuild(workspace, case_id)
    deriving.rederive(workspace, case_id)
    return folder, case_id


@pytest.fixture(scope="module")
def killed(verifying, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The first stage said FAIL, and the process was killed while extra adapters lay in the store."""
    folder, case_id = copy_workspace(verifying[0], tmp_path_factory.mktemp("killed") / "ws"), verifying[1]
    workspace = open_workspace(folder)
    with dying_with(NO_MORE), pytest.raises(Killed):
        judging.probe_case(workspace, case_id)
    return folder, case_id


@pytest.fixture(scope="module")
def decided(killed, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, Any]]:
    """The next process went on with the second stage."""
    folder, case_id = copy_workspace(killed[0], tmp_path_factory.mktemp("decided") / "ws"), killed[1]
    workspace = open_workspace(folder)
    let_die(workspace)
    return folder, case_id, judging.probe_case(workspace, case_id)


@contextmanager
def dying_with(published: int) -> Iterator[None]:
    """Killed once so many extra adapters are in the store. A dead process destroys nothing."""
    announced: list[str] = []
    original = studies.announce

    def dies(session: Any, weights: list[studies.StudyWeight], now: Any) -> None:
        if len(announced) == published:
            patch.setattr(studies, "destroy_weights", lambda *_, **__: 0)
            raise Killed
        announced.extend(weight.digest for weight in weights)
        original(session, weights, now)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(studies, "announce", dies)
        yield


def entries(workspace: Workspace) -> set[str]:
    return workspace.store.digests(studies.KIND)


def registered(workspace: Workspace, case_id: str) -> list[dict[str, Any]]:
    with workspace.database.reader() as session:
        return [event.payload for event in ledger.events_of_case(session, case_id) if event.kind == "probe.registered"]


# --- the verdict --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_false_fail_is_freed_by_the_second_stage_and_both_results_stand(decided) -> None:
    folder, case_id, body = decided
    judged = body["adapters"][ADAPTER]
    first = judged["first_stage"]
    assert (first["stage"], first["verdict"], first["K"], first["extra_adapters"]) == (1, "FAIL", 2, 0)
    assert (judged["stage"], judged["K"], judged["extra_adapters"]) == (2, 21, 19)
    assert body["verdict"] == judged["verdict"] != "FAIL"
    workspace = open_workspace(folder)
    with workspace.database.reader() as session:
        assert CaseFile(session, case_id).view.stage == Stage.EVIDENCE_READY
        assert evidence(session, case_id, "probe") == body


@pytest.mark.slow
def test_both_stages_are_registered_before_the_first_score_and_the_second_again_before_its_own(decided) -> None:
    first, *again = registered(open_workspace(decided[0]), decided[1])
    second = decided[2]["adapters"][ADAPTER]
    assert again, "a crash in the second stage registers it once more"
    assert {payload["protocol"] for payload in again} == {first["if_fail"]}
    assert first["protocol"].removeprefix("sha256:") == second["first_stage"]["protocol_digest"]
    assert first["if_fail"].removeprefix("sha256:") == second["protocol_digest"]
    assert [payload["stage"] for payload in (first, *again)] == [1, *[2] * len(again)]


@pytest.mark.slow
def test_each_stage_has_its_own_report(decided) -> None:
    folder, case_id, body = decided
    second = body["adapters"][ADAPTER]
    where = folder / ".lethe" / "cases" / case_id
    for found, place in ((second["first_stage"], where), (second, where / "second-stage")):
        written = (place / "report.json").read_bytes()
        assert hashlib.sha256(written).hexdigest() == found["report_digest"]
        assert json.loads(written)["verdict"]["outcome"] == found["verdict"]
        assert (place / "report.html").is_file()
    said = lethe_here("erase", "probe", case_id, workspace=folder).out
    assert "the first stage, with 2 out-adapters, said FAIL" in said
    assert "second stage" in lethe_here("erase", "show", case_id, workspace=folder).out


@pytest.mark.slow
def test_both_stages_stand_in_the_certificate(decided, tmp_path: Path, here) -> None:
    folder, case_id = copy_workspace(decided[0], tmp_path / "ws"), decided[1]
    to_purge_approved(folder, case_id)
    lethe_here("erase", "purge", case_id, workspace=folder)
    public = load_public_key(folder / ".lethe" / "secrets" / "pipeline.pub")
    half = (folder / ".lethe" / "cases" / case_id / "certificate.half.json").read_bytes()
    facts, _ = read_statement(read_half_signed(half, pipeline_public=public))
    assert [(probe.stage, probe.out_adapters, probe.extra_out_adapters) for probe in facts.probes] == [
        (1, 2, None),
        (2, 21, 19),
    ]
    assert facts.probes[0].verdict == "FAIL" != facts.probes[1].verdict
    sign(folder, case_id)
    certificate = folder / ".lethe" / "cases" / case_id / "certificate.json"
    said = lethe_here("verify", certificate, "--expect-case", case_id, workspace=folder).out
    assert "first stage" in said
    assert "second stage, which decides" in said


@pytest.mark.slow
def test_the_old_shard_in_service_fails_twice_and_there_is_no_third_time(verifying, tmp_path: Path) -> None:
    """The fault: what stands for the rebuilt shard is the old one, which still holds the person."""
    folder = copy_workspace(verifying[0], tmp_path / "ws")
    workspace, case_id = open_workspace(folder), verifying[1]
    with workspace.database.reader() as session:
        old = evidence(session, case_id, "containment")["adapters"][ADAPTER]["shard_adapters"]
    with pytest.MonkeyPatch.context() as fault:
        fault.setattr(builds, "shard_adapters", lambda *_: {int(shard): digest for shard, digest in old.items()})
        for _ in range(2):
            with pytest.raises(NotAcceptable, match="still find the person"):
                judging.probe_case(workspace, case_id)
    with workspace.database.reader() as session:
        judged = evidence(session, case_id, "probe")["adapters"][ADAPTER]
    assert [judged["first_stage"]["verdict"], judged["verdict"]] == ["FAIL", "FAIL"]
    assert [payload["stage"] for payload in registered(workspace, case_id)] == [1, 2], "what was said is not said anew"
    assert count(folder, EVER) == 19
    assert entries(workspace) == set()


# --- never said anew ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_crash_between_the_stages_leaves_the_first_result_as_it_was(killed, decided) -> None:
    with open_workspace(killed[0]).database.reader() as session:
        assert not has_evidence(session, killed[1], "probe")
        filed = evidence(session, killed[1], stage_kind(1, ADAPTER))
    assert filed["verdict"] == "FAIL"
    assert decided[2]["adapters"][ADAPTER]["first_stage"] == filed
    assert [payload["stage"] for payload in registered(open_workspace(killed[0]), killed[1])] == [1, 2]


def test_a_second_stage_has_the_rules_that_were_registered_with_the_first(killed, tmp_path: Path) -> None:
    """Whoever has read a FAIL cannot choose another decoding for the next score."""
    folder = copy_workspace(killed[0], tmp_path / "ws")
    with (folder / "lethe.toml").open("a", encoding="utf-8") as settings:
        settings.write(f"\n[[adapters.{ADAPTER}.probes.decoding]]\ntop_k = 2\n")
    workspace = open_workspace(folder)
    let_die(workspace)
    events = len(registered(workspace, killed[1]))
    with pytest.raises(RefusedByRule, match="settings changed after the first stage"):
        judging.probe_case(workspace, killed[1])
    assert len(registered(workspace, killed[1])) == events


@pytest.mark.slow
def test_whoever_comes_again_gets_what_was_filed(decided, tmp_path: Path) -> None:
    folder, case_id, body = decided
    workspace = open_workspace(copy_workspace(folder, tmp_path / "ws"))
    events = len(registered(workspace, case_id))
    again = case_at(workspace, case_id, Stage.VERIFYING)
    assert judging.probe_case(workspace, case_id) == body
    assert len(registered(workspace, case_id)) == events, "nothing was scored again"
    assert again == Stage.EVIDENCE_READY
    assert count(tmp_path / "ws", EVER) == count(folder, EVER), "nothing was trained again"


def case_at(workspace: Workspace, case_id: str, stage: Stage) -> Stage:
    """Send a case back to a stage, as `retry` does after a failure; returns where it was."""
    from lineage.tables import CaseRow

    with workspace.database.transaction() as session:
        row = session.get_one(CaseRow, case_id)
        before, row.stage = Stage(row.stage), stage.value
    return before


# --- weights for a while ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_nothing_of_the_extra_adapters_is_left(decided) -> None:
    folder = decided[0]
    assert entries(open_workspace(folder)) == set()
    assert count(folder, LEFT) == 0
    assert count(folder, EVER) == NO_MORE + 19


def test_what_a_killed_process_left_goes_before_a_purge(killed, tmp_path: Path) -> None:
    workspace = open_workspace(copy_workspace(killed[0], tmp_path / "ws"))
    assert len(entries(workspace)) == NO_MORE == count(tmp_path / "ws", LEFT)
    with (
        held(workspace.database, studies.lease_name(ADAPTER, "extras"), utc_now),
        pytest.raises(Fault, match="extras:"),
    ):
        purging.end_studies(workspace)  # a living judge may hold the person's records in memory
    assert purging.end_studies(workspace) == NO_MORE
    assert entries(workspace) == set()
    assert count(tmp_path / "ws", LEFT) == 0


def test_what_a_killed_process_left_is_garbage(killed, tmp_path: Path) -> None:
    workspace = open_workspace(copy_workspace(killed[0], tmp_path / "ws"))
    let_die(workspace)
    assert collect(workspace).entries == NO_MORE
    assert entries(workspace) == set()
    assert count(tmp_path / "ws", LEFT) == 0


def test_a_study_s_weights_and_a_case_s_are_not_taken_for_each_other(killed, tmp_path: Path) -> None:
    workspace = open_workspace(copy_workspace(killed[0], tmp_path / "ws"))
    gone = studies.destroy_weights(workspace.database, workspace.store, adapter=ADAPTER, now=utc_now())
    assert (gone, len(entries(workspace))) == (0, NO_MORE)


def test_an_extra_adapter_learns_nobody_of_the_closure_no_control_and_nothing_of_the_trunk(
    verifying, tmp_path: Path
) -> None:
    workspace = open_workspace(copy_workspace(verifying[0], tmp_path / "ws"))
    atelier = open_atelier(workspace, ADAPTER)
    with workspace.database.reader() as session:
        closure = {record.record_id for record in case_records(session, verifying[1])}
        controls = {record_id for record_id, _ in plans.control_ids(session, atelier.plan.digest)}
    shards = {
        m.record_id for shard in range(atelier.plan.shards) for found in atelier.members(shard).values() for m in found
    }
    left_out = next(iter(shards - closure))
    members = {member.record_id for member in extras._members(atelier, closure | {left_out})}
    assert members == shards - closure - {left_out}
    assert not members & (closure | controls)
    assert closure, "the test would pass for want of a closure"


def test_the_same_extra_adapters_come_again_and_are_gone_after_the_block(verifying, tmp_path: Path) -> None:
    workspace = open_workspace(copy_workspace(verifying[0], tmp_path / "ws"))
    atelier = open_atelier(workspace, ADAPTER)
    names = []
    for stage in (2, 2, 1):
        with extra_adapters(atelier, ExtrasWanted(verifying[1], stage, 2, frozenset())) as found:
            names.append([path.name for path in found.values()])
            assert all((path / "adapter_config.json").is_file() for path in found.values())
        assert entries(workspace) == set()
    assert names[0] == names[1]
    assert not set(names[0]) & set(names[2]), "each stage draws its own"


def test_the_settings_top_up_the_first_stage_and_say_how_is_sampled(verifying, tmp_path: Path) -> None:
    folder = copy_workspace(verifying[0], tmp_path / "ws")
    with (folder / "lethe.toml").open("a", encoding="utf-8") as settings:
        settings.write(
            f"\n[adapters.{ADAPTER}.probes]\nout_adapters = 5\ndecoding = [{{ top_k = 7 }}, {{ top_p = 0.5 }}]\n"
        )
    plan = lethe_here("plan", ADAPTER, "--json", workspace=folder).json()
    assert {stage: cost["adapters"] for stage, cost in plan["extra_adapters"].items()} == {"first": 3, "second": 19}
    workspace = open_workspace(folder)
    with dying_with(3), suppress(Killed):  # before a second stage, should the first say FAIL again
        judging.probe_case(workspace, verifying[1])
    assert registered(workspace, verifying[1])[0]["out_adapters"] == 5
    with workspace.database.reader() as session:
        first = evidence(session, verifying[1], stage_kind(1, ADAPTER))
    assert (first["K"], first["extra_adapters"]) == (5, 3)
    report = json.loads((folder / ".lethe" / "cases" / verifying[1] / "report.json").read_bytes())
    named = [report["protocol"]["scheme"]["name"], *(other["name"] for other in report["protocol"]["other_schemes"])]
    assert named == ["top-k 7", "top-p 0.5"]
    asked = [attack for model in report["models"] for value in model["values"] for attack in value["attacks"]]
    assert asked
    assert {name for attack in asked for name in attack["log_p_z"]} == set(named)
