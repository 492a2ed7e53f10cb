"""`lethe staff`: who works here, and how they show who they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.case_decide import actor_of, this_moment
from pipelines.cli.keys import read_secret_line, typed_once, typed_twice
from pipelines.cli.options import acting, json_option, opened, say, show, workspace_option
from pipelines.cli.staff_token import token_group

if TYPE_CHECKING:
    from lineage.access import Actor
    from lineage.workspace import Workspace

maybe_actor_option = click.option(
    "--as", "actor_name", envvar="LETHE_USER", metavar="NAME", help="Who is acting, an administrator; else LETHE_USER.",
)  # fmt: skip


@click.group("staff")
def staff_group() -> None:
    """Members of staff: intake files requests, the DPO decides and signs, ml rebuilds, auditor reads, admin adds staff."""


staff_group.add_command(token_group)


@staff_group.command("add")
@click.argument("name")
@click.option(
    "--role", type=click.Choice(["intake", "dpo", "ml", "auditor", "admin"]), required=True, help="Their one role."
)
@workspace_option
@maybe_actor_option
def staff_add(name: str, role: str, workspace_dir: Path | None, actor_name: str | None) -> None:
    """Add a member of staff under a short handle, e.g. 'dana'. The first is an admin, who adds the others.

    \b
    Example:
      lethe staff add root --role admin
      lethe staff add dana --role dpo --as root
    """
    from lineage.access import Role, add_staff, has_admin

    workspace = opened(workspace_dir)
    with workspace.database.transaction() as session:
        actor = acting(session, actor_name) if actor_name and has_admin(session) else None
        add_staff(session, name=name, role=Role(role), actor=actor, now=this_moment())
    say(f"{name} is {role}.")


@staff_group.command("list")
@workspace_option
@json_option
def staff_list(workspace_dir: Path | None, as_json: bool) -> None:
    """List everybody and their role.

    \b
    Example:
      lethe staff list
    """
    from lineage.access import staff

    workspace = opened(workspace_dir)
    with workspace.database.reader() as session:
        everybody = staff(session)
    show([{"name": a.name, "role": a.role.value} for a in everybody], as_json=as_json,
         lines=lambda: [say(f"{a.name:20} {a.role.value}") for a in everybody])  # fmt: skip


@staff_group.command("link")
@click.argument("name")
@workspace_option
def staff_link(name: str, workspace_dir: Path | None) -> None:
    """Print a one-time link with which NAME logs in to the console, for instance to set a first password.

    \b
    Example:
      lethe staff link dana
    """
    from pipelines.serve import login_link

    say(login_link(opened(workspace_dir), name))


@staff_group.command("passwd")
@click.argument("name")
@click.option("--forget", is_flag=True, help="Take NAME's password away instead; an admin does that.")
@click.option(
    "--password-file", type=click.Path(path_type=Path), metavar="FILE",
    help="File of mode 0600 whose first line is the new password; else you are asked.",
)  # fmt: skip
@workspace_option
@maybe_actor_option
def staff_passwd(
    name: str, forget: bool, password_file: Path | None, workspace_dir: Path | None, actor_name: str | None
) -> None:
    """Set your own password for the console: asks for the one you have, then twice for the new one.

    \b
    Example:
      lethe staff passwd dana
      lethe staff passwd dana --forget --as root
    """
    from lineage.passwords import forget_password, set_password

    workspace = opened(workspace_dir)
    if forget:
        actor = actor_of(workspace, actor_name or name)
        forget_password(workspace.database, name, actor=actor, now=this_moment())
        say(f"{name} has no password any more; a link opens the door: lethe staff link {name}")
        return
    actor = actor_of(workspace, name)
    _require_own(workspace, actor)
    new = read_secret_line(password_file) if password_file else typed_twice("New password")
    set_password(workspace.database, actor, password=new, now=this_moment())
    say(f"The password of {name} is set; sessions and links from before have ended.")


def _require_own(workspace: Workspace, actor: Actor) -> None:
    """Ask for the password somebody has.

    Raises:
        RefusedByRule: it is another.
    """
    from lineage.errors import RefusedByRule
    from lineage.passwords import has_password, is_password

    with workspace.database.reader() as session:
        if not has_password(session, actor.name):
            return
    current = typed_once("Password until now")
    if not is_password(workspace.database, actor.name, current, now=this_moment()):
        raise RefusedByRule(
            "That is not the password, or there were too many tries.",
            hint="After ten, wait a quarter of an hour; an admin can take it away: lethe staff passwd NAME --forget",
        )
