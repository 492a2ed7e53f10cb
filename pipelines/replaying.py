"""Carry out again what the journal says was destroyed and a restored backup has brought back (`lineage.replay`).

Of an erasure whose rows are back, each step safe to repeat: weights -> tombstones, suppression list and rows, in one
transaction -> records of others are freed of the person once more, by the suppression list, or go if their text is lost ->
keys -> compaction -> byte scan, if the backup still said whom to look for -> the ledger, and the case is purged again.
Of one whose keys alone are back: keys -> compaction -> the ledger.

What was in service and descends from the person is withdrawn; the next training builds what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import TypeAlias

from sqlmodel import Session

from lineage import ledger, purge, renewal, tombstones
from lineage.bytescan import ByteScan, scan_bytes
from lineage.case import CaseFile
from lineage.catalog import GateStamp, Judged, contents_of
from lineage.errors import NotAcceptable, WrongUsage
from lineage.held_back import hold_back
from lineage.holds import left_out_of
from lineage.journal import BEGUN, LIFTED
from lineage.lease import held
from lineage.pseudonyms import forms_of
from lineage.records import Content, canonical_bytes
from lineage.redaction import Freed, speaks_of, without_person
from lineage.register import RegisterForm
from lineage.replay import REPLAYED, Erasure, Pending, Reached, pending, reach_of
from lineage.sought import open_supplied_forms
from lineage.subjects import load_forms, load_suppression
from lineage.tables import CaseRow, RecordRow
from lineage.vault import Shredded
from lineage.withdrawal import give_back
from lineage.workspace import Workspace
from pipelines.ingest import INGEST_LEASE, open_gate, utc_now
from pipelines.purging import token_patterns
from pipelines.windows import WINDOW_LEASE

__all__ = ["Replayed", "replay", "waiting"]

UNREADABLE = (Shredded, NotAcceptable)  # the key is gone, or is that of a later text of the same name


@dataclass(frozen=True)
class Replayed:
    """What a replay of one erasure found and did. `lost` are records of others that could not be freed of the person, mostly
    because no key opens their text any more: they went whole.

    `files_left` hold the person all the same; None when nobody could say whom to look for.
    """

    case_id: str
    what: str
    counts: Mapping[str, int] = field(default_factory=dict)
    files_left: tuple[str, ...] | None = None


_Begun: TypeAlias = tuple[Erasure, Reached, list[RegisterForm], dict[str, int]]


def waiting(workspace: Workspace) -> list[Pending]:
    """What a replay would carry out now."""
    with workspace.database.reader() as session:
        return pending(workspace.journal, session, keystore=workspace.keystore)


def replay(workspace: Workspace) -> list[Replayed]:
    """Carry out everything that is pending, oldest first. Safe to repeat after a crash at any step.

    Nobody's rows are left before the first record is judged: the register opens only without the people whose keys are gone.

    Raises:
        Fault: an ingest, a rescan, a purge or an erasure is at work.
    """
    with held(workspace.database, INGEST_LEASE, utc_now), held(workspace.database, WINDOW_LEASE, utc_now):
        back = [each.erasure for each in waiting(workspace) if each.what == "rows"]
        begun = [_begin(workspace, erasure) for erasure in back]
        done = [_finish(workspace, *each) for each in begun]
        return done + [_keys_again(workspace, each) for each in waiting(workspace)]


def _begin(workspace: Workspace, erasure: Erasure) -> _Begun:
    """Weights and rows of the person; what is known of them by then is only in memory."""
    forms = _readable_forms(workspace, erasure)
    with workspace.database.reader() as session:
        reached = reach_of(session, erasure)
    return erasure, reached, forms, _forget(workspace, erasure, reached, forms)


def _finish(
    workspace: Workspace, erasure: Erasure, reached: Reached, forms: Sequence[RegisterForm], forgot: Mapping[str, int]
) -> Replayed:
    others = _free_others(workspace, erasure, reached.redacted)
    counts = {**forgot, **others, "keys": _shred(workspace, erasure, reached)}
    workspace.database.compact()
    left = _scan(workspace, forms).hits if forms else None
    done = Replayed(erasure.case_id, "rows", counts, left)
    with workspace.database.transaction() as session:
        now = utc_now()
        give_back(session, erasure.case_id)
        if session.get(CaseRow, erasure.case_id):
            CaseFile(session, erasure.case_id).replayed(erasure.purge_digest, now=now)
        return _tell(session, erasure, done, now)


def _keys_again(workspace: Workspace, back: Pending) -> Replayed:
    names = {*back.names, f"case:{back.erasure.case_id}"}
    done = Replayed(back.erasure.case_id, "keys", {"keys": workspace.keystore.shred(names)})
    with workspace.database.transaction() as session:
        return _tell(session, back.erasure, done, utc_now())


def _tell(session: Session, erasure: Erasure, done: Replayed, now: datetime) -> Replayed:
    searched = {} if done.files_left is None else {"files_left": len(done.files_left)}
    payload = {"purge": erasure.purge_digest, "what": done.what, **done.counts, **searched}
    ledger.append(session, at=now, kind=REPLAYED, payload=payload, case_id=erasure.case_id)
    return done


def _readable_forms(workspace: Workspace, erasure: Erasure) -> list[RegisterForm]:
    """How the person is written, as far as the backup says so and its key is back too; empty if it cannot be known."""
    key, forms = erasure.subject_key, list[RegisterForm]()
    if not key:
        return []
    with workspace.database.reader() as session, suppress(*UNREADABLE):
        forms += load_forms(session, workspace.keystore, key)
    with suppress(WrongUsage, *UNREADABLE):
        forms += open_supplied_forms(workspace, erasure.case_id, key)
    return [*forms, *forms_of(key, workspace.keyring.pseudonym)] if forms else []


def _forget(workspace: Workspace, erasure: Erasure, reached: Reached, forms: Sequence[RegisterForm]) -> dict[str, int]:
    """Weights, then what keeps the person out and their rows. An old journal does not say what was laid: it is dug anew."""
    case_id, told = erasure.case_id, bool(erasure.kinds & {BEGUN, LIFTED})
    graves = () if LIFTED in erasure.kinds else sorted(set(reached.erased) - set(erasure.record_ids if told else ()))
    with workspace.database.reader() as session:
        before = renewal.before_redaction(session, case_id, reached.redacted)
        pairs = [(row.record_id, row.content_hmac) for row in before]
        gone = sorted({*reached.erased, *left_out_of(session, case_id)})
        doomed = purge.tainted(session, gone, superseded=pairs)
    destroyed = purge.destroy_weights(workspace.store, doomed)
    with workspace.database.transaction() as session:
        on = _day(workspace, erasure)
        old = tuple(row.given_hmac for row in before if not told)
        marks = replace(erasure.marks, given_hmacs=(*erasure.marks.given_hmacs, *old))
        laid = tombstones.lay_again(session, marks, case_id=case_id, on=on)
        dug = tombstones.bury(
            session, case_id=case_id, record_ids=graves, forms=() if told else forms, keyring=workspace.keyring, on=on
        )
        purge.mark_destroyed(session, doomed, gone, utc_now(), superseded=pairs)
        hold_back(session, workspace, case_id, now=utc_now())
        renewal.forget_superseded(session, pairs)
        earlier = purge.earlier_cases(session, case_id, erasure.subject_key or None)
        rows = purge.forget_rows(
            session, case_id=case_id, subject_key=erasure.subject_key or None, record_ids=reached.erased
        )
    workspace.keystore.shred([f"case:{other}" for other in earlier])
    return {**destroyed, "records": rows.get("record", 0), **{name: laid[name] + dug[name] for name in laid}}


def _day(workspace: Workspace, erasure: Erasure) -> date:
    """The day of the purge, from which what is kept is kept."""
    return workspace.settings.day(datetime.fromisoformat(erasure.at))


def _free_others(workspace: Workspace, erasure: Erasure, record_ids: Sequence[str]) -> dict[str, int]:
    """Records of others that a purge had freed of the person and that are back with what they said before."""
    guilty = _speaking(workspace, record_ids)
    freed, stamp = _freed(workspace, erasure, guilty)
    lost = sorted(guilty.keys() - freed.keys())
    with workspace.database.reader() as session:
        rows = [session.get_one(RecordRow, record_id) for record_id in sorted(guilty)]
        pairs, old = [(row.id, row.content_hmac) for row in rows], [row.given_hmac for row in rows]
        doomed = purge.tainted(session, lost, superseded=pairs)
    destroyed = purge.destroy_weights(workspace.store, doomed)
    with workspace.database.transaction() as session:
        if LIFTED not in erasure.kinds:
            tombstones.bury_contents(session, old, case_id=erasure.case_id, on=_day(workspace, erasure))
        purge.mark_destroyed(session, doomed, lost, utc_now(), superseded=pairs)
        if stamp is not None:
            batch = [_judged(session, workspace, record_id, new) for record_id, new in freed.items()]
            renewal.redact(
                session, batch, subject_key=erasure.subject_key, stamp=stamp, keyring=workspace.keyring,
                keystore=workspace.keystore,
            )  # fmt: skip
        renewal.forget_superseded(session, pairs)
        purge.forget_rows(session, case_id=erasure.case_id, subject_key=None, record_ids=lost)
    workspace.keystore.shred_records(lost)
    return {"freed": len(freed), "lost": len(lost)} | {f"{kind}_of_others": n for kind, n in destroyed.items() if n}


def _speaking(workspace: Workspace, record_ids: Sequence[str]) -> dict[str, Content | None]:
    """Those of the records that speak of somebody erased, with what they say; None if no key opens it."""
    found: dict[str, Content | None] = {}
    with workspace.database.reader() as session:
        suppressed = load_suppression(session, workspace.keyring)
        for record_id in record_ids:
            try:
                texts = contents_of(session, [record_id], keystore=workspace.keystore)
            except UNREADABLE:
                found[record_id] = None
            else:
                found |= {r.record_id: r.content for r in texts if speaks_of(suppressed, r.content)}
    return found


def _freed(
    workspace: Workspace, erasure: Erasure, guilty: Mapping[str, Content | None]
) -> tuple[dict[str, Freed], GateStamp | None]:
    """What the gate would admit of them without anybody erased. The gate is opened only if there is a text to look at."""
    readable = {record_id: content for record_id, content in guilty.items() if content is not None}
    if not readable:
        return {}, None
    gate, stamp = open_gate(workspace, by=erasure.case_id)
    found: dict[str, Freed] = {}
    with workspace.database.reader() as session:
        suppressed = load_suppression(session, workspace.keyring)
        for record_id, content in readable.items():
            row = session.get_one(RecordRow, record_id)
            declared = renewal.declared_of(session, row)
            new = without_person(gate, suppressed, content, declared=declared, language=row.language)
            if new is not None and row.status == "admitted":
                found[record_id] = new
    return found, stamp


def _judged(session: Session, workspace: Workspace, record_id: str, new: Freed) -> Judged:
    row, given = session.get_one(RecordRow, record_id), workspace.keyring.content(canonical_bytes(new.given))
    return renewal.judged_anew(session, row, new.given, new.decision, given_hmac=given, keystore=workspace.keystore)


def _shred(workspace: Workspace, erasure: Erasure, reached: Reached) -> int:
    """The keys of everything that went, the person's, and the case's own."""
    with workspace.database.reader() as session:
        names = renewal.old_keys(session, reached.redacted)
    whose = {f"subject:{erasure.subject_key}"} if erasure.subject_key else set()
    gone = workspace.keystore.shred_records(reached.erased)
    return gone + workspace.keystore.shred({*names, *whose, f"case:{erasure.case_id}"})


def _scan(workspace: Workspace, forms: Sequence[RegisterForm]) -> ByteScan:
    return scan_bytes(workspace.home, [form.value for form in forms], extra=token_patterns(workspace, forms))
