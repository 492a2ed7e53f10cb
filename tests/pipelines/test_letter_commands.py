"""Letters by command: nothing of the person goes into the workspace, and a case closes when the person was told."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from command_line import lethe_here
from road import hire

from lineage import desk
from lineage.access import Actor, Role
from lineage.workspace import Workspace, create_workspace, open_workspace

NOW = datetime.now(UTC)
TODAY = NOW.date()
CONTACT = '\n[contact]\naddress = "Lane 1"\ndpo = "privacy@test.example"\nauthority = "The Authority"\n'


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    create_workspace(tmp_path / "ws", controller="Test GmbH")
    with (tmp_path / "ws" / "lethe.toml").open("a", encoding="utf-8") as file:
        file.write(CONTACT)
    hire(tmp_path / "ws")
    return open_workspace(tmp_path / "ws")


def refused(workspace: Workspace) -> str:
    intake = desk.Intake(["C-1"], "b", "portal", TODAY)
    case_id = desk.file_case(workspace, intake, actor=Actor("ines", Role.INTAKE), now=NOW).id
    desk.refuse(workspace, case_id, actor=Actor("dana", Role.DPO), reason="A claim is pending.", now=NOW)
    return case_id


def test_a_letter_is_written_outside_with_the_address_told_and_no_longer_waited_for(
    workspace: Workspace, tmp_path: Path
) -> None:
    case_id, folder = refused(workspace), workspace.settings.workspace
    as_dana = {"workspace": folder}
    assert (
        f"the person to be told (refused) by {workspace_due(workspace)}" in lethe_here("erase", "list", **as_dana).out
    )
    address, out = tmp_path / "address.txt", tmp_path / "letter.txt"
    address.write_text("Anneliese Quistgaard\nQuayside 4\n", encoding="utf-8")
    shown = lethe_here("erase", "letter", case_id, "refused", "--as", "dana", **as_dana).out
    assert "A claim is pending." in shown
    assert "____" in shown
    lethe_here("erase", "letter", case_id, "refused", "--out", out, "--to-file", address, "--as", "dana", **as_dana)
    text = out.read_text(encoding="utf-8")
    assert "Anneliese Quistgaard\nQuayside 4" in text
    assert "The Authority" in text
    assert out.stat().st_mode & 0o077 == 0
    again = lethe_here("erase", "letter", case_id, "refused", "--out", out, "--as", "dana", **as_dana, code=2)
    assert "never overwrites" in again.err
    for path in workspace.home.rglob("*"):
        assert not path.is_file() or b"Quistgaard" not in path.read_bytes(), path.name
    assert "letter refused: written, not told yet" in lethe_here("erase", "show", case_id, **as_dana).out
    said = lethe_here("erase", "told", case_id, "refused", "--on", TODAY, "--as", "ines", "--json", **as_dana)
    assert said.json()["stage"] == "REFUSED"
    assert f"letter refused: told on {TODAY}" in lethe_here("erase", "show", case_id, **as_dana).out
    assert "to be told" not in lethe_here("erase", "list", **as_dana).out
    assert lethe_here("erase", "show", case_id, "--json", **as_dana).json()["letters"]["refused"]["told_on"] == str(
        TODAY
    )


def workspace_due(workspace: Workspace) -> str:
    (line,) = lethe_here("erase", "list", "--json", workspace=workspace.settings.workspace).json()
    assert line["letter"] == {"kind": "refused", "by": line["due"]}
    return line["due"]


@pytest.mark.parametrize(
    "options", [("--out", "inside.txt"), ("--to-file", "inside.txt"), ("--out", ".lethe/cases/x.txt")]
)
def test_no_letter_and_no_address_lies_in_the_workspace(workspace: Workspace, options: tuple[str, str]) -> None:
    case_id, folder = refused(workspace), workspace.settings.workspace
    words = ("erase", "letter", case_id, "refused", options[0], folder / options[1], "--as", "dana")
    assert "outside the workspace" in lethe_here(*words, workspace=folder, code=2).err
    assert not (folder / options[1]).exists()


def test_an_address_is_never_put_on_a_screen(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Somebody\n", encoding="utf-8")
    words = ("erase", "letter", refused(workspace), "refused", "--to-file", tmp_path / "a.txt", "--as", "dana")
    assert "--to-file goes with --out" in lethe_here(*words, workspace=workspace.settings.workspace, code=2).err
