"""`lethe notice`: who is told of an erasure (Art. 19), how far that is, and what to do about those that do not answer."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.case_decide import actor_of, this_moment
from pipelines.cli.options import actor_option, json_option, opened, say, show, workspace_option

if TYPE_CHECKING:
    from lineage.notices import Notice


@click.group("notice")
def notice_group() -> None:
    """Notices under Art. 19 GDPR to the parties of the inventory. A certified case waits for them."""


@notice_group.command("list")
@click.option("--case", "case_id", help="Only those of one case.")
@workspace_option
@json_option
def notice_list(case_id: str | None, workspace_dir: Path | None, as_json: bool) -> None:
    """List the notices and how far each has come. Exit 1 if one was given up on.

    \b
    Example:
      lethe notice list --case CASE
    """
    from lineage.notices import State, notices

    with opened(workspace_dir).database.reader() as session:
        found = notices(session, case_id)
    show([asdict(notice) for notice in found], as_json=as_json, lines=lambda: _tell(found))
    raise SystemExit(1 if any(notice.state == State.DEAD for notice in found) else 0)


def _tell(found: list[Notice]) -> None:
    for n in found:
        next_try = f"  next try {n.next_try_at:%Y-%m-%d %H:%M} UTC" if n.next_try_at else ""
        by_hand = "  to be told by hand" if n.state == "pending" and not n.next_try_at else ""
        problem = f"  {n.problem}" if n.problem else ""
        say(f"{n.id}  {n.case_id}  {n.party:20} {n.state:12}  {n.tries} tries{next_try}{by_hand}{problem}")
    if not found:
        say("No notices.")


@notice_group.command("send")
@workspace_option
@json_option
def notice_send(workspace_dir: Path | None, as_json: bool) -> None:
    """Send what is due now; `lethe up` does so by itself. Exit 1 if one was given up on.

    \b
    Example:
      lethe notice send
    """
    from pipelines.launch import send_notices

    counts = send_notices(opened(workspace_dir))
    told = ", ".join(f"{state} {count}" for state, count in sorted(counts.items()))
    show(counts, as_json=as_json, lines=lambda: say(told or "No notice is due."))
    raise SystemExit(1 if "dead" in counts else 0)


@notice_group.command("ack")
@click.argument("notice_id")
@click.option(
    "--on", "day", type=click.DateTime(["%Y-%m-%d"]), help="Day of the acknowledgement; today, when left out."
)
@workspace_option
@actor_option
def notice_ack(notice_id: str, day: datetime | None, workspace_dir: Path | None, actor_name: str) -> None:
    """Say that a party was told by hand and acknowledged it.

    \b
    Example:
      lethe notice ack NOTICE --on 2026-03-12 --as dana
    """
    from lineage.closing import acknowledge_by_hand

    workspace, now = opened(workspace_dir), this_moment()
    on = day.date() if day else workspace.settings.day(now)
    done = acknowledge_by_hand(workspace, notice_id, actor=actor_of(workspace, actor_name), on=on, now=now)
    say(f"{done.id}: acknowledged by {done.party}.")


@notice_group.command("retry")
@click.argument("notice_id")
@workspace_option
@actor_option
def notice_retry(notice_id: str, workspace_dir: Path | None, actor_name: str) -> None:
    """Send a notice that was given up on again, with eight new tries.

    \b
    Example:
      lethe notice retry NOTICE --as max
    """
    from lineage.closing import retry_notice

    workspace = opened(workspace_dir)
    again = retry_notice(workspace, notice_id, actor=actor_of(workspace, actor_name), now=this_moment())
    say(f"{again.id}: due now.")


@notice_group.command("waive")
@click.argument("notice_id")
@click.option("--reason", required=True, help="Why, in a sentence without personal data; it stands in the ledger.")
@workspace_option
@actor_option
def notice_waive(notice_id: str, reason: str, workspace_dir: Path | None, actor_name: str) -> None:
    """Decide, as a DPO, that the case does not wait for this party (Art. 19: impossible, or out of proportion).

    \b
    Example:
      lethe notice waive NOTICE --reason "The company was dissolved." --as dana
    """
    from lineage.closing import waive_notice

    workspace = opened(workspace_dir)
    actor = actor_of(workspace, actor_name)
    done = waive_notice(workspace, notice_id, actor=actor, reason=reason, now=this_moment())
    say(f"{done.id}: waived.")
