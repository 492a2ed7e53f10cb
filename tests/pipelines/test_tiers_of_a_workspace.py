"""Which tier scanned, from an ingest to the certificate; and what the doctor says of it."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

import pytest
from sqlmodel import select

from lineage.policy import shipped_text
from lineage.scanned import scanned_by, summary
from lineage.tables import RecordRow, ScannerRow, SuppressionRow
from lineage.workspace import Workspace, create_workspace, open_workspace
from pipelines import certifying, doctor
from pipelines.ingest import IngestReport, request_ingest, run_ingest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_workspace(tmp_path / "ws", controller="Test GmbH")
    return tmp_path / "ws"


def with_policy(folder: Path, text: str) -> Workspace:
    (folder / "gate.toml").write_text(text, encoding="utf-8")
    settings = folder / "lethe.toml"
    settings.write_text(re.sub(r"^policy = .*$", 'policy = "gate.toml"', settings.read_text(), flags=re.MULTILINE))
    return open_workspace(folder)


def ingest(workspace: Workspace, source: str, *rows: tuple[str, str]) -> IngestReport:
    path = workspace.settings.workspace / f"{source}.jsonl"
    lines = [json.dumps({"text": text, "language": language, "subjects": []}) for language, text in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    return run_ingest(workspace, request_ingest(workspace, path, source=source))


ROWS = (
    ("en", "Part KX is broken."),
    ("de", "Teil KX fehlt."),
    ("de-AT", "Die DE_TAX_ID 86095742719."),
    ("nl", "Kapot."),
)


def test_each_record_is_read_in_its_language_and_the_report_names_the_tier(folder):
    workspace = with_policy(folder, shipped_text("european"))
    report = ingest(workspace, "mixed", *ROWS)
    assert report.reasons == {"quarantined_type": 1, "language_not_covered": 1}
    assert report.tier == "patterns+register (de, en, es, fr)"
    assert "does not see names" in report.blind_spots


def test_the_certificate_names_the_tiers_that_scanned_what_is_held(folder):
    """The second ingest ran under another policy; the tier that is configured at the end scanned the fewest records."""
    workspace = with_policy(folder, shipped_text("european"))
    ingest(workspace, "mixed", *ROWS)
    gazetteer = shipped_text("default") + "\n[gazetteer]\nenabled = true\n"
    ingest(with_policy(folder, gazetteer), "later", ("en", "The lid is loose."))
    first, second = certifying._scanners(open_workspace(folder))
    assert (first.tier, first.records) == ("patterns+register (de, en, es, fr)", 2)
    assert (second.tier, second.records) == ("patterns+register+gazetteer", 1)
    with workspace.database.reader() as session:
        rows = {row.digest: row for row in session.exec(select(ScannerRow)).all()}
        tier, blind_spots = summary(scanned_by(session))
    assert set(rows) == {first.fingerprint, second.fingerprint}
    assert "2 records; patterns+register+gazetteer: 1 record" in tier
    assert "common first names" in blind_spots


def test_what_an_earlier_version_scanned_is_said_to_be_unknown(folder):
    workspace = open_workspace(folder)
    ingest(workspace, "old", ("en", "The lid is loose."))
    with workspace.database.transaction() as session:
        session.delete(session.exec(select(ScannerRow)).one())
    (found,) = certifying._scanners(workspace)
    assert found.tier == "not recorded"
    assert found.cannot_see


def test_of_a_workspace_without_records_it_is_what_would_scan_now(folder):
    (found,) = certifying._scanners(open_workspace(folder))
    assert (found.tier, found.records) == ("patterns+register", 0)


def test_a_tag_of_a_language_is_kept_as_it_came(folder):
    workspace = with_policy(folder, shipped_text("european"))
    ingest(workspace, "mixed", *ROWS)
    with workspace.database.reader() as session:
        assert sorted(session.exec(select(RecordRow.language)).all()) == ["de", "de-AT", "en", "nl"]


def said(folder: Path) -> dict[str, tuple[str, str]]:
    return {finding.subject: (finding.standing, finding.meaning) for finding in doctor.examine(folder)}


def test_the_doctor_names_the_tier_of_each_language(folder):
    with_policy(folder, shipped_text("european"))
    tiers = {subject: found for subject, found in said(folder).items() if subject.startswith("tier ")}
    assert set(tiers) == {"tier en", "tier de", "tier fr", "tier es"}
    assert {standing for standing, _ in tiers.values()} == {"ok"}


def test_the_doctor_tells_of_suppressed_forms_that_make_scanning_slow(folder):
    assert "suppression list" not in said(folder)
    with open_workspace(folder).database.transaction() as session:
        session.add(SuppressionRow(kind="name", hmac="0" * 64, case_id="case-1", keep_until=date(2031, 1, 1)))
    standing, meaning = said(folder)["suppression list"]
    assert standing == "note"
    assert meaning.startswith("1 forms")


def test_the_doctor_says_which_model_is_missing_and_how_to_get_one(folder):
    ner = '\n[ner]\nengine = "spacy"\nmodels.en = "en_core_web_lg"\n'
    with_policy(folder, shipped_text("default") + ner)
    found = said(folder)
    standing, meaning = found["tier en"]
    if "en_core_web_lg" not in found["named-entity models"][1].split(":")[0]:
        assert standing == "missing"
        assert "not there: en_core_web_lg" in meaning
        assert "pip install" in meaning
    assert "policy" in found["named-entity models"][1]
