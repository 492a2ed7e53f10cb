"""`lethe gate`: what the gate does, and what it found."""

from __future__ import annotations

import click

from pipelines.cli.gate_report import report

__all__ = ["gate_group"]


@click.group("gate")
def gate_group() -> None:
    """The gate: what an ingest's scan found."""


gate_group.add_command(report)
