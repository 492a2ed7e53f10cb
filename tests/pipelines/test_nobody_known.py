"""Somebody who is in no register is searched for by what they gave; that nothing is held is a DPO's decision on a report."""

from __future__ import annotations

import json

import pytest
from command_line import lethe_here, one_sentence
from road import STAFF, case_of, hire
from small_world import SOURCE, copy_workspace
from sqlmodel import select

from lineage.tables import RecordRow
from lineage.workspace import open_workspace

STRANGER, NAME = "otilia@brennecke.example", "Otilia Brennecke"
LATE = {"id": "late-1", "text": f"{NAME} wrote from {STRANGER}.", "subjects": ["C-9000"]}


@pytest.fixture
def folder(ingested, tmp_path):
    """Behind the gate, nothing trained; the register does not know the stranger."""
    folder = copy_workspace(ingested.folder, tmp_path / "ws")
    if {one["name"] for one in lethe_here("staff", "list", "--json", workspace=folder).json()} < STAFF.keys():
        hire(folder)
    return folder


def file_stranger(folder, given=f"{STRANGER}\n{NAME}\n") -> str:
    arguments = ("erase", "file", "--as", "ines", "--identity", "portal", "--json")
    said = lethe_here(*arguments, workspace=folder, given=given)
    assert said.json()["stage"] == "ASSESSMENT", "nobody ends before the search"
    return said.json()["id"]


def preview(folder, case_id: str) -> dict:
    return lethe_here("erase", "preview", case_id, "--json", workspace=folder).json()


def decide(folder, case_id: str, digest: str, *, who: str = "dana", code: int | None = 0):
    return lethe_here("erase", "not-found", case_id, "--digest", digest, "--as", who, workspace=folder, code=code)


def bring(folder, tmp_path, row=LATE) -> None:
    path = tmp_path / "late.jsonl"
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    lethe_here("ingest", path, "--source", SOURCE, "--subject-column", "subjects", workspace=folder)


def stage(folder, case_id: str) -> str:
    return case_of(folder, case_id)["stage"]


def test_a_stranger_whose_name_waits_in_quarantine_is_found_there(folder, tmp_path):
    bring(folder, tmp_path, {**LATE, "subjects": ["C-1001"]})
    with open_workspace(folder).database.transaction() as session:
        row = session.exec(select(RecordRow).order_by(RecordRow.generation.desc())).first()  # type: ignore[attr-defined]
        row.status = "quarantined"
    case_id = file_stranger(folder)
    body = preview(folder, case_id)
    assert [r["relation"] for r in body["contract"]["records"]] == ["mentioned"]
    assert body["forecast"]["found"] == {"admitted": 0, "trunk": 0, "quarantined": 1, "blocked": 0}
    assert stage(folder, case_id) == "PREVIEW_READY"


def test_nothing_found_waits_for_a_dpo_with_a_report_that_holds_no_value(folder):
    case_id = file_stranger(folder)
    body = preview(folder, case_id)
    report = body["search_report"]
    assert {one["store"] for one in report["stores"]} == {"admitted", "trunk", "quarantined", "blocked"}
    assert sum(one["searched"] for one in report["stores"]) > 0
    assert {one["found"] for one in report["stores"]} == {0}
    assert report["forms"] == {"name": 1, "email": 1, "phone": 0, "account": 0}
    assert report["scanners"]
    assert report["blind_spots"]
    shown = lethe_here("erase", "show", case_id, workspace=folder).out
    assert "Decide that nothing is held (dpo)" in shown
    assert not [value for value in (STRANGER, NAME) if value in shown + json.dumps(body)]
    assert stage(folder, case_id) == "SEARCHED"
    for who in ("ines", "max"):
        one_sentence(decide(folder, case_id, body["digest"], who=who, code=None), 3)
    one_sentence(decide(folder, case_id, "0" * 64, code=None), 3, "changed since it was read")
    decide(folder, case_id, body["digest"])
    assert stage(folder, case_id) == "NOT_FOUND"


def test_a_report_that_the_workspace_has_outgrown_cannot_be_decided_on(folder, tmp_path):
    case_id = file_stranger(folder)
    digest = preview(folder, case_id)["digest"]
    bring(folder, tmp_path)
    one_sentence(decide(folder, case_id, digest, code=None), 3, "since the search", "lethe erase preview")
    assert len(preview(folder, case_id)["contract"]["records"]) == 1


def test_somebody_registered_meanwhile_is_searched_for_as_themselves(folder, tmp_path):
    bring(folder, tmp_path)
    bring(folder, tmp_path, {"id": "late-2", "text": "The lamp is broken.", "subjects": ["C-9000"]})
    case_id = file_stranger(folder)
    people = tmp_path / "people.csv"
    people.write_text(f"subject,kind,value\nC-9000,email,{STRANGER}\n", encoding="utf-8")
    lethe_here("register", "add", "--from-file", people, workspace=folder)
    assert [r["relation"] for r in preview(folder, case_id)["contract"]["records"]] == ["declared"] * 2


def test_a_search_for_nothing_decides_nothing(folder):
    case_id = file_stranger(folder, given="x\n")
    digest = preview(folder, case_id)["digest"]
    one_sentence(decide(folder, case_id, digest, code=None), 3, "None of the identifiers")
