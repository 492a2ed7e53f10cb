"""`lethe erase lift`: let an erased person in again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from pipelines.cli.options import acting, actor_option, json_option, opened, say, show, workspace_option


@click.command("lift")
@click.argument("case_id")
@click.option("--reason", required=True, help="Why, in a sentence without personal data; it stands in the ledger.")
@workspace_option
@actor_option
@json_option
def lift(case_id: str, reason: str, workspace_dir: Path | None, actor_name: str, as_json: bool) -> None:
    """Let the person and the records of a purged case in again: its tombstones and suppressed forms go.

    What another erasure keeps out as well stays out.

    \b
    Example:
      lethe erase lift CASE --reason "a new contract, at their wish" --as dana
    """
    from lineage import retention

    workspace = opened(workspace_dir)
    with workspace.database.reader() as session:
        actor = acting(session, actor_name)
    counts = retention.lift(workspace, case_id, actor=actor, reason=reason, now=datetime.now(UTC))
    gone = ", ".join(f"{name} {count}" for name, count in counts.items())
    show(counts, as_json=as_json, lines=lambda: say(f"{case_id}: lifted: {gone}."))
