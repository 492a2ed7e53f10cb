"""The byte scan finds every coding it says it knows, and nothing that is not there."""

from __future__ import annotations

import base64
import gzip
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineage.bytescan import MIN_PATTERN_BYTES, patterns_of, scan_bytes, search_files
from lineage.errors import Fault

FORM = "Anneliese Quistgaard"
OTHER = "Bertram Ostrander"
CODINGS = ("utf-8", "utf-16-le", "utf-16-be")


def put(folder: Path, content: bytes, name: str = "deep/file.bin") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return folder


@pytest.mark.parametrize("wrap", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("shift", [None, 0, 1, 2], ids=["clear", "base64+0", "base64+1", "base64+2"])
@pytest.mark.parametrize("spell", [str, str.lower, str.upper])
@pytest.mark.parametrize("coding", CODINGS)
def test_every_coding_is_found_and_another_form_is_not(
    tmp_path: Path, coding: str, spell, shift: int | None, wrap
) -> None:
    inside = b"x" * (shift or 0) + spell(FORM).encode(coding) + b" and more"
    coded = inside if shift is None else base64.b64encode(inside)
    put(tmp_path, wrap(b"\x00\xff head " + coded + b" tail"))
    found = scan_bytes(tmp_path, [FORM])
    assert found.hits == ("deep/file.bin",)
    assert not found.clean
    assert scan_bytes(tmp_path, [OTHER]).clean


@settings(max_examples=300)
@given(
    form=st.text(alphabet="abcdeXYZ 0123@.äß漢", min_size=5, max_size=12),
    before=st.binary(max_size=7),
    behind=st.binary(max_size=7),
)
def test_whatever_stands_beside_it_base64_is_found(form: str, before: bytes, behind: bytes) -> None:
    coded = base64.b64encode(before + form.encode() + behind)
    assert any(pattern in coded for pattern in patterns_of(form))


@given(form=st.text(max_size=10))
def test_no_pattern_is_so_short_that_it_would_match_by_chance(form: str) -> None:
    assert all(len(pattern) >= MIN_PATTERN_BYTES for pattern in patterns_of(form))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300))
def test_bytes_without_the_form_are_clean(tmp_path: Path, content: bytes) -> None:
    found = search_files(put(tmp_path, content), sorted(patterns_of(FORM)))
    assert found.clean
    assert (found.files, found.bytes) == (1, len(content))


def test_a_form_torn_in_two_is_not_a_find(tmp_path: Path) -> None:
    put(tmp_path, FORM[:9].encode() + b"\x00" + FORM[9:].encode())
    put(tmp_path, FORM[:9].encode(), "one.bin")
    put(tmp_path, FORM[9:].encode(), "two.bin")
    assert scan_bytes(tmp_path, [FORM]).clean


def test_counts_cover_every_file_and_hits_are_relative(tmp_path: Path) -> None:
    put(tmp_path, b"12345", "a")
    put(tmp_path, FORM.encode(), "b/c/.hidden")
    put(tmp_path, b"", "b/empty")
    (tmp_path / "link").symlink_to(tmp_path / "b" / "c" / ".hidden")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    found = scan_bytes(tmp_path, [FORM, OTHER])
    assert (found.forms, found.files, found.bytes) == (2, 3, 5 + len(FORM))
    assert found.hits == ("b/c/.hidden",)
    assert FORM not in repr(found)


def test_patterns_of_the_caller_are_searched_too(tmp_path: Path) -> None:
    ids = struct.pack("<4i", 17, 4, 900, 3)
    put(tmp_path, b"\x00" * 3 + ids)
    assert scan_bytes(tmp_path, []).clean
    assert scan_bytes(tmp_path, [], extra=[ids]).hits == ("deep/file.bin",)


@pytest.mark.parametrize("content", [b"\x1f\x8b", b"\x1f\x8bnonsense", gzip.compress(b"x" * 99, mtime=0)[:-9]])
def test_a_damaged_gzip_is_searched_as_it_lies(tmp_path: Path, content: bytes) -> None:
    assert scan_bytes(put(tmp_path, content), [FORM]).clean
    assert not scan_bytes(put(tmp_path, content + FORM.encode()), [FORM]).clean


def test_a_file_that_vanishes_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, FORM.encode(), "a")
    put(tmp_path, b"x", "b")
    really = Path.read_bytes

    def vanish(path: Path) -> bytes:
        if path.name == "b":
            raise FileNotFoundError
        return really(path)

    monkeypatch.setattr(Path, "read_bytes", vanish)
    found = search_files(tmp_path, sorted(patterns_of(FORM)))
    assert (found.files, found.hits) == (1, ("a",))


HOLDING = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], timeout=0.2)
try:
    other.execute("BEGIN EXCLUSIVE")
except sqlite3.OperationalError:
    print("locked")
else:
    print("taken")
"""


def test_the_search_leaves_this_processs_locks_alone(tmp_path) -> None:
    """Closing a descriptor of a database file drops the process's POSIX locks on it: so a child reads."""
    connection = sqlite3.connect(tmp_path / "some.db")
    connection.execute("CREATE TABLE t (x)")
    connection.execute("BEGIN EXCLUSIVE")

    def another_process() -> str:
        command = [sys.executable, "-c", HOLDING, str(tmp_path / "some.db")]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert another_process() == "locked"
    scan_bytes(tmp_path, [FORM])
    assert another_process() == "locked"
    search_files(tmp_path, [b"what a search in this process would do"])
    assert another_process() == "taken", "the danger is real on this machine, so the assertion above says something"
    connection.close()


def test_a_search_that_fails_is_not_clean(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(Fault):
        scan_bytes(tmp_path, [FORM])
