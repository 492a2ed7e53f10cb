"""Reading a corpus: JSONL, CSV, Parquet or a datasets folder, row by row, nothing kept.

A file that cannot be a corpus (unreadable, empty, an unknown column) is the caller's mistake and stops the reading. A bad
row is data: it is refused with its line number and one sentence from a closed list, and the good rows go on. Neither the
refusal nor any error holds a value of the row.

Lines count as an editor shows them: in JSONL and CSV from 1, the CSV header included; in Parquet and datasets folders
rows count from 1.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lineage.errors import LetheError, WrongUsage
from lineage.records import RawRecord
from lineage.rows import CONTENT_COLUMNS, PLAIN_COLUMNS, Reject, RejectReason, RowDefaults, RowReader
from lineage.tabular import CsvFile, DatasetsFolder, JsonLines, ParquetFile, TabularFile

__all__ = ["Corpus", "Reject", "RejectReason", "RowDefaults", "open_corpus", "write_rejects"]

_PRINTABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")
_FORMATS: dict[str, type[JsonLines] | type[CsvFile] | type[ParquetFile]] = {
    ".jsonl": JsonLines,
    ".ndjson": JsonLines,
    ".csv": CsvFile,
    ".parquet": ParquetFile,
}


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus that can be read any number of times from its start, in memory that does not grow with it.

    `total_rows` is what a progress bar should expect: exact for Parquet and datasets folders, extrapolated from the first
    64 KiB for text files.
    """

    file: TabularFile = field(repr=False)
    reader: RowReader
    total_rows: int | None

    def __iter__(self) -> Iterator[RawRecord | Reject]:
        """Every row, as a record or as a reject."""
        for line, fields in self.file.rows():
            yield Reject(line, fields) if isinstance(fields, RejectReason) else self.reader.read(line, fields)


def open_corpus(
    path: str | Path,
    *,
    source: str,
    defaults: RowDefaults,
    subject_column: str = "subjects",
    subjects_needed: bool = True,
) -> Corpus:
    """A corpus whose columns are known and which has at least one row; `subjects_needed` as in `RowReader`.

    Raises:
        WrongUsage: the file is missing, unreadable, empty or of an unknown format, or has a column that is not known.
    """
    if subject_column in CONTENT_COLUMNS | PLAIN_COLUMNS:
        raise WrongUsage("The subject column is one that already means something else.", hint=_known(subject_column))
    file = _file(Path(path))
    reader = RowReader(source, defaults, subject_column, subjects_needed)
    try:
        columns = file.columns()
        empty = next(iter(file.rows()), None) is None
        total = file.expected_rows()
    except LetheError:
        raise
    except Exception:  # noqa: BLE001 - readers of three libraries fail in their own ways, and may quote what they read
        raise WrongUsage(
            "The corpus cannot be read.", hint="Is it complete, and of the format its name says?"
        ) from None
    if empty:
        raise WrongUsage("The corpus is empty.", hint="A corpus needs at least one row.")
    _check_columns(columns, reader, has_header=not isinstance(file, JsonLines))
    return Corpus(file, reader, total)


def write_rejects(path: str | Path, rejects: Iterable[Reject]) -> int:
    """Write line and reason of each reject as JSONL, readable by the owner only; returns how many.

    The file appears whole or not at all.
    """
    target = Path(path)
    draft = target.with_name(f".{target.name}.{os.getpid()}.draft")
    count = 0
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        for reject in rejects:
            file.write(json.dumps({"line": reject.line, "reason": str(reject.reason)}) + "\n")
            count += 1
        file.flush()
        os.fsync(file.fileno())
    draft.replace(target)
    return count


def _file(path: Path) -> TabularFile:
    if path.is_dir():
        return DatasetsFolder(path)
    if not path.is_file():
        raise WrongUsage("The corpus file does not exist.", hint="Give a file or a datasets folder.")
    if path.stat().st_size == 0:
        raise WrongUsage("The corpus is empty.", hint="A corpus needs at least one row.")
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise WrongUsage("The corpus has a format that is not known.", hint=f"Known endings: {', '.join(_FORMATS)}.")
    return kind(path)


def _check_columns(columns: tuple[str, ...], reader: RowReader, *, has_header: bool) -> None:
    hint = _known(reader.subject_column)
    unknown = [name for name in columns if name not in reader.known_columns]
    if unknown:
        raise WrongUsage(f"The corpus has an unknown column: {_shown(unknown[0])}.", hint=hint)
    if len(set(columns)) < len(columns):
        raise WrongUsage("The corpus has the same column twice.", hint=hint)
    if has_header and reader.subjects_needed and reader.subject_column not in columns:
        raise WrongUsage("The corpus has no column that says whose the rows are.", hint=hint)


def _known(subject_column: str) -> str:
    names = ", ".join(sorted(CONTENT_COLUMNS | PLAIN_COLUMNS))
    return f"Known columns: {names}, and the subject column, now {_shown(subject_column)} (--subject-column names another)."


def _shown(name: str) -> str:
    """A column name, unless it looks like data: in a file without a header the first row stands there."""
    return f'"{name}"' if _PRINTABLE_NAME.fullmatch(name) else "(a name that looks like data; is there a header?)"
