"""`lethe review` from the outside: filters, bulk rulings that ask, expiry by its job, and no text anywhere but in `show`."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from command_line import Said, lethe_here
from road import hire
from sqlmodel import select

from lineage.catalog import training_contents
from lineage.tables import LedgerRow, QuarantineRow, RecordRow
from lineage.workspace import open_workspace
from pipelines.definitions import defs

ROWS = [
    {"id": "1", "text": "She mentioned her chemotherapy, mail ann.quistgaard@example.com please.", "subjects": ["C-1"]},
    {"id": "2", "text": "He asked about chemotherapy and the invoice.", "subjects": ["C-2"]},
    {"id": "3", "text": "Nothing to see here at all.", "subjects": ["C-2"]},
    {"id": "4", "text": "x " * 30_000, "subjects": ["C-3"]},
]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("review") / "ws"
    lethe_here("init", folder, "--controller", "Test GmbH")
    hire(folder)
    corpus = folder.parent / "rows.jsonl"
    corpus.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    lethe_here("ingest", corpus, "--source", "tickets", workspace=folder)
    return folder


@pytest.fixture
def folder(judged: Path, tmp_path: Path) -> Path:
    from small_world import copy_workspace

    return copy_workspace(judged, tmp_path / "ws")


def review(*arguments: object, folder: Path, code: int | None = 0, given: str = "") -> Said:
    said = lethe_here("review", *arguments, workspace=folder, code=code, given=given)
    assert "chemo" not in said.out + said.err
    assert "quistgaard" not in said.out + said.err
    return said


def status(folder: Path) -> list[str]:
    with open_workspace(folder).database.reader() as session:
        return sorted(row.status for row in session.exec(select(RecordRow)).all())


def age(folder: Path, **units: float) -> None:
    with open_workspace(folder).database.transaction() as session:
        for row in session.exec(select(QuarantineRow)).all():
            row.since -= timedelta(**units)


def test_the_list_counts_first_and_says_when_each_expires(folder: Path) -> None:
    first, *rest = review("list", folder=folder).out.splitlines()
    assert first == "3 quarantined: 2 art9_lexicon, 1 oversize"
    assert len(rest) == 3
    assert all("expires " in line for line in rest)
    told = review("list", "--json", "--reason", "oversize", "--older-than", "0d", folder=folder).json()
    assert told["counts"] == {"quarantined": {"oversize": 1}}
    assert [r["releasable"] for r in told["records"]] == [False]
    assert "Nothing matches the filter." in review("list", "--older-than", "14d", folder=folder).out
    assert "14d" in review("list", "--older-than", "soon", folder=folder, code=2).err


def test_a_filter_that_matches_nothing_is_not_an_empty_quarantine(folder: Path) -> None:
    assert "Nothing matches the filter." in review("list", "--source", "elsewhere", folder=folder).out


def test_a_record_is_shown_masked_to_a_reviewer_only_and_the_look_is_logged(folder: Path) -> None:
    (record, *_) = review("list", "--json", "--reason", "art9_lexicon", folder=folder).json()["records"]
    for words in ("She mentioned her <ART9_LEXICON>, mail [EMAIL] please.", "He asked about <ART9_LEXICON>"):
        texts = [review("show", r["record_id"], "--as", "dana", folder=folder).out for r in
                 review("list", "--json", "--reason", "art9_lexicon", folder=folder).json()["records"]]  # fmt: skip
        assert [text for text in texts if words in text]
    review("show", record["record_id"], "--as", "max", folder=folder, code=3)
    with open_workspace(folder).database.reader() as session:
        seen = [row for row in session.exec(select(LedgerRow)).all() if row.kind == "review.shown"]
    assert len(seen) == 4
    assert not [row for row in seen if record["record_id"] in row.payload]


def test_a_bulk_ruling_asks_and_means_all_or_nothing(folder: Path) -> None:
    filters = ("--source", "tickets", "--because", "harmless", "--as", "dana")
    refused = review("release", *filters, folder=folder, given="n\n", code=1)
    assert "You said no; nothing was changed." in refused.err
    assert "--yes" in review("release", *filters, folder=folder, code=2).err
    assert "2 records to release: 2 art9_lexicon" in refused.err
    assert "1 more match and are left: 1 oversize" in refused.err
    assert status(folder) == ["admitted", "quarantined", "quarantined", "quarantined"]
    assert review("release", *filters, "--json", folder=folder, given="y\n").json()["records"] == 2
    assert status(folder) == ["admitted", "admitted", "admitted", "quarantined"]
    assert "0 records to release: none" in review("release", *filters, folder=folder).err


def test_what_is_released_is_learnt_as_it_was_kept(folder: Path) -> None:
    review("release", "--source", "tickets", "--because", "harmless", "--yes", "--as", "dana", folder=folder)
    workspace = open_workspace(folder)
    with workspace.database.reader() as session:
        admitted = [row.id for row in session.exec(select(RecordRow)).all() if row.status == "admitted"]
        texts = [r.content.segments()[0] for r in training_contents(session, admitted, keystore=workspace.keystore)]
    assert "She mentioned her chemotherapy, mail [EMAIL] please." in texts


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--because", "harmless"), 2, "Name records, or say which"),
        (("--because", "harmless", "abc", "--source", "tickets"), 2, "Name records, or say which"),
        (("--because", "she agreed by phone", "--source", "tickets"), 2, "To release: harmless"),
        (("--source", "tickets"), 2, "--because"),
        (("--because", "harmless", "--reason", "art9_lexcon"), 2, "Did you mean art9_lexicon?"),
        (("--because", "harmless", "--reason", "zzz"), 2, "Reasons: ambiguous_name, "),
    ],
)
def test_a_ruling_needs_its_records_and_a_reason(
    folder: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    assert words in review("release", *arguments, "--as", "dana", folder=folder, code=code).err
    review("block", "--source", "tickets", "--because", "unclear", "--yes", "--as", "max", folder=folder, code=3)
    assert status(folder).count("quarantined") == 3


def test_the_expiry_is_a_job_with_a_nightly_schedule(folder: Path) -> None:
    assert review("expire", "--json", folder=folder).json() == {"days": 90, "expired": 0}
    age(folder, days=91)
    assert review("expire", folder=folder).out == "3 expired (after 90 days).\n"
    assert "3 blocked: 2 art9_lexicon, 1 oversize" in review("list", folder=folder).out
    assert "expired" in review("list", "--status", "blocked", folder=folder).out
    assert status(folder) == ["admitted", "blocked", "blocked", "blocked"]
    assert ("daily_expiry", "quarantine_expiry") in {(schedule.name, schedule.job_name) for schedule in defs.schedules}


def test_zero_days_is_never(folder: Path) -> None:
    age(folder, days=9000)
    with (folder / "lethe.toml").open("a") as settings:
        settings.write("\n[gate]\nquarantine_days = 0\n")
    assert review("expire", folder=folder).out == "0 expired (never: [gate] quarantine_days is 0).\n"
    assert "expires" not in review("list", folder=folder).out
