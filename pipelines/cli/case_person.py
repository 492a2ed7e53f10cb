"""`lethe erase doubt|confirm|withdraw`: who asks, and whether they still want it. Whoever speaks with the person says so."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from pipelines.cli.case_decide import actor_of, tell_case, this_moment
from pipelines.cli.options import actor_option, json_option, opened, workspace_option

__all__ = ["confirm", "doubt", "withdraw"]

DAY = click.DateTime(["%Y-%m-%d"])


@click.command("doubt")
@click.argument("case_id")
@click.option("--asked", type=DAY, help="Day on which the person was asked; today, when left out.")
@workspace_option
@actor_option
@json_option
def doubt(case_id: str, asked: datetime | None, workspace_dir: Path | None, actor_name: str, as_json: bool) -> None:
    """Pause the clock: there are reasonable doubts who asks, and the person was asked (Art. 12(6)).

    \b
    Example:
      lethe erase doubt CASE --asked 2026-03-10 --as ines
    """
    from lineage import desk

    workspace, now = opened(workspace_dir), this_moment()
    day = asked.date() if asked else workspace.settings.day(now)
    actor = actor_of(workspace, actor_name)
    tell_case(desk.doubt_identity(workspace, case_id, actor=actor, asked_on=day, now=now), as_json)


@click.command("confirm")
@click.argument("case_id")
@click.option(
    "--identity", required=True, help="How identity was established, e.g. 'signed in to the customer portal'."
)
@click.option("--answered", type=DAY, help="Day on which the doubt was gone; today, when left out.")
@workspace_option
@actor_option
@json_option
def confirm(
    case_id: str, identity: str, answered: datetime | None, workspace_dir: Path | None, actor_name: str, as_json: bool
) -> None:
    """Let the clock run again: the person showed who they are. The due date is reckoned from receipt, with the pause.

    \b
    Example:
      lethe erase confirm CASE --identity "signed in to the customer portal" --answered 2026-03-20 --as ines
    """
    from lineage import desk

    workspace, now = opened(workspace_dir), this_moment()
    day = answered.date() if answered else workspace.settings.day(now)
    actor = actor_of(workspace, actor_name)
    told = desk.confirm_identity(workspace, case_id, actor=actor, answered_on=day, method=identity, now=now)
    tell_case(told, as_json)


@click.command("withdraw")
@click.argument("case_id")
@click.option("--reason", required=True, help="How the person said so, in a sentence without personal data.")
@workspace_option
@actor_option
@json_option
def withdraw(case_id: str, reason: str, workspace_dir: Path | None, actor_name: str, as_json: bool) -> None:
    """End a case because the person took the request back. Possible until the purge is approved.

    \b
    Example:
      lethe erase withdraw CASE --reason "Told us by telephone." --as ines
    """
    from lineage import desk

    workspace = opened(workspace_dir)
    actor = actor_of(workspace, actor_name)
    tell_case(desk.withdraw(workspace, case_id, actor=actor, reason=reason, now=this_moment()), as_json)
