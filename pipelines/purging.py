"""Destroy what the DPO approved, look for what is left, and let the pipeline sign what has happened.

Order: the search once more (`pipelines.rechecking`: what is new reopens the case, and nothing is destroyed) -> every form of
the person is sealed under the case's own key (a repeat after a crash must still know what to look for) -> journal -> weights
-> derived files that lie at a known place (`lineage.derived`) -> tombstones, rows -> journal again (from here on a database that holds the rows is a restored one: `lineage.replay`) -> keys
of records and subject -> compaction -> byte scan -> the pipeline's half of the certificate -> the case's own key. A legal
hold is asked for before each destructive step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlmodel import Session

from lineage import derived, held_back, inventory, journal, purge, renewal, studies, tombstones
from lineage.bytescan import ByteScan, scan_bytes
from lineage.case import CaseFile
from lineage.errors import NotAcceptable, RefusedByRule
from lineage.evidence import add_evidence, case_records, evidence, has_evidence
from lineage.holds import left_out_of, require_spared
from lineage.near_tombstones import lay_near, near_marks
from lineage.register import RegisterForm
from lineage.sought import seal_forms, searched_forms
from lineage.stages import Stage
from lineage.tables import CaseRow
from lineage.workspace import Workspace
from pipelines.certified_absence import certified_ancestors, old_contents
from pipelines.certifying import write_half_signed
from pipelines.ingest import utc_now
from pipelines.rechecking import require_nothing_new
from pipelines.superseding import destroy_old_weights

__all__ = ["end_studies", "purge_case", "token_patterns"]

MIN_TOKENS = 4


def purge_case(workspace: Workspace, case_id: str) -> dict[str, object]:
    """Purge one approved case; safe to repeat after a crash at any step.

    Raises:
        RefusedByRule: not approved, a legal hold is in place, a backup has no end, or records turned up that the approval
            does not cover.
        NotAcceptable: bytes of the person are left somewhere; the files are named, the case is not closed.
    """
    with workspace.database.reader() as session:
        done = CaseFile(session, case_id).view.stage == Stage.PURGED
    if done:
        return _forget_case(workspace, case_id)
    _require(workspace, case_id)
    require_nothing_new(workspace, case_id)
    end_studies(workspace)
    key, forms = _whom(workspace, case_id)
    record_ids, redacted_ids = _ids(workspace, case_id, "erase"), _ids(workspace, case_id, "redact")
    _remember_forms(workspace, case_id, forms)
    begun = _write_journal(workspace, case_id, key, (record_ids, redacted_ids), forms)
    destroyed = _destroy(workspace, begun, forms)
    journal.append(workspace.journal, journal.Entry(case_id, begun.purge_digest, _at(), kind=journal.DESTROYED))
    _shred(workspace, begun, destroyed)
    workspace.database.compact()
    scan = scan_bytes(workspace.home, [form.value for form in forms], extra=token_patterns(workspace, forms))
    if not scan.clean:
        raise NotAcceptable(f"Bytes of the person are left in {len(scan.hits)} files: {', '.join(scan.hits[:3])}.")
    rows = destroyed["rows"]  # a blocked record has no text and so no key, nor has a person without a registered form
    keys = rows.get("vault", 0) + destroyed["redacted_texts"] + bool(rows.get("register_form"))
    body = {**destroyed, "keys": keys, "byte_scan": _scan_facts(scan)}
    with workspace.database.transaction() as session:
        add_evidence(session, case_id, "destruction", body, now=utc_now())
    write_half_signed(workspace, case_id, forbidden=[form.value for form in forms])
    with workspace.database.transaction() as session:
        CaseFile(session, case_id).purged(now=utc_now(), files_searched=scan.files)
    destroy_old_weights(workspace, now=utc_now())
    return _forget_case(workspace, case_id)


def _whom(workspace: Workspace, case_id: str) -> tuple[str | None, list[RegisterForm]]:
    """Who is forgotten, and every form to look for. Nobody is if a record of theirs is kept, or records went by policy."""
    with workspace.database.reader() as session:
        lines: list[dict[str, str]] = evidence(session, case_id, "contract")["records"]  # type: ignore[assignment]
        stays = CaseFile(session, case_id).view.only_consent or any(line["decision"] == "keep" for line in lines)
    person, forms = searched_forms(workspace, case_id)
    return (None if stays else person or None), forms


def _forget_case(workspace: Workspace, case_id: str) -> dict[str, object]:
    """The last step, and the only one left when a purge is repeated: the case's own key, and what the row said."""
    workspace.keystore.shred([f"case:{case_id}"])
    workspace.database.compact()
    with workspace.database.reader() as session:
        if not has_evidence(session, case_id, "destruction"):  # the database was restored; the evidence is lost with it
            raise RefusedByRule(
                f"Case {case_id} was purged again by a replay.",
                hint=f"Sign it again: lethe erase show {case_id} tells how",
            )
        return evidence(session, case_id, "destruction")


def end_studies(workspace: Workspace) -> int:
    """Destroy what dead studies left, whoever is in it; returns how many entries. A later one reads no restricted record.

    Raises:
        Fault: a study is running; the purge waits for its end.
    """
    adapters = workspace.settings.adapters
    return studies.destroy_leftovers(workspace.database, workspace.store, adapters=adapters, clock=utc_now)


def _require(workspace: Workspace, case_id: str) -> None:
    with workspace.database.transaction() as session:
        case = CaseFile(session, case_id)
        case.require(Stage.PURGE_APPROVED, to="purge")
        case.require_nothing_held()
        inventory.require_dated(session)


def _ids(workspace: Workspace, case_id: str, decision: str) -> list[str]:
    """The records that go, or that were redacted; on a repeat after a crash, those the journal says were begun.

    Only by this purge: a case that was reopened has a line of a purge that destroyed nothing, and other approvals since.
    """
    with workspace.database.reader() as session:
        this = case_id, CaseFile(session, case_id).view.evidence_digest
        begun = [entry for entry in journal.entries(workspace.journal) if (entry.case_id, entry.purge_digest) == this]
        ids = {r for entry in begun for r in (entry.record_ids if decision == "erase" else entry.redacted_ids)}
        return sorted(ids | {r.record_id for r in case_records(session, case_id) if r.decision == decision})


def _remember_forms(workspace: Workspace, case_id: str, forms: Sequence[RegisterForm]) -> None:
    """Seal what to look for under the case's key, which is shredded last."""
    sealed = seal_forms(workspace, case_id, forms)
    with workspace.database.transaction() as session:
        session.get_one(CaseRow, case_id).supplied = sealed


def _write_journal(
    workspace: Workspace, case_id: str, key: str | None, ids: tuple[Sequence[str], Sequence[str]],
    forms: Iterable[RegisterForm],
) -> journal.Entry:  # fmt: skip
    """Write down what is to be destroyed, with what keeps it out: all that a replay after a restored backup needs."""
    record_ids, redacted_ids = ids
    with workspace.database.reader() as session:
        case = CaseFile(session, case_id)
        case.require_nothing_held()
        graves, suppressed = () if case.view.rescan_id else record_ids, forms if key else ()
        near = near_marks(workspace, session, case_id, graves)
        marks = tombstones.marks_of(session, record_ids=graves, forms=suppressed, keyring=workspace.keyring)
        old = {row.given_hmac for row in renewal.before_redaction(session, case_id, redacted_ids)}
        kept = [r.record_id for r in case_records(session, case_id) if r.decision == "keep"]
        digest = case.view.evidence_digest
    entry = journal.Entry(
        case_id, digest, _at(), tuple(record_ids), key or "", tuple(redacted_ids), tuple(kept),
        form_hmacs=marks.form_hmacs, cues=marks.cues, id_hmacs=marks.id_hmacs,
        given_hmacs=tuple(sorted({*marks.given_hmacs, *old})), near=near, kind=journal.BEGUN,
    )  # fmt: skip
    journal.append(workspace.journal, entry)
    return entry


def _at() -> str:
    return utc_now().isoformat(timespec="seconds")


def _destroy(workspace: Workspace, begun: journal.Entry, forms: Iterable[RegisterForm]) -> dict[str, Any]:
    """Weights and derived files, then tombstones and rows in one transaction; what was destroyed stays as evidence for a repeat."""
    case_id, key = begun.case_id, begun.subject_key or None
    record_ids, redacted_ids = begun.record_ids, begun.redacted_ids
    with workspace.database.reader() as session:
        if has_evidence(session, case_id, "destroyed"):
            return evidence(session, case_id, "destroyed")
        CaseFile(session, case_id).require_nothing_held()
        before = renewal.before_redaction(session, case_id, redacted_ids)
        _require_no_hold_of(session, {row.by for row in before if row.reason == "redacted"} - {case_id})
        pairs = [(row.record_id, row.content_hmac) for row in before]
        gone = sorted({*record_ids, *left_out_of(session, case_id)})  # what a hold spares may be in no weights either
        doomed = purge.tainted(session, gone, superseded=pairs)
        replaced = _require_absent(workspace, session, case_id, pairs)
    purge.destroy_weights(workspace.store, doomed)
    files = _destroy_files(workspace, case_id)
    with workspace.database.transaction() as session:
        now = utc_now()
        today, case = workspace.settings.day(now), CaseFile(session, case_id)
        _require_still(session, case, [*record_ids, *redacted_ids])
        suppressed, keyring = forms if key else (), workspace.keyring
        graves = () if case.view.rescan_id else record_ids  # a withdrawn record is kept out by the gate, until mended
        buried = tombstones.bury(
            session, case_id=case_id, record_ids=graves, forms=suppressed, keyring=keyring, on=today
        )
        texts = [row.given_hmac for row in before]
        buried["tombstones"] += tombstones.bury_contents(session, texts, case_id=case_id, on=today)
        buried["tombstones"] += lay_near(session, begun.near, case_id=case_id, until=tombstones.kept_until(today))
        purge.mark_destroyed(session, doomed, gone, now, superseded=pairs)
        held_back.hold_back(session, workspace, case_id, now=now)
        renewal.forget_superseded(session, pairs)
        earlier = purge.earlier_cases(session, case_id, key)
        rows = purge.forget_rows(session, case_id=case_id, subject_key=key, record_ids=record_ids)
        body = {
            "states": list(doomed.states), "shard_adapters": list(doomed.shard_adapters),
            "composed_adapters": list(doomed.composed_adapters), "rows": rows, "earlier_cases": earlier,
            "redacted_texts": sum(row.ciphertext is not None for row in before), "old_contents": replaced, **buried,
        } | ({"derived_files": files} if files else {})  # fmt: skip
        add_evidence(session, case_id, "destroyed", body, now=now)
    return body


def _require_no_hold_of(session: Session, others: Iterable[str]) -> None:
    """The cases that redacted the same records keep what these said before."""
    for other in sorted(others):
        CaseFile(session, other).require_no_hold()


def _destroy_files(workspace: Workspace, case_id: str) -> list[dict[str, str]]:
    """A DPO may have decided anew while weights were destroyed; then no contract says which files go."""
    with workspace.database.reader() as session:
        CaseFile(session, case_id).require(Stage.PURGE_APPROVED, to="delete files")
    return derived.destroy_files(workspace, case_id, clock=utc_now)


def _require_still(session: Session, case: CaseFile, record_ids: Sequence[str]) -> None:
    """A DPO may have decided anew, or placed a hold, while weights and files were destroyed."""
    case.require(Stage.PURGE_APPROVED, to="destroy records")
    case.require_nothing_held()
    require_spared(session, case.view.id, record_ids)


def _shred(workspace: Workspace, begun: journal.Entry, destroyed: Mapping[str, Any]) -> None:
    """The keys of the records, of old texts, of the person's earlier cases, of where a deleted file lay, and the person's."""
    with workspace.database.reader() as session:
        redacted = renewal.old_keys(session, begun.redacted_ids)
    workspace.keystore.shred_records(begun.record_ids)
    earlier = [f"case:{earlier}" for earlier in destroyed["earlier_cases"]]
    places = [f"derived:{one['file']}" for one in destroyed.get("derived_files", ()) if one["result"] == "deleted"]
    person = [f"subject:{begun.subject_key}"] if begun.subject_key else []
    workspace.keystore.shred([*redacted, *earlier, *places, *person])


def _require_absent(
    workspace: Workspace, session: Session, case_id: str, pairs: Sequence[tuple[str, str]]
) -> dict[str, list[str]]:
    """Stop before anything is destroyed if what serves descends from it; returns what redacted records said before."""
    old = old_contents(workspace, case_id, pairs)
    found = {kind: evidence(session, case_id, kind) for kind in ("contract", "rebuild")}
    certified_ancestors(workspace, session, case_id, found, old=old)
    return old


def token_patterns(workspace: Workspace, forms: Sequence[RegisterForm]) -> set[bytes]:
    """The forms as token ids of each adapter's tokenizer, in the widths a cache would store them."""
    import struct

    from tokenizers import Tokenizer

    from pipelines.bases import tokenizer_file

    patterns: set[bytes] = set()
    for adapter in workspace.settings.adapters:
        path = tokenizer_file(workspace.settings.adapter(adapter))
        if path is None:
            continue
        tokenizer = Tokenizer.from_file(str(path))
        for form in forms:
            for text in (form.value, " " + form.value):
                ids = tokenizer.encode(text, add_special_tokens=False).ids
                if len(ids) >= MIN_TOKENS:
                    patterns |= {struct.pack(f"<{len(ids)}{width}", *ids) for width in "iq"}
    return patterns


def _scan_facts(scan: ByteScan) -> dict[str, int]:
    return {"forms": scan.forms, "files": scan.files, "bytes": scan.bytes, "hits": len(scan.hits)}
