"""`lethe export`: what others want to know, in the form they know: a person, an authority, a model hub, a lineage tool."""

from __future__ import annotations

import json
from pathlib import Path

import click

from lineage.errors import WrongUsage
from pipelines.cli.case_decide import actor_of, this_moment
from pipelines.cli.case_letter import require_new, require_outside, write_once
from pipelines.cli.options import actor_option, json_option, opened, read_lines, say, workspace_option

OUT = click.option("--out", type=click.Path(path_type=Path), help="Write it to a file that is not there yet.")


@click.group("export")
def export_group() -> None:
    """What others want to know, in the form they know."""


@export_group.command("access")
@click.argument("key", required=False)
@click.option("--from-file", "source", type=click.Path(path_type=Path), help="File with identifiers; '-' is stdin.")
@click.option("--language", type=click.Choice(["en", "de"]), default="en", show_default=True, help="Of the letter.")
@click.option("--html", "as_html", is_flag=True, help="The letter as a page that stands alone.")
@OUT
@workspace_option
@actor_option
@json_option
def export_access(  # noqa: PLR0913 - one option per line of the form
    key: str | None, source: Path | None, language: str, as_html: bool, out: Path | None, workspace_dir: Path | None,
    actor_name: str, as_json: bool,
) -> None:  # fmt: skip
    """Answer a person who asks if they were in training and where it went (Art. 15). Without KEY identifiers are asked for.

    \b
    Examples:
      echo "C-1007" | lethe export access --from-file - --as ines
      lethe export access 5f0c9a... --language de --html --out ~/letters/1007.html --as dana
    """
    from lineage.exports_access import Person
    from lineage.exports_answer import Asked, answer_access

    if as_html and as_json:
        raise WrongUsage("One form at a time: --html or --json.")
    workspace = opened(workspace_dir)
    require_outside(workspace, out)
    require_new(out)
    person = Person(key) if key else Person(identifiers=tuple(read_lines(source, prompt="Identifier")))
    form = "json" if as_json else "html" if as_html else "text"
    asked = Asked(person, form, "de" if language == "de" else "en")
    answer = answer_access(workspace, asked, actor=actor_of(workspace, actor_name), now=this_moment())
    _give(answer, out)


def _give(text: str, out: Path | None) -> None:
    """Print it, or write it to a file that is not there yet."""
    if out is None:
        click.echo(text, nl=False)
        return
    write_once(out, text)
    say("Written.")


@export_group.command("art30")
@click.option("--html", "as_html", is_flag=True, help="A page that stands alone.")
@click.option("--csv", "as_csv", is_flag=True, help="For a spreadsheet.")
@OUT
@workspace_option
@json_option
def export_art30(as_html: bool, as_csv: bool, out: Path | None, workspace_dir: Path | None, as_json: bool) -> None:
    """Write the register of processing activities (Art. 30(1)): counts and categories, nobody.

    \b
    Example:
      lethe export art30 --html --out ~/register.html
    """
    from lineage import exports_art30 as art30
    from lineage.exports_page import tables_csv, tables_page

    if as_html + as_csv + as_json > 1:
        raise WrongUsage("One form at a time: --html, --csv or --json.")
    workspace = opened(workspace_dir)
    register = art30.read_register(workspace, now=this_moment())
    if as_json:
        text = _json(register.as_json())
    elif as_html:
        text = tables_page(art30.TITLE, art30.register_tables(register))
    elif as_csv:
        text = tables_csv(art30.register_tables(register))
    else:
        text = art30.register_text(register)
    _give(text, out)


@export_group.command("adapter")
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--as-file", "handle", default="", help="Its name in the inventory; left out: export-NAME-DIGEST.")
@workspace_option
@actor_option
def export_adapter(name: str, folder: Path, handle: str, workspace_dir: Path | None, actor_name: str) -> None:
    """Copy the release of NAME in service to FOLDER with a model card, and name the copy in the inventory.

    \b
    Example:
      lethe export adapter support ~/hub/support --as max
    """
    from lineage import exports_adapter

    workspace = opened(workspace_dir)
    actor = actor_of(workspace, actor_name)
    done = exports_adapter.export_adapter(workspace, name, folder, actor=actor, now=this_moment(), name=handle)
    say(f"{done.files} files of {done.digest[:16]} written; the inventory calls the copy {done.name}.")


@export_group.command("mlbom")
@click.argument("name")
@OUT
@workspace_option
def export_mlbom(name: str, out: Path | None, workspace_dir: Path | None) -> None:
    """Write an ML-BOM of the release of NAME in service: CycloneDX 1.6, JSON.

    \b
    Example:
      lethe export mlbom support --out ~/support.cdx.json
    """
    from lineage.exports_mlbom import ml_bom
    from lineage.exports_release import read_release

    facts = read_release(opened(workspace_dir), name)
    _give(_json(ml_bom(facts, now=this_moment())), out)


@export_group.command("openlineage")
@click.option("--namespace", default="lethe", show_default=True, help="Namespace of jobs and datasets; name nobody.")
@OUT
@workspace_option
def export_openlineage(namespace: str, out: Path | None, workspace_dir: Path | None) -> None:
    """Write what happened as OpenLineage events, one JSON object a line: ingest, train, compose, release, erase.

    \b
    Example:
      lethe export openlineage --namespace acme-ml --out ~/events.ndjson
    """
    from lineage.exports_openlineage import read_runs, run_events

    events = run_events(read_runs(opened(workspace_dir)), namespace=namespace)
    _give("".join(json.dumps(event, sort_keys=True, ensure_ascii=False) + "\n" for event in events), out)


def _json(body: object) -> str:
    return json.dumps(body, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
