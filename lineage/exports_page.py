"""Pages that stand alone: no script, no font, no address to fetch; every value escaped. Equal values give equal bytes."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Table", "letter_page", "tables_csv", "tables_page"]

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:54rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}"
    "table{border-collapse:collapse;width:100%}th,td{border:1px solid #bbb;padding:.3rem .5rem;text-align:left;"
    "vertical-align:top}ul{margin:0}p.block{white-space:pre-line}@media print{body{margin:0}}"
)


@dataclass(frozen=True, slots=True)
class Table:
    """One section of a register: its heading, its columns, its rows."""

    heading: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def letter_page(title: str, text: str, *, language: str) -> str:
    """A letter of plain text as a page: blocks become paragraphs, indented lines a list."""
    blocks = [block for block in text.split("\n\n") if block.strip()]
    return _page(title, "\n".join(_block(block.splitlines()) for block in blocks), language)


def _block(lines: Sequence[str]) -> str:
    plain = [line for line in lines if not line.startswith("  ")]
    items = [line.strip() for line in lines if line.startswith("  ")]
    body = f'<p class="block">{escape(chr(10).join(plain))}</p>' if plain else ""
    return body + (f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>" if items else "")


def tables_page(title: str, tables: Sequence[Table], *, language: str = "en") -> str:
    """A register as a page."""
    return _page(title, f"<h1>{escape(title)}</h1>\n" + "\n".join(map(_table, tables)), language)


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in table.columns)
    rows = "\n".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    return f"<h2>{escape(table.heading)}</h2>\n<table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table>"


def _page(title: str, body: str, language: str) -> str:
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="{language}"><head>{head}</head><body>\n{body}\n</body></html>\n'


def tables_csv(tables: Sequence[Table]) -> str:
    """All tables in one file: section, column, row number, value. A cell that a spreadsheet would run is quoted."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("section", "row", "column", "value"))
    for table in tables:
        for number, row in enumerate(table.rows, start=1):
            for column, cell in zip(table.columns, row, strict=True):
                writer.writerow((table.heading, number, column, _inert(cell)))
    return out.getvalue()


def _inert(cell: str) -> str:
    """OWASP, CSV injection: a spreadsheet takes a cell that begins so for a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
