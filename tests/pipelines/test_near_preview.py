"""A near copy on its way through the product: found by the search that a preview makes, shown, and asked about before a purge."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from lineage_world import ANN, BOB, DANA, INES, NOW, World, open_world, row

from lineage import desk
from lineage.case import CaseFile
from lineage.decisions import Choice
from lineage.errors import RefusedByRule
from lineage.evidence import evidence
from lineage.stages import Stage
from lineage.workspace import create_workspace
from pipelines.cli.case_show import _say_preview
from pipelines.previewing import make_preview
from pipelines.rechecking import require_nothing_new

STORY = (
    "On Sunday the violet kettle whistled until the neighbours in the attic knocked, and then its handle fell into the "
    "marmalade, which nobody had expected of a kettle bought in Lisbon"
)
COPY = STORY.replace("violet", "yellow")


@pytest.fixture
def world(tmp_path: Path) -> World:
    create_workspace(tmp_path / "ws", controller="Test GmbH")
    return open_world(tmp_path / "ws")


def test_the_preview_finds_it_shows_it_and_waits(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    mine, theirs = world.ingest(row(STORY, ANN), row(COPY, BOB))
    world.register(ANN)
    case_id = desk.file_case(
        world.workspace, desk.Intake([ANN], "b", "portal", date(2026, 1, 31)), actor=INES, now=NOW
    ).id
    digest = make_preview(world.workspace, case_id)
    handle, original = (world.keyring.handle(case_id, record)[:12] for record in (theirs, mine))
    with world.database.reader() as session:
        found = {kind: evidence(session, case_id, kind) for kind in ("contract", "forecast", "sightings")}
    _say_preview(case_id, found, digest)
    lines = capsys.readouterr().out.splitlines()
    assert f"  1 of others may be near copies. First: lethe erase decide {case_id} RECORD erase|unrelated" in lines
    (line,) = (line for line in lines if handle in line and "to be decided" in line)
    assert f"nearly the same text as a record of the person ({original}, similarity 0." in line
    with pytest.raises(RefusedByRule, match="near cop"):
        desk.approve(world.workspace, case_id, actor=DANA, digest=digest, now=NOW)
    desk.decide_record(world.workspace, case_id, handle, Choice("unrelated"), actor=DANA, now=NOW)
    digest = make_preview(world.workspace, case_id)
    assert desk.approve(world.workspace, case_id, actor=DANA, digest=digest, now=NOW).stage == Stage.APPROVED


def test_one_that_comes_in_before_the_purge_reopens_the_case(world: World) -> None:
    world.ingest(row(STORY, ANN))
    world.register(ANN)
    case_id = desk.file_case(
        world.workspace, desk.Intake([ANN], "b", "portal", date(2026, 1, 31)), actor=INES, now=NOW
    ).id
    desk.approve(world.workspace, case_id, actor=DANA, digest=make_preview(world.workspace, case_id), now=NOW)
    require_nothing_new(world.workspace, case_id)
    world.ingest(row(COPY, BOB))
    with pytest.raises(RefusedByRule, match="1 record came in"):
        require_nothing_new(world.workspace, case_id)
    with world.database.reader() as session:
        assert CaseFile(session, case_id).view.stage == Stage.ASSESSMENT
