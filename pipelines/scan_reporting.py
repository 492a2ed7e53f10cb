"""The scan report of an ingest: counted, compared with the last one, written down, found again.

Counting reads the database, so a report that a crash prevented is made by whoever asks first. The JSON is written last:
with it the report is there.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from sqlmodel import Session, col, select

from lineage.durable import write_whole
from lineage.errors import WrongUsage
from lineage.planted import CANARY_SOURCE
from lineage.policy import load_gate_policy
from lineage.scan_counts import count_ingest, earlier_ingests
from lineage.scan_report import ScanReport, read_report, report_file
from lineage.scanned import scanner_of
from lineage.tables import IngestRow
from lineage.workspace import Workspace
from pipelines.scan_drift import compare

__all__ = ["find_ingest", "page_of", "report_of", "write_scan_report"]


def write_scan_report(workspace: Workspace, ingest_id: str) -> ScanReport:
    """Count a finished ingest and write report.html and report.json.

    Raises:
        WrongUsage: there is no finished ingest of that id.
    """
    from pipelines.scan_page import render

    with workspace.database.reader() as session:
        row = session.get(IngestRow, ingest_id)
        if row is None or row.status != "finished":
            raise WrongUsage("There is no finished ingest of that id.", hint="See the last one: lethe gate report")
        report = _report(workspace, session, row)
        before = _before(workspace, session, row)
    report = report.beside(compare(report, before) if before else None)
    write_whole(report_file(workspace.home, ingest_id, "html"), render(report).encode())
    body = json.dumps(report.as_json(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    write_whole(report_file(workspace.home, ingest_id), body.encode())
    return report


def report_of(workspace: Workspace, ingest_id: str) -> ScanReport:
    """The report as it was written; made now if it is missing."""
    written = read_report(report_file(workspace.home, ingest_id))
    return written or write_scan_report(workspace, ingest_id)


def page_of(workspace: Workspace, ingest_id: str) -> Path:
    """Where the HTML page lies."""
    return report_file(workspace.home, ingest_id, "html")


def find_ingest(workspace: Workspace, beginning: str) -> str:
    """The finished ingest whose id begins like this; the last one for an empty beginning.

    Raises:
        WrongUsage: there is none, or more than one.
    """
    query = select(IngestRow.id).where(IngestRow.status == "finished", IngestRow.source != CANARY_SOURCE)
    query = query.where(col(IngestRow.id).startswith(beginning, autoescape=True))
    with workspace.database.reader() as session:
        found = session.exec(query.order_by(col(IngestRow.ended_at).desc())).all()
    if not found:
        if not beginning:
            raise WrongUsage("No ingest has finished here yet.", hint="First: lethe ingest FILE --source NAME")
        hint = "Ids begin with ing-; the last one is shown without an id."
        raise WrongUsage("There is no such finished ingest.", hint=hint)
    if beginning and len(found) > 1 and beginning not in found:
        raise WrongUsage(f"{len(found)} ingests begin like this.", hint="Give more of the id.")
    return beginning if beginning in found else found[0]


def _report(workspace: Workspace, session: Session, row: IngestRow) -> ScanReport:
    policy, scanner = load_gate_policy(workspace.settings), scanner_of(session, row.scanner_digest)
    counts, told = count_ingest(session, row), row.counts.get
    return ScanReport(
        ingest_id=row.id, source=row.source, generation=row.generation, rectify=row.rectify,
        ended_at=row.ended_at.isoformat(timespec="seconds") if row.ended_at else "",
        policy=policy.name if policy.digest == row.policy_digest else "", policy_digest=row.policy_digest,
        scanner_digest=row.scanner_digest, tier=scanner.tier, blind_spots=scanner.blind_spots, rows=told("rows", 0), held=told("held", 0),
        refused=told("rejected", 0), erased=told("erased", 0),
        refusals=_refusals(workspace.home / "rejects" / f"{row.id}.jsonl"), counts=counts,
    )  # fmt: skip


def _before(workspace: Workspace, session: Session, row: IngestRow) -> ScanReport | None:
    """The last ingest of the same source that scanned anything: as it was written down, or counted now."""
    for earlier in earlier_ingests(session, row):
        report = _written(workspace, earlier.id) or _report(workspace, session, earlier)
        if report.counts.scanned:
            return report
    return None


def _written(workspace: Workspace, ingest_id: str) -> ScanReport | None:
    """An older report that can still be read; a damaged one must not stop a new ingest."""
    try:
        return read_report(report_file(workspace.home, ingest_id))
    except WrongUsage:
        return None


def _refusals(rejects: Path) -> dict[str, int]:
    """Refused rows by sentence, from the file the ingest wrote."""
    if not rejects.exists():
        return {}
    lines = rejects.read_text(encoding="utf-8").splitlines()
    return dict(Counter(str(json.loads(line)["reason"]) for line in lines).most_common())
