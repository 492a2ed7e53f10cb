"""A register file, read as a stream: UTF-8 CSV with commas and a header, one line in memory at a time.

::

    subject,kind,value                        subject,name,email,phone,account
    C-1007,name,Maren Oduya                   C-1007,Maren Oduya,maren@example.org,,
    C-1007,email,maren@example.org

The columns may stand in any order, and of the four kinds of the second form some may be missing; an empty cell there says
nothing. Whatever else a file may be is refused in a sentence that quotes none of it: a file without a header begins with
somebody's name.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, cast

from lineage.errors import WrongUsage
from lineage.forms import FormKind
from lineage.subjects import KINDS, SubjectEntry

__all__ = ["RegisterLine", "read_register"]

LONG = ("subject", "kind", "value")
WIDE = ("subject", *KINDS)
MAX_LINE_BYTES = 64 * 1024
HINT = f"The first line is {','.join(LONG)} or {','.join(WIDE)}, in any order, separated by commas."


@dataclass(frozen=True, slots=True)
class RegisterLine:
    """What one line says: its entries; or what is wrong with it, in a sentence without a value. `number` counts from 1.

    After a `fatal` one nothing more is read, because nobody can say where the next line begins.
    """

    number: int
    entries: tuple[SubjectEntry, ...] = ()
    problem: str = ""
    fatal: bool = False


def read_register(stream: BinaryIO) -> Iterator[RegisterLine]:
    """The lines of a register file after its header, blank ones left out. The header is read at once.

    Raises:
        WrongUsage: the file is empty, or its first line is not a header.
    """
    lines = _Lines(stream)
    rows = csv.reader(lines, strict=True)
    try:
        header = next(rows, None)
    except csv.Error:
        raise WrongUsage("The header of the register file is not valid CSV.", hint=HINT) from None
    if header is None:
        raise WrongUsage("The register file is empty.", hint=HINT)
    _check_header(header)
    return _rows(rows, header, lines)


class _Lines(Iterator[str]):
    """The lines of a stream as text. What is not UTF-8 becomes surrogates, which no UTF-8 text holds."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.number = 0

    def __next__(self) -> str:
        line = self._stream.readline(MAX_LINE_BYTES)
        if not line:
            raise StopIteration
        self.number += 1
        if self.number == 1:
            _refuse_other_encodings(line)
            line = line.removeprefix(b"\xef\xbb\xbf")
        if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            raise csv.Error("too long")
        return line.decode("utf-8", "surrogateescape")


def _rows(rows: Iterator[list[str]], header: Sequence[str], lines: _Lines) -> Iterator[RegisterLine]:
    while True:
        number = lines.number + 1
        try:
            row = next(rows, None)
        except csv.Error:
            broken = f"is not valid CSV, or longer than {MAX_LINE_BYTES // 1024} KiB"
            yield RegisterLine(number, problem=f"The line {broken}.", fatal=True)
            return
        if row is None:
            return
        if row:
            yield _line(number, row, header)


def _line(number: int, row: Sequence[str], header: Sequence[str]) -> RegisterLine:
    if any("\udc80" <= character <= "\udcff" for cell in row for character in cell):
        return RegisterLine(number, problem="The line is not UTF-8.")
    if len(row) != len(header):
        return RegisterLine(number, problem=f"The line has {len(row)} cells and the header {len(header)}.")
    cells = dict(zip(header, row, strict=True))
    if "kind" in cells:
        kind = cast("FormKind", cells["kind"].strip())  # whether it is one is for `check_entry` to say
        return RegisterLine(number, (SubjectEntry(cells["subject"], kind, cells["value"]),))
    entries = [SubjectEntry(cells["subject"], kind, cells[kind]) for kind in KINDS if cells.get(kind, "").strip()]
    if not entries:
        return RegisterLine(number, problem="The line says nothing about its subject.")
    return RegisterLine(number, tuple(entries))


def _check_header(header: Sequence[str]) -> None:
    names = set(header)
    if len(header) == 1 and (
        found := [word for sign, word in ((";", "semicolons"), ("\t", "tabs")) if sign in header[0]]
    ):
        raise WrongUsage(f"The register file is separated by {found[0]}, not by commas.", hint=HINT)
    if len(names) != len(header):
        raise WrongUsage("The header of the register file names a column twice.", hint=HINT)
    if not names & {*LONG, *WIDE}:
        raise WrongUsage("The register file has no header.", hint=HINT)
    if "subject" not in names:
        raise WrongUsage("The register file has no column subject.", hint=HINT)
    if names != set(LONG) and (not names <= set(WIDE) or len(names) < 2):
        raise WrongUsage("The register file has other columns than it should.", hint=HINT)


def _refuse_other_encodings(line: bytes) -> None:
    if line.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in line:
        raise WrongUsage("The register file is not UTF-8.", hint="Save it as CSV UTF-8.")
    try:
        line.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise WrongUsage("The register file is not UTF-8.", hint="Save it as CSV UTF-8.") from None
