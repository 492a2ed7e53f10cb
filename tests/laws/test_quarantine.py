"""What a reviewer lets go is learnt in its own generation, and an erasure finds it; a quoted pseudonym is a mention."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import lethe_here
from road import rebuilt_case
from small_world import ADAPTER, ELSEWHERE, PLANTED, SOURCE, bytes_in_service, copy_workspace, live_states
from sqlmodel import select

from lineage import builds
from lineage.catalog import contents_of
from lineage.evidence import case_records
from lineage.manifests import manifests_holding, members_of
from lineage.tables import PlacementRow, RecordRow
from lineage.workspace import Workspace, open_workspace
from pipelines.previewing import search_closure

pytestmark = pytest.mark.slow
STOPPED, CLEAN = "later-stopped", "later-clean"


def later_rows(folder: Path) -> Path:
    """A later file: one row that the gate stops, one that it admits."""
    who = {"subjects": [ELSEWHERE.customer_id]}
    rows = [
        {
            "id": STOPPED,
            "prompt": "What did they say?",
            "completion": "They spoke of their chemotherapy in May.",
            **who,
        },
        {"id": CLEAN, "prompt": "What did they say?", "completion": "They asked for a copy of the invoice.", **who},
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "later.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def waiting_of(folder: Path) -> str:
    (waiting,) = lethe_here("review", "list", "--reason", "art9_lexicon", "--json", workspace=folder).json()["records"]
    return str(waiting["record_id"])


def record_of(workspace: Workspace, record_id: str) -> RecordRow:
    with workspace.database.reader() as session:
        return session.get_one(RecordRow, record_id)


def below(workspace: Workspace) -> set[str]:
    """Every record that the adapter in service descends from."""
    with workspace.database.reader() as session:
        composed = builds.current_release(session, ADAPTER) or ""
        chains = [builds.ancestors(session, recipe) for recipe in builds.parts_of(session, composed).values()]
        digests = {state.manifest_digest for chain in chains for state in chain}
        return {record_id for digest in digests for record_id in members_of(session, digest)}


@pytest.fixture(scope="module")
def released(trained, tmp_path_factory) -> tuple[Path, str]:
    """Grown and trained while one record waited; then it was released, and trained again."""
    folder = copy_workspace(trained.folder, tmp_path_factory.mktemp("released") / "ws")
    lethe_here("ingest", later_rows(folder.parent / "given"), "--source", SOURCE, workspace=folder)
    lethe_here("train", ADAPTER, workspace=folder)
    record_id = waiting_of(folder)
    assert record_id not in below(open_workspace(folder)), "the control: nothing learns from what waits"
    lethe_here("review", "release", record_id, "--because", "harmless", "--as", "dana", workspace=folder)
    lethe_here("train", ADAPTER, workspace=folder)
    return folder, record_id


def test_it_is_learnt_in_the_generation_of_its_ingest_and_earlier_states_stay(trained, released):
    folder, record_id = released
    workspace = open_workspace(folder)
    row = record_of(workspace, record_id)
    assert (row.status, row.generation, row.trunk_eligible) == ("admitted", 1, False)
    with workspace.database.reader() as session:
        (placement,) = session.exec(select(PlacementRow).where(PlacementRow.record_id == record_id)).all()
    assert placement.kind == "shard"
    assert record_id in below(workspace)
    first = {state.state_digest for state in live_states(open_workspace(trained.folder))}
    assert first <= {state.state_digest for state in live_states(workspace)}


def test_an_erasure_finds_it_and_nothing_in_service_descends_from_it(released, tmp_path):
    folder, record_id = copy_workspace(released[0], tmp_path / "ws"), released[1]
    workspace = open_workspace(folder)
    case_id = rebuilt_case(workspace, ELSEWHERE)
    with workspace.database.reader() as session:
        decided = {r.record_id: (r.relation, r.decision) for r in case_records(session, case_id)}
        assert manifests_holding(session, [record_id])
    assert decided[record_id] == ("declared", "erase")
    assert record_id not in below(workspace)


def test_an_open_case_keeps_reviewers_and_expiry_away(trained, tmp_path):
    folder = copy_workspace(trained.folder, tmp_path / "ws")
    lethe_here("ingest", later_rows(tmp_path / "given"), "--source", SOURCE, workspace=folder)
    rebuilt_case(open_workspace(folder), ELSEWHERE)
    record_id = waiting_of(folder)
    for verb, because in (("release", "harmless"), ("block", "unclear")):
        said = lethe_here("review", verb, record_id, "--because", because, "--as", "dana", workspace=folder, code=3)
        assert "open erasure case" in said.err


def test_a_pseudonym_quoted_in_somebody_elses_record_is_found_and_taken_out(trained, tmp_path):
    """Exported under the strict policy and given again as part of another customer's conversation."""
    folder = copy_workspace(trained.folder, tmp_path / "ws")
    workspace = open_workspace(folder)
    from lineage.forms import canonical_identifier
    from lineage.pseudonyms import written

    key = workspace.keyring.subject_key(canonical_identifier(PLANTED.customer_id))
    name = written("[PERSON]", workspace.keyring.pseudonym("PERSON", key))
    row = {
        "id": "quoting",
        "prompt": f"What did {name} say?",
        "completion": "Nothing.",
        "subjects": [ELSEWHERE.customer_id],
    }
    path = tmp_path / "quoting.jsonl"
    path.write_text(json.dumps(row) + "\n")
    lethe_here("ingest", path, "--source", SOURCE, workspace=folder)
    lethe_here("train", ADAPTER, workspace=folder)
    before = bytes_in_service(folder)
    case_id = rebuilt_case(workspace, PLANTED)
    with workspace.database.reader() as session:
        (found,) = [r.record_id for r in case_records(session, case_id) if r.decision == "redact"]
        (record,) = contents_of(session, [found], keystore=workspace.keystore)
    assert record.content.segments() == ("What did [PERSON] say?", "Nothing.")
    assert bytes_in_service(folder) != before
    assert found in {r.record_id for r in search_closure(workspace, case_id).records}
