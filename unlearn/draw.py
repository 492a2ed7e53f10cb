"""Keyed draws: every random decision of a training is an HMAC of what it is about, so no draw depends on another."""

from __future__ import annotations

import hashlib
import hmac

__all__ = ["draw", "framed"]


def framed(*parts: str | int | bytes) -> bytes:
    """Length-framed bytes of the parts; ("ab", "c") and ("a", "bc"), 1 and "1" never collide."""
    return b"".join(_frame(part) for part in parts)


def draw(key: bytes, *parts: str | int) -> int:
    """64 pseudo-random bits as an integer in [0, 2**64): the head of HMAC-SHA256 under `key` over the framed parts."""
    return int.from_bytes(hmac.digest(key, framed(*parts), hashlib.sha256)[:8], "big")


def _frame(part: str | int | bytes) -> bytes:
    match part:
        case bytes():
            kind, body = b"b", part
        case str():
            kind, body = b"s", part.encode()
        case int():
            kind, body = b"i", str(part).encode()
    return kind + len(body).to_bytes(8, "big") + body
