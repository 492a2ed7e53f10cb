"""`lethe register`: who is known."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from lineage.errors import RefusedByRule, WrongUsage
from pipelines.cli.case_decide import actor_of
from pipelines.cli.options import (
    actor_option,
    json_option,
    opened,
    read_lines,
    say,
    show,
    why_unreadable,
    workspace_option,
)

if TYPE_CHECKING:
    from lineage.workspace import Workspace


@click.group("register")
def register_group() -> None:
    """The identifiers of data subjects the controller knows; encrypted at rest."""


@register_group.command("add")
@click.option(
    "--from-file", "source", type=click.Path(path_type=Path),
    help="CSV with the columns subject, kind, value, or subject, name, email, phone, account; '-' or nothing reads standard input.",
)  # fmt: skip
@workspace_option
@actor_option
@json_option
def register_add(source: Path | None, workspace_dir: Path | None, actor_name: str, as_json: bool) -> None:
    """Add identifiers. Kinds: name, email, phone, account. Personal values never stand on the command line.

    Nothing after a bad line is added. The same file again goes on where it stopped.

    \b
    Example (people.csv):                lethe register add --from-file people.csv --as ines
      subject,kind,value
      C-1007,name,Maren Oduya
      C-1007,email,maren@example.org
    """
    from pipelines.registering import import_register

    workspace = opened(workspace_dir)
    actor = actor_of(workspace, actor_name)
    try:
        with _opened_file(source) as (stream, lines):
            done = import_register(workspace, stream, actor=actor, total_lines=lines)
    except OSError as error:
        raise WrongUsage(f"The register file {why_unreadable(error)}.", hint="Check the path.") from None
    show({"new": done.new, "given": done.given}, as_json=as_json,
         lines=lambda: say(f"{done.new} new identifiers ({done.given} given)."))  # fmt: skip


@contextmanager
def _opened_file(source: Path | None) -> Iterator[tuple[BinaryIO, int | None]]:
    """The bytes of the register file, and how many lines it has; of standard input nobody knows."""
    if source is None or str(source) == "-":
        yield sys.stdin.buffer if hasattr(sys.stdin, "buffer") else BytesIO(sys.stdin.read().encode()), None
        return
    with source.open("rb") as stream:
        lines = sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(1 << 20), b""))
        stream.seek(0)
        yield stream, lines


@register_group.command("list")
@workspace_option
@json_option
def register_list(workspace_dir: Path | None, as_json: bool) -> None:
    """Count subjects and identifiers by kind. Values are never printed.

    \b
    Example:
      lethe register list
    """
    from lineage.subjects import subject_counts

    workspace = opened(workspace_dir)
    with workspace.database.reader() as session:
        counts = dict(subject_counts(session))
    show(counts, as_json=as_json, lines=lambda: [say(f"{name:10} {count}") for name, count in sorted(counts.items())])


@register_group.command("find")
@click.option("--from-file", "source", type=click.Path(path_type=Path), help="File with one identifier; '-' is stdin.")
@workspace_option
@json_option
def register_find(source: Path | None, workspace_dir: Path | None, as_json: bool) -> None:
    """Print the subject key behind an identifier (read from a prompt, standard input or a file).

    \b
    Example:
      lethe register find
      lethe register find --from-file identifier.txt --json
    """
    key = _find(opened(workspace_dir), source)
    show({"subject": key}, as_json=as_json, lines=lambda: say(key))


@register_group.command("remove")
@click.option("--from-file", "source", type=click.Path(path_type=Path), help="File with one identifier; '-' is stdin.")
@workspace_option
@actor_option
@json_option
def register_remove(source: Path | None, workspace_dir: Path | None, actor_name: str, as_json: bool) -> None:
    """Take a person's identifiers out of the register. Their records stay; to erase those, file a case.

    Refused while they have an open case: its search needs every identifier, and its purge takes them out.

    \b
    Example:
      lethe register remove --from-file identifier.txt --as ines
    """
    from lineage.case_view import open_case_of
    from lineage.duties import Duty, require_duty
    from lineage.subjects import remove_forms

    workspace = opened(workspace_dir)
    require_duty(Duty.REGISTER, actor_of(workspace, actor_name))
    key = _find(workspace, source)
    with workspace.database.transaction() as session:
        if open_case := open_case_of(session, key):
            raise RefusedByRule(
                f"This person has an open case: {open_case}.", hint="Its purge takes the identifiers out."
            )
        gone = remove_forms(session, key)
    show({"removed": gone}, as_json=as_json, lines=lambda: say(f"{gone} identifiers removed."))


def _find(workspace: Workspace, source: Path | None) -> str:
    from lineage.subjects import find_subject

    (identifier, *_) = read_lines(source, prompt="Identifier")
    with workspace.database.reader() as session:
        key = find_subject(session, identifier, workspace.keyring)
    if key is None:
        raise WrongUsage("Nobody in this workspace is known by that identifier.")
    return key
