"""`lethe inventory`: what Lethe does not reach and must name: backups, files made from adapters, who is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lineage.errors import WrongUsage
from pipelines.cli.options import acting, actor_option, json_option, opened, read_lines, say, show, workspace_option

if TYPE_CHECKING:
    from sqlmodel import Session

    from lineage.access import Actor
    from lineage.inventory import Inventory


@click.group("inventory")
def inventory_group() -> None:
    """What is outside: backups with their end, files made from adapters, who is told of erasures."""


@inventory_group.command("list")
@workspace_option
@json_option
def inventory_list(workspace_dir: Path | None, as_json: bool) -> None:
    """List everything that is not retired. Exit 0 also while a backup has no end; a purge is refused then.

    \b
    Example:
      lethe inventory list
    """
    from lineage.inventory import everything

    workspace = opened(workspace_dir)
    with workspace.database.reader() as session:
        found = everything(session)
    show(found.as_json(), as_json=as_json, lines=lambda: _tell(found))


def _tell(found: Inventory) -> None:
    for backup in found.backups:
        days = "" if backup.keep_days is None else f"each kept {backup.keep_days} days"
        ends = ", ".join(part for part in (f"until {backup.expires_on}" if backup.expires_on else "", days) if part)
        say(f"backup  {backup.name:20} {backup.store}; holds {backup.holds}; {ends or 'NO END: no purge begins'}")
    for file in found.files:
        made_of = f"adapter {file.composed_digest[:16]}" if file.composed_digest else "records"
        gone = ", a purge deletes it" if file.by_purge else ""
        left = "; NOT REACHED by a purge" if file.result == "not_reached" else ""
        say(f"file    {file.name:20} {file.kind}, made from {made_of}{gone}{left}")
    for party in found.parties:
        told = "by webhook" if party.webhook else "by hand"
        say(f"party   {party.name:20} {party.kind} of {party.scope or 'everything'}: {party.whom}, told {told}")
    if not (found.backups or found.files or found.parties):
        say("Nothing is in the inventory. Name your backups first: lethe inventory backup --help")


@inventory_group.command("backup")
@click.argument("name")
@click.option("--store", required=True, help="What it is a copy of, and where it lies.")
@click.option("--holds", required=True, help="record keys, texts, weights")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="The day after which no copy is left.")
@click.option("--keep-days", type=int, help="How many days each copy is kept.")
@workspace_option
@actor_option
def inventory_backup(  # noqa: PLR0913 - one option per fact
    name: str, store: str, holds: str, until: datetime | None, keep_days: int | None, workspace_dir: Path | None,
    actor_name: str,
) -> None:  # fmt: skip
    """Name a backup and say when it ends, or say it anew. Without an end no purge begins.

    \b
    Example:
      lethe inventory backup nightly --store "key store, vault 2" --holds "record keys" --keep-days 30 --as max
    """
    from lineage.inventory import Backup, put_backup

    backup = Backup(name, store, holds, until.date() if until else None, keep_days)
    _keep(workspace_dir, actor_name, lambda *who, now: put_backup(who[0], backup, actor=who[1], now=now))
    say(f"{name} is in the inventory.")


@inventory_group.command("file")
@click.argument("name")
@click.option(
    "--kind", type=click.Choice(["export", "merged", "quantised", "cache"]), required=True, help="What it is."
)
@click.option("--of", "composed", help="Digest of the composed adapter it was made from; left out: from records.")
@click.option("--location", help="Where it lies: a file or folder that a purge deletes; '-': read it from stdin.")
@click.option("--no-location", is_flag=True, help="A purge does not delete it any more.")
@workspace_option
@actor_option
def inventory_file(  # noqa: PLR0913 - one option per fact
    name: str, kind: str, composed: str | None, location: str | None, no_location: bool, workspace_dir: Path | None,
    actor_name: str,
) -> None:  # fmt: skip
    """Name a file that was made from an adapter or from records and lies outside the store.

    With --location, an absolute path under [purge] derived_roots, a purge deletes what stands there now, and nothing else.

    \b
    Examples:
      lethe inventory file phone-build-7 --kind quantised --of 3f2a... --as max
      lethe inventory file merged-7 --kind merged --of 3f2a... --location /srv/exports/merged-7 --as max
    """
    from lineage.derived import forget_place, seal_place
    from lineage.inventory import DerivedFile, put_file, require_locator

    if location and no_location:
        raise WrongUsage("Give either --location or --no-location.")
    file, place = DerivedFile(name, kind, composed), b"" if no_location else None
    if location:
        path = read_lines(Path("-"), prompt="path")[0] if location == "-" else location
        workspace = opened(workspace_dir)
        with workspace.database.reader() as session:
            require_locator(acting(session, actor_name))
        place = seal_place(workspace, name, Path(path))
    _keep(workspace_dir, actor_name, lambda *who, now: put_file(who[0], file, actor=who[1], now=now, location=place))
    if no_location:
        forget_place(opened(workspace_dir), name)
    say(f"{name} is in the inventory." + (" A purge deletes it." if location else ""))


@inventory_group.command("party")
@click.argument("name")
@click.option("--kind", type=click.Choice(["recipient", "upstream"]), required=True, help="Whom it stands for.")
@click.option("--whom", required=True, help="The organisation or system, as certificates call it; no person.")
@click.option("--scope", default="", help="The adapter received, or the source that is theirs; left out: all.")
@click.option(
    "--webhook", "source", type=click.Path(path_type=Path), help="File with the URL of its webhook; '-': stdin."
)
@click.option("--by-hand", is_flag=True, help="It has no webhook any more and is told by hand.")
@workspace_option
@actor_option
def inventory_party(  # noqa: PLR0913 - one option per fact
    name: str, kind: str, whom: str, scope: str, source: Path | None, by_hand: bool, workspace_dir: Path | None,
    actor_name: str,
) -> None:  # fmt: skip
    """Name somebody who is to be told of erasures (Art. 19), or the system behind a source.

    \b
    Examples:
      lethe inventory party shop --kind recipient --whom "Example Shop Ltd" --scope support --as dana
      echo "https://shop.example/hooks/erasure" | lethe inventory party shop --kind recipient \\
          --whom "Example Shop Ltd" --webhook - --as dana
    """
    from lineage.endpoints import seal_endpoint
    from lineage.inventory import Party, put_party

    if source and by_hand:
        raise WrongUsage("Give either --webhook or --by-hand.")
    party, endpoint = Party(name, kind, whom, scope), b"" if by_hand else None
    if source:
        (url,) = read_lines(source, prompt="URL")[:1]
        endpoint = seal_endpoint(opened(workspace_dir), name, url)
    _keep(
        workspace_dir, actor_name,
        lambda *who, now: put_party(who[0], party, actor=who[1], now=now, endpoint=endpoint),
    )  # fmt: skip
    say(f"{name} is in the inventory.")


@inventory_group.command("retire")
@click.argument("what", type=click.Choice(["backup", "file", "party"]))
@click.argument("name")
@click.option(
    "--result", type=click.Choice(["deleted", "withdrawn", "not_reached"]), help="Of a file: what became of it."
)
@workspace_option
@actor_option
def inventory_retire(what: str, name: str, result: str | None, workspace_dir: Path | None, actor_name: str) -> None:
    """Take an entry out: a backup whose copies are all gone, a file that was withdrawn, a party that is told no more.

    \b
    Example:
      lethe inventory retire file phone-build-7 --result deleted --as max
    """
    from lineage.derived import forget_place
    from lineage.inventory import retire

    if (what == "file") != (result is not None):
        raise WrongUsage("A file, and nothing else, is retired with --result.")
    ended = {"result": result} if result else {}
    _keep(workspace_dir, actor_name, lambda *who, now: retire(who[0], what, name, actor=who[1], now=now, **ended))  # type: ignore[arg-type]
    if what == "file":
        forget_place(opened(workspace_dir), name)
    say(f"{name} is retired.")


def _keep(workspace_dir: Path | None, actor_name: str, change: Callable[..., None]) -> None:
    """One change of the inventory by somebody, in one transaction."""
    workspace = opened(workspace_dir)
    with workspace.database.transaction() as session:
        who: tuple[Session, Actor] = session, acting(session, actor_name)
        change(*who, now=datetime.now(UTC))
