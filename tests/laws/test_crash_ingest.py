"""Kill -9 in an ingest of 20,000 rows, and of its workers: no record twice, none lost, the rows of an undisturbed ingest."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from command_line import Running, lethe_here
from crashes import count
from small_world import copy_workspace
from sqlmodel import select

from lineage.subjects import SubjectEntry, add_forms
from lineage.tables import (
    AdmissionRow,
    FindingRow,
    FindingSubjectRow,
    LedgerRow,
    QuarantineRow,
    RecordRow,
    RecordSubjectRow,
    VaultRow,
)
from lineage.workspace import create_workspace, open_workspace
from pipelines.demo_writer import draw_people
from pipelines.ingest import utc_now

ROWS = 20_000
PEOPLE = draw_people(random.Random(4), count=60)
HELD = "SELECT count(*) FROM vault"


def rows() -> Iterator[dict[str, object]]:
    """Short rows; among them people of other people's rows, repeated texts, repeated ids, a conflict and bad rows."""
    rng = random.Random(20)
    for number in range(ROWS):
        person, other = rng.choice(PEOPLE), rng.choice(PEOPLE)
        text = rng.choice(
            [
                f"Order {rng.randrange(20_000, 99_999)} of {person.name} is on its way.",
                f"{person.name} asked {other.name} at {other.email}.",
                "Thank you, goodbye.",
                f"Please call {other.phone}.",
            ]
        )
        row = {"id": f"r{number}", "text": text, "subjects": [person.customer_id] if rng.random() < 0.9 else []}
        if number % 997 == 500:
            row |= {"id": f"r{number - 200}", "text": "Another text under an old id."}
        if number % 1009 == 700:
            del row["subjects"]
        yield row


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("many") / "many.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return path


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace that knows the people and holds nothing."""
    folder = tmp_path_factory.mktemp("empty") / "ws"
    create_workspace(folder, controller="Crash test")
    workspace = open_workspace(folder)
    entries = [SubjectEntry(p.customer_id, kind, p.value(kind)) for p in PEOPLE for kind in ("name", "email", "phone")]
    with workspace.database.transaction() as session:
        add_forms(session, entries, keyring=workspace.keyring, keystore=workspace.keystore, now=utc_now())
    workspace.database.engine.dispose()
    return folder


@pytest.fixture(scope="module")
def undisturbed(corpus: Path, empty: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list], dict]:
    """What an ingest leaves that nobody stops, and its counts; without scan workers."""
    folder = copy_workspace(empty, tmp_path_factory.mktemp("undisturbed") / "ws")
    with_workers(folder, 1)
    (report,) = lethe_here("ingest", corpus, "--source", "many", "--json", workspace=folder).json()
    return everything(folder), report["counts"]


def with_workers(folder: Path, number: int) -> None:
    with (folder / "lethe.toml").open("a") as toml:
        toml.write(f"\n[gate]\nworkers = {number}\n")


def everything(folder: Path) -> dict[str, list]:
    """All rows that an ingest writes, without their times, ciphertexts and the id of the ingest; findings by place."""
    workspace = open_workspace(folder)
    left_out = {"ingest_id", "ciphertext", "admitted_at", "since", "id"}
    with workspace.database.reader() as session:
        found: dict[str, list] = {}
        for table in (RecordRow, RecordSubjectRow, AdmissionRow, QuarantineRow, VaultRow):
            keep = left_out - ({"id"} if table is RecordRow else set())
            found[table.__tablename__] = sorted(
                sorted((k, str(v)) for k, v in row.model_dump().items() if k not in keep)
                for row in session.exec(select(table)).all()
            )
        places = {f.id: (*f.model_dump(exclude={"id"}).values(),) for f in session.exec(select(FindingRow)).all()}
        found["finding"] = sorted(map(str, places.values()))
        people = session.exec(select(FindingSubjectRow)).all()
        found["finding_subject"] = sorted(f"{places[p.finding_id]} {p.subject_key} {p.declared}" for p in people)
    workspace.database.engine.dispose()
    return found


def finished(folder: Path) -> list[dict]:
    with open_workspace(folder).database.reader() as session:
        return [row.payload for row in session.exec(select(LedgerRow).where(LedgerRow.kind == "ingest.finished")).all()]


def workers_of(running: Running) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        below = psutil.Process(running.process.pid).children(recursive=True)
        return [process for process in below if "lineage.worker" in " ".join(_command(process))]
    return []


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.NoSuchProcess):
        return process.cmdline()
    return []


@pytest.mark.slow
def test_kill_9_in_an_ingest_of_20_000_rows(corpus, empty, undisturbed, tmp_path):
    """Twice, at two places, with the workers alive; they end although nobody tells them to."""
    folder = copy_workspace(empty, tmp_path / "ws")
    with_workers(folder, 2)
    for stored in (3_000, 11_000):
        running = Running("ingest", corpus, "--source", "many", workspace=folder)
        orphans: list[psutil.Process] = []

        def enough(least: int = stored, orphans: list = orphans, running: Running = running) -> bool:
            if count(folder, HELD) < least:
                return False
            orphans += workers_of(running)
            return True

        kill_alone_when(running, enough)
        assert len(orphans) == 2
        assert psutil.wait_procs(orphans, timeout=30)[1] == [], "a worker outlived the ingest"
        assert stored <= count(folder, HELD) < ROWS - 1_000
    (report,) = lethe_here("ingest", corpus, "--source", "many", "--json", workspace=folder).json()
    expected, counts = undisturbed
    assert report["counts"] == counts, "what was stored before it was killed counts as stored"
    assert everything(folder) == expected
    assert len(finished(folder)) == 1, "the interrupted request was taken up, not repeated"


def kill_alone_when(running: Running, happened: Callable[[], bool]) -> None:
    """kill -9 of the command and not of its children, which `Running.kill_when` kills too."""
    if not running.stop_when(lambda: happened() and (running.process.kill() or True), signal.SIGCONT):
        raise AssertionError("it ended before it could be killed")
    running.end()


@pytest.mark.slow
def test_kill_9_of_workers_again_and_again(corpus, empty, undisturbed, tmp_path):
    """Nobody has to run anything again: the ingest replaces them and leaves the same rows."""
    folder = copy_workspace(empty, tmp_path / "ws")
    with_workers(folder, 2)
    running = Running("ingest", corpus, "--source", "many", "--json", workspace=folder)
    killed = 0
    for stored in (1_000, 4_000, 7_000, 10_000, 13_000):

        def enough(least: int = stored) -> bool:
            return count(folder, HELD) >= least and bool(workers_of(running))

        assert running.stop_when(enough, signal.SIGCONT)  # which does nothing to it
        for process in workers_of(running):
            with suppress(psutil.NoSuchProcess):
                process.kill()
                killed += 1
    said = running.end()
    assert (said.code, killed >= 5) == (0, True), said.err
    expected, counts = undisturbed
    assert json.loads(said.out)[0]["counts"] == counts
    assert everything(folder) == expected
