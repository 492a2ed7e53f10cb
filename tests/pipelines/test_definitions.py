"""The code location loads; and an asset started by hand for a corpus whose gate is closed fails with our sentence."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dagster import AssetKey, DagsterInstance, Definitions, ExecuteInProcessResult, instance_for_test, materialize

from lineage.tables import IngestRow
from lineage.workspace import Workspace, create_workspace, open_workspace
from pipelines.assets import adapter_assets, gate_assets, partition_key, partitions_name, shard_of
from pipelines.definitions import defs
from pipelines.resources import WorkspaceResource

FAMILY = adapter_assets("support")
PARTITIONED = ("shard_manifest", "shard_adapter")
NAMES = [assets.key.path[-1] for assets in FAMILY]
SECRET_TEXT = "Quillonia Vastergaard"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    create_workspace(tmp_path / "ws", controller="Test GmbH")
    return open_workspace(tmp_path / "ws")


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with instance_for_test() as made:
        made.add_dynamic_partitions(partitions_name("support"), [partition_key("support", 0)])
        yield made


def by_hand(workspace: Workspace, instance: DagsterInstance, name: str) -> ExecuteInProcessResult:
    """Materialise one asset and nothing before it, as the button in the UI does."""
    return materialize(
        [gate_assets, *FAMILY], selection=[AssetKey(["support", name])], instance=instance, raise_on_error=False,
        partition_key=partition_key("support", 0) if name in PARTITIONED else None,
        resources={"workspace": WorkspaceResource(folder=str(workspace.settings.workspace))},
    )  # fmt: skip


def sentence_of(result: ExecuteInProcessResult) -> str:
    """What Dagster shows of the only failed step."""
    (failed,) = result.get_step_failure_events()
    data = failed.step_failure_data.user_failure_data
    assert data is not None, "not one of our sentences"
    return f"{data.description} {data.metadata['hint'].value}"


def begin_ingest(workspace: Workspace, status: str) -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    row = IngestRow(id="ing-1", source="tickets", generation=0, status=status, location=b"", requested_at=now)
    with workspace.database.transaction() as session:
        session.add(row)


def test_the_definitions_are_loadable() -> None:
    Definitions.validate_loadable(defs)


def test_the_code_location_loads_where_there_is_no_workspace(tmp_path: Path) -> None:
    found = "import pipelines.definitions as d; print(d.adapter_names())"
    environment = {"PATH": "", "LETHE_WORKSPACE": str(tmp_path / "nowhere")}
    done = subprocess.run(
        [sys.executable, "-c", found], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['support']"


def test_loading_the_location_loads_no_model_library() -> None:
    found = (
        "import sys, pipelines.definitions; print({'torch', 'transformers', 'presidio_analyzer'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", found], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_partition_names_adapter_and_shard() -> None:
    assert [shard_of(partition_key("support", shard)) for shard in (0, 7, 11, 123)] == [0, 7, 11, 123]


@pytest.mark.parametrize("name", NAMES)
def test_an_asset_started_by_hand_before_anything_was_ingested_says_so(
    workspace: Workspace, instance: DagsterInstance, name: str
) -> None:
    said = sentence_of(by_hand(workspace, instance, name))
    if name == "release":  # it reads no corpus: there is nothing to put into service
        assert "not composed yet" in said or "The gate is closed" in said
    else:
        assert said == "The gate is closed: no record was admitted. Ingest a corpus: lethe ingest FILE --source NAME"


@pytest.mark.parametrize("status", ["running", "failed"])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "release"])
def test_an_asset_started_by_hand_during_an_unfinished_ingest_says_so(
    workspace: Workspace, instance: DagsterInstance, name: str, status: str
) -> None:
    begin_ingest(workspace, status)
    assert sentence_of(by_hand(workspace, instance, name)).startswith("The gate is closed: an ingest did not finish.")


def test_what_a_failed_asset_leaves_in_dagster_is_the_sentence_alone(
    workspace: Workspace, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quoting(*_: object) -> None:
        raise ValueError(f"cannot train on {SECRET_TEXT!r}")

    monkeypatch.setattr("pipelines.training.build_shard", quoting)
    result = by_hand(workspace, instance, "shard_adapter")
    said = sentence_of(result)
    assert said.startswith("ValueError in test_definitions.py")
    events = instance.all_logs(result.run_id)
    assert events
    assert SECRET_TEXT not in repr(events)
    assert "Traceback" not in said
