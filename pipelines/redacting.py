"""Free records of others of the person a case is about, as its approved preview says: a new content, the same machinery."""

from __future__ import annotations

from sqlmodel import Session

from lineage import renewal
from lineage.case import CaseFile
from lineage.catalog import Judged
from lineage.closure import freed_contents
from lineage.errors import Fault, RefusedByRule
from lineage.evidence import case_records
from lineage.holds import require_spared
from lineage.records import TrainingRecord, canonical_bytes
from lineage.redaction import Freed
from lineage.register import RegisterIndex
from lineage.sought import searched_forms
from lineage.stages import Stage
from lineage.tables import RecordRow
from lineage.workspace import Workspace
from pipelines.ingest import open_gate

__all__ = ["redact_mentions"]


def redact_mentions(workspace: Workspace, case_id: str) -> int:
    """Give the records that a case redacts their new contents; returns how many had to be changed. Safe to repeat.

    What they said before stays sealed with the case until its purge, because a legal hold may still come; nothing that
    learns reads it.

    Raises:
        RefusedByRule: a record can no longer be redacted, so the approved preview is no longer true.
    """
    with workspace.database.reader() as session:
        planned = {r.record_id for r in case_records(session, case_id) if r.decision == "redact"}
        todo = sorted(planned - {record_id for record_id, _ in renewal.superseded(session, "redacted", by=case_id)})
    if not todo:
        return 0
    key, forms = searched_forms(workspace, case_id)
    gate, stamp = open_gate(workspace, by=case_id)
    with workspace.database.reader() as session:
        found = freed_contents(session, todo, RegisterIndex(forms), gate, workspace.keystore)
        freed = {record: new for record, new in found if new is not None}
    with workspace.database.transaction() as session:
        batch = [_judged(session, record, new, workspace) for record, new in freed.items()]
        CaseFile(session, case_id).require(Stage.APPROVED, to="redact records")
        require_spared(session, case_id, todo)
        renewal.redact(
            session, batch, subject_key=key, stamp=stamp, keyring=workspace.keyring, keystore=workspace.keystore
        )
        if len(batch) < len(todo):
            raise RefusedByRule("The approved preview is no longer true.", hint="Preview the case again.")
    return len(batch)


def _judged(session: Session, record: TrainingRecord, new: Freed, workspace: Workspace) -> Judged:
    """The record without the person.

    Raises:
        Fault: its content changed since it was read.
    """
    row = session.get_one(RecordRow, record.record_id)
    keyring = workspace.keyring
    if row.content_hmac != keyring.content(canonical_bytes(record.content)):
        raise Fault("A record changed while it was about to be redacted.", hint="Run the case again.")
    given = keyring.content(canonical_bytes(new.given))
    return renewal.judged_anew(session, row, new.given, new.decision, given_hmac=given, keystore=workspace.keystore)
