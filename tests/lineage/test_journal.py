"""The journal: every entry that was acknowledged stays, whatever was torn off after it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage.errors import NotAcceptable
from lineage.journal import BEGUN, DESTROYED, Entry, append, entries


def entry(number: int) -> Entry:
    return Entry(f"case-{number}", f"{number:064x}", "2026-01-31T09:30:00+00:00", (f"{number:x}" * 8, "b"), "c" * 64)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "journal.jsonl"


def test_without_a_file_there_are_no_entries(path: Path) -> None:
    assert list(entries(path)) == []


def test_entries_come_back_in_order_and_the_file_is_its_owners(path: Path) -> None:
    for number in (1, 2, 2):
        append(path, entry(number))
    assert list(entries(path)) == [entry(1), entry(2), entry(2)]
    assert path.stat().st_mode & 0o777 == 0o600


@given(kept=st.integers(0, 260))
def test_a_torn_entry_is_passed_over_and_swallows_no_later_one(
    tmp_path_factory: pytest.TempPathFactory, kept: int
) -> None:
    """A crash may leave any prefix of a line. Its purge had not begun; the next one must not be lost with it."""
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    append(path, entry(1))
    whole = path.stat().st_size
    append(path, entry(2))
    os.truncate(path, min(whole + kept, path.stat().st_size))
    finished = path.read_bytes().endswith(b"\n") and path.stat().st_size > whole
    before = [entry(1), entry(2)] if finished else [entry(1)]
    assert list(entries(path)) == before
    append(path, entry(3))
    append(path, entry(4))
    assert list(entries(path)) == [*before, entry(3), entry(4)]


@pytest.mark.parametrize("damage", [b"nonsense", b"{}", b"[]", b"3", b'{"case_id": "x"}', b"\xff\xff", b""])
def test_a_damaged_whole_line_is_refused_by_number(path: Path, damage: bytes) -> None:
    append(path, entry(1))
    append(path, entry(2))
    lines = path.read_bytes().split(b"\n")
    for number in (0, 1):
        path.write_bytes(b"\n".join([*lines[:number], damage, *lines[number + 1 :]]))
        with pytest.raises(NotAcceptable, match=f"Line {number + 1} "):
            list(entries(path))


def test_what_was_written_is_never_rewritten(path: Path) -> None:
    before = b""
    for number in range(5):
        append(path, entry(number))
        now = path.read_bytes()
        assert now.startswith(before)
        before = now


def test_lines_of_older_versions_are_read(path: Path) -> None:
    path.parent.mkdir(parents=True)
    first = '{"at": "t", "case_id": "c", "purge_digest": "d", "record_ids": ["r"], "subject_key": "s"}'
    second = first.replace("}", ', "redacted_ids": ["o"]}')
    path.write_text(f"{first}\n{second}\n")
    plain = Entry("c", "d", "t", ("r",), "s")
    assert list(entries(path)) == [plain, Entry("c", "d", "t", ("r",), "s", ("o",))]
    assert (plain.kind, plain.form_hmacs, plain.cues, plain.kept_ids) == ("", (), (), ())


def test_everything_a_replay_needs_comes_back_as_it_was_written(path: Path) -> None:
    whole = Entry(
        "c", "d", "t", ("r",), "s", ("o",), ("k",), form_hmacs=(("name", "1"), ("email", "2")), cues=("abcdef",),
        given_hmacs=("3",), id_hmacs=("4",), kind=BEGUN,
    )  # fmt: skip
    append(path, whole)
    append(path, Entry("c", "d", "t", kind=DESTROYED))
    assert list(entries(path)) == [whole, Entry("c", "d", "t", kind=DESTROYED)]
