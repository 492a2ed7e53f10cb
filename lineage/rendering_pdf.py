"""A sheet as a PDF: the one doorway to reportlab.

`invariant` leaves the time and a random id out of the file, so that equal sheets give equal bytes. The font travels with the
library and knows Latin letters; one that it lacks is written as its number, and the last page says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any

from lineage.rendering import Sheet
from lineage.rendering_facts import Row, Section, Table

if TYPE_CHECKING:
    from reportlab.platypus import Flowable

__all__ = ["to_pdf"]

INK, SOFT, LINE, STOP = "#1f2933", "#52606d", "#c9d0d6", "#a63f00"
TONES = {"PASS": "#0072b2", "FAIL": "#d55e00", "INCONCLUSIVE": "#8a6100"}
LOOKS: dict[str, dict[str, Any]] = {  # sizes and spaces in points
    "text": {},
    "label": {"textColor": SOFT},
    "exact": {"fontSize": 8},
    "head": {"fontName": "Vera-Bold", "textColor": SOFT},
    "note": {"textColor": SOFT, "spaceAfter": 4},
    "bullet": {"leftIndent": 12},
    "title": {"fontName": "Vera-Bold"},
    "standing": {"textColor": SOFT, "spaceAfter": 8},
    "headline": {"fontName": "Vera-Bold", "fontSize": 15, "spaceAfter": 6},
    "verdict": {"fontName": "Vera-Bold", "fontSize": 10, "spaceAfter": 4},
    "heading": {"fontName": "Vera-Bold", "fontSize": 11, "spaceBefore": 12, "spaceAfter": 3},
}
MARGIN_PT = 54.0
LETTER_PT = 6.3  # of a bold letter of a table, on average
ROOM_PT = 96.0  # a heading with less below it than its first few lines begins a new page
PADDING_PT = 6.0  # of reportlab's frame, on each side
LABEL_SHARE = 0.26
SUBSTITUTED = (
    "A letter that the font of this PDF lacks is written as its Unicode number, such as U+0142. The HTML page has it."
)


def to_pdf(sheet: Sheet) -> bytes:
    """A4, portrait; on every page its number, and what the file is if the DPO has not signed."""
    from reportlab.lib.pagesizes import A4
    from reportlab.platypus import SimpleDocTemplate

    page, left = _Page(A4[0] - 2 * (MARGIN_PT + PADDING_PT)), MARGIN_PT + PADDING_PT
    target = BytesIO()
    title = sheet.title if sheet.standing == "signed" else f"{sheet.title} (not signed by the DPO)"
    document = SimpleDocTemplate(
        target, pagesize=A4, invariant=1, title=title, author=page.known(sheet.controller), lang="en",
        leftMargin=MARGIN_PT, rightMargin=MARGIN_PT, topMargin=MARGIN_PT, bottomMargin=MARGIN_PT,
    )  # fmt: skip

    def foot(canvas: Any, made: Any) -> None:
        canvas.setFont("Vera", 7)
        canvas.setFillColor(SOFT)
        canvas.drawString(left, MARGIN_PT / 2, f"{sheet.title} · file {sheet.digest[:16]}")
        canvas.drawRightString(A4[0] - left, MARGIN_PT / 2, f"page {made.page}")
        if sheet.standing != "signed":
            canvas.setFillColor(STOP)
            canvas.drawCentredString(A4[0] / 2, A4[1] - MARGIN_PT / 2, "NOT A CERTIFICATE: not signed by the DPO")

    document.build(list(page.story(sheet)), onFirstPage=foot, onLaterPages=foot)
    return target.getvalue()


class _Page:
    """What is set on paper of one width, and whether a letter had to be written as its number."""

    def __init__(self, width_pt: float) -> None:
        from reportlab.pdfbase import pdfmetrics
        from reportlab.pdfbase.ttfonts import TTFont

        for name, file in (("Vera", "Vera.ttf"), ("Vera-Bold", "VeraBd.ttf")):
            pdfmetrics.registerFont(TTFont(name, file))
        pdfmetrics.registerFontFamily("Vera", normal="Vera", bold="Vera-Bold", italic="Vera", boldItalic="Vera-Bold")
        self._letters = pdfmetrics.getFont("Vera").face.charToGlyph
        self._width, self._substituted = width_pt, False

    def story(self, sheet: Sheet) -> Iterator[Flowable]:
        """The whole document from top to bottom."""
        yield self._text(sheet.title, "title")
        yield self._text(sheet.controller, "label")
        yield self._text(sheet.standing_words, "standing", None if sheet.standing == "signed" else STOP)
        yield self._text(sheet.headline, "headline")
        yield self._text(f"{sheet.tone}: {sheet.verdict}", "verdict", TONES[sheet.tone])
        for title, sentences in (
            ("What was erased", sheet.erased), ("What was checked", sheet.checked),
            ("What this does not prove", sheet.limits),
        ):  # fmt: skip
            yield self._text(title, "heading")
            yield from (self._text(sentence, "bullet") for sentence in sentences)
        for section in sheet.sections:
            yield from self._section(section)
        keys = (Row("SHA-256 of the file", sheet.digest, exact=True),
                *(Row(f"Key of the {role}", key, exact=True) for role, key in sheet.keys))  # fmt: skip
        yield from self._section(Section("The file and its keys", "For whoever checks the file itself.", keys))
        if self._substituted:
            yield self._text(SUBSTITUTED, "label")

    def known(self, text: str) -> str:
        """The text in letters that the font has."""
        written = "".join(c if ord(c) in self._letters else f"U+{ord(c):04X}" for c in text)
        self._substituted = self._substituted or written != text
        return written

    def _section(self, section: Section) -> Iterator[Flowable]:
        from reportlab.platypus import CondPageBreak

        yield CondPageBreak(ROOM_PT)
        yield self._text(section.title, "heading")
        yield self._text(section.note, "note")
        if section.rows:
            rows = [
                [self._text(row.label, "label"), self._text(row.value, "exact" if row.exact else "text")]
                for row in section.rows
            ]
            yield self._grid(rows, [self._width * LABEL_SHARE, self._width * (1 - LABEL_SHARE)])
        if section.table:
            yield self._table(section.table)

    def _table(self, table: Table) -> Flowable:
        """Every column holds its longest word; the ones with more to say share what is left."""
        columns = list(zip(table.head, *table.lines, strict=True))
        least = [
            LETTER_PT * min(max(len(word) for cell in column for word in cell.split()), 20) + 8 for column in columns
        ]
        wanted = [LETTER_PT * min(max(len(cell) for cell in column), 80) + 8 for column in columns]
        more = [max(want - need, 1.0) for want, need in zip(wanted, least, strict=True)]
        spare = self._width - sum(least)
        widths = [need + spare * share / sum(more) for need, share in zip(least, more, strict=True)]
        head = [self._text(name, "head") for name in table.head]
        return self._grid([head, *([self._text(cell) for cell in line] for line in table.lines)], widths, repeat=1)

    def _grid(self, rows: Sequence[Sequence[Flowable]], widths: Sequence[float], *, repeat: int = 0) -> Flowable:
        from reportlab.platypus import Table as Grid

        style = [
            ("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0), ("TOPPADDING", (0, 0), (-1, -1), 2),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 3), ("LINEBELOW", (0, 0), (-1, -1), 0.4, LINE),
        ]  # fmt: skip
        return Grid(rows, colWidths=list(widths), style=style, repeatRows=repeat, spaceAfter=6, splitInRow=1)

    def _text(self, text: str, look: str = "text", color: str | None = None) -> Flowable:
        from reportlab.lib.styles import ParagraphStyle
        from reportlab.platypus import Paragraph

        asked = {"fontName": "Vera", "fontSize": 8.5, "textColor": INK, "spaceAfter": 2, **LOOKS[look]}
        if color:
            asked["textColor"] = color
        style = ParagraphStyle(look, leading=1.4 * asked["fontSize"], bulletFontName="Vera", splitLongWords=1, **asked)
        return Paragraph(escape(self.known(text)), style, bulletText="•" if look == "bullet" else None)
