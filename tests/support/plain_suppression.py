"""The suppression list in its plainest form: every run of one to four words is digested. What the fast one must equal."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from plain_forms import plain_fold, plain_phone_windows, plain_squeeze

from lineage.forms import DEFAULT_REGIONS, phone_readings
from lineage.register import Link

ADDRESS = re.compile(r"[^\s@<>()\[\],;:\"]+@[^\s@<>()\[\],;:\"]+")

Hit = tuple[int, int, str]


def plain_links(hmacs: set[str], hmac: Callable[[str, str], str], text: str) -> tuple[Link, ...]:
    """Of all hits, in order of place and length, those that do not overlap one before."""
    hits = [(start, end, kind) for (start, end, kind), form in candidates(text) if hmac(kind, form) in hmacs]
    links: list[Link] = []
    for start, end, kind in sorted(hits, key=lambda hit: (hit[0], -hit[1], hit[2])):
        if not links or start >= links[-1].end_exclusive:
            links.append(Link(start, end, kind, frozenset(), False))
    return tuple(links)


def candidates(text: str) -> Iterator[tuple[Hit, str]]:
    folded = plain_fold(text)
    for start, end in windows(folded.text, r"\w+"):
        yield (*folded.original_span(start, end), "name"), folded.text[start:end]
    for found in ADDRESS.finditer(folded.text):
        address = found.group().rstrip(".'!?")
        yield (*folded.original_span(found.start(), found.start() + len(address)), "email"), address
    for start, end in windows(text, r"\S+"):
        if end - start <= 60 and re.search(r"\d", text[start:end]):
            account = plain_squeeze(text[start:end])
            first, last = account.original_span(0, len(account.text))
            yield (start + first, start + last, "account"), account.text
    for start, end, _ in plain_phone_windows(text):
        for number in phone_readings(text[start:end], DEFAULT_REGIONS):
            yield (start, end, "phone"), number


def windows(text: str, token: str) -> Iterator[tuple[int, int]]:
    spans = [found.span() for found in re.finditer(token, text)]
    for first, (start, _) in enumerate(spans):
        for _, end in spans[first : first + 4]:
            yield start, end
