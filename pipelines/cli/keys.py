"""`lethe keys`: the DPO's signing key, and how its passphrase reaches us: typed, or from a file; never as an argument."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lineage.errors import WrongUsage
from pipelines.cli.case_decide import actor_of, this_moment
from pipelines.cli.options import actor_option, json_option, opened, say, show, why_unreadable, workspace_option

if TYPE_CHECKING:
    from lineage.workspace import Workspace

__all__ = ["keys_group", "passphrase_file_option", "passphrase_of", "read_secret_line", "typed_once", "typed_twice"]

passphrase_file_option = click.option(
    "--passphrase-file", type=click.Path(path_type=Path), envvar="LETHE_PASSPHRASE_FILE", metavar="FILE",
    help="File of mode 0600 whose first line is the passphrase; else LETHE_PASSPHRASE_FILE, else you are asked.",
)  # fmt: skip


@click.group("keys")
def keys_group() -> None:
    """Keys that sign certificates."""


@keys_group.command("dpo")
@click.option("--plain", is_flag=True, help="Without a passphrase; only where [staff] plain_dpo_key allows it.")
@passphrase_file_option
@workspace_option
@actor_option
@json_option
def dpo(plain: bool, passphrase_file: Path | None, workspace_dir: Path | None, actor_name: str, as_json: bool) -> None:
    """Make the DPO's key under a passphrase, which is asked for twice; or put an older key without one under it.

    \b
    Example:
      lethe keys dpo --as dana
    """
    from lineage.dpo_key import make_dpo_key

    workspace = opened(workspace_dir)
    actor = actor_of(workspace, actor_name)
    passphrase = None if plain else _chosen(passphrase_file)
    key = make_dpo_key(workspace, actor=actor, passphrase=passphrase, now=this_moment())
    show({"key": key}, as_json=as_json,
         lines=lambda: [say(f"secrets/dpo.pem and dpo.pub: key {key[:16]}"),
                        say("Nobody can open it without the passphrase, and nothing can bring that back.")])  # fmt: skip


def _chosen(file: Path | None) -> str:
    return read_secret_line(file) if file else typed_twice("Passphrase of the DPO's key")


def passphrase_of(workspace: Workspace, file: Path | None) -> str | None:
    """The passphrase for one signature; None where the key has none and may."""
    from lineage.dpo_key import KeyState, require_dpo_key

    if require_dpo_key(workspace) is KeyState.PLAIN:
        return None
    if file:
        return read_secret_line(file)
    return typed_once("Passphrase of the DPO's key")


def typed_once(what: str) -> str:
    """A secret from the terminal, without an echo.

    Raises:
        WrongUsage: there is no terminal.
    """
    _require_terminal()
    secret: str = click.prompt(what, hide_input=True)
    return secret


def typed_twice(what: str) -> str:
    """A new secret from the terminal, without an echo.

    Raises:
        WrongUsage: there is no terminal.
    """
    _require_terminal()
    secret: str = click.prompt(what, hide_input=True, confirmation_prompt=True)
    return secret


def _require_terminal() -> None:
    if not sys.stdin.isatty():
        raise WrongUsage("There is no terminal to ask for a secret.", hint="Name a file of mode 0600 that holds it.")


def read_secret_line(file: Path) -> str:
    """The first line of a file that only its owner can read; '-' is standard input.

    Raises:
        WrongUsage: it cannot be read, others can read it, or the line is empty.
    """
    try:
        if str(file) != "-" and stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise WrongUsage("Other users can read the file with the secret.", hint="chmod 600 it.")
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUsage(f"The file with the secret {why_unreadable(error)}.") from None
    if not (line := text.partition("\n")[0].rstrip("\r")):
        raise WrongUsage("The first line of the file with the secret is empty.")
    return line
