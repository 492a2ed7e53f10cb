"""`lethe replay`: carry out again what a restored backup has undone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from pipelines.cli.options import json_option, opened, say, show, workspace_option

FOUND = {"rows": "its records are back", "keys": "keys of it are back"}


@click.command("replay")
@click.option("--dry-run", is_flag=True, help="Say what is to be carried out again; change nothing.")
@workspace_option
@json_option
def replay(workspace_dir: Path | None, dry_run: bool, as_json: bool) -> None:
    """Carry out again the erasures in the journal that a restored database or key store has undone.

    Until then no other command opens the workspace. Exit 1 if the person still stands in a file of it.

    \b
    Example:
      lethe replay --dry-run
    """
    from pipelines.replaying import waiting

    workspace = opened(workspace_dir, even_restored=True)
    if dry_run:
        found = [
            {"case_id": each.erasure.case_id, "what": each.what, "at": each.erasure.at} for each in waiting(workspace)
        ]
        show(found, as_json=as_json, lines=lambda: _foretell(found))
        return
    from pipelines.launch import replay_backup

    done = replay_backup(workspace)
    show(done, as_json=as_json, lines=lambda: _tell(done))
    sys.exit(1 if any(each["files_left"] for each in done) else 0)


def _foretell(found: list[dict[str, str]]) -> None:
    for each in found:
        say(f"{each['case_id']}  purged {each['at']}: {FOUND[each['what']]}")
    say("Carry it out again: lethe replay" if found else "No erasure was undone.")


def _tell(done: list[dict[str, Any]]) -> None:
    for each in done:
        counts = ", ".join(f"{name} {count}" for name, count in each["counts"].items())
        say(f"{each['case_id']}  carried out again: {counts}")
        if each["files_left"] is None and each["what"] == "rows":
            say("  nobody can say any more whom to look for, so no byte was searched")
        for name in each["files_left"] or ():
            say(f"  bytes of the person are left in {name}")
    if not done:
        say("No erasure was undone.")
    elif any(each["what"] == "rows" for each in done):
        say("What descended from them is out of service. Train what is missing: lethe train")
