"""The supplement to a certificate: who acknowledged the notice of the erasure (Art. 19 GDPR), and when.

A certificate attests only what has happened when it is signed, and the notices go out after that. A supplement is a statement
of its own in the same envelope, under the same two keys; its one subject is the certificate, by the SHA-256 of the file::

    Supplement --build_supplement--> statement --sign_first--> half-signed --countersign--> supplement

It names acknowledged notices only. A later supplement to the same certificate may name more; none takes another back.
The independent reader is `lineage.attested_supplement` (`verify --supplement`).

Law: `read_supplement(build_supplement(s, certificate=c)) == (s, SHA-256 of c)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from lineage import in_toto
from lineage.envelope import add_second, open_first, seal_first
from lineage.errors import NotAcceptable, WrongUsage
from lineage.fact_forms import Handle

__all__ = [
    "SUPPLEMENT_TYPE",
    "Acknowledged",
    "Supplement",
    "build_supplement",
    "countersign",
    "read_supplement",
    "sign_first",
]

SUPPLEMENT_TYPE = "https://lethe.dev/erasure-supplement/v1"
CERTIFICATE_FILE = "certificate.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """One notice that its party acknowledged. `notice` is its id, `party` the party's name in the inventory."""

    notice: Handle
    party: Handle
    sent: datetime
    acknowledged: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplement:
    """What a supplement attests. `certificate` and `case` are the handles in the certificate; `issued`: when this was made."""

    certificate: Handle
    case: Handle
    issued: datetime
    notices: tuple[Acknowledged, ...]


def build_supplement(supplement: Supplement, *, certificate: bytes) -> bytes:
    """The canonical bytes to be signed, about exactly this certificate file.

    Raises:
        WrongUsage: it names no notice, one twice or out of order, or one that was acknowledged before it was sent or after this.
    """
    statement = in_toto.write(SUPPLEMENT_TYPE, supplement, {CERTIFICATE_FILE: sha256(certificate).hexdigest()})
    try:
        read_supplement(statement)
    except NotAcceptable as refusal:
        raise WrongUsage(str(refusal), hint="Correct the supplement; nothing was signed.") from None
    return statement


def read_supplement(statement: bytes) -> tuple[Supplement, str]:
    """The supplement, and the SHA-256 of the certificate that it belongs to.

    Raises:
        NotAcceptable: it is none, or what it says cannot be true.
    """
    supplement, files = in_toto.read(statement, SUPPLEMENT_TYPE, Supplement)
    if list(files) != [CERTIFICATE_FILE]:
        raise NotAcceptable("The subject of a supplement is one certificate.")
    if wrong := _contradiction(supplement.notices, supplement.issued):
        raise NotAcceptable(wrong)
    return supplement, files[CERTIFICATE_FILE]


def sign_first(statement: bytes, pipeline_key: Ed25519PrivateKey) -> bytes:
    """The half-signed supplement, which waits for the DPO.

    Raises:
        NotAcceptable: the statement would not be readable as a supplement.
    """
    read_supplement(statement)
    return seal_first(statement, pipeline_key)


def countersign(half_signed: bytes, dpo_key: Ed25519PrivateKey, *, pipeline_public: Ed25519PublicKey) -> bytes:
    """The supplement: the DPO's signature under what the pipeline signed, byte for byte.

    Raises:
        NotAcceptable: the pipeline did not sign it, or it is no supplement.
        RefusedByRule: both keys are the same.
    """
    read_supplement(open_first(half_signed, pipeline_public=pipeline_public))
    return add_second(half_signed, dpo_key, pipeline_public=pipeline_public)


def _contradiction(notices: Sequence[Acknowledged], issued: datetime) -> str:
    """A sentence, or nothing."""
    ids = [one.notice for one in notices]
    if not ids or ids != sorted(set(ids)):
        return "A supplement names at least one notice, each once, in the order of their ids."
    if not all(one.sent <= one.acknowledged <= issued for one in notices):
        return "A notice was acknowledged before it was sent, or after the supplement was made."
    return ""
