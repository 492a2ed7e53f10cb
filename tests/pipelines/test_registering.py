"""A large register comes in as a stream: everybody once, in bounded memory, and a bad line does half of nothing."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import pytest
from command_line import lethe_here, one_sentence
from road import hire

from lineage import subjects
from lineage.access import Actor, Role
from lineage.errors import WrongUsage
from lineage.workspace import Workspace, create_workspace, open_workspace
from pipelines import registering
from pipelines.registering import Registered, import_register

INES = Actor("ines", Role.INTAKE)
HEADER = "subject,name,email,phone,account\n"


@pytest.fixture
def workspace(tmp_path: Path, here: pytest.MonkeyPatch) -> Workspace:
    create_workspace(tmp_path / "ws", controller="Quillfeather Ltd")
    hire(tmp_path / "ws")
    return open_workspace(tmp_path / "ws")


def person(number: int) -> str:
    return f"C-{number},Perpetua Nr{number:06}a,p{number}@quillonia.example,+44 7700 9{number:05},AC-{number:08}\n"


def people(first: int, last: int) -> str:
    return HEADER + "".join(person(number) for number in range(first, last))


def register(workspace: Workspace, content: str) -> Registered:
    return import_register(workspace, io.BytesIO(content.encode()), actor=INES)


def known(workspace: Workspace) -> int:
    with workspace.database.reader() as session:
        return len(subjects.load_forms(session, workspace.keystore))


def test_thousands_of_people_come_in_once_and_each_is_found(workspace: Workspace) -> None:
    assert register(workspace, people(0, 3000)) == Registered(12_000, 12_000)
    assert register(workspace, people(1000, 3001)) == Registered(4, 8004)
    assert known(workspace) == 12_004
    with workspace.database.reader() as session:
        for form in ("perpetua  NR002999a", "p0@quillonia.example", "07700 901000", "ac 0000 3000"):
            assert subjects.find_subject(session, form, workspace.keyring)
        assert subjects.subject_counts(session)["subjects"] == 3001


def test_duplicates_are_recognised_inside_a_file_across_batches_and_in_another_spelling(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registering, "BATCH_LINES", 2)
    twice = people(0, 3) + person(0) + person(2).upper()
    assert register(workspace, twice) == Registered(12, 20)
    assert register(workspace, "subject,kind,value\nc-1,phone,0044 (7700) 900-001\n") == Registered(0, 1)


@pytest.mark.parametrize("batch", [1, 2, 1000])
def test_what_stands_before_a_bad_line_is_in_and_every_bad_line_is_told(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(registering, "BATCH_LINES", batch)
    bad = "C-9,Quentin Secret,not-an-address,,\n"
    content = people(0, 3) + bad + person(3) + "C-10,,,,\n" + bad + person(4)
    with pytest.raises(WrongUsage) as refusal:
        register(workspace, content)
    assert str(refusal.value) == (
        "Register line 5: A value given as email cannot be one. Also bad: lines 7, 8. The 12 identifiers before it are in."
    )
    assert "Secret" not in f"{refusal.value}{refusal.value.hint}"
    assert known(workspace) == 12
    mended = content.replace("not-an-address", "").replace("C-10,,,,\n", "")
    assert register(workspace, mended) == Registered(9, 22)


def test_nothing_is_registered_from_a_file_that_begins_badly(workspace: Workspace) -> None:
    with pytest.raises(WrongUsage, match=r"Register line 2: .*Nothing was registered\.$"):
        register(workspace, HEADER + ",Quentin Secret,,,\n" + person(1))
    assert known(workspace) == 0


def test_the_same_file_goes_on_after_a_crash(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registering, "BATCH_LINES", 2)
    write = registering._write
    done = []

    def dies(*given: object) -> int:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(write(*given))  # type: ignore[arg-type]
        return done[-1]

    with monkeypatch.context() as patch:
        patch.setattr(registering, "_write", dies)
        with pytest.raises(KeyboardInterrupt):
            register(workspace, people(0, 9))
    assert known(workspace) == sum(done) == 16
    assert register(workspace, people(0, 9)) == Registered(20, 36)


class Endless(io.RawIOBase):
    """A register file that is made while it is read."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines: Iterator[bytes] = iter(lines)

    def readline(self, size: int | None = -1, /) -> bytes:
        return next(self._lines, b"")


def peak_bytes(workspace: Workspace, first: int, last: int) -> int:
    made = (f"C-{n},Perpetua Nr{n:06}a,p{n}@quillonia.example,,\n".encode() for n in range(first, last))
    tracemalloc.start()
    try:
        import_register(workspace, Endless(chain([HEADER.encode()], made)), actor=INES)  # type: ignore[arg-type]
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_follows_from_the_batch_and_not_from_the_file_or_the_register(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registering, "BATCH_LINES", 200)
    register(workspace, people(0, 200))  # what is imported and cached once
    small = peak_bytes(workspace, 1000, 1400)
    assert peak_bytes(workspace, 2000, 5000) < 2 * small
    assert peak_bytes(workspace, 5000, 5400) < 2 * small


def test_the_command_reads_files_and_standard_input(tmp_path: Path, workspace: Workspace) -> None:
    folder, file = tmp_path / "ws", tmp_path / "people.csv"
    file.write_text(people(0, 2))
    said = lethe_here("register", "add", "--from-file", file, "--json", workspace=folder)
    assert said.json() == {"given": 8, "new": 8}
    said = lethe_here("register", "add", workspace=folder, given=people(1, 3))
    assert said.out == "4 new identifiers (8 given).\n"
    file.write_text(people(0, 2).replace("AC-", "-").replace("00000001", "1"))
    one_sentence(
        lethe_here("register", "add", "--from-file", file, workspace=folder, code=None), 2, "Register line 3", "account"
    )
    one_sentence(lethe_here("register", "add", "--from-file", tmp_path, workspace=folder, code=None), 2, "is a folder")


def test_the_identifiers_of_a_person_with_an_open_case_stay_until_its_purge(
    workspace: Workspace, tmp_path: Path
) -> None:
    """Without them the erasure would search for less than was known of the person."""
    folder = workspace.settings.workspace
    register(workspace, people(0, 2))
    files = [tmp_path / f"person-{number}.txt" for number in (0, 1)]
    for number, file in enumerate(files):
        file.write_text(f"p{number}@quillonia.example\n")
    lethe_here("erase", "file", "--from-file", files[0], "--identity", "portal", "--as", "ines", workspace=folder)
    said = lethe_here("register", "remove", "--from-file", files[0], workspace=folder, code=3)
    one_sentence(said, 3, "open case")
    assert known(workspace) == 8
    assert lethe_here("register", "remove", "--from-file", files[1], "--json", workspace=folder).json() == {
        "removed": 4
    }
    assert known(workspace) == 4
