"""What is outside a workspace, on the road of a case: bound by the preview, named by the certificate, asked before a purge."""

from __future__ import annotations

import json
import random
import shutil
from base64 import b64decode
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from command_line import lethe_here
from quick_world import PLANS
from road import approve_anew, approved_case, judged_case, sign
from small_world import ADAPTER
from stream_books import POOL, register, row_about, row_about_nobody, take_in, train, write_rows

from lineage import builds
from lineage.case import CaseFile
from lineage.errors import RefusedByRule
from lineage.notices import notices
from lineage.stages import Stage
from lineage.tables import RecordRow
from lineage.workspace import Workspace, open_workspace
from pipelines import certified_inventory, erasure
from pipelines.purging import purge_case

PERSON, *OTHERS = POOL[:6]
SHOP = ("party", "shop", "--kind", "recipient", "--whom", "Example Shop Ltd", "--scope", ADAPTER)


def keep(workspace: Workspace, *words: str, code: int = 0) -> None:
    lethe_here("inventory", *words, "--as", "dana", workspace=workspace.settings.workspace, code=code)


@pytest.fixture
def workspace(template: Path, tmp_path: Path, one_scanner: None, here: pytest.MonkeyPatch) -> Workspace:
    folder = shutil.copytree(template, tmp_path / "ws")
    workspace, rng = open_workspace(folder), random.Random(4)
    register(workspace, (PERSON, *OTHERS))
    rows = [row_about(person, rng) for person in (PERSON, *OTHERS) for _ in range(2)]
    take_in(workspace, write_rows(workspace, [*rows, *(row_about_nobody(rng) for _ in range(3))]))
    train(workspace, PLANS[0])
    return workspace


def facts(workspace: Workspace, case_id: str) -> dict:
    half = json.loads((workspace.case_directory(case_id) / "certificate.half.json").read_bytes())
    return json.loads(b64decode(half["payload"]))["predicate"]


def test_an_inventory_is_bound_by_the_preview_and_stands_on_the_certificate(workspace: Workspace) -> None:
    with workspace.database.reader() as session:
        composed = builds.current_release(session, ADAPTER)
    for name in ("phone", "laptop"):
        keep(workspace, "file", name, "--kind", "quantised", "--of", composed)
    keep(workspace, "backup", "nightly", "--store", "key store, vault 2", "--holds", "record keys", "--keep-days", "7")
    keep(workspace, "backup", "old", "--store", "first week", "--holds", "texts", "--until", "2026-02-01")
    case_id = approved_case(workspace, PERSON)
    keep(workspace, *SHOP)
    with pytest.raises(RefusedByRule, match="no longer true"):
        erasure.contain(workspace, case_id)
    approve_anew(workspace, case_id)
    erasure.contain(workspace, case_id)
    erasure.rebuild(workspace, case_id)
    judged_case(workspace, case_id)
    keep(workspace, "retire", "file", "phone", "--result", "deleted")
    purge_case(workspace, case_id)
    said, today = facts(workspace, case_id), workspace.settings.day(datetime.now(UTC))
    assert said["derived_files"] == [
        {"file": "laptop", "kind": "quantised", "result": "not_reached"},
        {"file": "phone", "kind": "quantised", "result": "deleted"},
    ]
    last = (today + timedelta(days=7)).isoformat()
    assert said["backups"] == [{"store": "key store, vault 2", "holds": "record keys", "expires": last}]
    assert said["to_be_told"][0] == {"kind": "recipient", "whom": "Example Shop Ltd"}
    assert [one["kind"] for one in said["to_be_told"]] == ["recipient", "upstream"]
    sign(workspace.settings.workspace, case_id)
    with workspace.database.reader() as session:
        assert CaseFile(session, case_id).view.stage == Stage.NOTIFYING
        (notice,) = notices(session, case_id)
        serving = builds.current_release(session, ADAPTER)
    (told,) = json.loads(notice.body)["data"]["adapters"]
    assert (told["adapter"], told["serving"]) == (ADAPTER, serving)
    assert composed in told["withdraw"]
    assert serving not in told["withdraw"]


def test_a_backup_without_an_end_lets_no_purge_begin(workspace: Workspace) -> None:
    case_id = approved_case(workspace, PERSON)
    erasure.contain(workspace, case_id)
    erasure.rebuild(workspace, case_id)
    judged_case(workspace, case_id)
    tapes = ("backup", "tapes", "--store", "everything", "--holds", "texts and keys")
    assert "Nothing is in the inventory" in lethe_here("inventory", "list", workspace=workspace.settings.workspace).out
    keep(workspace, *tapes)
    assert "NO END" in lethe_here("inventory", "list", workspace=workspace.settings.workspace).out
    with workspace.database.reader() as session:
        before = session.query(RecordRow).count()
    said = lethe_here("erase", "purge", case_id, workspace=workspace.settings.workspace, code=3)
    assert "The backup tapes has neither" in said.err
    assert not workspace.journal.exists(), "LAW nothing has begun"
    with workspace.database.reader() as session:
        assert session.query(RecordRow).count() == before
    keep(workspace, *tapes, "--until", "2099-12-31")
    purge_case(workspace, case_id)
    assert facts(workspace, case_id)["backups"][0]["expires"] == "2099-12-31"


def test_without_any_backup_the_certificate_says_what_it_always_said(workspace: Workspace) -> None:
    (only,) = certified_inventory.backups(workspace, date(2026, 3, 2))
    assert (only.holds, only.expires) == ("record keys", date(2026, 4, 1))


@pytest.mark.parametrize(
    "words",
    [("retire", "file", "phone"), ("retire", "backup", "x", "--result", "deleted"), ("retire", "party", "nobody")],
    ids=" ".join,
)
def test_a_retirement_that_makes_no_sense_is_wrong_usage(template: Path, tmp_path: Path, words) -> None:
    keep(open_workspace(shutil.copytree(template, tmp_path / "ws")), *words, code=2)
