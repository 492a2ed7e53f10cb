"""What a certificate says of the search is what the search found, store by store, and never a constant."""

from __future__ import annotations

from road import approved_case
from small_world import PLANTED, copy_workspace
from sqlmodel import select

from lineage.evidence import evidence
from lineage.forms import canonical_identifier
from lineage.tables import RecordRow, RecordSubjectRow
from lineage.workspace import Workspace, open_workspace
from pipelines.certifying import _search


def quarantine_one_of(workspace: Workspace, subject_key: str) -> None:
    with workspace.database.transaction() as session:
        own = select(RecordSubjectRow.record_id).where(
            RecordSubjectRow.subject_key == subject_key, RecordSubjectRow.relation == "declared"
        )
        session.get_one(
            RecordRow, session.exec(own.order_by(RecordSubjectRow.record_id)).first()
        ).status = "quarantined"


def test_what_waits_in_quarantine_is_certified_as_found_there(ingested, tmp_path):
    workspace = open_workspace(copy_workspace(ingested.folder, tmp_path / "ws"))
    quarantine_one_of(workspace, workspace.keyring.subject_key(canonical_identifier(PLANTED.customer_id)))
    case_id = approved_case(workspace, PLANTED)
    with workspace.database.reader() as session:
        found = {kind: evidence(session, case_id, kind) for kind in ("contract", "forecast")}
        held = session.exec(select(RecordRow.status)).all()
    told = {one.store: (one.items_searched, one.records_found) for one in _search(workspace, found).stores}
    records = len(found["contract"]["records"])
    assert told == {
        "admitted": (held.count("admitted"), records - 1),
        "trunk": (0, 0),
        "quarantined": (held.count("quarantined"), 1),
        "blocked": (0, 0),
    }
    del found["forecast"]["found"]  # a preview of before there were counts, approved already
    assert [(one.store, one.records_found) for one in _search(workspace, found).stores] == [("all", records)]
