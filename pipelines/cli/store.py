"""`lethe store`: what lies in the content-addressed store, and what may leave it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click

from pipelines.cli.options import json_option, opened, say, show, workspace_option


@click.group("store")
def store_group() -> None:
    """States and adapters by digest: collect garbage, check that everything is there."""


@store_group.command("gc")
@click.option("--dry-run", is_flag=True, help="Count only; change nothing.")
@workspace_option
@json_option
def store_gc(workspace_dir: Path | None, dry_run: bool, as_json: bool) -> None:
    """Remove states and adapters that no live recipe reaches and that are older than a day, and what crashes left.

    \b
    Example:
      lethe store gc --dry-run
    """
    from pipelines.collecting import survey
    from pipelines.launch import collect_garbage

    workspace = opened(workspace_dir)
    counts = asdict(survey(workspace)) if dry_run else collect_garbage(workspace)
    verb = "would go" if dry_run else "gone"
    show({**counts, "dry_run": dry_run}, as_json=as_json, lines=lambda: say(
        f"{counts['states']} states and {counts['adapters']} adapters that nothing reaches, {counts['entries']} entries "
        f"and {counts['leftovers']} leftovers of crashes: {verb}."
    ))  # fmt: skip


@store_group.command("check")
@workspace_option
@json_option
def store_check(workspace_dir: Path | None, as_json: bool) -> None:
    """Read every state and adapter that should be there. Exit 1 if one is missing or damaged.

    \b
    Example:
      lethe store check
    """
    from pipelines.collecting import check_store

    report = check_store(opened(workspace_dir))
    wrong = [("missing", name) for name in report.missing] + [("damaged", name) for name in report.damaged]
    notes = [*wrong, *(("orphan ", name) for name in report.orphans)]
    show(asdict(report), as_json=as_json, lines=lambda: [
        say(f"{report.entries} entries, {len(wrong)} of them missing or damaged; {len(report.orphans)} orphans."),
        *[say(f"  {what}  {name}") for what, name in notes],
    ])  # fmt: skip
    sys.exit(1 if wrong else 0)
