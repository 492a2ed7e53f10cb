"""A scanner that remembers finds what the scanner inside finds, and keeps neither texts nor failures."""

from __future__ import annotations

import pickle
from copy import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage import steady
from lineage.policy import load_policy
from lineage.scan import ScanFailed, Scanner, Span
from lineage.steady import SteadyScanner

REAL = Scanner(load_policy("default"))
STEADY = SteadyScanner(REAL)
PIECES = ("ann@example.com", "+44 20 7946 0958", "cancer", "order 12345", "4111 1111 1111 1111", "é\u0301", " ")


class Counting:
    """Finds each digit, and counts over all its copies how often it was asked and how often it was made."""

    asked: list[str]
    made = 0
    fingerprint = REAL.fingerprint

    def __init__(self, asked: list[str]) -> None:
        self.asked = asked
        Counting.made += 1

    def __copy__(self) -> Counting:
        return Counting(self.asked)

    def scan(self, text: str) -> tuple[Span, ...]:
        self.asked.append(text)
        if "fails" in text:
            raise ScanFailed("scan_timeout")
        return tuple(Span("DATE_TIME", at, at + 1, 0.5, "Digits") for at, c in enumerate(text) if c.isdecimal())


@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=4).map("".join), max_size=5))
def test_remembering_changes_no_finding(texts):
    for text in [*texts, *reversed(texts)]:
        assert STEADY.scan(text) == REAL.scan(text)


@given(st.lists(st.sampled_from(["1", "22", "a", "b3", "\ud800"]), max_size=40), st.integers(1, 4), st.integers(1, 5))
def test_it_does_so_however_little_it_remembers(texts, kept, renewed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steady, "TEXTS", kept)
        patch.setattr(steady, "RENEW_AFTER", renewed)
        scanner = SteadyScanner(Counting([]))
        assert [scanner.scan(text) for text in texts] == [Counting([]).scan(text) for text in texts]
        assert len(scanner._known) <= kept


def test_a_text_that_comes_again_is_scanned_once():
    asked: list[str] = []
    scanner = SteadyScanner(Counting(asked))
    for _ in range(3):
        scanner.scan("a 1")
        scanner.scan("b 2")
    assert asked == ["a 1", "b 2"]


def test_failures_and_very_many_findings_are_not_remembered():
    asked: list[str] = []
    scanner = SteadyScanner(Counting(asked))
    for text in ("it fails", "1" * (steady.SPANS_A_TEXT + 1)):
        for _ in range(2):
            try:
                scanner.scan(text)
            except ScanFailed as failure:
                assert failure.reason == "scan_timeout"  # noqa: PT017 - the second text does not fail
    assert len(asked) == 4
    assert not scanner._known


def test_the_scanner_inside_is_made_anew(monkeypatch):
    monkeypatch.setattr(steady, "RENEW_AFTER", 10)
    asked: list[str] = []
    scanner = SteadyScanner(Counting(asked))
    before = Counting.made
    for number in range(35):
        scanner.scan(str(number))
    assert (Counting.made - before, len(asked)) == (3, 35)


def test_what_it_remembers_holds_no_text_and_does_not_travel():
    scanner = SteadyScanner(REAL)
    scanner.scan("write to quillonia@example.com")
    assert scanner._known
    assert b"quillonia" not in pickle.dumps(scanner._known)
    for other in (copy(scanner), pickle.loads(pickle.dumps(scanner))):  # noqa: S301 - our own
        assert not other._known
        assert other.fingerprint == scanner.fingerprint
