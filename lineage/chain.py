"""The arithmetic of the hash chain under the ledger: values in, values out.

Every event carries the digest of the one before it::

    digest(n) = SHA-256( RFC 8785 JSON of {"at", "kind", "payload", "previous": digest(n-1), "seq"} )
    digest(0) = GENESIS, sixty-four zeros

so a changed, inserted, removed or reordered event breaks every later link. What a chain cannot show is that its *end* was
cut off: that is why head and length stand in each certificate, outside the database. `at` is written in UTC with six
decimals and a `Z`, so that a database which drops trailing zeros cannot change a digest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NamedTuple, TypeAlias

import rfc8785

from lineage.errors import WrongUsage

__all__ = [
    "GENESIS", "Broken", "ChainResult", "Event", "Intact", "Written", "follows", "link", "timestamp", "verify_chain",
]  # fmt: skip

GENESIS = "0" * 64
_DIGEST = re.compile(r"[0-9a-f]{64}")
_KEPT_AT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{6})?\+00:00")


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the ledger. `seq` counts from 1; `payload` is JSON without personal data; digests are lower-case hex."""

    seq: int
    at: datetime
    kind: str
    payload: Mapping[str, object]
    previous: str
    digest: str


class Written(NamedTuple):
    """An event as the texts it is kept as: an instant in ISO 8601, canonical JSON."""

    seq: int
    at: str
    kind: str
    payload: str
    previous: str
    digest: str


@dataclass(frozen=True, slots=True)
class Intact:
    """Every link holds: `head` is the digest of the last event (GENESIS when there is none), `length` their number."""

    head: str
    length: int


@dataclass(frozen=True, slots=True)
class Broken:
    """The first event that does not follow from the one before it, by the number it should have had, and why."""

    seq: int
    reason: str


ChainResult: TypeAlias = Intact | Broken


def timestamp(at: datetime) -> str:
    """The one spelling of an instant: `2026-01-31T09:30:00.000000Z`.

    Raises:
        WrongUsage: the datetime is naive or not in UTC; a local time would make digests depend on the machine.
    """
    if at.utcoffset() != timedelta(0):
        raise WrongUsage("A time in the ledger must be in UTC.", hint="Use datetime.now(UTC).")
    return at.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def link(previous_digest: str, seq: int, at: datetime, kind: str, payload: Mapping[str, object]) -> Event:
    """The event that follows `previous_digest`. Its payload is a fresh copy, as it will be read back from JSON.

    Raises:
        WrongUsage: a time that is not UTC, a number below 1, a malformed digest, or a payload that JSON cannot carry.
    """
    if seq < 1 or not _DIGEST.fullmatch(previous_digest):
        raise WrongUsage("A ledger event needs a number from 1 and the digest of the event before it.")
    try:
        copy = json.loads(_canonical(dict(payload)))
        # Encoded again, because 1e16 is written as an integer and then read back as one that RFC 8785 cannot write.
        body = _canonical(_fields(previous_digest, seq, at, kind, copy))
    except (rfc8785.CanonicalizationError, AttributeError, TypeError, RecursionError):
        raise WrongUsage("A ledger payload holds something that canonical JSON cannot carry.") from None
    return Event(seq, at, kind, copy, previous_digest, sha256(body).hexdigest())


def verify_chain(events: Iterable[Event], *, after: Intact | None = None) -> ChainResult:
    """Follow the chain from its genesis, or on from a head that was verified before; one pass, constant memory."""
    head, length = (after.head, after.length) if after else (GENESIS, 0)
    for event in events:
        reason = _why_broken(event, head, length + 1)
        if reason:
            return Broken(length + 1, reason)
        head, length = event.digest, length + 1
    return Intact(head, length)


def _why_broken(event: Event, head: str, seq: int) -> str:
    if event.seq != seq:
        return f"number {seq} is missing or out of order"
    if event.previous != head:
        return f"event {seq} does not name the digest of the event before it"
    if not _digest_holds(event):
        return f"event {seq} was changed after it was written"
    return ""


# The C encoder of the standard library writes the same bytes as RFC 8785 for JSON without fractions and with keys in the
# basic plane, ten times faster. To write, it is used for what is plain in that sense; to verify, for everything, as it only
# confirms: when its bytes do not hash to the recorded digest, the reference encoder decides. A hit binds the event either
# way, because the bytes that were hashed spell out every field.
_fast_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), check_circular=False).encode
_MOST = 2**53 - 1


def _canonical(value: Mapping[str, object]) -> bytes:
    """RFC 8785 JSON."""
    if _is_plain(value):
        return _fast_encode(value).encode()
    return rfc8785.dumps(value)  # type: ignore[arg-type]  # rfc8785 declares a narrower JSON than it takes


def _is_plain(value: object) -> bool:
    """Whether both encoders write the same: ASCII, whole numbers that RFC 8785 can write, and nothing but JSON's own types."""
    kind = type(value)
    if isinstance(value, str):
        return kind is str and value.isascii()
    if isinstance(value, int):
        return kind is bool or (kind is int and -_MOST <= value <= _MOST)
    if isinstance(value, dict):
        return kind is dict and all(
            _is_plain(name) and isinstance(name, str) and _is_plain(value[name]) for name in value
        )
    return value is None or (isinstance(value, list) and kind is list and all(map(_is_plain, value)))


def follows(written: Written, head: str, seq: int) -> bool:
    """Whether an event follows, by the bytes of the texts it is kept as; False asks for `verify_chain`, which reads them."""
    at = _KEPT_AT.fullmatch(written.at)
    if at is None or written.seq != seq or written.previous != head:
        return False
    spelled = f"{at[1]}{at[2] or '.000000'}Z"
    body = (
        f'{{"at":"{spelled}","kind":{_fast_encode(written.kind)},"payload":{written.payload},'
        f'"previous":"{head}","seq":{seq}}}'
    )
    return sha256(body.encode("utf-8", "surrogatepass")).hexdigest() == written.digest


def _digest_holds(event: Event) -> bool:
    try:
        fields = _fields(event.previous, event.seq, event.at, event.kind, event.payload)
        if sha256(_fast_encode(fields).encode()).hexdigest() == event.digest:
            return True
        return sha256(rfc8785.dumps(fields)).hexdigest() == event.digest  # type: ignore[arg-type]
    except (WrongUsage, AttributeError, TypeError, ValueError, RecursionError):
        return False


def _fields(previous: str, seq: int, at: datetime, kind: str, payload: Mapping[str, object]) -> dict[str, object]:
    return {"seq": seq, "at": timestamp(at), "kind": kind, "payload": dict(payload), "previous": previous}
