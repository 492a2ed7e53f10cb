"""A changed policy over what is held: compare, show, and only after somebody bound the comparison, apply it.

Both halves work through lines of the comparison in small transactions, so a run that was killed is simply run again. While
one is being applied the gate is closed. Applying begins with what may not be learnt any more: it is restricted, and one
erasure case is filed for it, before anything new is admitted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sqlmodel import Session, col, select

from lineage import ledger, rescan
from lineage.access import find_actor
from lineage.admit import Gate, examine
from lineage.catalog import GateStamp, contents_of
from lineage.comparison import Comparison, comparison
from lineage.database import in_chunks
from lineage.errors import RefusedByRule
from lineage.lease import held
from lineage.manifests import ever_learnt
from lineage.renewal import declared_of, locked_ids, old_keys
from lineage.rescan import Outcome, Rules
from lineage.rescanned import Held, keep_stamped, line_of, put_new_decision, still_near_erased
from lineage.tables import RecordRow, RescanRow
from lineage.withdrawal import file_withdrawal
from lineage.workspace import Workspace
from pipelines.ingest import INGEST_LEASE, open_gate, utc_now
from pipelines.planting import planted_forms
from pipelines.progress import bar
from pipelines.superseding import shred_old_texts

__all__ = ["approve_rescan", "require_nothing_approved", "run_rescan"]

BATCH_RECORDS = 64
RENEWED: tuple[Outcome, ...] = ("admit", "redact", "wait", "quarantine", "block")


def approve_rescan(workspace: Workspace, digest: str, *, actor_name: str) -> str:
    """Write down that somebody read a comparison and wants it applied; returns the rescan's id.

    Raises:
        RefusedByRule: they may not, or the comparison is no longer true.
    """
    _, stamp = open_gate(workspace, by="rescan")
    with workspace.database.transaction() as session:
        actor = find_actor(session, actor_name)
        return rescan.approve(session, digest, actor=actor, rules=_rules(session, stamp), now=utc_now())


def require_nothing_approved(workspace: Workspace) -> None:
    """Refuse to compare while an approved comparison is not carried out.

    Raises:
        RefusedByRule: there is one.
    """
    with workspace.database.reader() as session:
        if rescan.current(session, "applying"):
            raise RefusedByRule(
                "A comparison was approved and is not carried out.", hint="Go on with it: lethe gate rescan"
            )


def run_rescan(workspace: Workspace) -> Comparison:
    """Go on with a comparison that somebody approved, or else compare. Safe to repeat after any crash.

    Raises:
        RefusedByRule: the rules changed while an approved comparison was being applied.
        GateClosed: the scanner's self-test failed, or the policy asks for a tier that is not installed.
    """
    with held(workspace.database, INGEST_LEASE, utc_now):  # an ingest would move what is compared
        gate, stamp = open_gate(workspace, by="rescan", known=planted_forms(workspace))
        with workspace.database.transaction() as session:
            rules = _rules(session, stamp)
            rescan_id = rescan.open_rescan(session, rules, now=utc_now())
            row = session.get_one(RescanRow, rescan_id)
            applying = row.status == "applying"
            if applying and rules.policy_digest != row.policy_digest:
                hint = "Put that policy back and run lethe gate rescan once more; then change it."
                raise RefusedByRule("The policy changed while another one was being applied.", hint=hint)
        stamp = replace(stamp, ingest_id=rescan_id)
        if applying:
            _apply(workspace, gate, stamp)
        else:
            _compare(workspace, gate, stamp)
        with workspace.database.reader() as session:
            return comparison(session, rescan_id)


def _rules(session: Session, stamp: GateStamp) -> Rules:
    return Rules(stamp.policy_digest, stamp.scanner_digest, rescan.register_digest(session))


# --- compare ------------------------------------------------------------------------------------------------------------


def _compare(workspace: Workspace, gate: Gate, stamp: GateStamp) -> None:
    with workspace.database.reader() as session:
        waiting = rescan.uncompared(session, stamp.ingest_id)
        learnt = ever_learnt(session, waiting)
    with bar("Comparing", len(waiting), unit="records") as progress:
        for batch in in_chunks(waiting, BATCH_RECORDS):
            with workspace.database.reader() as session:
                closed_to = locked_ids(session, batch)
                lines = [
                    line_of(session, item, learnt=item[0].id in learnt, locked=item[0].id in closed_to,
                            keyring=workspace.keyring)
                    for item in _judged(workspace, session, gate, batch)
                ]  # fmt: skip
            with workspace.database.transaction() as session:
                rescan.add_lines(session, stamp.ingest_id, lines)
            progress.advance(len(batch))
    with workspace.database.transaction() as session:
        rescan.finish_comparison(session, stamp.ingest_id, now=utc_now())


def _judged(workspace: Workspace, session: Session, gate: Gate, record_ids: Sequence[str]) -> Iterator[Held]:
    """What the gate says now of records as they are held."""
    rows = {row.id: row for row in session.exec(select(RecordRow).where(col(RecordRow.id).in_(record_ids))).all()}
    for record in contents_of(session, record_ids, keystore=workspace.keystore):
        row = rows[record.record_id]
        decision = examine(gate, record.content, declared=declared_of(session, row), language=row.language)
        decision = still_near_erased(session, row.id, decision)
        # What was said of people in the text as it was given still holds: a redaction makes nobody fit for the trunk.
        yield row, record, replace(decision, trunk_eligible=decision.trunk_eligible and row.trunk_eligible)


# --- apply --------------------------------------------------------------------------------------------------------------


def _apply(workspace: Workspace, gate: Gate, stamp: GateStamp) -> None:
    _withdraw(workspace, stamp.ingest_id)
    with workspace.database.reader() as session:
        kept = rescan.todo(session, stamp.ingest_id, "keep")
        renewed = rescan.todo(session, stamp.ingest_id, *RENEWED)
    with bar("Applying", len(kept) + len(renewed), unit="records") as progress:
        for batch in in_chunks(kept):
            with workspace.database.transaction() as session:
                keep_stamped(session, batch, stamp=replace(stamp, at=utc_now()))
            progress.advance(len(batch))
        for batch in in_chunks(renewed, BATCH_RECORDS):
            _renew(workspace, gate, replace(stamp, at=utc_now()), batch)
            progress.advance(len(batch))
    _shred(workspace, stamp.ingest_id)
    _end(workspace, stamp.ingest_id)


def _withdraw(workspace: Workspace, rescan_id: str) -> None:
    """File the case of what may not be learnt any more, once, in the name of whoever applied the comparison."""
    with workspace.database.transaction() as session:
        actor = find_actor(session, session.get_one(RescanRow, rescan_id).approved_by)
        file_withdrawal(session, rescan_id, workspace.settings, actor=actor, now=utc_now())


def _renew(workspace: Workspace, gate: Gate, stamp: GateStamp, batch: Sequence[str]) -> None:
    """Judge a batch again and give each record what its line says; one that would now be judged otherwise is left."""
    with workspace.database.reader() as session:
        judged = list(_judged(workspace, session, gate, batch))
    with workspace.database.transaction() as session:
        put_new_decision(session, judged, stamp=stamp, keyring=workspace.keyring, keystore=workspace.keystore)


def _shred(workspace: Workspace, rescan_id: str) -> None:
    """Destroy the keys of everything the records said before, also where they say the same again under a newer key."""
    with workspace.database.reader() as session:
        names = old_keys(session, rescan.records_with(session, rescan_id, *RENEWED))
    workspace.keystore.shred(names)
    shred_old_texts(workspace)


def _end(workspace: Workspace, rescan_id: str) -> None:
    with workspace.database.transaction() as session:
        row, counts = session.get_one(RescanRow, rescan_id), comparison(session, rescan_id).outcomes
        if row.status != "applying":
            return
        row.status, row.ended_at = "applied", utc_now()
        payload = {
            "rescan": rescan_id,
            "by": row.approved_by,
            "digest": row.digest,
            "outcomes": counts,
            "case": row.case_id,
        }
        ledger.append(session, at=row.ended_at, kind="rescan.applied", payload=payload)
