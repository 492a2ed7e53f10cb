"""A changed policy: compared, shown, and only then applied; what may not be learnt any more leaves by the one road."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from command_line import lethe_here
from road import case_of, to_purge_approved
from small_world import ADAPTER, CORPUS, SOURCE, bytes_in_service, copy_workspace, write_corpus
from sqlmodel import col, select
from world_making import make_world

from lineage.catalog import contents_of
from lineage.gate import standing
from lineage.records import canonical_bytes
from lineage.tables import RecordRow, RescanRecordRow, TombstoneRow
from lineage.workspace import Workspace, open_workspace
from pipelines.ingest import load_gate_policy

WORD = "lamp"  # an everyday word of the corpus: under `tripwire` it stops a record


def tripwire(folder: Path, word: str = WORD, action: str = "quarantine") -> None:
    """A policy of this workspace that stops a word that the corpus uses."""
    from lineage.policy import _shipped

    policy = _shipped("default").replace('lexicon = "art9_en"', f'words = ["{word}"]')
    policy = policy.replace('action = "quarantine"\nwords', f'action = "{action}"\nwords')
    (folder / "own.toml").write_text(policy)
    use(folder, "own.toml")


def use(folder: Path, policy: str) -> None:
    lines = (folder / "lethe.toml").read_text().splitlines()
    lines = [f'policy = "{policy}"' if line.startswith("policy =") else line for line in lines]
    (folder / "lethe.toml").write_text("\n".join(lines) + "\n")


def rescan(folder: Path, *more: object) -> dict:
    return lethe_here("gate", "rescan", "--json", *more, workspace=folder).json()


def records(workspace: Workspace) -> dict[str, RecordRow]:
    with workspace.database.reader() as session:
        return {row.id: row for row in session.exec(select(RecordRow)).all()}


def contents(workspace: Workspace, ids: list[str]) -> dict[str, str]:
    """What the vault holds of these records, as keyed digests."""
    with workspace.database.reader() as session:
        found = contents_of(session, ids, keystore=workspace.keystore)
    return {r.record_id: workspace.keyring.content(canonical_bytes(r.content)) for r in found}


def gate_of(folder: Path):
    workspace = open_workspace(folder)
    with workspace.database.reader() as session:
        return standing(session, sources=(), policy_digest=load_gate_policy(workspace.settings).digest)


def holding(word: str) -> list[str]:
    """Ids, as given, of the rows that say the word."""
    return [row.row_id for row in CORPUS.rows if any(word in turn.text().casefold() for turn in row.turns)]


@pytest.fixture(scope="module")
def withdrawn(trained, tmp_path_factory):
    """The word is stopped, the comparison applied: the folder, what the comparison said, and the case."""
    folder = copy_workspace(trained.folder, tmp_path_factory.mktemp("withdrawn") / "ws")
    tripwire(folder)
    compared = rescan(folder)
    applied = rescan(folder, "--apply", compared["digest"], "--as", "max")
    return folder, compared, applied


def test_a_changed_policy_closes_the_gate_and_the_rescan_opens_it(trained, tmp_path):
    folder = copy_workspace(trained.folder, tmp_path / "ws")
    before, rows = records(open_workspace(folder)), gate_of(folder)
    use(folder, "strict")
    closed = gate_of(folder)
    assert (closed.open, closed.outdated) == (False, rows.admitted)
    assert "lethe gate rescan" in closed.hint
    assert "lethe gate rescan" in lethe_here("train", ADAPTER, workspace=folder, code=1).err
    compared = rescan(folder)
    assert {r.id: r.model_dump() for r in records(open_workspace(folder)).values()} == {
        i: r.model_dump() for i, r in before.items()
    }, "to compare changes nothing"
    assert not gate_of(folder).open
    rescan(folder, "--apply", compared["digest"], "--as", "max")
    assert gate_of(folder).open


def test_what_was_learnt_is_restricted_at_once_and_one_case_is_filed_for_it(withdrawn):
    folder, compared, applied = withdrawn
    assert compared["outcomes"]["withdraw"] == 4
    assert compared["outcomes"]["quarantine"] == 2, "controls: nothing learnt from them"
    rows = records(open_workspace(folder)).values()
    case_id = applied["case_id"]
    assert sum(row.restricted_by == case_id for row in rows) == 4
    assert sum(row.status == "quarantined" for row in rows) == 2
    assert case_of(folder, case_id)["stage"] == "ASSESSMENT"
    assert len(lethe_here("erase", "list", "--json", workspace=folder).json()) == 1
    assert gate_of(folder).open, "for the rest"


@pytest.mark.slow
def test_the_withdrawal_goes_the_one_road_and_what_is_left_never_held_the_records(withdrawn, trained, tmp_path):
    folder, _, applied = withdrawn
    folder = copy_workspace(folder, tmp_path / "ws")
    case_id, gone = applied["case_id"], [r.id for r in records(open_workspace(folder)).values() if r.restricted_by]
    previewed = lethe_here("erase", "preview", case_id, "--json", workspace=folder).json()
    assert [(r["decision"], r["relation"]) for r in previewed["contract"]["records"]] == [("erase", "withdrawn")] * 4
    lethe_here("erase", "approve", case_id, "--as", "dana", "--digest", previewed["digest"], workspace=folder)
    lethe_here("erase", "run", case_id, workspace=folder)
    probed = lethe_here("erase", "probe", case_id, "--json", workspace=folder).json()
    assert probed["verdict"] in ("PASS", "INCONCLUSIVE")
    without = replace(CORPUS, rows=tuple(row for row in CORPUS.rows if row.row_id not in holding(WORD)))
    files = write_corpus(without, tmp_path / "given")
    fresh = make_world(tmp_path / "fresh", corpus=files[0], people=files[1], secret=trained.secret)
    lethe_here("train", ADAPTER, "--plan", trained.plan, workspace=fresh)
    assert bytes_in_service(folder) == bytes_in_service(fresh)
    to_purge_approved(folder, case_id)
    lethe_here("erase", "purge", case_id, workspace=folder)
    lethe_here("erase", "sign", case_id, "--as", "dana", workspace=folder)
    lethe_here("verify", folder / ".lethe" / "cases" / case_id / "certificate.json", "--workspace", folder, code=None)
    workspace = open_workspace(folder)
    assert not set(gone) & set(records(workspace))
    with workspace.database.reader() as session:
        assert session.exec(select(TombstoneRow)).all() == [], "a mended record may come back"
        assert session.exec(select(RescanRecordRow).where(col(RescanRecordRow.record_id).in_(gone))).all() == []
    again = lethe_here("ingest", trained.corpus, "--source", SOURCE, "--json", workspace=folder).json()[0]
    assert again["counts"]["quarantine"] == 4, "the gate itself keeps them out"
