"""`lethe gate`: the policy in force, what it does to a text, and what a changed one changes."""

from __future__ import annotations

import click

from pipelines.cli.gate_rescan import rescan

__all__ = ["gate_group"]


@click.group("gate")
def gate_group() -> None:
    """The gate's policy: show it, try it on a text, change it."""


gate_group.add_command(rescan)
