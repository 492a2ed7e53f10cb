"""The outer layers of a signed file, for `lineage.verify`: its one canonical spelling, who signed it, and its statement.

Standard library and `cryptography` only, and no code of the modules that write certificates. No JSON parser sees anything
before it is authentic.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature

from lineage.trusted import TrustedKeys, key_id

__all__ = ["MAX_BYTES", "NotProvenError", "check_signatures", "is_half_signed", "open_envelope", "parse_statement"]

MAX_BYTES = 64 * 2**20
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = b"application/vnd.in-toto+json"
_SIGNATURE = rb'\{"keyid":"([0-9a-f]{64})","sig":"([A-Za-z0-9+/]{86}==)"\}'
_ENVELOPE = re.compile(
    rb'\{"payload":"([A-Za-z0-9+/]+={0,2})","payloadType":"application/vnd\.in-toto\+json","signatures":\['
    + _SIGNATURE + b"," + _SIGNATURE + rb"\]\}"
)  # fmt: skip
_HALF_SIGNED = re.compile(rb'\{"payload":"[A-Za-z0-9+/]+={0,2}","payloadType":"[^"]*","signatures":\[\{[^{}]*\}\]\}')


class NotProvenError(Exception):
    """A check failed: its name, and a sentence that holds nothing of a file that is not authentic."""

    def __init__(self, check: str, sentence: str) -> None:
        super().__init__(sentence)
        self.check, self.sentence = check, sentence


def is_half_signed(raw: bytes) -> bool:
    """Does it look like a certificate that one key has signed and that waits for the other? Looks prove nothing."""
    return len(raw) <= MAX_BYTES and _HALF_SIGNED.fullmatch(raw) is not None


def open_envelope(raw: bytes) -> tuple[bytes, Sequence[tuple[str, bytes]]]:
    """The payload, and both signatures with the key ids they state.

    Raises:
        NotProvenError: another spelling than the canonical one, too long, or half-signed.
    """
    match = _ENVELOPE.fullmatch(raw) if len(raw) <= MAX_BYTES else None
    if match is None and is_half_signed(raw):
        raise NotProvenError(
            "envelope", "The certificate is half-signed: it carries one signature, and two are required."
        )
    if match is None:
        raise NotProvenError("envelope", "The file is not a byte-canonical DSSE envelope with two signatures.")
    payload, pipeline_id, pipeline_sig, dpo_id, dpo_sig = match.groups()
    signatures = [(pipeline_id.decode(), _base64(pipeline_sig)), (dpo_id.decode(), _base64(dpo_sig))]
    return _base64(payload), signatures


def _base64(text: bytes) -> bytes:
    """Decode; refuse text whose unused last bits are set, which would be a second spelling of the same bytes."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except ValueError:
        raise NotProvenError("envelope", "The envelope holds malformed base64.") from None
    if base64.b64encode(decoded) != text:
        raise NotProvenError("envelope", "The envelope holds base64 that is not in its one canonical spelling.")
    return decoded


def check_signatures(payload: bytes, signatures: Sequence[tuple[str, bytes]], trusted: TrustedKeys) -> None:
    """The first by the trusted pipeline key, the second by the trusted DPO key.

    Raises:
        NotProvenError: a signature names another key, or was not made by it over this payload.
    """
    signed = b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE, len(payload), payload)
    roles = (("first", "pipeline", trusted.pipeline), ("second", "DPO", trusted.dpo))
    for (place, role, key), (stated_id, signature) in zip(roles, signatures, strict=True):
        if stated_id != key_id(key):
            raise NotProvenError("signatures", f"The {place} signature names another key than the trusted {role} key.")
        try:
            key.verify(signature, signed)
        except InvalidSignature:
            raise NotProvenError(
                "signatures", f"The {place} signature was not made by the trusted {role} key over this content."
            ) from None


def parse_statement(payload: bytes, wanted: str) -> tuple[list[Any], dict[str, Any]]:
    """Subjects and predicate of an authentic in-toto Statement v1 of the wanted predicate type.

    Raises:
        NotProvenError: another type, not in canonical form (RFC 8785), or a field too few or too many.
    """
    try:
        statement = json.loads(payload, parse_float=_refuse_number, parse_constant=_refuse_number, parse_int=_small_int)
        canonical = json.dumps(statement, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        raise NotProvenError("statement", "The signed content is not the JSON of a certificate.") from None
    if canonical != payload:
        raise NotProvenError("statement", "The signed content is not in canonical form (RFC 8785).")
    match statement:
        case {
            "_type": str(kind),
            "predicateType": str(predicate_type),
            "subject": list(subjects),
            "predicate": dict(predicate),
            **rest,
        } if not rest and subjects:
            pass
        case _:
            raise NotProvenError(
                "statement", "The signed content lacks a field of in-toto Statement v1, or has one too many."
            )
    if (kind, predicate_type) != (STATEMENT_TYPE, wanted):
        raise NotProvenError("statement", f"The signed content is not of type {wanted}.")
    return subjects, predicate


def _refuse_number(_: str) -> float:
    raise ValueError


def _small_int(digits: str) -> int:
    """RFC 8785 numbers are doubles: integers beyond 2^53 - 1 have no safe spelling."""
    number = int(digits) if len(digits) <= 17 else 2**53
    if abs(number) >= 2**53:
        raise ValueError
    return number
