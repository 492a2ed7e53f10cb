"""Rows in batches, judged ahead: the outcome is that of one row after the other, for any batch and any number of workers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from rough_scanners import DEADLY, RoughScanner
from small_world import copy_workspace
from sqlmodel import select

from lineage import pool
from lineage.admit import Gate
from lineage.catalog import GateStamp
from lineage.corpus import Reject, RejectReason
from lineage.errors import WrongUsage
from lineage.identity import identify
from lineage.near_tombstones import lay_near, near_marks
from lineage.policy import load_policy
from lineage.records import PlainText, RawRecord
from lineage.register import RegisterIndex
from lineage.subjects import SubjectEntry, add_forms
from lineage.suppression import SuppressionList
from lineage.tables import IngestRow, RecordRow, TombstoneRow
from lineage.workspace import Workspace, create_workspace, open_workspace
from pipelines import intake
from pipelines.ingest import request_ingest, utc_now
from pipelines.intake import Intake, Taken, take_in
from pipelines.progress import Silent

GATE = Gate(
    scanner=RoughScanner(), register=RegisterIndex([]), suppression=SuppressionList((), hmac=str),
    policy=load_policy("default"), strict=load_policy("strict"),
)  # fmt: skip
TEXTS = ("hello", "a@", "other", f"{DEADLY} row")


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scanner of this test must be found where it is unpickled."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "support"), prepend=os.pathsep)


def record(line: int, given_id: str, text: str) -> RawRecord:
    return RawRecord(
        line=line, content=PlainText(text), given_id=given_id, subjects=("C-1",), source="tickets", purpose="support",
        lawful_basis="contract", language="en",
    )  # fmt: skip


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty workspace to copy: making one takes longer than what is tested."""
    create_workspace(folder := tmp_path_factory.mktemp("empty") / "ws", controller="Test")
    return folder


def workspace_at(empty: Path, folder: Path, workers: int) -> Workspace:
    copy_workspace(empty, folder)
    with (folder / "lethe.toml").open("a") as toml:
        toml.write(f"\n[gate]\nworkers = {workers}\nrecord_limit_s = 30\n")
    workspace = open_workspace(folder)
    with workspace.database.transaction() as session:
        session.add(IngestRow(id="ing-1", source="tickets", generation=0, status="running", requested_at=utc_now()))
    return workspace


def taken_in(workspace: Workspace, rows: Sequence[RawRecord | Reject]) -> Taken:
    stamp = GateStamp("ing-1", 0, "policy", "rough", utc_now())
    return take_in(Intake(workspace, GATE, stamp, utc_now), rows, Silent())


def outcome(empty: Path, rows: Sequence[RawRecord | Reject], *, batch: int, workers: int) -> object:
    """Counts, rejects in the order of lines, and which text is held under which id."""
    with TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(intake, "BATCH_ROWS", batch)
        patch.setattr(pool, "FIRST_HERE", 0)
        workspace = workspace_at(empty, Path(place) / "ws", workers)
        taken = taken_in(workspace, rows)
        texts = {workspace.keyring.content(b'{"text":"%s"}' % text.encode()): text for text in TEXTS}
        with workspace.database.reader() as session:
            held = [(r.id_hmac, texts[r.given_hmac], r.status) for r in session.exec(select(RecordRow)).all()]
        workspace.database.engine.dispose()
        return (
            taken.counts,
            taken.reasons,
            sorted(taken.rejects, key=lambda r: r.line),
            len(held),
            sorted(t[1:] for t in held),
        )


rows_of_a_file = st.lists(
    st.one_of(st.tuples(st.sampled_from("abcdef"), st.sampled_from(TEXTS[:3])), st.none()), min_size=1, max_size=14
).map(
    lambda rows: [
        record(n, *row) if row else Reject(n, RejectReason.NOT_JSON) for n, row in enumerate(rows, start=1)
    ]
)  # fmt: skip


@settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(rows_of_a_file, st.integers(2, 5))
@example([record(n, "a", text) for n, text in enumerate(["a@", "hello", "hello", "hello"], start=1)], 2)
def test_neither_batches_nor_workers_change_the_outcome(empty, rows, batch):
    expected = outcome(empty, rows, batch=1, workers=1)
    assert outcome(empty, rows, batch=batch, workers=1) == expected
    assert outcome(empty, rows, batch=batch, workers=2) == expected


def test_a_record_that_kills_its_workers_is_held_in_quarantine(empty):
    rows = [record(n, str(n), TEXTS[3] if n == 4 else "hello") for n in range(8)]
    counts, reasons, rejects, held, statuses = outcome(empty, rows, batch=3, workers=2)
    assert (dict(reasons), rejects, held) == ({"scan_failed": 1}, [], 8)
    assert (counts["allow"], counts["quarantine"]) == (7, 1)
    assert (f"{DEADLY} row", "quarantined") in statuses


@pytest.mark.parametrize("workers", [1, 2])
def test_a_person_erased_after_the_first_look_stays_out(empty, tmp_path, monkeypatch, workers):
    """The row is looked up, then its tombstone is set, then its batch is written."""
    monkeypatch.setattr(pool, "FIRST_HERE", 0)
    workspace = workspace_at(empty, tmp_path / "ws", workers)
    rows = [record(n, str(n), f"text {n}") for n in range(3 * intake.BATCH_ROWS)]
    erased = identify(rows[1], workspace.keyring)

    looked = intake._look

    def look_and_bury(*arguments: object) -> object:
        found = looked(*arguments)
        if erased in (identity for _, identity in found.new):
            with workspace.database.transaction() as session:
                session.add(
                    TombstoneRow(hmac=erased.id_hmac, kind="given_id", case_id="case-1", keep_until=date(2099, 1, 1))
                )
        return found

    monkeypatch.setattr(intake, "_look", look_and_bury)
    taken = taken_in(workspace, rows)
    assert taken.rejects == [Reject(1, RejectReason.ERASED)]
    with workspace.database.reader() as session:
        assert session.get(RecordRow, erased.record_id) is None
        assert len(session.exec(select(RecordRow)).all()) == len(rows) - 1


def test_a_repeated_row_counts_as_held_however_far_apart(empty):
    rows = [record(n, str(n % 70), "hello") for n in range(140)]
    counts, _, rejects, held, _ = outcome(empty, rows, batch=64, workers=2)
    assert (counts["rows"], counts["held"], counts["allow"], rejects, held) == (140, 70, 70, [], 70)


def test_a_near_copy_of_an_erased_record_is_refused_or_waits(empty, tmp_path):
    workspace = workspace_at(empty, tmp_path / "ws", 1)
    story = "on sunday the violet kettle whistled until the neighbours in the attic knocked and its handle fell"
    taken_in(workspace, [record(1, "a", story)])
    erased = identify(record(1, "a", story), workspace.keyring).record_id
    with workspace.database.transaction() as session:
        marks = near_marks(workspace, session, "case-1", [erased])
        lay_near(session, marks, case_id="case-1", until=date(2099, 1, 1))
    copy = story.replace("violet", "yellow")
    rows = [record(1, "b", copy), replace(record(2, "c", copy), subjects=("C-2",)), record(3, "d", "something else")]
    taken = taken_in(workspace, rows)
    assert taken.rejects == [Reject(1, RejectReason.NEAR_ERASED)]
    assert (taken.counts["allow"], dict(taken.reasons)) == (1, {"near_erased": 1})


@pytest.mark.parametrize("source", ["mails of Ann Lee", "ann.lee@example.com", "calls to +44 20 7946 0958"])
def test_a_source_is_not_named_after_a_person(empty, tmp_path, source):
    """It would stand in notices and certificates, and outlive an erasure."""
    workspace = open_workspace(copy_workspace(empty, tmp_path / "ws"))
    known = {"name": "Ann Lee", "email": "ann.lee@example.com", "phone": "+44 20 7946 0958"}
    with workspace.database.transaction() as session:
        entries = [SubjectEntry("C-1", kind, value) for kind, value in known.items()]
        add_forms(session, entries, keyring=workspace.keyring, keystore=workspace.keystore, now=utc_now())
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"id": "1", "text": "hello"}\n')
    with pytest.raises(WrongUsage, match="named after a person") as told:
        request_ingest(workspace, rows, source=source)
    assert source not in f"{told.value} {told.value.hint}"
    assert request_ingest(workspace, rows, source="mails")
