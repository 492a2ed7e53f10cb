"""`lethe staff token`: tokens with which programs read the console's API."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.cli.case_decide import actor_of, this_moment
from pipelines.cli.options import acting, actor_option, json_option, opened, say, show, workspace_option


@click.group("token")
def token_group() -> None:
    """Tokens with which programs read the console's API in your name; they never decide."""


@token_group.command("new")
@click.option("--scope", type=click.Choice(["inbox", "cases"]), required=True, help="Stages and dates, or whole cases.")
@click.option("--days", type=int, default=90, show_default=True, help="How long it lives; at most 365.")
@workspace_option
@actor_option
@json_option
def new(scope: str, days: int, workspace_dir: Path | None, actor_name: str, as_json: bool) -> None:
    """Make a token of your own. It is printed once and cannot be shown again.

    \b
    Example:
      lethe staff token new --scope inbox --days 30 --as axel
    """
    from lineage.tokens import Scope, new_token

    workspace = opened(workspace_dir)
    with workspace.database.transaction() as session:
        token = new_token(session, acting(session, actor_name), scope=Scope(scope), days=days, now=this_moment())
    show({"token": token}, as_json=as_json, lines=lambda: say(token))


@token_group.command("list")
@workspace_option
@actor_option
@json_option
def list_(workspace_dir: Path | None, actor_name: str, as_json: bool) -> None:
    """Your tokens, by the beginning of their hash; an admin sees everybody's.

    \b
    Example:
      lethe staff token list --as axel
    """
    from lineage.tokens import list_tokens

    workspace, now = opened(workspace_dir), this_moment()
    with workspace.database.reader() as session:
        found = list_tokens(session, acting(session, actor_name))
    body = [
        {"id": t.id, "user": t.user, "scope": t.scope.value, "until": t.expires_at, "standing": t.standing(now)}
        for t in found
    ]

    def lines() -> None:
        for t in found:
            say(f"{t.id}  {t.user:12} {t.scope:6} until {t.expires_at:%Y-%m-%d}  {t.standing(now)}")
        if not found:
            say("No tokens.")

    show(body, as_json=as_json, lines=lines)


@token_group.command("revoke")
@click.argument("token_id")
@workspace_option
@actor_option
def revoke(token_id: str, workspace_dir: Path | None, actor_name: str) -> None:
    """Take a token back: your own, or as an admin anybody's.

    \b
    Example:
      lethe staff token revoke 1f0e5c2a9b7d --as axel
    """
    from lineage.tokens import revoke_token

    workspace = opened(workspace_dir)
    actor = actor_of(workspace, actor_name)
    with workspace.database.transaction() as session:
        revoke_token(session, token_id, actor=actor, now=this_moment())
    say(f"{token_id} opens nothing any more.")
