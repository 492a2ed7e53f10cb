"""Crash anywhere: stop after any step, run again, same digests. Real processes and kill -9; and every boundary in process."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest
from command_line import Running, lethe_here
from crashes import Killed, boundaries, count, crashing, let_die
from road import approved_case, case_of, to_approved, to_purge_approved
from small_world import (
    ADAPTER,
    PLANTED,
    bytes_in_service,
    copy_workspace,
    live_states,
    values_of,
    write_corpus,
)
from sqlmodel import select
from thief import ciphertexts, every_key, opens

from lineage import journal
from lineage.bytescan import scan_bytes
from lineage.tables import IngestRow, RecordRow, ReleaseRow, TombstoneRow
from lineage.workspace import open_workspace
from pipelines import erasure
from pipelines.demo_corpus import make_corpus
from pipelines.purging import purge_case

PURGE_BOUNDARIES, ERASURE_BOUNDARIES = 52, 56
SAMPLE = 9  # in make test one boundary in this many; all of them in make test-all


def store_of(folder: Path, pattern: str) -> list[Path]:
    return list((folder / ".lethe" / "store").glob(pattern))


def reasons(folder: Path) -> list[str]:
    """Why what was put into service, in order: an effect that happened twice shows here."""
    with open_workspace(folder).database.reader() as session:
        return [row.reason.split()[0] for row in session.exec(select(ReleaseRow).order_by(ReleaseRow.id)).all()]


def sampled(total: int) -> list[object]:
    """All boundaries 1 to `total`, most of them slow."""
    marks = [() if at % SAMPLE == 1 or at == PURGE_BOUNDARIES - 7 else pytest.mark.slow for at in range(1, total + 1)]
    return [pytest.param(at, marks=mark) for at, mark in enumerate(marks, start=1)]


# --- kill -9: training -------------------------------------------------------------------------------------------------------

TRAIN_POINTS = {
    "the plan was frozen": lambda f: count(f, "SELECT count(*) FROM plan"),
    "a state is half written": lambda f: store_of(f, "states/.partial-*"),
    "the trunk stands": lambda f: count(f, "SELECT count(*) FROM state"),
    "three states stand": lambda f: count(f, "SELECT count(*) >= 3 FROM state"),
    "a shard is published": lambda f: count(f, "SELECT count(*) FROM shard_adapter"),
    "it is composed and not released": lambda f: count(f, "SELECT count(*) FROM composed_adapter"),
}


@pytest.mark.slow
@pytest.mark.parametrize("point", TRAIN_POINTS)
def test_kill_9_in_a_training(ingested, trained, tmp_path, point):
    folder = copy_workspace(ingested.folder, tmp_path / "ws")
    running = Running("train", ADAPTER, "--plan", ingested.plan, workspace=folder)
    running.kill_when(lambda: bool(TRAIN_POINTS[point](folder)))
    lethe_here("train", ADAPTER, "--plan", ingested.plan, workspace=folder)
    assert bytes_in_service(folder) == bytes_in_service(trained.folder)
    assert reasons(folder) == ["train"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_kill_9_again_and_again_at_random_moments(ingested, trained, tmp_path, seed):
    """Killed up to three times in one training, each time after a random number of further states or files."""
    rng = random.Random(seed)
    folder = copy_workspace(ingested.folder, tmp_path / "ws")
    kills = 0
    for _ in range(3):
        already, more = len(store_of(folder, "*/*")), rng.randint(1, 5)
        running = Running("train", ADAPTER, "--plan", ingested.plan, workspace=folder)
        kills += running.stop_when(lambda: len(store_of(folder, "*/*")) >= already + more, signal.SIGKILL)  # noqa: B023
        running.end()
    assert kills
    lethe_here("train", ADAPTER, workspace=folder)
    assert bytes_in_service(folder) == bytes_in_service(trained.folder)


# --- kill -9: erasure ----------------------------------------------------------------------------------------------------------

ERASE_POINTS = {
    "what was before is filed": "SELECT count(*) FROM evidence WHERE kind = 'before'",
    "the records are restricted": "SELECT count(*) FROM record WHERE restricted_by IS NOT NULL",
    "the contained adapter serves": "SELECT count(*) FROM release WHERE reason LIKE 'contained%'",
    "the case executes": "SELECT count(*) FROM erasure_case WHERE stage = 'EXECUTING'",
    "the second process re-derives": "SELECT count(*) FROM erasure_case WHERE stage = 'VERIFYING'",
    "the judge is at work": "SELECT count(*) FROM ledger WHERE kind = 'probe.registered'",
}


@pytest.mark.slow
@pytest.mark.parametrize("point", ERASE_POINTS)
def test_kill_9_in_an_erasure(trained, erased, tmp_path, point):
    """Dagster's run stays STARTED for ever; the next run is a new one and takes the case on from where it stands."""
    folder = copy_workspace(trained.folder, tmp_path / "ws")
    case_id = to_approved(folder, PLANTED)
    running = Running("erase", "run", case_id, workspace=folder)
    running.kill_when(lambda: bool(count(folder, ERASE_POINTS[point])))
    assert case_of(folder, case_id)["stage"] != "EVIDENCE_READY", "a killed run may not pass for a finished one"
    lethe_here("erase", "run", case_id, workspace=folder)
    assert case_of(folder, case_id)["stage"] == "EVIDENCE_READY"
    assert bytes_in_service(folder) == bytes_in_service(erased.folder)
    assert reasons(folder) == ["train", "contained", "erasure"]


# --- kill -9: ingest -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many_rows(ingested, tmp_path_factory):
    """A file of nine batches, and what an ingest that nobody stops makes of it."""
    root = tmp_path_factory.mktemp("many")
    corpus, _ = write_corpus(make_corpus(7), root)
    folder = copy_workspace(ingested.folder, root / "ws")
    lethe_here("ingest", corpus, "--source", "many", workspace=folder)
    return corpus, records(folder)


def records(folder: Path) -> list[tuple[str, str, str, int]]:
    with open_workspace(folder).database.reader() as session:
        return sorted((r.id, r.status, r.content_hmac, r.generation) for r in session.exec(select(RecordRow)).all())


@pytest.mark.slow
@pytest.mark.parametrize("stored", [0, 64, 256])
def test_kill_9_in_an_ingest(ingested, many_rows, tmp_path, stored):
    corpus, expected = many_rows
    folder = copy_workspace(ingested.folder, tmp_path / "ws")
    stored_now = "SELECT count(*) FROM vault"
    before = count(folder, stored_now)
    running = Running("ingest", corpus, "--source", "many", workspace=folder)
    started = "SELECT count(*) FROM ingest WHERE status = 'running'"
    running.kill_when(lambda: bool(count(folder, started)) and count(folder, stored_now) >= before + stored)
    assert lethe_here("train", ADAPTER, workspace=folder, code=1), "a half-read corpus is a closed gate"
    assert len(records(folder)) < len(expected)
    (report,) = lethe_here("ingest", corpus, "--source", "many", "--json", workspace=folder).json()
    counts = report["counts"]
    judged = sum(counts.get(verdict, 0) for verdict in ("allow", "redact", "quarantine", "block"))
    assert judged + counts["held"] + counts["rejected"] == counts["rows"], "what was stored before is counted once"
    assert judged >= stored
    assert records(folder) == expected
    with open_workspace(folder).database.reader() as session:
        assert {row.status for row in session.exec(select(IngestRow)).all()} == {"finished"}
        assert len(session.exec(select(IngestRow)).all()) == 2, "the interrupted request was taken up, not repeated"


# --- kill -9: purge ------------------------------------------------------------------------------------------------------------

PURGE_POINTS = {
    "the journal is written": lambda f: (f / ".lethe" / "journal.jsonl").exists(),
    "rows are gone": lambda f: count(f, "SELECT count(*) FROM tombstone"),
    "the destruction is filed": lambda f: count(f, "SELECT count(*) FROM evidence WHERE kind = 'destruction'"),
}


@pytest.mark.slow
@pytest.mark.parametrize("point", PURGE_POINTS)
def test_kill_9_in_a_purge(erased, purged, tmp_path, point):
    folder = copy_workspace(erased.folder, tmp_path / "ws")
    sealed = person_in(folder, erased.case_id)
    to_purge_approved(folder, erased.case_id)
    running = Running("erase", "purge", erased.case_id, workspace=folder)
    running.kill_when(lambda: bool(PURGE_POINTS[point](folder)))
    lethe_here("erase", "purge", erased.case_id, workspace=folder)
    assert_purged(folder, purged.folder, erased.case_id, sealed)


# --- every boundary, in this process -------------------------------------------------------------------------------------------


def person_in(folder: Path, case_id: str) -> dict[str, bytes]:
    """The ciphertext of everything about the person, copied before a purge."""
    workspace = open_workspace(folder)
    workspace.database.compact()
    with workspace.database.reader() as session:
        ids = {row.id for row in session.exec(select(RecordRow).where(RecordRow.restricted_by == case_id)).all()}
    return ciphertexts(folder / ".lethe" / "lethe.db", ids)


def assert_purged(folder: Path, reference: Path, case_id: str, sealed: dict[str, bytes]) -> None:
    """What an uninterrupted purge leaves: nothing of the person, the same weights, the tombstones once."""
    assert case_of(folder, case_id)["stage"] == "PURGED"
    assert scan_bytes(folder, values_of([PLANTED])).hits == ()
    assert opens(sealed, every_key(folder / ".lethe")) == set()
    assert bytes_in_service(folder) == bytes_in_service(reference)
    ours, theirs = open_workspace(folder), open_workspace(reference)
    assert {s.state_digest for s in live_states(ours)} == {s.state_digest for s in live_states(theirs)}
    assert ours.store.digests("states") == theirs.store.digests("states")
    assert ours.store.digests("adapters") == theirs.store.digests("adapters")
    with ours.database.reader() as session, theirs.database.reader() as other:
        tombs = [sorted((row.kind, row.hmac) for row in s.exec(select(TombstoneRow)).all()) for s in (session, other)]
    assert tombs[0] == tombs[1]
    assert {entry.case_id for entry in journal.entries(ours.journal)} == {case_id}
    assert (folder / ".lethe" / "cases" / case_id / "certificate.half.json").exists()


@pytest.mark.parametrize("at", sampled(PURGE_BOUNDARIES))
def test_a_purge_that_stops_at_any_boundary_is_finished_by_the_next(erased, purged, tmp_path, at, here):
    folder = copy_workspace(erased.folder, tmp_path / "ws")
    sealed = person_in(folder, erased.case_id)
    to_purge_approved(folder, erased.case_id)
    workspace = open_workspace(folder)
    with crashing(at), pytest.raises(Killed):
        purge_case(workspace, erased.case_id)
    let_die(workspace)
    purge_case(workspace, erased.case_id)
    assert_purged(folder, purged.folder, erased.case_id, sealed)


def test_no_certificate_is_signed_while_a_key_of_the_case_is_left(erased, tmp_path, here):
    """Killed between the last two steps, and nobody runs the purge again: signing finishes it."""
    folder = copy_workspace(erased.folder, tmp_path / "ws")
    sealed = person_in(folder, erased.case_id)
    to_purge_approved(folder, erased.case_id)
    with crashing(PURGE_BOUNDARIES - 6), pytest.raises(Killed):
        purge_case(open_workspace(folder), erased.case_id)
    assert opens(sealed, every_key(folder / ".lethe")), "the crash came too late for this test"
    assert case_of(folder, erased.case_id)["stage"] == "PURGED"
    lethe_here("erase", "sign", erased.case_id, "--as", "dana", workspace=folder)
    assert opens(sealed, every_key(folder / ".lethe")) == set()


@pytest.mark.parametrize("at", sampled(ERASURE_BOUNDARIES))
def test_an_erasure_that_stops_at_any_boundary_is_finished_by_the_next(trained, erased, tmp_path, at):
    """Contain and rebuild by the functions the job calls, crashed once and repeated: same bytes, no effect twice."""
    folder = copy_workspace(trained.folder, tmp_path / "ws")
    workspace = open_workspace(folder)
    case_id = approved_case(workspace, PLANTED)

    def go() -> None:
        erasure.contain(workspace, case_id)
        erasure.rebuild(workspace, case_id)

    with crashing(at), pytest.raises(Killed):
        go()
    let_die(workspace)
    go()
    assert bytes_in_service(folder) == bytes_in_service(erased.folder)
    assert reasons(folder) == ["train", "contained", "erasure"]


def test_the_schedules_reach_the_last_boundary(trained, erased, tmp_path, here):
    """If the road gets longer, the numbers above must grow."""
    folder = copy_workspace(erased.folder, tmp_path / "purge")
    to_purge_approved(folder, erased.case_id)
    workspace = open_workspace(folder)
    purging = boundaries(lambda: purge_case(workspace, erased.case_id))
    other = open_workspace(copy_workspace(trained.folder, tmp_path / "erase"))
    case_id = approved_case(other, PLANTED)
    erasing = boundaries(lambda: (erasure.contain(other, case_id), erasure.rebuild(other, case_id)))
    assert (purging, erasing) == (PURGE_BOUNDARIES, ERASURE_BOUNDARIES)
