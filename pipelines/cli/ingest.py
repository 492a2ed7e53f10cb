"""`lethe ingest`: what comes in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lineage.errors import WrongUsage
from pipelines.cli.options import json_option, opened, say, show, workspace_option

if TYPE_CHECKING:
    from lineage.scan_report import ScanReport
    from lineage.workspace import Workspace
    from pipelines.ingest import IngestReport

NOT_COVERED = 'The policy does not name their language. Add it under [languages], or try policy = "european": docs/policy-languages.md'
SENTENCES = 4  # of what moved against the last ingest; the report has all


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--source", required=True, help="Where these records come from, e.g. tickets-2026. Not a person's name.")
@click.option("--subject-column", help="Column that names the data subjects; else the one in lethe.toml.")
@click.option(
    "--generation", type=click.IntRange(0), help="Ingest generation, to rebuild a workspace; else the next one."
)
@click.option("--rectify", is_flag=True, help="Replace the contents of records that are held, by their ids (Art. 16).")
@workspace_option
@json_option
def ingest(  # noqa: PLR0913 - one option per line of the form
    files: tuple[Path, ...], source: str, subject_column: str | None, generation: int | None, rectify: bool,
    workspace_dir: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Take FILES (JSONL, CSV, Parquet, a datasets folder) through the gate into the vault.

    \b
    A row has `text`, or `prompt` + `completion`, or `messages` (role/content), and says who its
    subjects are: a list of identifiers, or an empty list for "no data subject". A bad row is refused
    with its line number; the good ones go on. Running the same command again goes on after a crash.

    An id that is held already with another content is refused. With --rectify it is replaced: the record keeps its
    id, its generation and its place, the old text's key is shredded, and the next training replaces the weights.

    \b
    Example:
      lethe ingest tickets.jsonl --source tickets-2026
      lethe ingest corrected.jsonl --source tickets-2026 --rectify
    """
    from pipelines.launch import ingest_file
    from pipelines.scan_reporting import page_of

    if rectify and generation is not None:
        raise WrongUsage("A rectified record keeps its generation.", hint="Leave --generation out.")
    workspace = opened(workspace_dir)
    reports = [
        ingest_file(
            workspace, path, source=source, subject_column=subject_column, generation=generation, rectify=rectify
        )
        for path in files
    ]
    bodies = [{**asdict(r), "scan_report": str(page_of(workspace, r.ingest_id))} for r in reports]
    show(bodies, as_json=as_json, lines=lambda: _tell_all(workspace, reports))


def _tell_all(workspace: Workspace, reports: Sequence[IngestReport]) -> None:
    """Files by their number: a name of a file may hold the name of a person."""
    from pipelines.scan_reporting import page_of, report_of

    for number, report in enumerate(reports, start=1):
        if len(reports) > 1:
            say(f"File {number} of {len(reports)}:")
        _tell_ingest(report, report_of(workspace, report.ingest_id))
        say(f"  Scan report: {page_of(workspace, report.ingest_id)}")


def _tell_ingest(report: IngestReport, scan: ScanReport) -> None:
    c = report.counts
    admitted = c.get("allow", 0) + c.get("redact", 0)
    rectified = f"{c['rectified']} rectified, " if "rectified" in c else ""
    end = "Generations are as they were." if rectified else f"Generation {report.generation}."
    say(f"{report.source}: {report.rows} rows, {rectified}{admitted} admitted ({c.get('redact', 0)} of them redacted), "
        f"{c.get('quarantine', 0)} in quarantine, {c.get('block', 0)} blocked, {c.get('rejected', 0)} refused, "
        f"{c.get('held', 0)} held before. {end}")  # fmt: skip
    say(f"  Scanned by: {report.tier}")
    if c.get("erased"):
        say(f"  {c['erased']} of the refused were erased on request and may not come back.")
    for reason, count in sorted(report.reasons.items()):
        say(f"  {count} x {reason}")
    if "language_not_covered" in report.reasons:
        say(f"  {NOT_COVERED}")
    if report.rejects_file:
        say(f"  Refused rows, by line and reason: {report.rejects_file}")
    if c.get("quarantine"):
        say("  Look at the quarantine: lethe review list")
    moved = scan.last.sentences if scan.last else ()
    for sentence in moved[:SENTENCES]:
        say(f"  Moved: {sentence}")
    if len(moved) > SENTENCES:
        say(f"  Moved: {len(moved) - SENTENCES} more; see lethe gate report {report.ingest_id}")
