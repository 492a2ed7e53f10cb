"""The DPO's signature: the second one on the certificate that the purge job has prepared and signed.

Like an approval it is bound to what was read: the SHA-256 of the half-signed file. If that file was made anew since, nothing is
signed. The ledger keeps which half was read beside the certificate that it became.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

from lineage.access import Actor
from lineage.case import CaseFile
from lineage.closing import go_on
from lineage.dossier import DECIDERS, HALF_SIGNED
from lineage.dpo_key import open_dpo_key
from lineage.durable import refusals, write_whole
from lineage.errors import NotAcceptable, RefusedByRule, WrongUsage
from lineage.keys import load_public_key, public_path
from lineage.stages import CERTIFIED, Stage
from lineage.workspace import Workspace

__all__ = ["require_ready", "sign"]


def require_ready(workspace: Workspace, case_id: str, *, actor: Actor) -> None:
    """What can be known before a passphrase is asked for.

    Raises:
        RefusedByRule: the actor may not sign, or the case is not purged.
    """
    actor.require(*DECIDERS, to="sign a certificate")
    with workspace.database.reader() as session:
        CaseFile(session, case_id).require(Stage.PURGED, *sorted(CERTIFIED), to="sign")


def sign(
    workspace: Workspace, case_id: str, *, digest: str, actor: Actor, now: datetime, passphrase: str | None = None
) -> Path:
    """Countersign the certificate that the purge job prepared, if it is the one that was read; returns where it lies.

    `digest` is `HalfSigned.digest` of `lineage.dossier`, and `Sheet.digest` of what was shown.

    Safe to repeat: Ed25519 is deterministic, so a crash between file and commit leads to the same bytes again.

    Raises:
        RefusedByRule: the case is not purged, the actor may not sign, another certificate was read, or the key has no passphrase
            or was given none.
        NotAcceptable: what the pipeline left is not its half-signed certificate of this case.
        WrongUsage: it left none, there is no DPO key, or the passphrase does not open it.
    """
    actor.require(*DECIDERS, to="sign a certificate")
    folder, keys = workspace.case_directory(case_id), workspace.home / "secrets"
    target = folder / "certificate.json"
    with workspace.database.transaction() as session:
        case = CaseFile(session, case_id)
        if case.view.stage in CERTIFIED and target.is_file():
            return target
        case.require(Stage.PURGED, to="sign")
        workspace.keystore.shred([f"case:{case_id}"])  # a purge that was killed just before its end left this one
        half_signed = _read_half_signed(folder / HALF_SIGNED, case_id)
        _require_read(half_signed, digest, case_id)
        _require_own(half_signed, public_path(keys, "pipeline"), case_id)
        certificate = _countersign(half_signed, workspace, passphrase)
        case.signed_off(actor=actor, now=now, certificate=hashlib.sha256(certificate).hexdigest(), read=digest)
        go_on(session, case_id, workspace.settings, now=now)
        with refusals("The certificate", hint="Sign again."):
            write_whole(target, certificate)
    return target


def _read_half_signed(path: Path, case_id: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise WrongUsage(f"Case {case_id} has no half-signed certificate.", hint="Run the purge job again.") from None


def _require_read(half_signed: bytes, digest: str, case_id: str) -> None:
    if hashlib.sha256(half_signed).hexdigest() != digest:
        raise RefusedByRule(
            "The certificate to be signed is not the one that was read.",
            hint=f"Read it and sign that: lethe erase show {case_id}",
        )


def _require_own(half_signed: bytes, pipeline_key: Path, case_id: str) -> None:
    from lineage.certificate import read_half_signed, read_statement

    facts, _ = read_statement(read_half_signed(half_signed, pipeline_public=load_public_key(pipeline_key)))
    if facts.request.case != case_id:
        raise NotAcceptable("The half-signed certificate was made for another case.", hint="Run the purge job again.")


def _countersign(half_signed: bytes, workspace: Workspace, passphrase: str | None) -> bytes:
    from lineage.certificate import countersign

    pipeline = load_public_key(public_path(workspace.home / "secrets", "pipeline"))
    return countersign(half_signed, open_dpo_key(workspace, passphrase), pipeline_public=pipeline)
