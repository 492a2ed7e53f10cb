"""A workspace whose store is a bucket gives the bytes of one whose store is a folder: trained, contained, erased."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import lethe_here
from road import rebuilt_case
from small_world import ADAPTER, PLANTED, copy_workspace

from lineage import builds
from lineage.workspace import Workspace, open_workspace
from pipelines.collecting import check_store


def in_service(workspace: Workspace) -> tuple[str, list[str]]:
    """Digest of the composition, and of every state below it."""
    with workspace.database.reader() as session:
        composed = builds.current_release(session, ADAPTER) or ""
        parts = builds.parts_of(session, composed)
        chains = [builds.ancestors(session, recipe) for _, recipe in sorted(parts.items())]
    return composed, [state.state_digest for chain in chains for state in chain]


@pytest.mark.slow
def test_a_store_on_s3_gives_the_bytes_of_a_folder(ingested, trained, tmp_path: Path, s3_url: str, here) -> None:
    folder = copy_workspace(ingested.folder, tmp_path / "remote")
    settings = folder / "lethe.toml"
    settings.write_text(f'store_url = "{s3_url}"\n' + settings.read_text())
    lethe_here("train", ADAPTER, "--plan", ingested.plan, workspace=folder)
    remote = open_workspace(folder)
    local = open_workspace(copy_workspace(trained.folder, tmp_path / "local"))
    assert in_service(remote) == in_service(local)
    for workspace in (remote, local):
        rebuilt_case(workspace, PLANTED)
    assert in_service(remote) == in_service(local)
    report = check_store(remote)
    assert (report.missing, report.damaged, report.orphans) == ((), (), ())
    assert report.entries == check_store(local).entries
    assert not (remote.home / "store").exists()
