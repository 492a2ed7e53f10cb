"""`lethe gate rescan`: what a changed policy changes, and the word to apply it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lineage.errors import WrongUsage
from pipelines.cli.options import json_option, opened, say, show, workspace_option

if TYPE_CHECKING:
    from lineage.comparison import Comparison

__all__ = ["rescan"]

MEANING = {
    "withdraw": "may not be learnt any more and were learnt: restricted at once, erased through one case",
    "block": "are refused before anything learnt from them: their text is shredded",
    "quarantine": "must be looked at again; nothing learnt from them",
    "redact": "stay, with another content",
    "admit": "waited and may be learnt now",
    "locked": "would change, but an open case has not purged what it freed them of",
    "wait": "go on waiting in the quarantine",
    "keep": "stay as they are, under the new policy",
}
NOT_BROUGHT_BACK = (
    "What an earlier policy made a constant or refused is not in the vault: a looser policy brings no text back. "
    "Ingest the source again for that: lethe ingest FILE --source NAME --rectify"
)


@click.command("rescan")
@click.option("--dry-run", is_flag=True, help="Compare only, even if a comparison was approved and not finished.")
@click.option("--apply", "digest", metavar="DIGEST", help="Apply the comparison that was read, by its digest, whole.")
@click.option("--as", "actor_name", envvar="LETHE_USER", metavar="NAME", help="Who applies it: role ml, dpo or admin.")
@workspace_option
@json_option
def rescan(
    dry_run: bool, digest: str | None, actor_name: str | None, workspace_dir: Path | None, as_json: bool
) -> None:
    """Scan every held record under the policy in lethe.toml and show what it changes; nothing is changed by that.

    \b
    The comparison has a digest. Given back with --apply, exactly that comparison is carried out:
    unchanged records get a new stamp, the newly admissible are admitted, others get another content,
    and what was learnt and may not be any more is restricted at once and erased through one case.
    Running it again goes on after a crash.

    \b
    Example:
      lethe gate rescan
      lethe gate rescan --apply 3b1f... --as max
    """
    from lineage.comparison import comparison
    from pipelines.launch import rescan_gate
    from pipelines.rescanning import approve_rescan, require_nothing_approved

    if digest and (dry_run or not actor_name):
        raise WrongUsage("To apply a comparison, say who does: --as NAME; and leave --dry-run out.")
    workspace = opened(workspace_dir)
    if dry_run:
        require_nothing_approved(workspace)
    if digest:
        approve_rescan(workspace, digest, actor_name=actor_name or "")
    rescan_id = rescan_gate(workspace)
    with workspace.database.reader() as session:
        found = comparison(session, rescan_id)
    show({**asdict(found), "outcomes": found.outcomes}, as_json=as_json, lines=lambda: _tell(found))


def _tell(found: Comparison) -> None:
    applied = found.status == "applied"
    say(f"{found.id}: the policy {found.policy_digest[:12]} {'is applied' if applied else 'against what was decided'}.")
    for outcome, records in found.outcomes.items():
        say(f"  {records} {MEANING[outcome]}.")
        for line in found.lines:
            if line.outcome == outcome and outcome != "keep":
                say(f"    {line.records} x {line.source}: {line.was} -> {line.verdict} ({line.reason})")
    if found.restricted or found.blocked_before:
        say(
            f"  Not scanned: {found.restricted} restricted by a case, {found.blocked_before} blocked (no text is kept)."
        )
    say(f"  {NOT_BROUGHT_BACK}")
    if found.case_id:
        say(f"  The withdrawal is {found.case_id}. Preview it: lethe erase preview {found.case_id}")
    if not applied:
        say(f"  apply it: lethe gate rescan --apply {found.digest}")
