"""The scan report as one HTML page that needs nothing but itself: no script, no font, no picture from elsewhere.

The charts are bars in percent of their box, so that the same page fits a phone and a desk; every bar has its number
beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lineage.scan_report import VERDICTS, Kind, Move, ScanReport
from pipelines.scan_drift import ALPHA, FEW_RECORDS, MIN_CHANGE, MIN_RATIO, percent

__all__ = ["headline", "render", "standing"]

VERDICT_WORDS = {"allow": "as they came", "redact": "redacted", "quarantine": "quarantined", "block": "blocked"}
DONE_WORDS = {"allow": "kept", "redact": "redacted", "quarantine": "to quarantine", "block": "blocked"}
SENTENCES = 6  # of what moved; the table has all
FINDERS = {"register": "Register", "suppression": "Suppression list", "Art9Lexicon": "Art. 9 word list"}


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a stacked bar, in percent of its width."""

    name: str
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class Stack:
    """One ingest's verdicts as one bar."""

    title: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a chart: percent of the box for now and for the last time, and the numbers as text."""

    name: str
    width: float
    mark: float | None
    share: str
    last: str
    records: str
    note: str
    moved: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the comparison, as text."""

    name: str
    now: str
    before: str
    p: str
    moved: bool


def render(report: ScanReport) -> str:
    """The page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("pipelines"), autoescape=select_autoescape(), undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["n"] = "{:,}".format
    return environment.get_template("scan_report.html").render(
        r=report, headline=headline(report), standing=standing(report), stacks=_stacks(report),
        verdict_words=VERDICT_WORDS, shares=_verdict_shares(report), types=_types(report), reasons=_reasons(report),
        full_types=_full(report, "type"), full_reasons=_full(report, "reason"), shown=SENTENCES,
        lines=_lines(report), finders=_named(report.counts.finders, FINDERS), sources=_sources(report),
        rule=f"p at most {ALPHA} after Holm's correction, and {MIN_CHANGE:.0%} of all records or {MIN_RATIO:g} times as common",
        few=bool(report.last and min(report.counts.scanned, report.last.scanned) < FEW_RECORDS),
    )  # fmt: skip


def headline(report: ScanReport) -> str:
    """The outcome in one sentence."""
    found, total = report.counts.verdicts, report.counts.scanned
    if not total:
        return "Nothing new was scanned."
    admitted = percent(found["allow"] + found["redact"], total)
    redacted, waiting, blocked = (percent(found[verdict], total) for verdict in ("redact", "quarantine", "block"))
    return f"{total:,} records scanned: {admitted} admitted ({redacted} redacted), {waiting} in quarantine, {blocked} blocked."


def standing(report: ScanReport) -> str:
    """What the comparison with the last ingest says, in one sentence."""
    if report.last is None:
        return "There is no earlier ingest of this source to compare with."
    if not report.last.sentences:
        return "Nothing moved against the last ingest of this source."
    count = len(report.last.sentences)
    return f"{count} share{'s' * (count > 1)} moved against the last ingest of this source."


def _stacks(report: ScanReport) -> list[Stack]:
    now = _stack("This ingest", [report.counts.verdicts[v] for v in VERDICTS])
    if report.last is None:
        return [now]
    before = {move.name: move.before for move in report.last.moves if move.kind == "verdict"}
    return [now, _stack("The last one", [before[v] for v in VERDICTS])]


def _stack(title: str, counts: list[int]) -> Stack:
    total, so_far, pieces = sum(counts) or 1, 0, []
    for name, count in zip(VERDICTS, counts, strict=True):
        pieces.append(Piece(name, _in_percent(so_far, total), _in_percent(count, total)))
        so_far += count
    return Stack(title, tuple(pieces))


def _verdict_shares(report: ScanReport) -> dict[str, tuple[str, str]]:
    """Share and number of records, by verdict."""
    total = report.counts.scanned or 1
    return {v: (percent(report.counts.verdicts[v], total), f"{report.counts.verdicts[v]:,}") for v in VERDICTS}


def _types(report: ScanReport) -> list[Bar]:
    notes = {
        name: ", ".join(f"{count:,} {DONE_WORDS[action]}" for action, count in sorted(found.actions.items()))
        for name, found in report.counts.types.items()
    }
    return _bars(report, "type", notes)


def _reasons(report: ScanReport) -> list[Bar]:
    return _bars(report, "reason", dict.fromkeys(report.counts.reasons, ""))


def _bars(report: ScanReport, kind: Kind, notes: Mapping[str, str]) -> list[Bar]:
    """The rows of a chart, the most common first; what only the last ingest had comes last."""
    total, last, full = report.counts.scanned or 1, report.last, _largest(report, kind) or 1
    moves = {move.name: move for move in last.moves if move.kind == kind} if last else {}
    names = sorted({*notes, *moves}, key=lambda name: (-report.counts.records_with(kind, name), name))
    shares = [report.counts.records_with(kind, name) / total for name in names]
    before = [moves[name].before / last.scanned if last and name in moves else None for name in names]
    return [
        Bar(
            name=name, width=round(100 * share / full, 2), mark=None if then is None else round(100 * then / full, 2),
            share=percent(report.counts.records_with(kind, name), total),
            last=percent(moves[name].before, last.scanned) if last and name in moves else "",
            records=f"{report.counts.records_with(kind, name):,}", note=notes.get(name, ""),
            moved=name in moves and moves[name].moved,
        )
        for name, share, then in zip(names, shares, before, strict=True)
    ]  # fmt: skip


def _largest(report: ScanReport, kind: Kind) -> float:
    """The largest share of a chart, now or last time: the full width of its bars."""
    names = report.counts.types if kind == "type" else report.counts.reasons
    shares = [report.counts.records_with(kind, name) / (report.counts.scanned or 1) for name in names]
    if report.last:
        shares += [move.before / report.last.scanned for move in report.last.moves if move.kind == kind]
    return max(shares, default=0.0)


def _full(report: ScanReport, kind: Kind) -> str:
    return percent(round(1e6 * _largest(report, kind)), 1_000_000)


def _lines(report: ScanReport) -> list[Line]:
    return [_line(move) for move in report.last.moves] if report.last else []


def _line(move: Move) -> Line:
    p = "under 0.001" if move.p_adjusted < 0.001 else f"{move.p_adjusted:.3f}"
    name = VERDICT_WORDS[move.name] if move.kind == "verdict" else move.name
    return Line(
        name, _range(move.interval_now), _range(move.interval_before), p, move.moved
    )  # fmt: skip


def _range(interval: tuple[float, float]) -> str:
    return " to ".join(f"{100 * end:.1f}" for end in interval) + "%"


def _named(counts: Mapping[str, int], names: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(names.get(name, name), f"{count:,}") for name, count in counts.items()]


def _sources(report: ScanReport) -> Iterable[tuple[str, list[str]]]:
    """Each source's records by verdict."""
    return [(name, [f"{counts.get(v, 0):,}" for v in VERDICTS]) for name, counts in report.counts.sources.items()]


def _in_percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 3)
