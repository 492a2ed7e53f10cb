"""What one ingest's scan found, as numbers: who ran, what it cannot see, how often what was found, and what changed.

A report holds counts, digests, names of types and reasons, and the sources' names; no text, no value, nobody's key. It is
counted once, when the ingest ends, and stays as it is: an erasure does not rewrite it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from lineage.errors import WrongUsage

__all__ = [
    "SCHEMA",
    "VERDICTS",
    "Comparison",
    "Move",
    "ScanCounts",
    "ScanReport",
    "TypeCount",
    "read_report",
    "report_file",
]

SCHEMA = "lethe/scan-report/v1"
VERDICTS = ("allow", "redact", "quarantine", "block")
Kind: TypeAlias = Literal["verdict", "reason", "type"]


@dataclass(frozen=True, slots=True)
class TypeCount:
    """One entity type: in how many records, how many findings, and what was done about them (findings by action)."""

    records: int
    findings: int
    actions: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ScanCounts:
    """Records by verdict and by why they were stopped, findings by type and by who found them, records by source."""

    verdicts: Mapping[str, int]
    reasons: Mapping[str, int]
    types: Mapping[str, TypeCount]
    finders: Mapping[str, int]
    sources: Mapping[str, Mapping[str, int]]

    @property
    def scanned(self) -> int:
        """Records that have a verdict of this ingest."""
        return sum(self.verdicts.values())

    def records_with(self, kind: Kind, name: str) -> int:
        """How many records have this verdict, this reason, or a finding of this type."""
        match kind:
            case "verdict":
                return self.verdicts.get(name, 0)
            case "reason":
                return self.reasons.get(name, 0)
            case "type":
                return self.types[name].records if name in self.types else 0


@dataclass(frozen=True, slots=True)
class Move:
    """How common something is now and was in the last ingest: records, and 95% intervals of the shares.

    `p_adjusted` is of Fisher's exact test, after Holm's correction over all rows of the comparison. `moved` says whether
    that and the size of the change are enough to speak of it.
    """

    kind: Kind
    name: str
    now: int
    before: int
    interval_now: tuple[float, float]
    interval_before: tuple[float, float]
    p_adjusted: float
    moved: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """This ingest beside the last one of the same source that scanned anything."""

    ingest_id: str
    ended_at: str
    scanned: int
    same_policy: bool
    same_scanner: bool
    moves: tuple[Move, ...]
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScanReport:
    """One ingest, whole. `held` records were there before it and were not scanned again; `refused` rows are no records, and
    `refusals` says why, by sentence.

    An empty `policy` means that another one is in force by now, so its name cannot be told any more.
    """

    ingest_id: str
    source: str
    generation: int
    rectify: bool
    ended_at: str
    policy: str
    policy_digest: str
    scanner_digest: str
    tier: str
    blind_spots: str
    rows: int
    held: int
    refused: int
    erased: int
    refusals: Mapping[str, int]
    counts: ScanCounts
    last: Comparison | None = None

    def beside(self, last: Comparison | None) -> ScanReport:
        """The same report with the comparison in it."""
        return replace(self, last=last)

    def as_json(self) -> dict[str, object]:
        """The form of report.json; `read_report` reads it."""
        return {"schema": SCHEMA, **asdict(self)}


def report_file(home: Path, ingest_id: str, ending: str = "json") -> Path:
    """Where a report lies in a workspace's data directory."""
    return home / "ingests" / ingest_id / f"report.{ending}"


def read_report(path: Path) -> ScanReport | None:
    """The report in a file; None if there is no such file.

    Raises:
        WrongUsage: the file is not a report of a form this version reads.
    """
    if not path.exists():
        return None
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        if body.pop("schema") == SCHEMA:
            return ScanReport(**body | {"counts": _counts(body["counts"]), "last": _comparison(body["last"])})
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        pass
    raise WrongUsage("A scan report cannot be read.", hint=f"It is not of the form {SCHEMA}, or it is damaged.")


def _counts(body: Mapping[str, Any]) -> ScanCounts:
    return ScanCounts(**{**body, "types": {name: TypeCount(**count) for name, count in body["types"].items()}})


def _comparison(body: Mapping[str, Any] | None) -> Comparison | None:
    if body is None:
        return None
    return Comparison(**{**body, "moves": tuple(map(_move, body["moves"])), "sentences": tuple(body["sentences"])})


def _move(body: Mapping[str, Any]) -> Move:
    intervals = {name: tuple(body[name]) for name in ("interval_now", "interval_before")}
    return Move(**{**body, **intervals})
