"""Bytes: a planted person is nowhere but in ciphertext before the purge, and nowhere at all after it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from command_line import lethe_here
from road import to_approved, to_purge_approved
from small_world import CORPUS, PLANTED, SOURCE, copy_workspace, values_of
from sqlmodel import select
from thief import ciphertexts, every_key, opens

from lineage.bytescan import scan_bytes
from lineage.catalog import contents_of
from lineage.tables import RecordRow
from lineage.vault import KeyStore
from lineage.workspace import open_workspace

VALUES = values_of([PLANTED])


@pytest.fixture(scope="module")
def of_the_person(erased) -> dict[str, bytes]:
    """The ciphertext copy from before the purge: records of the closure, register entries, what the request said."""
    workspace = open_workspace(erased.folder)
    with workspace.database.reader() as session:
        ids = {row.id for row in session.exec(select(RecordRow).where(RecordRow.restricted_by == erased.case_id)).all()}
    workspace.database.compact()  # so that the copy of one file is whole
    return ciphertexts(erased.folder / ".lethe" / "lethe.db", ids)


# --- before ---------------------------------------------------------------------------------------------------------------


def test_before_the_purge_the_person_is_in_no_file_in_the_clear(erased):
    """Dagster's storage, logs, ledger, evidence, reports, rejects, databases, weights: every file of the workspace."""
    scan = scan_bytes(erased.folder, VALUES)
    assert scan.hits == ()
    searched = {path.suffix for path in (erased.folder / ".lethe").rglob("*") if path.is_file()}
    assert {".db", ".safetensors", ".html", ".json"} <= searched
    assert scan.files > 50


def test_the_scan_would_have_found_them(erased, tmp_path):
    """The control: one value in one file, in the clear, is found."""
    copy_workspace(erased.folder, tmp_path / "ws")
    for number, value in enumerate(VALUES):
        (tmp_path / "ws" / ".lethe" / "dagster" / f"note-{number}.log").write_bytes(
            b"\0" * 7 + value.upper().encode("utf-16-le")
        )
    assert len(scan_bytes(tmp_path / "ws", VALUES).hits) == len(VALUES)


def test_before_the_purge_the_keys_open_everything(erased, of_the_person):
    """The control of the test after the purge: this is how a thief would read the copy."""
    assert len(of_the_person) == 4 + 4 + 1
    assert opens(of_the_person, every_key(erased.folder / ".lethe")) == set(of_the_person)


def awkward_rows(folder: Path) -> Path:
    """Rows of the person that do not get in: refused, quarantined (an Art. 9 word), blocked (a card number)."""
    said = f"{PLANTED.name}, {PLANTED.email}, {PLANTED.phone}, {PLANTED.account}"
    rows = [
        {"id": PLANTED.email, "text": f"Nobody says whose row this is: {said}"},
        {
            "id": f"{PLANTED.account}-a",
            "text": f"Wants to talk about chemotherapy: {said}",
            "subjects": [PLANTED.customer_id],
        },
        {
            "id": f"{PLANTED.account}-b",
            "text": f"Pays with 4111 1111 1111 1111: {said}",
            "subjects": [PLANTED.customer_id],
        },
        {"id": f"{PLANTED.account}-b", "text": f"The same id again: {said}", "subjects": [PLANTED.customer_id]},
    ]
    path = folder / "awkward.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_that_do_not_get_in_leave_nothing_in_the_clear(trained, tmp_path, here):
    """Rejects file, quarantine, blocked records, and what Dagster keeps of the run that refused them."""
    folder = copy_workspace(trained.folder, tmp_path / "ws")
    (report,) = lethe_here("ingest", awkward_rows(tmp_path), "--source", SOURCE, "--json", workspace=folder).json()
    counts = {name: report["counts"].get(name, 0) for name in ("rows", "quarantine", "block", "rejected")}
    assert counts == {"rows": 4, "quarantine": 1, "block": 1, "rejected": 2}
    assert Path(report["rejects_file"]).is_relative_to(folder)
    assert scan_bytes(folder, VALUES).hits == ()


@pytest.mark.slow
def test_what_waits_in_the_quarantine_is_erased_with_the_rest(trained, tmp_path, here):
    """The whole road again, by commands in this process, for a person with quarantined and blocked records too."""
    folder = copy_workspace(trained.folder, tmp_path / "ws")
    lethe_here("ingest", awkward_rows(tmp_path), "--source", SOURCE, workspace=folder)
    case_id = to_approved(folder, PLANTED)
    lethe_here("erase", "run", case_id, workspace=folder)
    workspace = open_workspace(folder)
    with workspace.database.reader() as session:
        ids = {row.id for row in session.exec(select(RecordRow).where(RecordRow.restricted_by == case_id)).all()}
    workspace.database.compact()
    with sqlite3.connect(folder / ".lethe" / "lethe.db") as connection:
        kept = {row[0] for row in connection.execute("SELECT record_id FROM vault")}
    connection.close()
    sealed = ciphertexts(folder / ".lethe" / "lethe.db", ids & kept)
    assert len(ids) == 6
    assert len(ids & kept) == 5, "of a blocked record no text is kept"
    to_purge_approved(folder, case_id)
    lethe_here("erase", "purge", case_id, workspace=folder)
    assert scan_bytes(folder, VALUES).hits == ()
    assert opens(sealed, every_key(folder / ".lethe")) == set()
    (report,) = lethe_here("ingest", tmp_path / "awkward.jsonl", "--source", SOURCE, "--json", workspace=folder).json()
    assert report["counts"]["erased"] >= 2
    assert scan_bytes(folder, VALUES).hits == ()


# --- after ----------------------------------------------------------------------------------------------------------------


def test_after_the_purge_no_byte_of_the_person_is_left(purged):
    assert scan_bytes(purged.folder, VALUES).hits == ()


def test_after_the_purge_no_key_opens_the_ciphertext_of_before(purged, of_the_person):
    assert opens(of_the_person, every_key(purged.folder / ".lethe")) == set()


def test_after_the_purge_neither_ciphertexts_nor_wrapped_keys_are_left_in_any_file(erased, purged, of_the_person):
    """Deleted rows are overwritten, also in the SQLite files and their journals."""
    with sqlite3.connect(erased.folder / ".lethe" / "keys.db") as connection:
        wrapped = dict(connection.execute("SELECT name, wrapped FROM data_key"))
    connection.close()
    gone = [*of_the_person.values(), *(wrapped[name.split("#")[0]] for name in of_the_person)]
    files = [path.read_bytes() for path in purged.folder.rglob("*") if path.is_file()]
    assert not [secret for secret in gone if any(secret in content for content in files)]
    before = [path.read_bytes() for path in (erased.folder / ".lethe").glob("*.db*")]
    assert all(any(secret in content for content in before) for secret in gone), "the control"


def test_with_shredding_switched_off_the_old_ciphertext_opens(erased, of_the_person, tmp_path, here):
    """The test above can fail: without the shredding the copy is readable, whatever else the purge deleted."""
    folder = copy_workspace(erased.folder, tmp_path / "ws")
    to_purge_approved(folder, erased.case_id)
    here.setattr(KeyStore, "shred", lambda self, names: 0)
    lethe_here("erase", "purge", erased.case_id, workspace=folder)
    assert opens(of_the_person, every_key(folder / ".lethe")) == set(of_the_person)


def test_a_value_that_a_log_kept_stops_the_purge(erased, tmp_path, here):
    """No quiet success: the files are named, the values are not, the case is not purged."""
    folder = copy_workspace(erased.folder, tmp_path / "ws")
    to_purge_approved(folder, erased.case_id)
    (folder / ".lethe" / "dagster" / "leak.log").write_text(f"asked {PLANTED.email}")
    said = lethe_here("erase", "purge", erased.case_id, workspace=folder, code=1)
    assert "leak.log" in said.err
    assert not [value for value in VALUES if value in said.err]
    (folder / ".lethe" / "dagster" / "leak.log").unlink()
    lethe_here("erase", "retry", erased.case_id, "--as", "max", workspace=folder)
    assert "PURGED" in lethe_here("erase", "purge", erased.case_id, workspace=folder).out


# --- coming back ------------------------------------------------------------------------------------------------------------


def test_the_same_file_brings_nothing_of_the_person_back(purged, tmp_path, here):
    folder = copy_workspace(purged.folder, tmp_path / "ws")
    (report,) = lethe_here("ingest", purged.corpus, "--source", SOURCE, "--json", workspace=folder).json()
    rows = len(CORPUS.rows)
    assert report["counts"]["erased"] == 4
    assert report["counts"]["held"] == rows - 4
    assert report["counts"]["rejected"] == 4
    assert not report["counts"].keys() & {"allow", "redact", "quarantine", "block"}
    assert scan_bytes(folder, VALUES).hits == ()
    assert "erased on request" in Path(report["rejects_file"]).read_text()


@pytest.mark.parametrize("change", ["another id", "another text"])
def test_neither_the_same_words_nor_the_same_id_come_back(purged, tmp_path, here, change):
    """A tombstone for the content, another one for source and id."""
    folder = copy_workspace(purged.folder, tmp_path / "ws")
    row = next(row for row in CORPUS.rows if PLANTED.customer_id in row.subjects).as_json()
    if change == "another id":
        row["id"] = "T-NEW"
    else:
        row["messages"][-1]["content"] += " Goodbye."
    (tmp_path / "again.jsonl").write_text(json.dumps(row))
    (report,) = lethe_here("ingest", tmp_path / "again.jsonl", "--source", SOURCE, "--json", workspace=folder).json()
    assert (report["counts"]["rows"], report["counts"]["erased"]) == (1, 1)
    assert scan_bytes(folder, VALUES).hits == ()


def test_others_who_speak_of_the_erased_person_are_still_redacted(purged, tmp_path, here):
    """The suppression list works without knowing the values: the register entry is gone."""
    folder = copy_workspace(purged.folder, tmp_path / "ws")
    writer = CORPUS.people[0]
    text = f"Please also write to {PLANTED.name}, {PLANTED.email}, {PLANTED.phone}, account {PLANTED.account}."
    row = {"id": "new-1", "subjects": [writer.customer_id], "messages": [
        {"role": "user", "content": text}, {"role": "assistant", "content": f"We will tell {PLANTED.name} today."}]}  # fmt: skip
    (tmp_path / "more.jsonl").write_text(json.dumps(row))
    (report,) = lethe_here("ingest", tmp_path / "more.jsonl", "--source", SOURCE, "--json", workspace=folder).json()
    assert report["counts"]["redact"] == 1
    workspace = open_workspace(folder)
    with workspace.database.reader() as session:
        (new,) = session.exec(select(RecordRow.id).where(RecordRow.generation == report["generation"])).all()
        (record,) = contents_of(session, [new], keystore=workspace.keystore)
    kept = " ".join(record.content.segments())
    assert kept == "Please also write to [PERSON], [EMAIL], [PHONE], account [ACCOUNT]. We will tell [PERSON] today."
