"""Did the corpus change? Shares of records of this ingest beside those of the last one, with a test. Pure.

Every verdict, reason and entity type that either ingest saw is one row: Fisher's exact test of the two shares, Holm's
correction over all rows. The test takes records as independent; records of one customer are not, so a batch about one
person can look like a change. A change counts when it is both hard to call chance and large enough to matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lineage.scan_report import VERDICTS, Comparison, Kind, Move, ScanCounts, ScanReport

__all__ = ["ALPHA", "FEW_RECORDS", "MIN_CHANGE", "MIN_RATIO", "compare", "percent", "wilson"]

ALPHA = 0.01
MIN_CHANGE = 0.01  # of all records
MIN_RATIO = 2.0  # or so many times as common
FEW_RECORDS = 200  # below this only large changes can be seen
_ORDER: Mapping[Kind, int] = {"verdict": 0, "type": 1, "reason": 2}
_DONE = {"allow": "admitted as they came", "redact": "redacted", "quarantine": "quarantined", "block": "blocked"}


def compare(now: ScanReport, before: ScanReport) -> Comparison | None:
    """The comparison of two reports, first what moved, verdicts before types before reasons; None if one of them scanned nothing."""
    n, m = now.counts.scanned, before.counts.scanned
    if not n or not m:
        return None
    rows = [
        (kind, name, now.counts.records_with(kind, name), before.counts.records_with(kind, name))
        for kind, name in _names(now.counts, before.counts)
    ]
    adjusted = _holm([_p_value((a, n), (b, m)) for _, _, a, b in rows])
    moves = [
        Move(kind, name, a, b, wilson(a, n), wilson(b, m), p, p <= ALPHA and _matters(a / n, b / m))
        for (kind, name, a, b), p in zip(rows, adjusted, strict=True)
    ]
    moves.sort(key=lambda move: (not move.moved, _ORDER[move.kind], -abs(move.now / n - move.before / m), move.name))
    same_policy = now.policy_digest == before.policy_digest
    return Comparison(
        ingest_id=before.ingest_id, ended_at=before.ended_at, scanned=m, same_policy=same_policy,
        same_scanner=now.scanner_digest == before.scanner_digest, moves=tuple(moves),
        sentences=tuple(_sentence(move, n, m) for move in moves if move.moved),
    )  # fmt: skip


def wilson(hits: int, total: int) -> tuple[float, float]:
    """The 95% interval of a share."""
    from scipy.stats import binomtest

    found = binomtest(hits, total).proportion_ci(method="wilson")
    return round(float(found.low), 6), round(float(found.high), 6)


def percent(hits: int, total: int) -> str:
    """A share for people: `none`, `0.4%`, `12%`."""
    if not hits:
        return "none"
    share = hits / total
    return "under 0.1%" if share < 0.0005 else f"{share:.1%}" if share < 0.0995 else f"{share:.0%}"


def _names(now: ScanCounts, before: ScanCounts) -> list[tuple[Kind, str]]:
    both: Mapping[Kind, set[str]] = {
        "verdict": set(VERDICTS), "reason": {*now.reasons, *before.reasons}, "type": {*now.types, *before.types},
    }  # fmt: skip
    return [(kind, name) for kind, names in both.items() for name in sorted(names)]


def _p_value(now: tuple[int, int], before: tuple[int, int]) -> float:
    from scipy.stats import fisher_exact

    (a, n), (b, m) = now, before
    return float(fisher_exact([[a, n - a], [b, m - b]]).pvalue)


def _holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the given order."""
    adjusted, worst = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = worst
    return adjusted


def _matters(now: float, before: float) -> bool:
    low, high = sorted((now, before))
    return high - low >= MIN_CHANGE or high >= MIN_RATIO * low


def _sentence(move: Move, n: int, m: int) -> str:
    now, last = percent(move.now, n), percent(move.before, m)
    subject = {"none": "No record"}.get(now, f"{now[:1].upper()}{now[1:]} of records")
    one = now == "none"
    match move.kind:
        case "verdict":
            said = f"{'was' if one else 'were'} {_DONE[move.name]}"
        case "reason":
            said = f"{'was' if one else 'were'} stopped for {move.name}"
        case "type":
            said = f"{'holds' if one else 'hold'} {move.name}"
    return f"{subject} {said}, {last} last time."
