"""The DPO's signature: the second one on the certificate that the purge job has prepared and signed."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

from lineage.access import Actor
from lineage.case import CERTIFIED, CaseFile, Stage
from lineage.dossier import DECIDERS
from lineage.durable import refusals, write_whole
from lineage.errors import NotAcceptable, WrongUsage
from lineage.keys import load_private_key, load_public_key, private_path, public_path
from lineage.workspace import Workspace

__all__ = ["sign"]


def sign(workspace: Workspace, case_id: str, *, actor: Actor, now: datetime, passphrase: str | None = None) -> Path:
    """Countersign the certificate that the purge job prepared; returns where it lies.

    Safe to repeat: Ed25519 is deterministic, so a crash between file and commit leads to the same bytes again.

    Raises:
        RefusedByRule: the case is not purged, or the actor may not sign.
        NotAcceptable: what the pipeline left is not its half-signed certificate of this case.
        WrongUsage: it left none, or the key does not open.
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
        half_signed = _read_half_signed(folder / "certificate.half.json", public_path(keys, "pipeline"), case_id)
        certificate = _countersign(half_signed, keys, passphrase)
        case.signed_off(actor=actor, now=now, certificate=hashlib.sha256(certificate).hexdigest())
        with refusals("The certificate", hint="Sign again."):
            write_whole(target, certificate)
    return target


def _read_half_signed(path: Path, pipeline_key: Path, case_id: str) -> bytes:
    from lineage.certificate import read_half_signed, read_statement

    try:
        half_signed = path.read_bytes()
    except OSError:
        raise WrongUsage(f"Case {case_id} has no half-signed certificate.", hint="Run the purge job again.") from None
    facts, _ = read_statement(read_half_signed(half_signed, pipeline_public=load_public_key(pipeline_key)))
    if facts.request.case != case_id:
        raise NotAcceptable("The half-signed certificate was made for another case.", hint="Run the purge job again.")
    return half_signed


def _countersign(half_signed: bytes, keys: Path, passphrase: str | None) -> bytes:
    from lineage.certificate import countersign

    dpo = load_private_key(private_path(keys, "dpo"), passphrase=passphrase)
    return countersign(half_signed, dpo, pipeline_public=load_public_key(public_path(keys, "pipeline")))
