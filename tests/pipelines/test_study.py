"""`lethe plan --study`: a grid on the workspace's own corpus, whose weights are catalogued, measured and gone."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from command_line import Running, lethe_here
from crashes import Killed, count, let_die
from road import rebuilt_case
from small_world import ADAPTER, CORPUS, PLANTED, copy_workspace, values_of

from lineage import studies
from lineage.errors import Fault
from lineage.lease import held
from lineage.stages import Stage
from lineage.tables import CaseRow
from lineage.workspace import Workspace, open_workspace
from pipelines import purging
from pipelines.cli.options import show
from pipelines.cli.plan import study_body
from pipelines.ingest import utc_now
from pipelines.study_report import StudyLine, StudyReport, files_of, read_report
from pipelines.studying import run_study

LEFT = "select count(distinct digest) from study_weight where destroyed_at is null"
EVER = "select count(*) from study_weight"


@pytest.fixture(scope="module")
def studied(ingested, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study by the command, before anything is trained."""
    folder = copy_workspace(ingested.folder, tmp_path_factory.mktemp("studied") / "ws")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.studying.SMALL", ((1, 2), (1,)))
        lethe_here("plan", ADAPTER, "--study", workspace=folder)
    return folder


def test_what_a_study_could_not_measure_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    """A shard in which no read record was learnt has no memory to measure; NaN is no JSON."""
    line = StudyLine(
        shards=1, slices=1, batch=4, steps=9, rank=4, trunk=False, base_nll=2.0, trunk_nll=None, shard_nll=1.5,
        composed_nll=1.6, shard_auc=math.nan, composed_auc=0.5, cheaper_steps=math.inf, cheaper_tokens=1.0, cheaper_cpu=1.0,
        full_cpu_s=1.0,
    )  # fmt: skip
    show(study_body(StudyReport(ADAPTER, "study", "now", False, 1, 1, (1, 1), (line,))), as_json=True, lines=print)
    (said,) = json.loads(capsys.readouterr().out)["lines"]
    assert (said["shard_auc"], said["cheaper_steps"], said["composed_auc"]) == (None, None, 0.5)


def entries(workspace: Workspace) -> set[str]:
    return workspace.store.digests(studies.KIND)


def test_a_study_leaves_a_table_a_picture_and_no_weights(studied: Path) -> None:
    workspace = open_workspace(studied)
    files = files_of(workspace.home, ADAPTER)
    assert files.plot.read_bytes().startswith(b"\x89PNG")
    assert entries(workspace) == set()
    assert count(studied, LEFT) == 0
    assert count(studied, EVER) == 3 + 4 + 5  # three plans, each with a trunk, a composed adapter and shards
    report = read_report(workspace.home, ADAPTER)
    assert report is not None
    assert [(line.shards, line.slices) for line in report.lines] == [(1, 1), (2, 1), (3, 2)]
    assert all(0 < line.composed_nll < 20 and 0 <= line.shard_auc <= 1 for line in report.lines)
    assert report.lines[1].cheaper_tokens > 1.5


def test_a_study_freezes_nothing_and_trains_no_state_of_the_adapter(studied: Path) -> None:
    questions = ("select count(*) from plan", "select count(*) from state", "select count(*) from composed_adapter")
    assert [count(studied, question) for question in questions] == [0, 0, 0]


def test_the_results_hold_nothing_of_any_record(studied: Path) -> None:
    files = files_of(open_workspace(studied).home, ADAPTER)
    said = (
        files.data.read_text() + files.text.read_text() + lethe_here("plan", ADAPTER, "--json", workspace=studied).out
    )
    assert not [value for value in values_of(CORPUS.people) if value in said]


def test_plan_shows_the_study_afterwards(studied: Path) -> None:
    said = lethe_here("plan", ADAPTER, workspace=studied).out
    assert "held-out loss" in said
    assert str(files_of(open_workspace(studied).home, ADAPTER).plot) in said
    body = lethe_here("plan", ADAPTER, "--json", workspace=studied).json()
    assert len(body["study"]["lines"]) == 3


def test_every_weight_says_what_it_was_trained_on(studied: Path) -> None:
    """Composed adapters have all manifests of their plan, shards their own and the trunk's."""
    with open_workspace(studied).database.engine.connect() as connection:
        rows = connection.exec_driver_sql("select shards, slices, manifests from study_weight").all()
    found = [(shards, slices, json.loads(manifests)) for shards, slices, manifests in rows]
    assert all("-1/0" in manifests for _, _, manifests in found)
    widest = max((m for s, r, m in found if (s, r) == (3, 2)), key=len)
    assert {place.split("/")[0] for place in widest} == {"-1", "0", "1", "2"}


def dead_study(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace whose study died while its weights were being read."""
    workspace = open_workspace(folder)

    def dies(*_: object, **__: object) -> None:
        monkeypatch.setattr("lineage.studies.destroy_weights", lambda *_, **__: 0)  # a dead process destroys nothing
        raise Killed

    monkeypatch.setattr("pipelines.measuring.measure", dies)
    with pytest.raises(Killed):
        run_study(workspace, ADAPTER, study_id="dead", full=False)
    monkeypatch.undo()
    let_die(workspace)
    assert entries(workspace)
    assert count(folder, LEFT) == len(entries(workspace))
    return workspace


@pytest.mark.parametrize("what", ["study", "train"])
def test_what_a_dead_study_left_goes_with_the_next_start(
    what: str, ingested, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = dead_study(copy_workspace(ingested.folder, tmp_path / "ws"), monkeypatch)
    if what == "train":
        from pipelines.placing import freeze_and_place

        freeze_and_place(workspace, ADAPTER)
    else:
        monkeypatch.setattr("pipelines.studying.SMALL", ((1,), (1,)))
        run_study(workspace, ADAPTER, study_id="next", full=False)
    assert entries(workspace) == set()
    assert count(tmp_path / "ws", LEFT) == 0


def test_only_a_purge_waits_for_a_living_study(ingested, tmp_path: Path) -> None:
    workspace = open_workspace(copy_workspace(ingested.folder, tmp_path / "ws"))
    with held(workspace.database, studies.lease_name(ADAPTER), utc_now):
        found = studies.destroy_leftovers(
            workspace.database, workspace.store, adapters=[ADAPTER], clock=utc_now, skip_running=True
        )
        assert found == 0
        with pytest.raises(Fault, match="study:support"):
            studies.destroy_leftovers(workspace.database, workspace.store, adapters=[ADAPTER], clock=utc_now)


@pytest.mark.slow
def test_a_killed_study_leaves_nothing_behind_a_purge(trained, tmp_path: Path) -> None:
    """kill -9 while weights lie in the store; then a purge begins."""
    folder = copy_workspace(trained.folder, tmp_path / "ws")
    Running("plan", ADAPTER, "--study", workspace=folder).kill_when(lambda: count(folder, LEFT) > 0)
    workspace = open_workspace(folder)
    assert count(folder, LEFT) > 0
    case_id = rebuilt_case(workspace, PLANTED)
    with workspace.database.transaction() as session:
        session.get_one(CaseRow, case_id).stage = Stage.PURGE_APPROVED
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.purging.searched_forms", _killed)  # the first step is enough here
        with pytest.raises(Killed):
            purging.purge_case(workspace, case_id)
    assert entries(workspace) == set()
    assert count(folder, LEFT) == 0


def _killed(*_: object) -> None:
    raise Killed
