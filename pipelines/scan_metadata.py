"""What Dagster's UI shows of an ingest: counts, a table of entity types, the report in a few lines of Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dagster import MetadataValue, TableRecord

from lineage.scan_report import VERDICTS, ScanReport
from pipelines.scan_drift import percent
from pipelines.scan_page import headline, standing

if TYPE_CHECKING:
    from pipelines.ingest import IngestReport

__all__ = ["gate_metadata"]

_Metadata = Mapping[str, str | int | MetadataValue]


def gate_metadata(report: IngestReport, scan: ScanReport) -> dict[str, _Metadata]:
    """The metadata of `corpus`, `findings` and `admissions`."""
    facts = {"ingest": report.ingest_id, "source": report.source, "generation": report.generation}
    read = {name: report.counts.get(name, 0) for name in ("rows", "held", "rejected")}
    verdicts = {name: report.counts.get(name, 0) for name in VERDICTS}
    why = {f"why/{reason}": count for reason, count in report.reasons.items()}
    shown = {"scan report": MetadataValue.md(_markdown(scan)), **_tables(scan)}
    return {
        "corpus": {**facts, **read},
        "findings": {**facts, **verdicts, **why, **shown},
        "admissions": {**facts, "admitted": verdicts["allow"] + verdicts["redact"]},
    }


def _tables(scan: ScanReport) -> dict[str, MetadataValue]:
    """Types by share of records; no table when nothing was found, because Dagster reads a table's columns from its rows."""
    if not scan.counts.types:
        return {}
    rows = [
        TableRecord(
            {"type": name, "share of records": percent(found.records, scan.counts.scanned), "records": found.records,
             "findings": found.findings, **{action: found.actions.get(action, 0) for action in VERDICTS}}
        )
        for name, found in scan.counts.types.items()
    ]  # fmt: skip
    return {"entity types": MetadataValue.table(rows)}


def _markdown(scan: ScanReport) -> str:
    moved = [f"* {sentence}" for sentence in scan.last.sentences] if scan.last else []
    stopped = [f"* {count:,} x {reason}" for reason, count in scan.counts.reasons.items()]
    blocks = [
        f"**{headline(scan)}**",
        standing(scan),
        "\n".join(moved),
        "\n".join(stopped),
        f"Tier: {scan.tier}. {scan.blind_spots}",
        f"Page: `ingests/{scan.ingest_id}/report.html` in the workspace's data folder, or `lethe gate report {scan.ingest_id}`.",
    ]
    return "\n\n".join(block for block in blocks if block)
