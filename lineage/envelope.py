"""The DSSE envelope of what two keys sign, one after the other: a certificate, or a supplement to it.

Signatures are Ed25519 over the DSSE v1 pre-authentication encoding; the pipeline's comes first, the DPO's second. The envelope
is RFC 8785 JSON, so it has exactly one spelling. Nothing here knows what is signed. The independent reader of these bytes is
`lineage.authentic`.
"""

from __future__ import annotations

import json

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import Error, VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey  # type: ignore[attr-defined]  # exported, but not declared so

from lineage.errors import NotAcceptable, RefusedByRule
from lineage.keys import key_id

__all__ = ["PAYLOAD_TYPE", "add_second", "open_first", "seal_first"]

PAYLOAD_TYPE = "application/vnd.in-toto+json"


def seal_first(statement: bytes, pipeline_key: Ed25519PrivateKey) -> bytes:
    """The half-signed envelope. No verifier accepts it as it is."""
    envelope = Envelope(statement, PAYLOAD_TYPE, {})
    envelope.sign(_signer(pipeline_key))
    return _canonical(envelope)


def open_first(half_signed: bytes, *, pipeline_public: Ed25519PublicKey) -> bytes:
    """The statement that the pipeline signed.

    Raises:
        NotAcceptable: not a canonical envelope with exactly the pipeline's signature.
    """
    payload: bytes = _opened(half_signed, pipeline_public).payload
    return payload


def add_second(half_signed: bytes, dpo_key: Ed25519PrivateKey, *, pipeline_public: Ed25519PublicKey) -> bytes:
    """The DPO's signature under what the pipeline signed, byte for byte.

    Raises:
        NotAcceptable: as `open_first`.
        RefusedByRule: the DPO's key is the pipeline's key; two signatures need two keys.
    """
    if key_id(dpo_key.public_key()) == key_id(pipeline_public):
        raise RefusedByRule("The DPO and the pipeline need two different keys.")
    envelope = _opened(half_signed, pipeline_public)
    envelope.sign(_signer(dpo_key))
    return _canonical(envelope)


def _opened(half_signed: bytes, pipeline_public: Ed25519PublicKey) -> Envelope:
    refusal = NotAcceptable("This is nothing that the pipeline signed and that still waits for the DPO.")
    try:
        envelope = Envelope.from_dict(json.loads(half_signed))
        envelope.verify([_sslib_key(pipeline_public)], threshold=1)
        canonical = _canonical(envelope)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, Error, VerificationError):
        raise refusal from None
    if canonical != half_signed or len(envelope.signatures) != 1 or envelope.payload_type != PAYLOAD_TYPE:
        raise refusal
    return envelope


def _canonical(envelope: Envelope) -> bytes:
    return rfc8785.dumps(envelope.to_dict())


def _signer(key: Ed25519PrivateKey) -> CryptoSigner:
    return CryptoSigner(key, _sslib_key(key.public_key()))


def _sslib_key(key: Ed25519PublicKey) -> SSlibKey:
    return SSlibKey.from_crypto(key, keyid=key_id(key))
