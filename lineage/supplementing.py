"""The supplement of a closed case: the pipeline signs who acknowledged the notice of the erasure, then the DPO who read it.

::

    CLOSED, with an acknowledged notice --prepare--> supplement.half.json --sign--> supplement.json

`prepare` is the notices job's (`pipelines.notifying`), `sign` the DPO's, bound to the SHA-256 of the half that was read, as the
certificate is (`lineage.signing`). One supplement a case: it is made when nobody is waited for any more. A case whose notices
were all waived has none.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlmodel import Session, col, select

from lineage import ledger
from lineage.access import Actor
from lineage.case import CaseFile
from lineage.certificate import read_statement
from lineage.dossier import DECIDERS, case_row
from lineage.dpo_key import open_dpo_key
from lineage.durable import refusals, write_whole
from lineage.envelope import open_first
from lineage.errors import NotAcceptable, RefusedByRule, WrongUsage
from lineage.evidence import add_evidence, has_evidence
from lineage.keys import load_private_key, load_public_key, private_path, public_path
from lineage.notices import State, acknowledgements
from lineage.rendering import signed_statement
from lineage.stages import Stage
from lineage.supplement import Acknowledged, Supplement, build_supplement, countersign, read_supplement, sign_first
from lineage.tables import CaseRow, EvidenceRow, NoticeRow
from lineage.verify import load_trusted_keys
from lineage.workspace import Workspace

__all__ = ["SUPPLEMENT", "Waiting", "prepare", "sign", "waiting", "wanted"]

CERTIFICATE, HALF, SUPPLEMENT, KIND = "certificate.json", "supplement.half.json", "supplement.json", "supplement"


@dataclass(frozen=True)
class Waiting:
    """A half-signed supplement: where it lies, the SHA-256 that binds a signature to it, and what it says."""

    path: Path
    digest: str
    notices: tuple[Acknowledged, ...]


def wanted(workspace: Workspace, session: Session) -> list[str]:
    """The closed cases with a certificate in which somebody acknowledged a notice and of which no supplement was prepared."""
    prepared = select(EvidenceRow.case_id).where(EvidenceRow.kind == KIND)
    query = select(NoticeRow.case_id).distinct().where(NoticeRow.state == State.ACKNOWLEDGED)
    query = query.where(col(NoticeRow.case_id).not_in(prepared)).order_by(NoticeRow.case_id)
    closed = select(CaseRow.id).where(CaseRow.stage == Stage.CLOSED)
    found = session.exec(query.where(col(NoticeRow.case_id).in_(closed))).all()
    return [case_id for case_id in found if (workspace.case_directory(case_id) / CERTIFICATE).is_file()]


def prepare(workspace: Workspace, case_id: str, *, now: datetime) -> Path:
    """Write down who acknowledged what, under the pipeline's key. Again, it changes nothing.

    Raises:
        RefusedByRule: the case is not closed.
        NotAcceptable: its certificate does not verify.
        WrongUsage: it has none, no acknowledged notice, or a key does not open.
        Fault: the disk refused.
    """
    folder = workspace.case_directory(case_id)
    with workspace.database.transaction() as session:
        case = CaseFile(session, case_id)
        case.require(Stage.CLOSED, to="get a supplement")
        if has_evidence(session, case_id, KIND) and (folder / HALF).is_file():
            return folder / HALF
        raw = _certificate(folder, case_id)
        trusted = load_trusted_keys(keys=workspace.home / "secrets")
        facts, _ = read_statement(signed_statement(raw, trusted=trusted))
        told = sorted(acknowledgements(session, case_id), key=lambda one: one.id)
        said = Supplement(
            certificate=facts.certificate, case=case_id, issued=now,
            notices=tuple(
                Acknowledged(notice=a.id, party=a.party, sent=a.sent, acknowledged=a.acknowledged) for a in told
            ),
        )  # fmt: skip
        key = load_private_key(private_path(workspace.home / "secrets", "pipeline"))
        half = sign_first(build_supplement(said, certificate=raw), key)
        body = {"notices": [one.notice for one in said.notices], "half": hashlib.sha256(half).hexdigest()}
        add_evidence(session, case_id, KIND, body, now=now)
        ledger.append(session, at=now, kind="supplement.prepared", case_id=case_id, payload=body)
        with refusals("The supplement"):
            return write_whole(folder / HALF, half)


def waiting(workspace: Workspace, case_id: str) -> Waiting | None:
    """The supplement that waits for the DPO; None if none does. One that a crash left signed and not written down waits.

    Raises:
        NotAcceptable: what lies there is not the pipeline's supplement to this case's certificate.
        WrongUsage: no such case.
    """
    folder = workspace.case_directory(case_id)
    with workspace.database.reader() as session:
        case_row(session, case_id)
        is_signed = _is_signed(session, case_id)
    if not (folder / HALF).is_file() or (is_signed and (folder / SUPPLEMENT).is_file()):
        return None
    half = (folder / HALF).read_bytes()
    return Waiting(folder / HALF, hashlib.sha256(half).hexdigest(), _own(workspace, case_id, half).notices)


def sign(
    workspace: Workspace, case_id: str, *, digest: str, actor: Actor, now: datetime, passphrase: str | None = None
) -> Path:
    """Countersign the supplement that was read; returns where it lies. Safe to repeat, as `lineage.signing.sign`.

    Raises:
        RefusedByRule: the case is not closed, the actor may not sign, or another supplement was read.
        NotAcceptable: what the pipeline left is not its supplement to this case's certificate.
        WrongUsage: it left none, there is no DPO key, or the passphrase does not open it.
    """
    actor.require(*DECIDERS, to="sign a supplement")
    folder, keys = workspace.case_directory(case_id), workspace.home / "secrets"
    with workspace.database.transaction() as session:
        case = CaseFile(session, case_id)
        case.require(Stage.CLOSED, to="get a supplement")
        case.four_eyes(actor)
        if not (folder / HALF).is_file():
            raise WrongUsage(f"Case {case_id} has no supplement to sign.", hint="One is made by: lethe notice send")
        half = (folder / HALF).read_bytes()
        if hashlib.sha256(half).hexdigest() != digest:
            raise RefusedByRule(
                "The supplement to be signed is not the one that was read.", hint=f"Read it: lethe erase supplement {case_id}"
            )  # fmt: skip
        if (folder / SUPPLEMENT).is_file() and _is_signed(session, case_id):
            return folder / SUPPLEMENT
        _own(workspace, case_id, half)
        pipeline = load_public_key(public_path(keys, "pipeline"))
        whole = countersign(half, open_dpo_key(workspace, passphrase), pipeline_public=pipeline)
        payload = {"supplement": hashlib.sha256(whole).hexdigest(), "read": digest, "by": actor.name}
        ledger.append(session, at=now, kind="supplement.signed", case_id=case_id, payload=payload)
        with refusals("The supplement", hint="Sign again."):
            return write_whole(folder / SUPPLEMENT, whole)


def _is_signed(session: Session, case_id: str) -> bool:
    return any(event.kind == "supplement.signed" for event in ledger.events_of_case(session, case_id))


def _certificate(folder: Path, case_id: str) -> bytes:
    try:
        return (folder / CERTIFICATE).read_bytes()
    except OSError:
        raise WrongUsage(f"Case {case_id} has no certificate, so it has no supplement.") from None


def _own(workspace: Workspace, case_id: str, half: bytes) -> Supplement:
    """What the pipeline signed, if it is about this case's certificate."""
    pipeline = load_public_key(public_path(workspace.home / "secrets", "pipeline"))
    said, certificate = read_supplement(open_first(half, pipeline_public=pipeline))
    raw = _certificate(workspace.case_directory(case_id), case_id)
    if (said.case, certificate) != (case_id, hashlib.sha256(raw).hexdigest()):
        raise NotAcceptable("The half-signed supplement was made for another certificate.")
    return said
