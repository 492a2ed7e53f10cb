"""A workspace from nothing to an open gate."""

from __future__ import annotations

from pathlib import Path

from command_line import lethe, lethe_here
from road import hire
from small_world import SOURCE, TRAINING


def make_world(folder: Path, *, corpus: Path | None, people: Path | None, secret: Path) -> Path:
    """`lethe init`, settings, staff and register; then a fresh process ingests the corpus, if there is one."""
    lethe_here("init", folder, "--controller", "Test GmbH", "--workspace-secret", secret)
    with (folder / "lethe.toml").open("a", encoding="utf-8") as settings:
        settings.write(TRAINING)
    hire(folder)
    if people:
        lethe_here("register", "add", "--from-file", people, workspace=folder)
    if corpus:
        lethe("ingest", corpus, "--source", SOURCE, workspace=folder)
    return folder
