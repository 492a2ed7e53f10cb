"""A scanner for a long run: a text that comes again is not scanned again, and memory stays flat.

What is remembered of a text is a keyed digest of it and its spans: no text, no value, and nothing outlives the process.
Only the scan is remembered, never a link or a verdict: those are made anew for each record from the register, the
suppression list and the policy in force, so a memory can never carry an old verdict on (docs/adr/0017).
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from copy import copy
from typing import Protocol

from lineage.scan import Fingerprint, Span

__all__ = ["SteadyScanner"]

TEXTS, SPANS_A_TEXT = 8_192, 64
"""What is remembered: so many texts, none with more spans than that. About 10 MB."""
RENEW_AFTER = 5_000
"""Scans. spaCy keeps every word it ever saw, about 10 MB in a thousand texts at worst; a new scanner takes 0.2 s."""


class Scans(Protocol):
    """A scanner whose copy is a fresh one that finds the same."""

    @property
    def fingerprint(self) -> Fingerprint:
        """What its findings depend on."""

    def scan(self, text: str) -> tuple[Span, ...]:
        """The findings of one text."""


class SteadyScanner:
    """The same findings as the scanner inside, failures included: those are not remembered."""

    def __init__(self, scanner: Scans) -> None:
        self._scanner, self._scans = scanner, 0
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, tuple[Span, ...]] = OrderedDict()

    def __reduce__(self) -> tuple[type[SteadyScanner], tuple[Scans]]:
        """A copy, also in another process, remembers nothing."""
        return type(self), (copy(self._scanner),)

    @property
    def fingerprint(self) -> Fingerprint:
        """That of the scanner inside."""
        return self._scanner.fingerprint

    def scan(self, text: str) -> tuple[Span, ...]:
        """The findings of one text. Raises what the scanner inside raises."""
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()
        found = self._known.get(digest)
        if found is None:
            found = self._fresh_scan(text)
            if len(found) <= SPANS_A_TEXT:
                self._known[digest] = found
            if len(self._known) > TEXTS:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(digest)
        return found

    def _fresh_scan(self, text: str) -> tuple[Span, ...]:
        if self._scans >= RENEW_AFTER:
            self._scanner, self._scans = copy(self._scanner), 0
        self._scans += 1
        return self._scanner.scan(text)
