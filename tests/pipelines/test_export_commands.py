"""Exports by command: one clear sentence when there is nothing to export, and files outside the workspace only."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from command_line import lethe_here, one_sentence
from road import hire
from sqlmodel import select

from lineage.subjects import SubjectEntry, add_forms
from lineage.tables import LedgerRow
from lineage.workspace import Workspace, create_workspace, open_workspace

NOW = datetime.now(UTC)
SETTINGS = """
[contact]
address = "Lane 1"
dpo = "privacy@test.example"
authority = "The Authority"

[processing]
retention = "Three years."
transfers = "None."
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    create_workspace(tmp_path / "ws", controller="Test GmbH")
    with (tmp_path / "ws" / "lethe.toml").open("a", encoding="utf-8") as file:
        file.write(SETTINGS)
    hire(tmp_path / "ws")
    workspace = open_workspace(tmp_path / "ws")
    entry = SubjectEntry("C-1", "email", "anneliese@quistgaard.example")
    with workspace.database.transaction() as session:
        add_forms(session, [entry], keyring=workspace.keyring, keystore=workspace.keystore, now=NOW)
    return workspace


def test_a_person_is_answered_on_the_screen_as_a_page_and_as_json(workspace: Workspace, tmp_path: Path) -> None:
    folder, out = workspace.settings.workspace, tmp_path / "answer.html"
    words = ("export", "access", "--from-file", "-", "--as", "ines")
    assert "Article 15" in lethe_here(*words, workspace=folder, given="C-1\n").out
    lethe_here(*words, "--html", "--language", "de", "--out", out, workspace=folder, given="C-1\n")
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert out.stat().st_mode & 0o077 == 0
    key = lethe_here("register", "find", "--from-file", "-", "--json", workspace=folder, given="C-1\n").json()[
        "subject"
    ]
    said = lethe_here("export", "access", key, "--as", "dana", "--json", workspace=folder)
    assert said.json()["register"] == {"email": 1}
    assert json.loads(said.out)["records"] == 0


def test_an_answer_that_has_no_place_was_not_given(workspace: Workspace, tmp_path: Path) -> None:
    """The ledger must not say that somebody was answered who was not."""
    (tmp_path / "there.txt").write_text("mine", encoding="utf-8")
    words = ("export", "access", "--from-file", "-", "--as", "ines", "--out")
    for out, why in ((tmp_path / "there.txt", "never overwrites"), (tmp_path / "no" / "a.txt", "does not exist")):
        said = lethe_here(*words, out, workspace=workspace.settings.workspace, given="C-1\n", code=None)
        one_sentence(said, 2, why)
    assert (tmp_path / "there.txt").read_text(encoding="utf-8") == "mine"
    with workspace.database.reader() as session:
        assert session.exec(select(LedgerRow).where(LedgerRow.kind == "subject.accessed")).all() == []


def test_an_answer_lies_outside_the_workspace_and_an_unknown_person_is_one_sentence(workspace: Workspace) -> None:
    folder = workspace.settings.workspace
    words = ("export", "access", "--from-file", "-", "--as", "ines")
    inside = lethe_here(*words, "--out", folder / "a.txt", workspace=folder, given="C-1\n", code=None)
    one_sentence(inside, 2, "outside the workspace")
    unknown = lethe_here(*words, workspace=folder, given="Perpetua Nobody\n", code=None)
    one_sentence(unknown, 2, "Nobody in this workspace")
    assert "Perpetua" not in unknown.err
    one_sentence(lethe_here(*words[:-1], "max", workspace=folder, given="C-1\n", code=None), 3, "Only the role")


def test_the_register_of_processing_comes_in_four_forms(workspace: Workspace, tmp_path: Path) -> None:
    folder, out = workspace.settings.workspace, tmp_path / "register.csv"
    words = ("export", "art30")
    assert "Art. 30(1)" in lethe_here(*words, workspace=folder).out
    assert "<table>" in lethe_here(*words, "--html", workspace=folder).out
    assert lethe_here(*words, "--json", workspace=folder).json()["controller"] == "Test GmbH"
    lethe_here(*words, "--csv", "--out", out, workspace=folder)
    assert out.read_text(encoding="utf-8").startswith("section,row,column,value\n")
    one_sentence(lethe_here(*words, "--csv", "--html", workspace=folder, code=None), 2, "One form at a time")


def test_an_adapter_that_is_none_or_has_no_release_is_one_sentence(workspace: Workspace, tmp_path: Path) -> None:
    folder = workspace.settings.workspace
    for name, words in (("sales", "no adapter called"), ("support", "no release in service")):
        said = lethe_here("export", "adapter", name, tmp_path / "a", "--as", "max", workspace=folder, code=None)
        one_sentence(said, 2, words)
        one_sentence(lethe_here("export", "mlbom", name, workspace=folder, code=None), 2, words)
        assert not (tmp_path / "a").exists()


def test_a_workspace_in_which_nothing_happened_has_no_events(workspace: Workspace, tmp_path: Path) -> None:
    folder, out = workspace.settings.workspace, tmp_path / "events.ndjson"
    lethe_here("export", "openlineage", "--out", out, workspace=folder)
    assert out.read_bytes() == b""
    one_sentence(lethe_here("export", "openlineage", "--out", out, workspace=folder, code=None), 2, "never overwrites")
