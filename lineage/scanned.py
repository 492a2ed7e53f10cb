"""Which scanners judged what is learnt from: admissions name a digest, and this remembers what it stands for.

A certificate says which tier looked for a person. That is the tier that ran when the corpus came in, which need not be the
one that is configured now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlmodel import Session, col, desc, func, select

from lineage.languages import Scanners
from lineage.tables import AdmissionRow, RecordRow, ScannerRow

__all__ = ["ScannedBy", "remember", "scanned_by", "scanner_of", "summary"]

UNKNOWN_TIER = "not recorded"
UNKNOWN_SPOTS = (
    "An earlier version of Lethe scanned these records and did not write down how; it ran patterns and the register, and "
    "saw no names of people who were not registered."
)


@dataclass(frozen=True, slots=True)
class ScannedBy:
    """One scanner, and how many records that are admitted now it judged."""

    digest: str
    tier: str
    blind_spots: str
    records: int


def remember(session: Session, scanners: Scanners) -> str:
    """Write down what these scanners are, once; returns the digest that stands for them."""
    found = scanners.fingerprint
    if session.get(ScannerRow, found.digest) is None:
        spots = scanners.blind_spots
        session.add(ScannerRow(digest=found.digest, fingerprint=asdict(found), tier=found.tier, blind_spots=spots))
        session.flush()
    return found.digest


def scanned_by(session: Session) -> tuple[ScannedBy, ...]:
    """The scanners behind the admitted records, most records first. A reviewer's release names none and is not counted."""
    count = func.count()
    query = (
        select(AdmissionRow.scanner_digest, count)
        .join(RecordRow, col(RecordRow.id) == col(AdmissionRow.record_id))
        .where(RecordRow.status == "admitted", AdmissionRow.scanner_digest != "")
        .group_by(AdmissionRow.scanner_digest)
        .order_by(desc(count), AdmissionRow.scanner_digest)
    )
    return tuple(scanner_of(session, digest, records) for digest, records in session.exec(query).all())


def summary(found: Sequence[ScannedBy]) -> tuple[str, str]:
    """Tier and blind spots of all of them, for a person: two strings."""
    if len(found) == 1:
        return found[0].tier, found[0].blind_spots
    tiers = "; ".join(f"{one.tier}: {one.records:,} {'record' if one.records == 1 else 'records'}" for one in found)
    return tiers, " ".join(dict.fromkeys(one.blind_spots for one in found))


def scanner_of(session: Session, digest: str, records: int = 0) -> ScannedBy:
    """The scanner that a digest stands for."""
    row = session.get(ScannerRow, digest)
    if row is None:
        return ScannedBy(digest, UNKNOWN_TIER, UNKNOWN_SPOTS, records)
    return ScannedBy(digest, row.tier, row.blind_spots, records)
