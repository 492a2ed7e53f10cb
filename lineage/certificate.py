"""The erasure certificate: an in-toto Statement in a DSSE envelope with two signatures.

::

    facts ----build_statement----> statement ----sign_first----> half-signed ----countersign----> certificate
    CertificateFacts               canonical JSON   pipeline key  one signature     DPO key       two signatures

Signatures are Ed25519 over the DSSE v1 pre-authentication encoding; the pipeline's comes first, the DPO's second. The
envelope is RFC 8785 JSON as well, so a certificate has exactly one spelling. The independent reader of these bytes is
`lineage.verify`, which shares no code with this one; `docs/certificate-format.md` describes every layer.

Law: `sign(s, p, d) == countersign(sign_first(s, p), d, pipeline_public=p.public_key())`, and signing twice gives the same
bytes, for Ed25519 is deterministic.
"""

from __future__ import annotations

import json

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import Error, VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey  # type: ignore[attr-defined]  # exported, but not declared so

from lineage.errors import NotAcceptable, RefusedByRule
from lineage.facts import CertificateFacts
from lineage.keys import key_id
from lineage.statement import PREDICATE_TYPE, STATEMENT_TYPE, build_statement, measured, read_statement

__all__ = [
    "PAYLOAD_TYPE",
    "PREDICATE_TYPE",
    "STATEMENT_TYPE",
    "CertificateFacts",
    "build_statement",
    "countersign",
    "measured",
    "read_half_signed",
    "read_statement",
    "sign",
    "sign_first",
]

PAYLOAD_TYPE = "application/vnd.in-toto+json"


def sign_first(statement: bytes, pipeline_key: Ed25519PrivateKey) -> bytes:
    """The half-signed envelope: what the pipeline states, waiting for the DPO. No verifier accepts it as it is.

    Raises:
        NotAcceptable: the statement would not be readable as a certificate.
    """
    read_statement(statement)
    envelope = Envelope(statement, PAYLOAD_TYPE, {})
    envelope.sign(_signer(pipeline_key))
    return _canonical(envelope)


def read_half_signed(half_signed: bytes, *, pipeline_public: Ed25519PublicKey) -> bytes:
    """The statement that the pipeline signed: what the DPO reads before countersigning.

    Raises:
        NotAcceptable: not a canonical envelope with exactly the pipeline's signature, or its statement is unsound.
    """
    return _open_half_signed(half_signed, pipeline_public).payload


def countersign(half_signed: bytes, dpo_key: Ed25519PrivateKey, *, pipeline_public: Ed25519PublicKey) -> bytes:
    """The certificate: the DPO's signature under what the pipeline signed, byte for byte.

    Raises:
        NotAcceptable: as `read_half_signed`.
        RefusedByRule: the DPO's key is the pipeline's key; two signatures need two keys.
    """
    if key_id(dpo_key.public_key()) == key_id(pipeline_public):
        raise RefusedByRule("The DPO and the pipeline need two different keys.")
    envelope = _open_half_signed(half_signed, pipeline_public)
    envelope.sign(_signer(dpo_key))
    return _canonical(envelope)


def sign(statement: bytes, pipeline_key: Ed25519PrivateKey, dpo_key: Ed25519PrivateKey) -> bytes:
    """Both signatures at once, for where both keys are at hand.

    Raises:
        NotAcceptable, RefusedByRule: as `sign_first` and `countersign`.
    """
    return countersign(sign_first(statement, pipeline_key), dpo_key, pipeline_public=pipeline_key.public_key())


def _open_half_signed(half_signed: bytes, pipeline_public: Ed25519PublicKey) -> Envelope:
    refusal = NotAcceptable("This is not a certificate that the pipeline signed and that still waits for the DPO.")
    try:
        envelope = Envelope.from_dict(json.loads(half_signed))
        envelope.verify([_sslib_key(pipeline_public)], threshold=1)
        canonical = _canonical(envelope)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, Error, VerificationError):
        raise refusal from None
    if canonical != half_signed or len(envelope.signatures) != 1 or envelope.payload_type != PAYLOAD_TYPE:
        raise refusal
    read_statement(envelope.payload)
    return envelope


def _canonical(envelope: Envelope) -> bytes:
    return rfc8785.dumps(envelope.to_dict())


def _signer(key: Ed25519PrivateKey) -> CryptoSigner:
    return CryptoSigner(key, _sslib_key(key.public_key()))


def _sslib_key(key: Ed25519PublicKey) -> SSlibKey:
    return SSlibKey.from_crypto(key, keyid=key_id(key))
