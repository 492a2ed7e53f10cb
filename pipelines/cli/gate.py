"""`lethe gate`: the policy in force, what it does to a text, what a changed one changes, and what a scan found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.gate_check import check
from pipelines.cli.gate_report import report
from pipelines.cli.gate_rescan import rescan
from pipelines.cli.options import json_option, say, show, workspace_option

if TYPE_CHECKING:
    from lineage.policy import EntityRule, Policy

__all__ = ["gate_group"]


@click.group("gate")
def gate_group() -> None:
    """The gate: its policy, tried on a text or changed, and what an ingest's scan found."""


gate_group.add_command(check)
gate_group.add_command(report)
gate_group.add_command(rescan)


@gate_group.command("show")
@click.option("--policy", "name", metavar="NAME|FILE", help="A shipped policy or a file, instead of the one in force.")
@workspace_option
@json_option
def gate_show(name: str | None, workspace_dir: Path | None, as_json: bool) -> None:
    """Print the policy in force, readable, and its digest.

    \b
    Example:
      lethe gate show
      lethe gate show --policy strict
    """
    from pipelines.cli.gate_check import workspace_if_any
    from pipelines.trying import policy_named

    policy = policy_named(name, None if name else workspace_if_any(workspace_dir))
    body = {"digest": policy.digest, "policy": policy.model_dump(mode="json")}
    show(body, as_json=as_json, lines=lambda: _tell(policy))


def _tell(policy: Policy) -> None:
    say(f"policy {policy.name}, digest {policy.digest}")
    for key, value in _settings(policy.model_dump(mode="json", exclude={"name", "entities"})):
        say(f"  {key}: {value}")
    say("  finding               nobody known   own person     other person   weaker than      stands as")
    for entity_type, rule in sorted(policy.entities.items()):
        say(f"  {entity_type:22}{_row(rule)}".rstrip())
    say(f"  every other type: {policy.default}")


def _settings(table: Mapping[str, object], where: str = "") -> Iterator[tuple[str, str]]:
    """Every setting by its whole key, as the policy file would name it."""
    for key, value in table.items():
        match value:
            case dict() if value:
                yield from _settings(value, f"{where}{key}.")
            case list() if key == "words":
                yield where + key, f"{len(value)} words"
            case list() | dict() | None:
                yield where + key, ", ".join(map(str, value or ())) or "none"
            case bool():
                yield where + key, str(value).lower()
            case _:
                yield where + key, str(value)


def _row(rule: EntityRule) -> str:
    weak = f"{rule.min_score:g}: {rule.weak_action}" if rule.min_score else ""
    own, other = rule.declared_subject or rule.action, rule.other_person or rule.action
    stands = (rule.constant or "") + (", own person by pseudonym" if rule.operator == "pseudonym" else "")
    return f"{rule.action:15}{own:15}{other:15}{weak:17}{stands}"
