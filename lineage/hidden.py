"""What of a held record stays hidden on a screen: all of it if nobody scanned it, else its findings where they stand now."""

from __future__ import annotations

from collections.abc import Iterable

from lineage.spans import Interval
from lineage.tables import FindingRow

__all__ = ["MOVED", "NOT_SCANNED", "still_standing"]

NOT_SCANNED = "[hidden: the scan did not end, so nobody can say what is in it]"
MOVED = "[hidden: redaction moved the findings, and the record was judged before their new places were kept]"


def still_standing(findings: Iterable[FindingRow], length: int) -> list[tuple[FindingRow, Interval]] | None:
    """The findings that still stand in a segment of this length as it is kept, with their places; None if one cannot be placed.

    What was redacted is a stand-in by now and stands nowhere.
    """
    placed: list[tuple[FindingRow, Interval]] = []
    for found in findings:
        if found.kept_start is not None and found.kept_end_exclusive is not None:
            placed.append((found, (found.kept_start, found.kept_end_exclusive)))
        elif found.action != "redact":
            return None
    return None if any(end > length for _, (_, end) in placed) else placed
