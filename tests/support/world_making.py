"""A workspace from nothing to an open gate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from command_line import Said, lethe_here
from road import hire
from small_world import SOURCE, TRAINING


def make_world(
    folder: Path, *, corpus: Path | None, people: Path | None, secret: Path, training: str = TRAINING,
    ingest: Callable[..., Said] = lethe_here,
) -> Path:  # fmt: skip
    """`lethe init`, settings, staff and register; then the corpus goes through the gate, if there is one."""
    lethe_here("init", folder, "--controller", "Test GmbH", "--workspace-secret", secret)
    with (folder / "lethe.toml").open("a", encoding="utf-8") as settings:
        settings.write(training)
    hire(folder)
    if people:
        lethe_here("register", "add", "--from-file", people, workspace=folder)
    if corpus:
        ingest("ingest", corpus, "--source", SOURCE, workspace=folder)
    return folder
