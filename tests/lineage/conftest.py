"""One empty workspace, made once and copied: migrating a database is the dear part."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from lineage_world import World, open_world

from lineage.workspace import create_workspace


@pytest.fixture(scope="session")
def empty_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty") / "ws"
    create_workspace(folder, controller="Quillfeather Ltd")
    return folder


@pytest.fixture
def world(empty_workspace: Path, tmp_path: Path) -> World:
    """A fresh workspace of this test's own."""
    return open_world(shutil.copytree(empty_workspace, tmp_path / "ws"))
