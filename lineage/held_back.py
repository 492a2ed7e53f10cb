"""Records under a legal hold that a purge left out: they stay, restricted, until the hold is lifted; then a case of its own opens.

::

    purge of CASE    hold_back   the purged case forgets whom it was about; what the record needs is sealed apart, and so is the hold
    hold lifted      go_on       a case of the same person opens by itself, or the one that is open already goes on with the record

The new case goes the one road: search, preview, approval. Its time runs from the day on which the hold was lifted, because
until then Art. 17(3)(e) GDPR stood against the request, and the person was told so (docs/adr/0033).
"""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlmodel import Session, select

from lineage import clock, ledger
from lineage.access import Actor, Role
from lineage.case import CaseFile, Filing, file_request
from lineage.case_view import CaseView, open_case_of
from lineage.decisions import tell_others
from lineage.holds import find_record, left_out_of
from lineage.sought import provisional_key
from lineage.tables import CaseRow, HeldBackRow, RecordRow, SupersededRow
from lineage.workspace import Workspace

__all__ = ["go_on", "held_back_key", "hold_back", "shred_copy"]


def held_back_key(case_id: str, handle: str) -> str:
    """The name of the key under which lies whom the record is about."""
    return f"held:{case_id}/{handle}"


def hold_back(session: Session, workspace: Workspace, case_id: str, *, now: datetime) -> int:
    """In the transaction that destroys the rest: keep the holds, and what a later case needs; returns how many records.

    A replay does the same for a case that a restored backup knows.
    """
    case, left_out = session.get(CaseRow, case_id), sorted(left_out_of(session, case_id))
    if not left_out or case is None or case.subject_key is None:
        return 0
    for record_id in left_out:
        session.get_one(RecordRow, record_id).restricted_by = case_id
    plain = _given(workspace, case)
    handles = [workspace.keyring.handle(case_id, record_id) for record_id in left_out]
    sealed = workspace.keystore.seal([(held_back_key(case_id, handle), plain) for handle in handles])
    session.add_all(
        HeldBackRow(
            case_id=case_id, handle=handle, record_id=record_id, subject_key=case.subject_key, supplied=supplied, since=now
        )
        for record_id, handle, supplied in zip(left_out, handles, sealed, strict=True)
    )  # fmt: skip
    session.flush()
    return len(left_out)


def _given(workspace: Workspace, case: CaseRow) -> bytes:
    """What the person gave, and every form that the purge looked for; nothing if a restored backup lacks the key."""
    name = f"case:{case.id}"
    if case.supplied is None or not workspace.keystore.holding([name]):
        return b"[]"
    return workspace.keystore.open([(name, case.supplied)])[0]


def go_on(session: Session, workspace: Workspace, case_id: str, record: str, *, now: datetime) -> CaseView | None:
    """A hold was lifted: if a purge had left its record out, the case that goes on with it; None if none had.

    Whoever filed the first case filed this one. Once that is committed, `shred_copy`.
    """
    handle = find_record(session, case_id, record).handle
    back = session.get(HeldBackRow, (case_id, handle))
    if back is None:
        return None
    into = open_case_of(session, back.subject_key) or _file(session, workspace, back, now=now)
    row = session.get_one(RecordRow, back.record_id)
    row.restricted_by = into if row.restricted_by == case_id else row.restricted_by
    for old in session.exec(
        select(SupersededRow).where(SupersededRow.record_id == row.id, SupersededRow.by == case_id)
    ).all():
        old.by = into  # it freed the record of the person before it was held
    session.delete(back)
    session.flush()
    tell_others(session, case_id, row.id, now=now)
    ledger.append(session, at=now, kind="record.goes_on", case_id=case_id, payload={"record": handle, "in": into})
    return CaseFile(session, into).view


def shred_copy(workspace: Workspace, case_id: str, handle: str) -> None:
    """The case that goes on has what the person gave; the copy that was kept for it opens no more."""
    workspace.keystore.shred([held_back_key(case_id, handle)])


def _file(session: Session, workspace: Workspace, back: HeldBackRow, *, now: datetime) -> str:
    """A request like the first, due a month after the hold was lifted."""
    case_id, settings = f"case-{secrets.token_hex(4)}", workspace.settings
    first = CaseFile(session, back.case_id).view
    today = settings.day(now)
    due = clock.due(today, settings.country, subdivision=settings.subdivision or None)
    unknown = back.subject_key == provisional_key(workspace.keyring, back.case_id)
    (plain,) = workspace.keystore.open([(held_back_key(back.case_id, back.handle), back.supplied)])
    filing = Filing(
        case_id, provisional_key(workspace.keyring, case_id) if unknown else back.subject_key,
        workspace.keystore.seal([(f"case:{case_id}", plain)])[0], first.ground, first.identity_method, today, due.date,
        f"the legal hold of case {back.case_id} was lifted on {today}; from then: {due.basis}", first.only_consent,
    )  # fmt: skip
    file_request(session, filing, actor=Actor(first.filed_by, Role.INTAKE), now=now)
    return case_id
