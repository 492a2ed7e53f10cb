"""`lethe gate report`: what an ingest's scan found, and what moved against the last one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import json_option, opened, say, show, workspace_option

if TYPE_CHECKING:
    from lineage.scan_report import ScanReport

__all__ = ["report"]


@click.command()
@click.argument("ingest", default="")
@click.option("--path", "only_path", is_flag=True, help="Print only where the HTML page lies, to open it in a browser.")
@workspace_option
@json_option
def report(ingest: str, only_path: bool, workspace_dir: Path | None, as_json: bool) -> None:
    """Show the scan report of INGEST (an id or its beginning; without one, of the last ingest).

    \b
    Example:
      lethe gate report
      lethe gate report ing-1f --json
      xdg-open "$(lethe gate report --path)"
    """
    from pipelines.scan_reporting import find_ingest, page_of, report_of

    workspace = opened(workspace_dir)
    found = report_of(workspace, find_ingest(workspace, ingest))
    page = page_of(workspace, found.ingest_id)
    if only_path:
        say(str(page))
        return
    show(found.as_json(), as_json=as_json, lines=lambda: [say(line) for line in [*_lines(found), f"Page: {page}"]])


def _lines(found: ScanReport) -> Iterator[str]:
    from pipelines.scan_drift import percent
    from pipelines.scan_page import headline, standing

    total = found.counts.scanned
    yield f"{found.source}, ingest {found.ingest_id}, {found.ended_at[:16].replace('T', ' ')} UTC"
    yield headline(found)
    yield f"  {found.rows:,} rows read, {found.held:,} held before, {found.refused:,} refused."
    if found.counts.types:
        yield "  Type                   records  share       findings"
    for name, count in found.counts.types.items():
        done = ", ".join(f"{action} {number:,}" for action, number in sorted(count.actions.items()))
        yield f"  {name:20} {count.records:9,}  {percent(count.records, total):10}  {count.findings:,} ({done})"
    for reason, number in found.counts.reasons.items():
        yield f"  {number:,} x {reason}"
    yield standing(found)
    for sentence in found.last.sentences if found.last else ():
        yield f"  {sentence}"
    yield f"Tier: {found.tier}. {found.blind_spots}"
