"""`lethe erase letter|told|supplement`: what is written to the person, that they were told, and who else acknowledged it."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lineage.errors import WrongUsage
from pipelines.cli.case_decide import actor_of, tell_case, this_moment
from pipelines.cli.keys import passphrase_file_option, passphrase_of
from pipelines.cli.options import (
    actor_option,
    json_option,
    opened,
    read_lines,
    say,
    show,
    workspace_option,
)

if TYPE_CHECKING:
    from lineage.supplementing import Waiting
    from lineage.workspace import Workspace

__all__ = ["letter", "require_new", "require_outside", "told", "write_once"]

KIND = click.Choice(["interim", "extended", "refused", "not_found", "granted", "partly"])


@click.command("letter")
@click.argument("case_id")
@click.argument("kind", type=KIND)
@click.option("--language", type=click.Choice(["en", "de"]), default="en", show_default=True, help="Of the letter.")
@click.option("--out", type=click.Path(path_type=Path), help="Write it to a file outside the workspace.")
@click.option("--to-file", "addressee", type=click.Path(path_type=Path), help="With --out: name and address, by line.")
@workspace_option
@actor_option
def letter(  # noqa: PLR0913 - one option per line of the form
    case_id: str, kind: str, language: str, out: Path | None, addressee: Path | None, workspace_dir: Path | None,
    actor_name: str,
) -> None:  # fmt: skip
    """Write a letter to the person. It has a blank for name and address, and the case keeps its digest.

    \b
    Examples:
      lethe erase letter CASE refused --language de --as dana
      lethe erase letter CASE granted --out ~/letters/1007.txt --to-file ~/letters/address.txt --as ines
    """
    from lineage.letters import Kind, Letter, write_letter

    workspace = opened(workspace_dir)
    for path in (out, addressee):
        require_outside(workspace, path)
    require_new(out)
    if addressee and (not out or str(addressee) == "-"):
        raise WrongUsage("--to-file goes with --out and is a file: nobody's address belongs on a screen.")
    lines = tuple(read_lines(addressee, prompt="")) if addressee else ()
    wanted = Letter(Kind(kind), "de" if language == "de" else "en", lines)
    text = write_letter(workspace, case_id, wanted, actor=actor_of(workspace, actor_name), now=this_moment())
    if out is None:
        say(text)
        return
    write_once(out, text)
    say(f"Written. When it was sent: lethe erase told {case_id} {kind} --on DATE")


def require_outside(workspace: Workspace, path: Path | None) -> None:
    """A letter will bear a name: no file of it may lie where the purge of the person looked for the last time.

    Raises:
        WrongUsage: the path is inside the workspace.
    """
    if path and path.resolve().is_relative_to(workspace.settings.workspace.resolve()):
        raise WrongUsage("Letters and addresses are kept outside the workspace.", hint="Name another folder.")


def require_new(path: Path | None) -> None:
    """Asked before anything is written down that would say that the file was written.

    Raises:
        WrongUsage: there is something of that name, or no folder for it.
    """
    if path and os.path.lexists(path):
        raise WrongUsage("There is a file of that name already; Lethe never overwrites one.")
    if path and not path.absolute().parent.is_dir():
        raise WrongUsage("The folder of that file does not exist.")


def write_once(path: Path, text: str) -> None:
    """Write a file of mode 0600 that was not there before, whole or not at all.

    Raises:
        WrongUsage: there is one of that name, or it cannot be written.
    """
    require_new(path)
    try:
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise WrongUsage(f"The file cannot be written ({type(error).__name__}).") from None
    try:
        with os.fdopen(made, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise WrongUsage(f"The file cannot be written ({type(error).__name__}).", hint="Make room.") from None


@click.command("told")
@click.argument("case_id")
@click.argument("kind", type=KIND)
@click.option("--on", "day", type=click.DateTime(["%Y-%m-%d"]), help="Day on which it was sent; today, when left out.")
@click.option("--own-letter", is_flag=True, help="The person was told by a letter that Lethe did not write.")
@workspace_option
@actor_option
@json_option
def told(  # noqa: PLR0913 - one option per line of the form
    case_id: str, kind: str, day: datetime | None, own_letter: bool, workspace_dir: Path | None, actor_name: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Say that the person was told. Until then a case waits for it, and its clock runs.

    \b
    Example:
      lethe erase told CASE refused --on 2026-03-12 --as dana
    """
    from lineage.closing import Telling, tell_person
    from lineage.letters import Kind

    workspace, now = opened(workspace_dir), this_moment()
    telling = Telling(Kind(kind), day.date() if day else workspace.settings.day(now), own_letter)
    tell_case(tell_person(workspace, case_id, telling, actor=actor_of(workspace, actor_name), now=now), as_json)


@click.command("supplement")
@click.argument("case_id")
@click.option("--digest", help="Sign it: SHA-256 of the half-signed supplement that was read.")
@passphrase_file_option
@workspace_option
@click.option(
    "--as", "actor_name", envvar="LETHE_USER", metavar="NAME", help="With --digest: who signs; else LETHE_USER."
)
@json_option
def supplement(
    case_id: str, digest: str | None, passphrase_file: Path | None, workspace_dir: Path | None, actor_name: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Read who acknowledged the notice of an erasure, and sign it as a supplement to the certificate.

    A closed case has one as soon as `lethe up`, or `lethe notice send`, has prepared it.

    \b
    Examples:
      lethe erase supplement CASE
      lethe erase supplement CASE --digest 41d8...07 --as dana
    """
    from lineage import supplementing

    workspace = opened(workspace_dir)
    if digest is None:
        _show_supplement(supplementing.waiting(workspace, case_id), case_id, as_json)
        return
    if actor_name is None:
        raise WrongUsage("Nobody said who signs.", hint="Say so: --as NAME")
    actor = actor_of(workspace, actor_name)
    passphrase = passphrase_of(workspace, passphrase_file)
    path = supplementing.sign(
        workspace, case_id, digest=digest, actor=actor, now=this_moment(), passphrase=passphrase
    )  # fmt: skip
    show({"supplement": str(path)}, as_json=as_json, lines=lambda: say(f"Signed: {path}"))


def _show_supplement(found: Waiting | None, case_id: str, as_json: bool) -> None:
    if found is None:
        raise WrongUsage(
            f"No supplement to case {case_id} waits for a signature.", hint="Prepare it: lethe notice send"
        )
    notices = [
        {**asdict(one), "sent": one.sent.isoformat(), "acknowledged": one.acknowledged.isoformat()}
        for one in found.notices
    ]
    body = {"case": case_id, "path": str(found.path), "digest": found.digest, "notices": notices}

    def lines() -> None:
        for one in found.notices:
            say(f"{one.party}: sent {one.sent:%Y-%m-%d}, acknowledged {one.acknowledged:%Y-%m-%d}  ({one.notice})")
        say(f"sign it: lethe erase supplement {case_id} --digest {found.digest}")

    show(body, as_json=as_json, lines=lines)
