"""The scan report: its counts are those of the rows, its comparison moves when shares move, its page needs only itself."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import lethe_here
from crashes import Killed, boundaries, crashing, let_die
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import CORPUS, SOURCE, copy_workspace, write_secret
from sqlmodel import select
from world_making import make_world

from lineage.errors import WrongUsage
from lineage.scan_report import SCHEMA, ScanCounts, ScanReport, TypeCount, read_report, report_file
from lineage.tables import FindingRow, IngestRow, RecordRow
from lineage.workspace import open_workspace
from pipelines import intake
from pipelines.ingest import IngestReport, request_ingest, run_ingest
from pipelines.scan_drift import ALPHA, compare, percent
from pipelines.scan_metadata import gate_metadata
from pipelines.scan_page import render
from pipelines.scan_reporting import write_scan_report


def report(
    *, allow: int = 0, redact: int = 0, quarantine: int = 0, block: int = 0, types: dict[str, int] | None = None,
    ingest_id: str = "ing-1", source: str = "tickets",
) -> ScanReport:  # fmt: skip
    verdicts = {"allow": allow, "redact": redact, "quarantine": quarantine, "block": block}
    reasons = {name: count for name, count in (("art9_lexicon", quarantine), ("blocked_identifier", block)) if count}
    found = {name: TypeCount(count, count, {"allow": count}) for name, count in (types or {}).items()}
    counts = ScanCounts(verdicts, reasons, found, {"register": sum((types or {}).values())}, {source: verdicts})
    return ScanReport(
        ingest_id=ingest_id, source=source, generation=0, rectify=False, ended_at="2026-01-31T09:30:00+00:00",
        policy="default", policy_digest="aa", scanner_digest="bb", tier="patterns+register", blind_spots="Names.",
        rows=counts.scanned, held=0, refused=0, erased=0, refusals={}, counts=counts,
    )  # fmt: skip


# --- the comparison -------------------------------------------------------------------------------------------------------


def test_what_moved_is_said_in_words() -> None:
    now, before = report(allow=880, quarantine=120), report(allow=970, quarantine=30)
    found = compare(now, before)
    assert found is not None
    assert "12% of records were quarantined, 3.0% last time." in found.sentences
    assert "12% of records were stopped for art9_lexicon, 3.0% last time." in found.sentences


def test_a_type_that_vanished_is_said_too() -> None:
    found = compare(report(allow=500), report(allow=500, types={"PERSON": 400}))
    assert found is not None
    assert found.sentences == ("No record holds PERSON, 80% last time.",)


def test_the_same_counts_move_nothing_and_a_handful_proves_nothing() -> None:
    same = compare(report(allow=880, quarantine=120), report(allow=880, quarantine=120))
    few = compare(report(allow=4, quarantine=1), report(allow=5))
    assert same is not None
    assert few is not None
    assert (same.sentences, few.sentences) == ((), ())


def test_a_change_that_is_certain_but_small_is_not_spoken_of() -> None:
    """In a million records a change of half a percent is beyond doubt and of no interest."""
    found = compare(report(allow=895_000, quarantine=105_000), report(allow=900_000, quarantine=100_000))
    assert found is not None
    assert max(move.p_adjusted for move in found.moves if move.now) < ALPHA
    assert found.sentences == ()


def test_there_is_nothing_to_compare_with_an_ingest_that_scanned_nothing() -> None:
    assert compare(report(allow=10), report()) is None
    assert compare(report(), report(allow=10)) is None


SHARES = st.tuples(*[st.integers(0, 60)] * 4).filter(any)


@given(SHARES, SHARES)
@settings(max_examples=60, deadline=None)
def test_the_comparison_is_even_handed_and_careful(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    """The same p either way round; intervals hold their share; what is called moved is significant."""
    names = ("allow", "redact", "quarantine", "block")
    now, before = report(**dict(zip(names, one, strict=True))), report(**dict(zip(names, other, strict=True)))  # type: ignore[arg-type]
    there, back = compare(now, before), compare(before, now)
    assert there is not None
    assert back is not None
    p_back = {(move.kind, move.name): move.p_adjusted for move in back.moves}
    for move in there.moves:
        assert move.p_adjusted == pytest.approx(p_back[move.kind, move.name])
        assert move.interval_now[0] - 1e-6 <= move.now / sum(one) <= move.interval_now[1] + 1e-6
        assert not move.moved or move.p_adjusted <= ALPHA


@pytest.mark.parametrize(
    ("hits", "total", "said"), [(0, 9, "none"), (1, 9000, "under 0.1%"), (3, 100, "3.0%"), (9, 9, "100%")]
)
def test_shares_for_people(hits: int, total: int, said: str) -> None:
    assert percent(hits, total) == said


# --- the counts -----------------------------------------------------------------------------------------------------------


def written(folder: Path) -> list[ScanReport]:
    found = [read_report(path) for path in sorted((folder / ".lethe" / "ingests").glob("*/report.json"))]
    return sorted((one for one in found if one), key=lambda one: one.ended_at)


def test_the_counts_are_those_of_the_rows(ingested) -> None:
    (found,) = written(ingested.folder)
    with open_workspace(ingested.folder).database.reader() as session:
        findings = session.exec(select(FindingRow)).all()
        row = session.exec(select(IngestRow)).one()
        status = list(session.exec(select(RecordRow.status)).all())
    counts = found.counts
    assert (found.ingest_id, found.source, found.rows) == (row.id, SOURCE, len(CORPUS.rows))
    assert {v: n for v, n in counts.verdicts.items() if n} == {
        v: row.counts[v] for v in counts.verdicts if v in row.counts
    }
    assert counts.verdicts["quarantine"] == status.count("quarantined") == sum(counts.reasons.values())
    assert sum(count.findings for count in counts.types.values()) == len(findings) == sum(counts.finders.values())
    for name, count in counts.types.items():
        assert count.records == len({f.record_id for f in findings if f.entity_type == name})
        assert sum(count.actions.values()) == count.findings
    assert sum(sum(by.values()) for by in counts.sources.values()) == counts.scanned
    assert "does not see names" in found.blind_spots


def test_a_second_ingest_is_compared_with_the_first(ingested, tmp_path, here) -> None:
    folder = copy_workspace(ingested.folder, tmp_path / "ws")
    rows = [{"id": f"d-{i}", "text": f"Order {i} and my diabetes.", "subjects": []} for i in range(30)]
    rows += [{"id": "d-bad", "text": "Nobody says whose."}]
    (tmp_path / "more.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = lethe_here("ingest", tmp_path / "more.jsonl", "--source", SOURCE, workspace=folder).out
    first, second = written(folder)
    assert second.last is not None
    assert second.last.ingest_id == first.ingest_id
    assert "All of records were quarantined" not in said
    assert "  Moved: 100% of records were quarantined, none last time." in said
    assert f"Scan report: {report_file(folder / '.lethe', second.ingest_id, 'html')}" in said
    assert second.refused == sum(second.refusals.values()) == 1


def test_the_same_file_again_scans_nothing_and_says_so(ingested, tmp_path, here) -> None:
    folder = copy_workspace(ingested.folder, tmp_path / "ws")
    lethe_here("ingest", ingested.corpus, "--source", SOURCE, workspace=folder)
    _, again = written(folder)
    assert (again.counts.scanned, again.held, again.last) == (0, len(CORPUS.rows), None)
    assert "Nothing new was scanned." in lethe_here("gate", "report", workspace=folder).out


def test_after_a_crash_in_the_middle_the_report_tells_the_whole(tmp_path, here) -> None:
    """What the killed run stored counts as scanned by this ingest, not as held before."""
    here.setattr(intake, "BATCH_ROWS", 4)
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "".join(json.dumps({"id": f"r{i}", "text": f"Lamp {i}.", "subjects": []}) + "\n" for i in range(12))
    )

    def fresh(name: str) -> tuple:
        folder = make_world(tmp_path / name, corpus=None, people=None, secret=write_secret(tmp_path))
        workspace = open_workspace(folder)
        return workspace, request_ingest(workspace, path, source=SOURCE)

    workspace, ingest_id = fresh("whole")
    middle = boundaries(lambda: run_ingest(workspace, ingest_id)) // 2
    whole = write_scan_report(workspace, ingest_id)
    workspace, ingest_id = fresh("crashed")
    with crashing(middle), pytest.raises(Killed):
        run_ingest(workspace, ingest_id)
    with workspace.database.reader() as session:
        stored = len(session.exec(select(RecordRow.id)).all())
    assert 0 < stored < 12
    let_die(workspace)
    run_ingest(workspace, ingest_id)
    found = write_scan_report(workspace, ingest_id)
    assert (found.counts, found.rows, found.held) == (whole.counts, 12, 0)


def test_a_rectifying_ingest_counts_what_it_replaced(ingested, tmp_path, here) -> None:
    folder = copy_workspace(ingested.folder, tmp_path / "ws")
    row = CORPUS.rows[0].as_json()
    row["messages"][-1]["content"] += " Card 4111 1111 1111 1111."
    (tmp_path / "new.jsonl").write_text(json.dumps(row))
    lethe_here("ingest", tmp_path / "new.jsonl", "--source", SOURCE, "--rectify", workspace=folder)
    found = written(folder)[-1]
    assert (found.rectify, found.counts.scanned, found.counts.verdicts["block"]) == (True, 1, 1)
    assert "CREDIT_CARD" in found.counts.types


# --- the files ------------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_back(tmp_path) -> None:
    now, before = report(allow=80, quarantine=20, types={"URL": 9}), report(allow=100)
    whole = now.beside(compare(now, before))
    (tmp_path / "report.json").write_text(json.dumps(whole.as_json()))
    assert json.loads((tmp_path / "report.json").read_text())["schema"] == SCHEMA
    assert read_report(tmp_path / "report.json") == whole
    assert read_report(tmp_path / "other.json") is None


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"schema": "other"}', f'{{"schema": "{SCHEMA}"}}'])
def test_a_damaged_report_is_refused_in_a_sentence(tmp_path, damage) -> None:
    (tmp_path / "report.json").write_text(damage)
    with pytest.raises(WrongUsage, match="cannot be read"):
        read_report(tmp_path / "report.json")


def test_a_damaged_or_missing_report_does_not_stop_the_next_ingest(ingested, tmp_path, here) -> None:
    folder = copy_workspace(ingested.folder, tmp_path / "ws")
    (first,) = (folder / ".lethe" / "ingests").glob("*/report.json")
    first.write_text("{")
    (tmp_path / "more.jsonl").write_text(json.dumps({"id": "x", "text": "One lamp.", "subjects": []}))
    lethe_here("ingest", tmp_path / "more.jsonl", "--source", SOURCE, workspace=folder)
    first.unlink()
    for body in (
        lethe_here("gate", "report", first.parent.name, "--json", workspace=folder).json(),
        json.loads(first.read_text()),
    ):
        assert (body["schema"], body["rows"], body["counts"]["verdicts"]["block"]) == (SCHEMA, len(CORPUS.rows), 0)


def test_the_page_is_one_file_that_asks_for_nothing() -> None:
    now = report(allow=80, quarantine=20, types={"URL": 9}, source="<b>x</b>")
    page = render(now.beside(compare(now, report(allow=100))))
    assert not re.search(r"<script|<link|<img|<iframe|\bsrc=|\bhref=|url\(|https?:|@import|\bstyle=|\bon\w+=", page)
    assert "default-src 'none'" in page
    assert "<b>x</b>" not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page


@pytest.mark.parametrize("now", [report(), report(allow=3), replace(report(allow=3), tier="", blind_spots="")])
def test_a_page_and_metadata_are_made_of_little(now) -> None:
    asked = IngestReport("ing-1", "tickets", 0, 3, {}, {}, None, "", "")
    assert "Scan report" in render(now)
    assert "entity types" not in gate_metadata(asked, now)["findings"]


# --- the command ----------------------------------------------------------------------------------------------------------


def test_the_command_shows_text_json_and_where_the_page_lies(ingested, here) -> None:
    (found,) = written(ingested.folder)
    text = lethe_here("gate", "report", workspace=ingested.folder).out
    assert "does not see names" in text
    assert "no earlier ingest" in text
    assert lethe_here("gate", "report", found.ingest_id[:6], "--json", workspace=ingested.folder).json() == json.loads(
        json.dumps(found.as_json())
    )
    page = lethe_here("gate", "report", "--path", workspace=ingested.folder).out.strip()
    assert Path(page).read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("given_id", ["ing-nothing", "%"])
def test_an_unknown_ingest_is_refused(ingested, here, given_id) -> None:
    assert "no such finished ingest" in lethe_here("gate", "report", given_id, workspace=ingested.folder, code=2).err


def test_dagster_shows_the_report(ingested) -> None:
    from dagster import AssetKey

    from pipelines.instance import workspace_instance

    with workspace_instance(ingested.folder / ".lethe") as instance:
        event = instance.get_latest_materialization_event(AssetKey("findings"))
    assert event is not None
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    assert "records scanned" in metadata["scan report"].value
    types = {record.data["type"] for record in metadata["entity types"].records}
    assert {"PERSON", "PHONE_NUMBER", "ACCOUNT"} <= types
