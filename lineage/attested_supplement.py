"""What a supplement adds to an authentic certificate, for `lineage.verify`: notices and when they were acknowledged.

Standard library and `cryptography` only, and no code of the module that writes supplements (`lineage.supplement`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from lineage.authentic import NotProvenError, check_signatures, open_envelope, parse_statement
from lineage.trusted import TrustedKeys

__all__ = ["supplement_lines"]

SUPPLEMENT_TYPE = "https://lethe.dev/erasure-supplement/v1"
FIELDS = {"certificate", "case", "issued", "notices"}
_HANDLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,79}")
_TIME = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z")


def supplement_lines(
    raw: bytes, *, trusted: TrustedKeys, certificate: bytes, predicate: Mapping[str, Any]
) -> tuple[str, ...]:
    """Who acknowledged what, in lines; `predicate` is that of the certificate, which is authentic.

    Raises:
        NotProvenError: the supplement is not authentic, belongs to another certificate, or cannot be true.
    """
    try:
        payload, signatures = open_envelope(raw)
        check_signatures(payload, signatures, trusted)
        subjects, content = parse_statement(payload, SUPPLEMENT_TYPE)
    except NotProvenError as no:
        raise NotProvenError("supplement", f"Of the supplement: {no.sentence}") from None
    if subjects != [{"name": "certificate.json", "digest": {"sha256": sha256(certificate).hexdigest()}}]:
        raise NotProvenError("supplement", "The supplement is authentic, but it belongs to another certificate.")
    notices = content.get("notices")
    if set(content) != FIELDS or not isinstance(notices, list) or not _is_time(content["issued"]):
        raise NotProvenError("supplement", "The supplement lacks a field, or has an unknown or malformed one.")
    if (content["certificate"], content["case"]) != (predicate["certificate"], predicate["request"]["case"]):
        raise NotProvenError(
            "supplement", "The supplement names another certificate or case than the one it belongs to."
        )
    if not _is_sound(notices, content["issued"]):
        raise NotProvenError("supplement", "The notices of the supplement are malformed, or cannot be true together.")
    return tuple(_lines(notices))


def _is_sound(notices: Sequence[Any], issued: str) -> bool:
    """At least one, each once and in order, none acknowledged before it was sent or after the supplement was made."""
    if not notices or not all(_is_notice(one) for one in notices):
        return False
    ids = [one["notice"] for one in notices]
    in_time = all(one["sent"] <= one["acknowledged"] <= issued for one in notices)
    return in_time and ids == sorted(set(ids))


def _is_notice(one: object) -> bool:
    match one:
        case {"notice": str(notice), "party": str(party), "sent": sent, "acknowledged": acknowledged, **rest} if (
            not rest
        ):
            named = _HANDLE.fullmatch(notice) and _HANDLE.fullmatch(party)
            return bool(named) and _is_time(sent) and _is_time(acknowledged)
        case _:
            return False


def _is_time(value: object) -> bool:
    """One spelling, in UTC: times in it sort as text."""
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


def _lines(notices: Sequence[Mapping[str, str]]) -> Iterator[str]:
    for one in notices:
        yield f"Told: {one['party']}, sent {one['sent']}, acknowledged {one['acknowledged']} (notice {one['notice']})"
