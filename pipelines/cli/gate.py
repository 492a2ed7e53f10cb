"""`lethe gate`: the policy in force, what it does to a text, what a changed one changes, and what a scan found."""

from __future__ import annotations

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
    for key, value in policy.model_dump(mode="json", exclude={"name", "entities"}).items():
        for inner, setting in value.items() if isinstance(value, dict) else [("", value)]:
            say(f"  {f'{key}.{inner}' if inner else key}: {_setting(inner, setting)}")
    say("  finding               nobody known   own person     other person   weaker than      stands as")
    for entity_type, rule in sorted(policy.entities.items()):
        say(f"  {entity_type:22}{_row(rule)}".rstrip())
    say(f"  every other type: {policy.default}")


def _setting(key: str, value: object) -> object:
    if key == "words" and isinstance(value, list):
        return f"{len(value)} words"
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else value


def _row(rule: EntityRule) -> str:
    weak = f"{rule.min_score:g}: {rule.weak_action}" if rule.min_score else ""
    own, other = rule.declared_subject or rule.action, rule.other_person or rule.action
    return f"{rule.action:15}{own:15}{other:15}{weak:17}{rule.constant or ''}"
