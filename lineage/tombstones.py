"""What stays about an erased person: tombstones, and the suppression list with its cues.

Keyed digests that stop the records from coming back (and sketches that stop near copies, `lineage.near_tombstones`) and let the gate still redact the person. They are personal data
themselves, kept under Art. 17(3)(b) and 6(1)(c) GDPR until `RETENTION_YEARS` have passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from sqlmodel import Session, col, select

from lineage.cues import cues_of
from lineage.database import in_chunks
from lineage.forms import normal_forms
from lineage.journal import NearMark
from lineage.keyring import Keyring
from lineage.near_tombstones import lay_near
from lineage.register import RegisterForm
from lineage.tables import CueRow, RecordRow, SuppressionRow, TombstoneRow

__all__ = ["Marks", "bury", "bury_contents", "kept_until", "lay_again", "marks_of"]

RETENTION_YEARS = 5


@dataclass(frozen=True)
class Marks:
    """What a purge leaves to keep somebody out, as the journal writes it down: digests, and the cues nobody needed before."""

    form_hmacs: tuple[tuple[str, str], ...] = ()
    cues: tuple[str, ...] = ()
    given_hmacs: tuple[str, ...] = ()
    id_hmacs: tuple[str, ...] = ()
    near: tuple[NearMark, ...] = ()


def marks_of(session: Session, *, record_ids: Sequence[str], forms: Iterable[RegisterForm], keyring: Keyring) -> Marks:
    """What `bury` is going to lay for these records and forms."""
    digests = _digests(forms, keyring)
    cues = {cue for found in digests.values() for cue in found}
    cues -= set(session.exec(select(CueRow.tag)).all())
    graves = _graves(session, record_ids)
    return Marks(
        form_hmacs=tuple(sorted(digests)),
        cues=tuple(sorted(cues)),
        given_hmacs=tuple(sorted(mac for kind, mac in graves if kind == "content")),
        id_hmacs=tuple(sorted(mac for kind, mac in graves if kind == "given_id")),
    )


def lay_again(session: Session, marks: Marks, *, case_id: str, on: date) -> dict[str, int]:
    """Lay what a journal says was laid on that day; returns how many are new. Safe to repeat.

    Which cues the forms share with other people's nobody can say any more, so all cues are kept as long as these forms.
    """
    until = kept_until(on)
    graves = {("content", mac) for mac in marks.given_hmacs} | {("given_id", mac) for mac in marks.id_hmacs}
    laid = _lay(session, graves, case_id=case_id, until=until)
    laid += lay_near(session, marks.near, case_id=case_id, until=until)
    known = {(row.kind, row.hmac): row for row in _suppressed(session, sorted(mac for _, mac in marks.form_hmacs))}
    _keep_longer(known.values(), until)
    new = [place for place in marks.form_hmacs if place not in known]
    session.add_all(SuppressionRow(kind=k, hmac=mac, case_id=case_id, keep_until=until, cued=True) for k, mac in new)
    if marks.form_hmacs:
        _keep_cues(session, {*marks.cues, *session.exec(select(CueRow.tag)).all()}, until)
    session.flush()
    return {"tombstones": laid, "suppressed_forms": len(new)}


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
    until = kept_until(on)
    laid = _lay(session, _graves(session, record_ids), case_id=case_id, until=until)
    suppressed = _suppress(session, forms, case_id=case_id, keyring=keyring, until=until)
    session.flush()
    return {"tombstones": laid, "suppressed_forms": suppressed}


def _graves(session: Session, record_ids: Sequence[str]) -> set[tuple[str, str]]:
    """Kind and keyed digest of the tombstones of these records."""
    graves: set[tuple[str, str]] = set()
    for chunk in in_chunks(record_ids):
        for row in session.exec(select(RecordRow).where(col(RecordRow.id).in_(chunk))).all():
            graves |= {("content", row.given_hmac), ("given_id", row.id_hmac)}
    return graves


def _lay(session: Session, graves: set[tuple[str, str]], *, case_id: str, until: date) -> int:
    known = {(row.kind, row.hmac): row for row in _buried(session, sorted(mac for _, mac in graves))}
    _keep_longer([row for place, row in known.items() if place in graves], until)
    new = graves - known.keys()
    session.add_all(TombstoneRow(kind=k, hmac=mac, case_id=case_id, keep_until=until) for k, mac in sorted(new))
    return len(new)


def _digests(forms: Iterable[RegisterForm], keyring: Keyring) -> dict[tuple[str, str], frozenset[str]]:
    """Kind and keyed digest of every canonical form, with its cues."""
    canonical = {(form.kind, normal) for form in forms for normal in normal_forms(form.kind, form.value)}
    return {(kind, keyring.form(kind, normal)): cues_of(kind, normal, keyring.cue_mac()) for kind, normal in canonical}


def _suppress(session: Session, forms: Iterable[RegisterForm], *, case_id: str, keyring: Keyring, until: date) -> int:
    """Put forms on the suppression list; returns how many are new. One that stood there without its cue gets it now."""
    digests = _digests(forms, keyring)
    known = {(row.kind, row.hmac): row for row in _suppressed(session, sorted(mac for _, mac in digests))}
    _keep_longer([row for place, row in known.items() if place in digests], until)
    new = sorted(digests.keys() - known.keys())
    session.add_all(SuppressionRow(kind=k, hmac=mac, case_id=case_id, keep_until=until, cued=True) for k, mac in new)
    uncued = {place: row for place, row in known.items() if not row.cued}
    for row in uncued.values():
        row.cued = True
    _keep_cues(session, {cue for found in digests.values() for cue in found}, until)
    return len(new)


def _suppressed(session: Session, hmacs: Sequence[str]) -> Iterator[SuppressionRow]:
    for chunk in in_chunks(hmacs):
        yield from session.exec(select(SuppressionRow).where(col(SuppressionRow.hmac).in_(chunk))).all()


def _buried(session: Session, hmacs: Sequence[str]) -> Iterator[TombstoneRow]:
    for chunk in in_chunks(hmacs):
        yield from session.exec(select(TombstoneRow).where(col(TombstoneRow.hmac).in_(chunk))).all()


def _keep_longer(rows: Iterable[TombstoneRow | SuppressionRow], until: date) -> None:
    """What two erasures need is kept as long as the later one needs it."""
    for row in rows:
        row.keep_until = max(row.keep_until, until)


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
    laid = _lay(session, {("content", mac) for mac in given_hmacs}, case_id=case_id, until=kept_until(on))
    session.flush()
    return laid


def kept_until(on: date) -> date:
    """The last day on which what was laid on a day is kept."""
    return on.replace(year=on.year + RETENTION_YEARS, day=min(on.day, 28))
