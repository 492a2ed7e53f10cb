"""Withdrawal of consent alone (Art. 7(3)): afterwards every byte equals a training without what rested on consent."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from command_line import lethe_here
from road import case_of, to_purge_approved
from small_world import ADAPTER, CORPUS, SECOND, bytes_in_service, write_corpus
from sqlmodel import select
from world_making import make_world

from lineage.catalog import contents_of
from lineage.evidence import evidence
from lineage.forms import canonical_identifier
from lineage.subjects import load_forms
from lineage.tables import RecordRow, SuppressionRow, TombstoneRow
from lineage.workspace import open_workspace

pytestmark = pytest.mark.slow

OWN = [row.row_id for row in CORPUS.rows if SECOND.customer_id in row.subjects]
CONSENTED = OWN[: len(OWN) // 2]
MIXED = replace(
    CORPUS,
    rows=tuple(replace(row, lawful_basis="consent") if row.row_id in CONSENTED else row for row in CORPUS.rows),
)


def trained_on(corpus, trained, folder):
    files = write_corpus(corpus, folder / "given")
    world = make_world(folder / "ws", corpus=files[0], people=files[1], secret=trained.secret)
    lethe_here("train", ADAPTER, "--plan", trained.plan, workspace=world)
    return world


def test_only_what_rested_on_consent_goes_and_the_person_stays(trained, tmp_path):
    folder = trained_on(MIXED, trained, tmp_path / "mixed")
    filed = lethe_here(
        "erase", "file", "--as", "ines", "--identity", "portal", "--only-consent", "--json", workspace=folder,
        given=SECOND.customer_id + "\n",
    )  # fmt: skip
    case_id = filed.json()["id"]
    previewed = lethe_here("erase", "preview", case_id, "--json", workspace=folder).json()
    own = [(r["decision"], r.get("ground")) for r in previewed["contract"]["records"] if r["relation"] == "declared"]
    assert sorted(own, key=str) == [("erase", None)] * len(CONSENTED) + [("keep", "other lawful basis: contract")] * (
        len(OWN) - len(CONSENTED)
    )
    lethe_here("erase", "approve", case_id, "--as", "dana", "--digest", previewed["digest"], workspace=folder)
    lethe_here("erase", "run", case_id, workspace=folder)
    without = replace(MIXED, rows=tuple(row for row in MIXED.rows if row.row_id not in CONSENTED))
    assert bytes_in_service(folder) == bytes_in_service(trained_on(without, trained, tmp_path / "without"))
    to_purge_approved(folder, case_id)
    lethe_here("erase", "purge", case_id, workspace=folder)
    assert case_of(folder, case_id)["stage"] == "PURGED"
    workspace = open_workspace(folder)
    key = workspace.keyring.subject_key(canonical_identifier(SECOND.customer_id))
    with workspace.database.reader() as session:
        mine = list(session.exec(select(RecordRow.id).where(RecordRow.primary_subject == key)).all())
        assert len(contents_of(session, mine, keystore=workspace.keystore)) == len(OWN) - len(CONSENTED)
        assert len(load_forms(session, workspace.keystore, key)) >= 4
        assert session.exec(select(SuppressionRow)).all() == []
        assert len(session.exec(select(TombstoneRow)).all()) == 2 * len(CONSENTED)
        assert evidence(session, case_id, "destruction")["byte_scan"]["hits"] == 0
    half = json.loads(next((folder / ".lethe" / "cases").rglob("certificate.half.json")).read_text())
    assert half
