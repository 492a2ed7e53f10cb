"""What the judge is told of the data: records that a new adapter was trained on and in which a search still finds the person."""

from __future__ import annotations

import random
import shutil

import pytest
from stream_books import row_about, take_in, write_rows
from whole_road import CASE, NOW, OTHER, REST, WHO, make_small_world, standing_still, walk

from lineage.evidence import evidence
from lineage.stages import Stage
from lineage.subjects import SubjectEntry, add_forms
from lineage.workspace import open_workspace
from pipelines import deriving, erasure, judging
from pipelines.rechecking import copies_in
from pipelines.resources import WindowResource

PROBE = judging._probe_adapter  # before the road leaves it out


@pytest.fixture(scope="module")
def rebuilt(template, tmp_path_factory):
    """A case whose shards were rebuilt and derived again, and which nobody has judged yet."""
    folder = tmp_path_factory.mktemp("copies") / "ws"
    with standing_still():
        make_small_world(template, folder)
        walk(folder, until=Stage.APPROVED)
        with WindowResource(folder=str(folder)).yield_for_execution(None) as window:
            for verb in (erasure.contain, erasure.rebuild, deriving.rederive):
                verb(window.open(), *window.hold([CASE]))
        yield folder


@pytest.fixture
def workspace(rebuilt, tmp_path):
    return open_workspace(shutil.copytree(rebuilt, tmp_path / "ws"))


def composed(workspace):
    with workspace.database.reader() as session:
        (facts,) = evidence(session, CASE, "rebuild")["adapters"].values()
    return facts["composed"]


def register_for_the_person(workspace, kind, value):
    with workspace.database.transaction() as session:
        entry = SubjectEntry(WHO.customer_id, kind, value)
        add_forms(session, [entry], keyring=workspace.keyring, keystore=workspace.keystore, now=NOW)


def test_nothing_is_left_after_an_honest_erasure(workspace):
    assert copies_in(workspace, CASE, [composed(workspace)]) == {composed(workspace): 0}
    assert copies_in(workspace, CASE, []) == {}


def test_a_record_in_which_the_person_comes_to_light_counts(workspace):
    """A name in the records of another turns out to be the person's too."""
    register_for_the_person(workspace, "name", REST[0].value("name"))
    assert copies_in(workspace, CASE, [composed(workspace)])[composed(workspace)] >= 1


def test_what_came_in_since_was_not_trained_on(workspace):
    take_in(workspace, write_rows(workspace, [row_about(OTHER, random.Random(5), other=WHO)]))
    assert copies_in(workspace, CASE, [composed(workspace)]) == {composed(workspace): 0}


@pytest.mark.parametrize("known", [False, True])
def test_the_judge_is_told(workspace, monkeypatch, known):
    if known:
        register_for_the_person(workspace, "name", REST[0].value("name"))
    told = []
    monkeypatch.setattr(judging, "_probe_adapter", PROBE)
    monkeypatch.setattr(
        judging, "judge_in_stages", lambda trial: told.append(trial.dossier.copies) or {"verdict": "PASS"}
    )
    judging.probe_window(workspace, CASE)
    assert [copies > 0 for copies in told] == [known]
