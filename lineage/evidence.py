"""The pieces of evidence in a case, each canonical JSON under a digest; approvals bind these digests.

The *preview* is the contract: its digest covers the closure by case-scoped handles, the decision about each record, the
plans in force, the places to be told and the files that were made from adapters or records (`lineage.inventory`). Cost, time and shards are a forecast and stand outside the digest, because
containment and other cases change them.

A case that is reopened (`lineage.reopening`) begins a new round. Every question here is about the round that runs; what an
earlier one filed stays, and only `last_filed` finds it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import rfc8785
from sqlmodel import Session, col, func, select
from sqlmodel.sql.expression import SelectOfScalar

from lineage import inventory, nearness
from lineage.closure import Closure, ClosureRecord
from lineage.database import in_chunks
from lineage.errors import RefusedByRule, WrongUsage
from lineage.holds import Decided, decisions_digest, decisions_of
from lineage.keyring import Keyring
from lineage.located import lines_of_files
from lineage.tables import CaseRecordRow, EvidenceRow, PlacementRow, PlanRow, RecordRow

__all__ = [
    "REOPENED", "add_evidence", "case_records", "contract", "digest_of", "evidence", "evidence_digest", "filed", "has_evidence",
    "last_filed", "near_pairs", "save_closure",
]  # fmt: skip

REOPENED = "reopened"
"""The piece that parts one round of a case from the next."""
BINDING = ("contract", "containment", "rebuild", "rederivation", "probe")  # what the purge approval covers


def digest_of(body: Mapping[str, object]) -> str:
    """SHA-256 of the RFC 8785 form."""
    return hashlib.sha256(rfc8785.dumps(dict(body))).hexdigest()  # type: ignore[arg-type]


def add_evidence(session: Session, case_id: str, kind: str, body: Mapping[str, object], *, now: datetime) -> str:
    """File a piece of evidence and return its digest; filing the same again adds nothing."""
    digest = digest_of(body)
    latest = _latest(session, case_id, kind)
    if latest is None or latest.digest != digest:
        session.add(
            EvidenceRow(case_id=case_id, kind=kind, digest=digest, body=json.dumps(body, sort_keys=True), at=now)
        )
        session.flush()
    return digest


def evidence(session: Session, case_id: str, kind: str) -> dict[str, object]:
    """The newest piece of a kind.

    Raises:
        WrongUsage: there is none yet.
    """
    row = _latest(session, case_id, kind)
    if row is None:
        raise WrongUsage(f"Case {case_id} has no {kind} yet.")
    body: dict[str, object] = json.loads(row.body)
    return body


def has_evidence(session: Session, case_id: str, kind: str) -> bool:
    """Whether a piece of this kind was filed."""
    return _latest(session, case_id, kind) is not None


def filed(session: Session, case_id: str, kind: str) -> list[dict[str, Any]]:
    """Every piece of a kind, the newest first."""
    pieces = session.exec(_of_round(case_id, kind)).all()
    return [json.loads(row.body) for row in pieces]


def last_filed(session: Session, case_id: str, kind: str) -> dict[str, Any]:
    """The newest piece of a kind, of whichever round; empty if there never was one."""
    row = session.exec(_pieces(case_id, kind).limit(1)).first()
    return json.loads(row.body) if row else {}


def evidence_digest(session: Session, case_id: str) -> str:
    """What the approval of the purge binds: the digests of all evidence so far."""
    rows = {kind: _latest(session, case_id, kind) for kind in BINDING}
    return digest_of({kind: row.digest for kind, row in rows.items() if row is not None})


def contract(session: Session, case_id: str, closure: Closure, keyring: Keyring) -> dict[str, object]:
    """The bound part of a preview. A line about which a DPO decided says who did.

    Raises:
        RefusedByRule: a DPO decided about a record, or a hold came or went, after `closure` was found.
    """
    if closure.decisions != decisions_digest(session, case_id):
        raise RefusedByRule("A DPO decided about a record while the case was searched.", hint="Make the preview again.")
    rulings = decisions_of(session, case_id)
    records = [_line(keyring.handle(case_id, r.record_id), r, rulings) for r in closure.records]
    plans = session.exec(select(PlanRow.adapter, PlanRow.digest).where(col(PlanRow.current).is_(True))).all()
    sources = session.exec(select(RecordRow.source).where(col(RecordRow.id).in_(closure.changed_ids)).distinct()).all()
    outside = inventory.of(session, _adapters_of(session, closure.leaving_ids), sources=sources)
    told = [{"name": party.name, "kind": party.kind, "whom": party.whom} for party in outside.parties]
    files = lines_of_files(
        session, outside.files, closure.changed_ids, handle=lambda what: keyring.handle(case_id, what)
    )
    return {
        **({"parties_to_be_told": told} if told else {}),
        **({"derived_files": files} if files else {}),
        "records": sorted(records, key=lambda r: r["handle"]),
        "plans": dict(sorted(plans)),
        "sources_to_be_told": sorted(sources),
        "not_erased": {
            "already_redacted": sum(r.decision == "already_redacted" for r in closure.records),
            "kept": ["ledger", "tombstone", "suppression list"],
        },
    }


def _adapters_of(session: Session, record_ids: Sequence[str]) -> list[str]:
    """The adapters that have learnt one of the records, or would."""
    found: set[str] = set()
    for chunk in in_chunks(record_ids):
        query = select(PlanRow.adapter).join(PlacementRow, col(PlacementRow.plan_digest) == col(PlanRow.digest))
        learnt = col(PlacementRow.record_id).in_(chunk), PlacementRow.kind != "control"
        found |= set(session.exec(query.where(*learnt).distinct()).all())
    return sorted(found)


def _line(handle: str, record: ClosureRecord, rulings: Mapping[str, Decided]) -> dict[str, str]:
    ground = {"ground": record.ground} if record.ground else {}
    decided = {"decided_by": rulings[handle].decided_by} if handle in rulings else {}
    return {"handle": handle, "relation": record.relation, "decision": record.decision} | ground | decided


def save_closure(session: Session, case_id: str, closure: Closure, keyring: Keyring) -> None:
    """Replace the records of a case by a fresh closure, and keep what its search saw of near copies."""
    for row in session.exec(select(CaseRecordRow).where(CaseRecordRow.case_id == case_id)).all():
        session.delete(row)
    session.flush()
    session.add_all(
        CaseRecordRow(
            case_id=case_id, handle=keyring.handle(case_id, record.record_id), record_id=record.record_id,
            relation=record.relation, decision=record.decision, ground=record.ground,
        )
        for record in closure.records
    )  # fmt: skip
    session.flush()
    if closure.near is not None:
        own = [record.record_id for record in closure.records if record.relation == "declared"]
        nearness.save_found(session, closure.near, own)


def near_pairs(session: Session, case_id: str, keyring: Keyring) -> dict[str, list[dict[str, object]]]:
    """For each near copy that a case lists, by handle, which of the person's records it is near to; the nearest first.

    No part of the contract: an ingest elsewhere may shift a similarity, and the decision about the record stays.
    """
    listed = {record.record_id: record.relation for record in case_records(session, case_id)}
    found: dict[str, list[dict[str, object]]] = {}
    for edge in nearness.edges_of(session, [r for r, relation in listed.items() if relation == "near_duplicate"]):
        for copy, of in ((edge.a, edge.b), (edge.b, edge.a)):
            if listed.get(copy) == "near_duplicate" and listed.get(of) == "declared":
                pair = {"of": keyring.handle(case_id, of), "similarity": round(edge.similarity, 2)}
                found.setdefault(keyring.handle(case_id, copy), []).append(pair)
    return found


def case_records(session: Session, case_id: str) -> list[ClosureRecord]:
    """The records of a case that still have an id, sorted."""
    query = select(CaseRecordRow).where(CaseRecordRow.case_id == case_id, col(CaseRecordRow.record_id).is_not(None))
    rows = session.exec(query.order_by(col(CaseRecordRow.record_id))).all()
    return [ClosureRecord(row.record_id or "", row.relation, row.decision, row.ground) for row in rows]


def _latest(session: Session, case_id: str, kind: str) -> EvidenceRow | None:
    """The newest piece of a kind since the case was last reopened."""
    return session.exec(_of_round(case_id, kind).limit(1)).first()


def _of_round(case_id: str, kind: str) -> SelectOfScalar[EvidenceRow]:
    of_case = EvidenceRow.case_id == case_id, EvidenceRow.kind == REOPENED
    began = select(func.coalesce(func.max(EvidenceRow.id), 0)).where(*of_case).scalar_subquery()
    return _pieces(case_id, kind).where(col(EvidenceRow.id) >= began)


def _pieces(case_id: str, kind: str) -> SelectOfScalar[EvidenceRow]:
    query = select(EvidenceRow).where(EvidenceRow.case_id == case_id, EvidenceRow.kind == kind)
    return query.order_by(col(EvidenceRow.id).desc())
