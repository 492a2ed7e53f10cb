"""A sheet as lines for a terminal, and as one HTML page that needs nothing but itself: no script, font or picture."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from lineage.rendering import Sheet
from lineage.rendering_facts import Section

__all__ = ["to_html", "to_text"]

WIDTH = 100


def to_text(sheet: Sheet) -> str:
    """For a terminal: the answer first, then every section."""
    return "\n".join(_lines(sheet)) + "\n"


def to_html(sheet: Sheet) -> bytes:
    """For a browser, at any width, and for printing; every text is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("lineage"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )  # fmt: skip
    return environment.get_template("certificate.html").render(sheet=sheet).encode()


def _lines(sheet: Sheet) -> Iterator[str]:
    yield f"{sheet.title}, {sheet.controller}"
    yield from wrap(sheet.standing_words, WIDTH)
    yield ""
    yield from wrap(sheet.headline + ".", WIDTH)
    yield from wrap(sheet.verdict, WIDTH)
    for title, sentences in (
        ("What was erased", sheet.erased), ("What was checked", sheet.checked), ("What this does not prove", sheet.limits),
    ):  # fmt: skip
        yield from ("", title)
        for sentence in sentences:
            yield from wrap(sentence, WIDTH, initial_indent="  * ", subsequent_indent="    ")
    for section in sheet.sections:
        yield from _section(section)
    yield from ("", "This file and its keys")
    yield f"  SHA-256 of the file: {sheet.digest}"
    yield from (f"  Key of the {role}: {key}" for role, key in sheet.keys)


def _section(section: Section) -> Iterator[str]:
    yield from ("", section.title)
    yield from wrap(section.note, WIDTH, initial_indent="  ", subsequent_indent="  ")
    for row in section.rows:
        yield from wrap(f"{row.label}: {row.value}", WIDTH, initial_indent="  ", subsequent_indent="    ")
    if section.table:
        for line in section.table.lines:
            told = ", ".join(
                f"{head.lower()} {cell}" for head, cell in zip(section.table.head[1:], line[1:], strict=True)
            )
            yield from wrap(f"{line[0]}: {told}", WIDTH, initial_indent="  ", subsequent_indent="    ")
