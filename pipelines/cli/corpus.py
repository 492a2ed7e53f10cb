"""`lethe ingest`, `lethe register`, `lethe review`: what comes in, who is known, what a human must look at."""

from __future__ import annotations

import csv
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lineage.errors import WrongUsage
from pipelines.cli.options import acting, actor_option, json_option, opened, read_lines, say, show, workspace_option

if TYPE_CHECKING:
    from lineage.subjects import SubjectEntry
    from lineage.workspace import Workspace


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--source", required=True, help="Where these records come from, e.g. tickets-2026. Not a person's name.")
@click.option("--subject-column", help="Column that names the data subjects; else the one in lethe.toml.")
@click.option(
    "--generation", type=click.IntRange(0), help="Ingest generation, to rebuild a workspace; else the next one."
)
@click.option("--rectify", is_flag=True, help="Replace the contents of records that are held, by their ids (Art. 16).")
@workspace_option
@json_option
def ingest(  # noqa: PLR0913 - one option per line of the form
    files: tuple[Path, ...], source: str, subject_column: str | None, generation: int | None, rectify: bool,
    workspace_dir: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Take FILES (JSONL, CSV, Parquet, a datasets folder) through the gate into the vault.

    \b
    A row has `text`, or `prompt` + `completion`, or `messages` (role/content), and says who its
    subjects are: a list of identifiers, or an empty list for "no data subject". A bad row is refused
    with its line number; the good ones go on. Running the same command again goes on after a crash.

    An id that is held already with another content is refused. With --rectify it is replaced: the record keeps its
    id, its generation and its place, the old text's key is shredded, and the next training replaces the weights.

    \b
    Example:
      lethe ingest tickets.jsonl --source tickets-2026
      lethe ingest corrected.jsonl --source tickets-2026 --rectify
    """
    from pipelines.launch import ingest_file

    if rectify and generation is not None:
        raise WrongUsage("A rectified record keeps its generation.", hint="Leave --generation out.")
    workspace = opened(workspace_dir)
    reports = [
        ingest_file(
            workspace, path, source=source, subject_column=subject_column, generation=generation, rectify=rectify
        )
        for path in files
    ]
    show([report.__dict__ for report in reports], as_json=as_json, lines=lambda: [_tell_ingest(r) for r in reports])


def _tell_ingest(report: object) -> None:
    from pipelines.ingest import IngestReport

    if not isinstance(report, IngestReport):
        return
    c = report.counts
    admitted = c.get("allow", 0) + c.get("redact", 0)
    rectified = f"{c['rectified']} rectified, " if "rectified" in c else ""
    end = "Generations are as they were." if rectified else f"Generation {report.generation}."
    say(f"{report.source}: {report.rows} rows, {rectified}{admitted} admitted ({c.get('redact', 0)} of them redacted), "
        f"{c.get('quarantine', 0)} in quarantine, {c.get('block', 0)} blocked, {c.get('rejected', 0)} refused, "
        f"{c.get('held', 0)} held before. {end}")  # fmt: skip
    if c.get("erased"):
        say(f"  {c['erased']} of the refused were erased on request and may not come back.")
    for reason, count in sorted(report.reasons.items()):
        say(f"  {count} x {reason}")
    if report.rejects_file:
        say(f"  Refused rows, by line and reason: {report.rejects_file}")
    if c.get("quarantine"):
        say("  Look at the quarantine: lethe review list")


@click.group("register")
def register_group() -> None:
    """The identifiers of data subjects the controller knows; encrypted at rest."""


@register_group.command("add")
@click.option(
    "--from-file", "source", type=click.Path(path_type=Path),
    help="CSV with the columns subject, kind, value; '-' or nothing reads standard input.",
)  # fmt: skip
@workspace_option
@json_option
def register_add(source: Path | None, workspace_dir: Path | None, as_json: bool) -> None:
    """Add identifiers. Kinds: name, email, phone, account. Personal values never stand on the command line.

    \b
    Example (people.csv):                lethe register add --from-file people.csv
      subject,kind,value
      C-1007,name,Maren Oduya
      C-1007,email,maren@example.org
    """
    from lineage.subjects import add_forms
    from pipelines.ingest import utc_now

    workspace = opened(workspace_dir)
    entries = _read_register(source)
    with workspace.database.transaction() as session:
        new = add_forms(session, entries, keyring=workspace.keyring, keystore=workspace.keystore, now=utc_now())
    show({"new": new, "given": len(entries)}, as_json=as_json,
         lines=lambda: say(f"{new} new identifiers ({len(entries)} given)."))  # fmt: skip


def _read_register(source: Path | None) -> list[SubjectEntry]:
    from lineage.subjects import SubjectEntry

    try:
        text = sys.stdin.read() if source is None or str(source) == "-" else source.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUsage(f"The register file cannot be read ({type(error).__name__}).") from None
    rows = csv.DictReader(text.splitlines())
    if set(rows.fieldnames or ()) != {"subject", "kind", "value"}:
        raise WrongUsage("A register file has exactly the columns subject, kind, value.")
    try:
        return [SubjectEntry(row["subject"] or "", row["kind"], row["value"] or "") for row in rows]  # type: ignore[arg-type]
    except csv.Error:
        raise WrongUsage("The register file is not valid CSV.") from None


@register_group.command("list")
@workspace_option
@json_option
def register_list(workspace_dir: Path | None, as_json: bool) -> None:
    """Count subjects and identifiers by kind. Values are never printed."""
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
    """Print the subject key behind an identifier (read from a prompt, standard input or a file)."""
    key = _find(opened(workspace_dir), source)
    show({"subject": key}, as_json=as_json, lines=lambda: say(key))


@register_group.command("remove")
@click.option("--from-file", "source", type=click.Path(path_type=Path), help="File with one identifier; '-' is stdin.")
@workspace_option
def register_remove(source: Path | None, workspace_dir: Path | None) -> None:
    """Take a person's identifiers out of the register. Their records stay; to erase those, file a case."""
    from lineage.subjects import remove_forms

    workspace = opened(workspace_dir)
    key = _find(workspace, source)
    with workspace.database.transaction() as session:
        gone = remove_forms(session, key)
    say(f"{gone} identifiers removed.")


def _find(workspace: Workspace, source: Path | None) -> str:
    from lineage.subjects import find_subject

    (identifier, *_) = read_lines(source, prompt="Identifier")
    with workspace.database.reader() as session:
        key = find_subject(session, identifier, workspace.keyring)
    if key is None:
        raise WrongUsage("Nobody in this workspace is known by that identifier.")
    return key


@click.group("review")
def review_group() -> None:
    """The quarantine: records a human must look at before they may be learnt."""


@review_group.command("list")
@workspace_option
@json_option
def review_list(workspace_dir: Path | None, as_json: bool) -> None:
    """List quarantined and blocked records by reason and age."""
    from lineage.review import queue

    workspace = opened(workspace_dir)
    with workspace.database.reader() as session:
        items = queue(session)
    if as_json:
        show([asdict(item) for item in items], as_json=True, lines=lambda: None)
        return
    for item in items:
        say(
            f"{item.record_id[:16]}  {item.status:11}  {item.reason:22}  {item.source}  since {item.since:%Y-%m-%d %H:%M}"
        )
    say(f"{len(items)} records." if items else "Nothing waits for review.")


@review_group.command("show")
@click.argument("record")
@workspace_option
@actor_option
def review_show(record: str, workspace_dir: Path | None, actor_name: str) -> None:
    """Show a record with its findings masked. RECORD is an id or the beginning of one."""
    from lineage.review import masked

    workspace = opened(workspace_dir)
    with workspace.database.reader() as session:
        acting(session, actor_name)
        for line in masked(session, record, keystore=workspace.keystore):
            say(line)


@review_group.command("release")
@click.argument("records", nargs=-1, required=True)
@workspace_option
@actor_option
def review_release(records: tuple[str, ...], workspace_dir: Path | None, actor_name: str) -> None:
    """Admit quarantined records as they are kept (redactable findings are constants in them already)."""
    from lineage.review import release
    from pipelines.ingest import load_gate_policy, utc_now

    workspace = opened(workspace_dir)
    policy = load_gate_policy(workspace.settings)
    with workspace.database.transaction() as session:
        actor = acting(session, actor_name)
        for record in records:
            release(session, record, actor=actor, policy_digest=policy.digest, now=utc_now())
    say(f"{len(records)} released. Train to learn from them: lethe train")


@review_group.command("block")
@click.argument("records", nargs=-1, required=True)
@workspace_option
@actor_option
def review_block(records: tuple[str, ...], workspace_dir: Path | None, actor_name: str) -> None:
    """Refuse quarantined records for good; their text is shredded."""
    from lineage.review import block
    from pipelines.ingest import utc_now

    workspace = opened(workspace_dir)
    with workspace.database.transaction() as session:
        actor = acting(session, actor_name)
        doomed = [block(session, record, actor=actor, now=utc_now()) for record in records]
    workspace.keystore.shred([f"record:{record_id}" for record_id in doomed])
    say(f"{len(records)} blocked; their text is gone.")
