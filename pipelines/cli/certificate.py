"""`lethe certificate`: a certificate for people to read, and the schema of what it holds."""

from __future__ import annotations

from importlib import resources

import click

from pipelines.cli.options import say


@click.group("certificate")
def certificate_group() -> None:
    """Certificates of erasure; `lethe verify` checks one."""


@certificate_group.command("schema")
def schema() -> None:
    """Print the JSON Schema of the statement that both keys sign.

    \b
    Example:
      lethe certificate schema > certificate.schema.json
    """
    say(resources.files("lineage").joinpath("certificate.schema.json").read_text(encoding="utf-8").rstrip())
