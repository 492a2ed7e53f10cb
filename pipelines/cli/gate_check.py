"""`lethe gate check`: what a policy does to a sample text, and which of its rules does it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lineage.errors import WrongUsage
from pipelines.cli.options import json_option, read_lines, say, show, why_unreadable, workspace_option

if TYPE_CHECKING:
    from lineage.explain import Explained, ExplainedFinding
    from lineage.workspace import Workspace

__all__ = ["check", "workspace_if_any"]

NO_REGISTER = "No workspace here, so no register: only the person of --subject-from-file is known."


@click.command("check")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), metavar="FILE")
@click.option("--policy", "name", metavar="NAME|FILE", help="A shipped policy or a file, instead of the one in force.")
@click.option("--against", metavar="NAME|FILE", help="A second policy, to see both decisions side by side.")
@click.option(
    "--subject-from-file", "subject", type=click.Path(path_type=Path),
    help="File with identifiers of the person whose record this is, one a line; without it the record is about nobody.",
)  # fmt: skip
@click.option("--language", metavar="CODE", help="Language of the text, as a row would give it; else the policy's own.")
@workspace_option
@json_option
def check(  # noqa: PLR0913 - one option per line of the form
    file: Path, name: str | None, against: str | None, subject: Path | None, language: str | None,
    workspace_dir: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Say what a policy does to the text in FILE ('-' is standard input): verdict, findings, rules, and what is learnt.

    \b
    Nothing is stored and nothing is logged. The text is printed as it would be learnt; a value that
    stops the record is masked. In a workspace its register links people; with --policy none is needed.

    \b
    Example:
      lethe gate check sample.txt
      lethe gate check sample.txt --policy default --against strict --subject-from-file person.txt
    """
    from pipelines.trying import Sample, policy_named, try_policy

    if str(file) == "-" == str(subject):
        raise WrongUsage("Only one of the two can come from standard input.")
    workspace = workspace_if_any(workspace_dir)
    policies = [policy_named(name, workspace), *([policy_named(against, None)] if against else [])]
    sample = Sample(_text(file), read_lines(subject, prompt="") if subject else (), language)
    found = [try_policy(policy, sample, workspace) for policy in policies]
    body = {"register": workspace is not None, **dict(zip(("decision", "against"), map(asdict, found), strict=False))}
    show(body, as_json=as_json, lines=lambda: _tell(found, with_register=workspace is not None))


def workspace_if_any(workspace_dir: Path | None) -> Workspace | None:
    """The workspace that is meant, open; None when none is named and none is around.

    Raises:
        WrongUsage: the one that is meant cannot be opened.
    """
    from lineage.settings import find_workspace
    from lineage.workspace import open_workspace

    try:
        folder = find_workspace(workspace_dir)
    except WrongUsage:
        if workspace_dir is not None:
            raise
        return None
    return open_workspace(folder)


def _text(file: Path) -> str:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUsage(f"The sample {why_unreadable(error)}.", hint="Give a file of plain text.") from None
    if not text.strip():
        raise WrongUsage("The sample is empty.", hint="Give a file of plain text, or '-' and a text.")
    return text


def _tell(found: list[Explained], *, with_register: bool) -> None:
    from lineage.hidden import NOT_SCANNED

    if not with_register:
        say(NO_REGISTER)
    if len(found) > 1:
        _tell_side_by_side(*found)
    for one in found:
        say(f"{one.policy} ({one.policy_digest[:12]}): {one.verdict}, {one.reason}")
        if len(found) == 1:
            for finding in one.findings:
                say(f"  {_place(finding)}  {finding.score:.2f}  {finding.recognizer}")
                say(f"    {_why(finding)}")
        say(
            "  as it would be learnt:"
            if one.verdict in ("allow", "redact")
            else "  not learnt; what stopped it is masked:"
        )
        for line in "\n".join(one.text).splitlines() if one.text is not None else [NOT_SCANNED]:
            say(f"    {line}")


def _why(finding: ExplainedFinding) -> str:
    return f"{finding.entity_type}: {finding.action}, because {finding.because} ({finding.rule})"


def _place(finding: ExplainedFinding) -> str:
    return f"{finding.start}-{finding.end_exclusive} {finding.entity_type}"


def _tell_side_by_side(one: Explained, other: Explained) -> None:
    """One line a place: what each of the two policies does there, marked where they differ."""
    sides: list[Mapping[str, str]] = [
        {_place(f): f"{f.action} ({f.rule})" for f in explained.findings} for explained in (one, other)
    ]
    places = dict.fromkeys(place for side in sides for place in side)
    say(f"  {'finding':28}{one.policy:54}{other.policy}")
    for place in places:
        left, right = (side.get(place, "not found") for side in sides)
        say(f"{'≠' if left.split(' ')[0] != right.split(' ')[0] else ' '} {place:28}{left:54}{right}")
