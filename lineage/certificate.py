"""The erasure certificate: an in-toto Statement in a DSSE envelope with two signatures.

::

    facts ----build_statement----> statement ----sign_first----> half-signed ----countersign----> certificate
    CertificateFacts               canonical JSON   pipeline key  one signature     DPO key       two signatures

The envelope is `lineage.envelope`'s. The independent reader of these bytes is `lineage.verify`, which shares no code with
this one; `docs/certificate-format.md` describes every layer.

Law: `sign(s, p, d) == countersign(sign_first(s, p), d, pipeline_public=p.public_key())`, and signing twice gives the same
bytes, for Ed25519 is deterministic.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from lineage.envelope import PAYLOAD_TYPE, add_second, open_first, seal_first
from lineage.facts import CertificateFacts
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


def sign_first(statement: bytes, pipeline_key: Ed25519PrivateKey) -> bytes:
    """The half-signed envelope: what the pipeline states, waiting for the DPO. No verifier accepts it as it is.

    Raises:
        NotAcceptable: the statement would not be readable as a certificate.
    """
    read_statement(statement)
    return seal_first(statement, pipeline_key)


def read_half_signed(half_signed: bytes, *, pipeline_public: Ed25519PublicKey) -> bytes:
    """The statement that the pipeline signed: what the DPO reads before countersigning.

    Raises:
        NotAcceptable: not a canonical envelope with exactly the pipeline's signature, or its statement is unsound.
    """
    statement = open_first(half_signed, pipeline_public=pipeline_public)
    read_statement(statement)
    return statement


def countersign(half_signed: bytes, dpo_key: Ed25519PrivateKey, *, pipeline_public: Ed25519PublicKey) -> bytes:
    """The certificate: the DPO's signature under what the pipeline signed, byte for byte.

    Raises:
        NotAcceptable: as `read_half_signed`.
        RefusedByRule: the DPO's key is the pipeline's key; two signatures need two keys.
    """
    read_half_signed(half_signed, pipeline_public=pipeline_public)
    return add_second(half_signed, dpo_key, pipeline_public=pipeline_public)


def sign(statement: bytes, pipeline_key: Ed25519PrivateKey, dpo_key: Ed25519PrivateKey) -> bytes:
    """Both signatures at once, for where both keys are at hand.

    Raises:
        NotAcceptable, RefusedByRule: as `sign_first` and `countersign`.
    """
    return countersign(sign_first(statement, pipeline_key), dpo_key, pipeline_public=pipeline_key.public_key())
