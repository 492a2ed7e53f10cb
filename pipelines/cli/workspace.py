"""`lethe init`, `lethe doctor`, `lethe up`: the workspace itself."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pipelines.cli.options import json_option, opened, say, show, workspace_option


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), default=Path())
@click.option("--controller", default="Unnamed controller", help="Name of the controller, printed on certificates.")
@click.option(
    "--workspace-secret", type=click.Path(path_type=Path),
    help="Secret file of another workspace; with the same plan, equal records then give equal adapters.",
)  # fmt: skip
@json_option
def init(directory: Path, controller: str, workspace_secret: Path | None, as_json: bool) -> None:
    """Make a workspace in DIRECTORY: lethe.toml, secrets (mode 0600), databases. Never overwrites; migrates.

    \b
    Example:
      lethe init mydata --controller "Example GmbH"
    """
    from lineage.workspace import create_workspace
    from pipelines.instance import write_instance_settings

    made = create_workspace(directory, controller=controller, workspace_secret=workspace_secret)
    if write_instance_settings(opened(directory, even_restored=True).home):
        made.append("dagster.yaml of this workspace's Dagster instance")
    show({"workspace": str(directory.resolve()), "made": made}, as_json=as_json,
         lines=lambda: [say(f"Workspace {directory.resolve()}"), *[say(f"  {item}") for item in made]])  # fmt: skip


@click.command()
@workspace_option
@json_option
def doctor(workspace_dir: Path | None, as_json: bool) -> None:
    """Say what is installed, what is missing, and what that means. Exit 1 if something needed is missing.

    \b
    Example:
      lethe doctor
    """
    from pipelines.doctor import examine

    findings = examine(workspace_dir)
    marks = {"ok": "ok     ", "missing": "MISSING", "note": "note   "}
    show([finding.__dict__ for finding in findings], as_json=as_json,
         lines=lambda: [say(f"{marks[f.standing]}  {f.subject}: {f.meaning}") for f in findings])  # fmt: skip
    sys.exit(1 if any(finding.standing == "missing" for finding in findings) else 0)


@click.command()
@workspace_option
@click.option("--port", type=int, help="Port of the console; else the one in lethe.toml.")
@click.option("--dagster-port", type=int, help="Port of the Dagster UI; else the one in lethe.toml.")
def up(workspace_dir: Path | None, port: int | None, dagster_port: int | None) -> None:
    """Start the Dagster UI, its daemon and the console as one process tree; Ctrl-C stops all of it.

    Prints a one-time login link for every member of staff.

    \b
    Example:
      lethe up --port 8090
    """
    from pipelines.serve import serve

    sys.exit(serve(opened(workspace_dir), port=port, dagster_port=dagster_port))
