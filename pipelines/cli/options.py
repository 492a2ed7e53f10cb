"""What every command shares: the workspace, `--json`, the acting member of staff, and how results are printed."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lineage.errors import WrongUsage

if TYPE_CHECKING:
    from sqlmodel import Session

    from lineage.access import Actor
    from lineage.trace import Node
    from lineage.workspace import Workspace

PIPED_WIDTH = 400
Command = TypeVar("Command", bound=Callable[..., Any])

workspace_option = click.option(
    "--workspace",
    "workspace_dir",
    type=click.Path(path_type=Path),
    help="Workspace folder; else LETHE_WORKSPACE, else here.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
actor_option = click.option(
    "--as", "actor_name", envvar="LETHE_USER", required=True, metavar="NAME",
    help="Who is acting (a member of staff); else LETHE_USER.",
)  # fmt: skip


def opened(workspace_dir: Path | None, *, even_restored: bool = False) -> Workspace:
    """The workspace a command means, open; see `open_workspace`."""
    from lineage.settings import find_workspace
    from lineage.workspace import open_workspace

    return open_workspace(find_workspace(workspace_dir), even_restored=even_restored)


def acting(session: Session, name: str) -> Actor:
    """The member of staff behind `--as`."""
    from lineage.access import find_actor

    return find_actor(session, name)


def say(text: str = "") -> None:
    """One line for people, on standard output."""
    click.echo(text)


def show(body: object, *, as_json: bool, lines: Callable[[], None]) -> None:
    """Print JSON for programs or lines for people. An infinity is null there, as in a report; a NaN is a fault of ours."""
    if as_json:
        click.echo(json.dumps(_strict(body), indent=2, sort_keys=True, default=str, allow_nan=False))
    else:
        lines()


def _strict(body: object) -> object:
    """The same without infinities, which JSON does not have."""
    if isinstance(body, float):
        return None if math.isinf(body) else body
    if isinstance(body, dict):
        return {key: _strict(value) for key, value in body.items()}
    return [_strict(value) for value in body] if isinstance(body, list | tuple) else body


def why_unreadable(error: OSError | UnicodeDecodeError) -> str:
    """Why a file could not be read, as the end of a sentence, without its name or a byte of it."""
    match error:
        case FileNotFoundError():
            return "does not exist"
        case IsADirectoryError():
            return "is a folder"
        case PermissionError():
            return "may not be read by you"
        case UnicodeDecodeError():
            return "is not text in UTF-8"
    return f"cannot be read ({type(error).__name__})"


def print_tree(node: Node) -> None:
    """A lineage as a tree."""
    from rich.console import Console
    from rich.tree import Tree

    def grow(parent: Tree | None, item: Node) -> Tree:
        facts = ", ".join(f"{name} {value}" for name, value in item.facts)
        short = item.id[:16] if len(item.id) == 64 else item.id
        label = f"[bold]{item.kind}[/bold] {short}" + (f"  [dim]{facts}[/dim]" if facts else "")
        branch = Tree(label) if parent is None else parent.add(label)
        for child in item.children:
            grow(branch, child)
        return branch

    width = None if sys.stdout.isatty() else PIPED_WIDTH  # rich would cut a pipe's lines at 80
    Console(highlight=False, width=width).print(grow(None, node))


def read_lines(source: Path | None, *, prompt: str) -> list[str]:
    """Personal values come from a file, from standard input, or from a prompt; never from the command line.

    Raises:
        WrongUsage: nothing was given.
    """
    if source is not None:
        try:
            text = sys.stdin.read() if str(source) == "-" else source.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise WrongUsage(f"The file with identifiers {why_unreadable(error)}.") from None
    elif sys.stdin.isatty():
        text = click.prompt(prompt, hide_input=True)
    else:
        text = sys.stdin.read()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise WrongUsage("No identifier was given.", hint="One per line, from a prompt, standard input or --from-file.")
    return lines
