"""What stays about an erased person: tombstones, and the suppression list with its cues.

Keyed digests that stop the records from coming back and let the gate still redact the person. They are personal data
themselves, kept under Art. 17(3)(b) and 6(1)(c) GDPR until `RETENTION_YEARS` have passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from sqlmodel import Session, col, select

from lineage.cues import cues_of
from lineage.database import in_chunks
from lineage.forms import normal_forms
from lineage.keyring import Keyring
from lineage.register import RegisterForm
from lineage.tables import CueRow, RecordRow, SuppressionRow, TombstoneRow

__all__ = ["bury", "bury_contents"]

RETENTION_YEARS = 5


def bury(
    session: Session,
    *,
    case_id: str,
    record_ids: Sequence[str],
    forms: Iterable[RegisterForm],
    keyring: Keyring,
    on: date,
) -> dict[str, int]:
    """Write tombstones for the records and the suppression list for the person's forms; returns how many are new."""
    until = _until(on)
    graves: set[tuple[str, str]] = set()
    for chunk in in_chunks(record_ids):
        for row in session.exec(select(RecordRow).where(col(RecordRow.id).in_(chunk))).all():
            graves |= {("content", row.given_hmac), ("given_id", row.id_hmac)}
    graves -= set(session.exec(select(TombstoneRow.kind, TombstoneRow.hmac)).all())
    session.add_all(TombstoneRow(kind=k, hmac=mac, case_id=case_id, keep_until=until) for k, mac in sorted(graves))
    suppressed = _suppress(session, forms, case_id=case_id, keyring=keyring, until=until)
    session.flush()
    return {"tombstones": len(graves), "suppressed_forms": suppressed}


def _suppress(session: Session, forms: Iterable[RegisterForm], *, case_id: str, keyring: Keyring, until: date) -> int:
    """Put forms on the suppression list; returns how many are new. One that stood there without its cue gets it now."""
    canonical = {(form.kind, normal) for form in forms for normal in normal_forms(form.kind, form.value)}
    digests: dict[tuple[str, str], frozenset[str]] = {
        (kind, keyring.form(kind, normal)): cues_of(kind, normal, keyring.cue_mac()) for kind, normal in canonical
    }
    known = {(row.kind, row.hmac): row for row in _suppressed(session, sorted(mac for _, mac in digests))}
    new = sorted(digests.keys() - known.keys())
    session.add_all(SuppressionRow(kind=k, hmac=mac, case_id=case_id, keep_until=until, cued=True) for k, mac in new)
    uncued = {place: row for place, row in known.items() if not row.cued}
    for row in uncued.values():
        row.cued = True
    _keep_cues(session, {cue for place in (*new, *uncued) for cue in digests[place]}, until)
    return len(new)


def _suppressed(session: Session, hmacs: Sequence[str]) -> Iterator[SuppressionRow]:
    for chunk in in_chunks(hmacs):
        yield from session.exec(select(SuppressionRow).where(col(SuppressionRow.hmac).in_(chunk))).all()


def _keep_cues(session: Session, tags: set[str], until: date) -> None:
    """A cue that others share is kept as long as the last of them."""
    for tag in sorted(tags):
        row = session.get(CueRow, tag)
        if row is None:
            session.add(CueRow(tag=tag, keep_until=until))
        else:
            row.keep_until = max(row.keep_until, until)


def bury_contents(session: Session, given_hmacs: Iterable[str], *, case_id: str, on: date) -> int:
    """Write tombstones for texts whose records stay, without the person; returns how many are new."""
    known = set(session.exec(select(TombstoneRow.hmac).where(TombstoneRow.kind == "content")).all())
    new = sorted(set(given_hmacs) - known)
    session.add_all(TombstoneRow(kind="content", hmac=mac, case_id=case_id, keep_until=_until(on)) for mac in new)
    session.flush()
    return len(new)


def _until(on: date) -> date:
    return on.replace(year=on.year + RETENTION_YEARS, day=min(on.day, 28))
