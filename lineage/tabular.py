"""Files that hold rows: four formats behind one interface, each streamed, none copied to a cache.

Every file gives its columns (which checks that it can be read at all), an estimate of its rows, and the rows: a line
number with either the fields or the reason why there are none.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol, TypeAlias

from lineage.errors import WrongUsage
from lineage.rows import RejectReason

__all__ = ["CsvFile", "DatasetsFolder", "JsonLines", "ParquetFile", "Row", "TabularFile"]

Row: TypeAlias = tuple[int, dict[str, object] | RejectReason]

MAX_ROW_BYTES = 8 * 1024 * 1024
_SAMPLE_BYTES = 64 * 1024
_BATCH_ROWS = 256
_BOM = b"\xef\xbb\xbf"


class TabularFile(Protocol):
    """A readable corpus file."""

    def columns(self) -> tuple[str, ...]:
        """The names of the columns; empty when the format has no header and no row can be read. May raise anything."""

    def expected_rows(self) -> int | None:
        """Rows to expect, cheaply."""

    def rows(self) -> Iterator[Row]:
        """The rows, from the start."""


@dataclass(frozen=True, slots=True)
class JsonLines:
    """One JSON object per line; blank lines are skipped."""

    path: Path = field(repr=False)

    def columns(self) -> tuple[str, ...]:
        """The keys of the first row that is an object."""
        return next((tuple(fields) for _, fields in self.rows() if isinstance(fields, dict)), ())

    def expected_rows(self) -> int | None:
        """Extrapolated from the first 64 KiB."""
        return _lines_expected(self.path)

    def rows(self) -> Iterator[Row]:
        """Each line, decoded strictly."""
        with self.path.open("rb") as file:
            for line, raw in enumerate(_limited_lines(file), start=1):
                if raw is None:
                    yield line, RejectReason.TOO_LARGE
                elif raw.strip():
                    yield line, _object(raw.removeprefix(_BOM) if line == 1 else raw)


@dataclass(frozen=True, slots=True)
class CsvFile:
    """Comma-separated, RFC 4180, with a header. An empty cell is a missing value."""

    path: Path = field(repr=False)

    def columns(self) -> tuple[str, ...]:
        """The header."""
        with self._open() as file:
            return tuple(name.strip() for name in next(csv.reader(file), []))

    def expected_rows(self) -> int | None:
        """Extrapolated from the first 64 KiB; too high when cells hold line breaks."""
        return _lines_expected(self.path)

    def rows(self) -> Iterator[Row]:
        """Each row, numbered by its first line."""
        csv.field_size_limit(MAX_ROW_BYTES)
        with self._open() as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            while True:
                line = reader.line_num + 1
                try:
                    cells = next(reader, None)
                except csv.Error:
                    yield line, RejectReason.NOT_CSV
                    continue
                if cells is None:
                    return
                if cells:
                    yield line, _cells(header, cells)

    def _open(self) -> IO[str]:
        # Undecodable bytes become lone surrogates, so that one bad row is one reject.
        return self.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


@dataclass(frozen=True, slots=True)
class ParquetFile:
    """Parquet, read in small batches."""

    path: Path = field(repr=False)

    def columns(self) -> tuple[str, ...]:
        """The columns of the schema."""
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(self.path) as file:
            return tuple(file.schema_arrow.names)

    def expected_rows(self) -> int | None:
        """Exact, from the footer."""
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(self.path) as file:
            return int(file.metadata.num_rows)

    def rows(self) -> Iterator[Row]:
        """Each row, from batches of 256."""
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(self.path) as file:
            batches = file.iter_batches(batch_size=_BATCH_ROWS)
            yield from enumerate((row for batch in batches for row in batch.to_pylist()), start=1)


@dataclass(frozen=True, slots=True)
class DatasetsFolder:
    """What `Dataset.save_to_disk` wrote: memory-mapped where it lies, so no cache file is made."""

    path: Path = field(repr=False)

    def columns(self) -> tuple[str, ...]:
        """The columns of the dataset."""
        return tuple(self._load().column_names)

    def expected_rows(self) -> int | None:
        """Exact."""
        return len(self._load())

    def rows(self) -> Iterator[Row]:
        """Each row."""
        yield from enumerate((dict(row) for row in self._load()), start=1)

    def _load(self) -> Any:  # datasets has no types
        import datasets

        loaded = datasets.load_from_disk(str(self.path))
        if isinstance(loaded, datasets.DatasetDict):
            raise WrongUsage("The folder holds several splits.", hint="Give the folder of one split inside it.")
        return loaded


def _limited_lines(file: IO[bytes]) -> Iterator[bytes | None]:
    """Lines of a binary file; None for one that is longer than MAX_ROW_BYTES, without holding it."""
    while raw := file.readline(MAX_ROW_BYTES + 1):
        too_large = len(raw) > MAX_ROW_BYTES
        while len(raw) > MAX_ROW_BYTES and not raw.endswith(b"\n"):
            raw = file.readline(MAX_ROW_BYTES + 1)
        yield None if too_large else raw


def _object(raw: bytes) -> dict[str, object] | RejectReason:
    try:
        parsed = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError:
        return RejectReason.NOT_UTF8
    except (ValueError, RecursionError):
        return RejectReason.NOT_JSON
    return parsed if isinstance(parsed, dict) else RejectReason.NOT_AN_OBJECT


def _cells(header: list[str], cells: list[str]) -> dict[str, object] | RejectReason:
    if len(cells) != len(header):
        return RejectReason.WRONG_COLUMN_COUNT
    return {name: cell for name, cell in zip(header, cells, strict=True) if cell}


def _lines_expected(path: Path) -> int:
    size = path.stat().st_size
    with path.open("rb") as file:
        sample = file.read(_SAMPLE_BYTES)
    if len(sample) == size:
        return sample.count(b"\n") + (not sample.endswith(b"\n"))
    return max(1, round(sample.count(b"\n") * size / len(sample)))
