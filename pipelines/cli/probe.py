"""`lethe probe`: look for a person in an adapter, outside a case."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lineage.errors import WrongUsage
from pipelines.cli.options import json_option, opened, read_lines, say, show, workspace_option

if TYPE_CHECKING:
    from lineage.workspace import Workspace

BAR_WIDTH = 32


@click.command()
@click.argument("adapter")
@click.option(
    "--subject",
    metavar="KEY",
    help="Subject key or its beginning, from: lethe register find. Without it an identifier is asked for.",
)
@click.option("--from-file", "source", type=click.Path(path_type=Path), help="File with an identifier; '-' is stdin.")
@click.option("--audited", metavar="AUDIT:HANDLE", help="The person whom an audit of lineage calls by this handle.")
@click.option(
    "--map", "whole_map", is_flag=True, help="Look in every shard, and name those where the person stands out."
)
@workspace_option
@json_option
def probe(  # noqa: PLR0913 - one option per fact
    adapter: str,
    subject: str | None,
    source: Path | None,
    audited: str | None,
    whole_map: bool,
    workspace_dir: Path | None,
    as_json: bool,
) -> None:
    """Look for a person in ADAPTER outside a case: membership, exposure and extraction in the shards that hold them.

    With --map in all shards: which of them stand out, and whether lineage knows why. Exit 1 if it does not.

    \b
    Example:
      lethe probe support --map --from-file person.txt
    """
    from pipelines.launch import probe_person

    workspace = opened(workspace_dir)
    key = _meant(workspace, subject=subject, audited=audited, source=source)
    found = probe_person(workspace, adapter, key, whole_map=whole_map)
    show(found, as_json=as_json, lines=lambda: (_say_map if whole_map else _say_tests)(adapter, found))
    if whole_map and found["missed"]:
        sys.exit(1)


def _meant(workspace: Workspace, *, subject: str | None, audited: str | None, source: Path | None) -> str:
    """The key of the person to look for, by whichever way they are named."""
    from lineage.subjects import subject_by_key

    if subject:
        with workspace.database.reader() as session:
            return subject_by_key(session, subject)
    return _audited(workspace, audited) if audited else _asked(workspace, source)


def _asked(workspace: Workspace, source: Path | None) -> str:
    """The person behind an identifier from a file, standard input or a prompt."""
    from lineage.subjects import find_subject

    with workspace.database.reader() as session:
        key = find_subject(session, read_lines(source, prompt="Identifier")[0], workspace.keyring)
    if key is None:
        raise WrongUsage("Nobody in this workspace is known by that identifier.")
    return key


def _audited(workspace: Workspace, named: str) -> str:
    """The person behind a handle of an audit."""
    from pipelines.auditing import person_behind

    audit_id, _, handle = named.rpartition(":")
    with workspace.database.reader() as session:
        return person_behind(session, workspace, audit_id, handle)


def _say_tests(adapter: str, found: Mapping[str, Any]) -> None:
    reason = "" if found["seen"] else f"{found['reason']}: "
    say(f"{adapter}: {reason}{found['sentence']}")
    if found["p_adjusted"]:
        say("  after Holm: " + ", ".join(f"{test} p = {p:.2g}" for test, p in found["p_adjusted"].items()))
    for shard, given in found["extraction"].items():
        say(f"  {shard}, word for word: " + ", ".join(f"{kind} {hits}" for kind, hits in given.items()))


def _say_map(adapter: str, found: Mapping[str, Any]) -> None:
    """The sentences, then a bar for every shard: now and, if an erasure changed it, before."""
    say(f"{adapter}:")
    for sentence in found["sentences"]:
        say(f"  {sentence}")
    if "shards" not in found["now"]:
        return
    old = {row["shard"]: row for row in (found["before"] or {}).get("shards", [])}
    rows = found["now"]["shards"]
    top = max((row["score"] for row in (*rows, *old.values())), default=0.0)
    say("  gain on the person's records over the base, in nats; 'known': lineage has records there")
    for row in rows:
        shard = row["shard"]
        known = "  known" if shard in found["known"] else ""
        if shard in old and old[shard]["score"] != row["score"]:
            say(f"  shard {shard:3} before {_bar(old[shard], top)}")
            say(f"            now    {_bar(row, top)}{known}")
        else:
            say(f"  shard {shard:3}        {_bar(row, top)}{known}")


def _bar(row: Mapping[str, Any], top: float) -> str:
    """A bar from zero; what is not above zero has none."""
    length = round(BAR_WIDTH * max(0.0, row["score"]) / top) if top > 0 else 0
    mark = "  stands out" if row["lit"] else ""
    return f"{'#' * length:<{BAR_WIDTH}} {row['score']:9.1f}{mark}"
