"""The pieces of a text that patterns are tried on: which characters count, and what every match lies in."""

from __future__ import annotations

import random
import sys

import pytest
import regex

from lineage import fastpatterns, presidio
from lineage.fastpatterns import InChunks, InRuns, Pieces, place_of
from lineage.policy import load_policy
from tests.support.scan_texts import mixed

EVERYTHING = load_policy("default").model_copy(update={"disabled_recognizers": ()})
EVERY_CHARACTER = "".join(chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000)


def pinned():
    for recognizer in presidio.stock_engine(EVERYTHING).registry.recognizers:
        for pattern in getattr(recognizer, "patterns", ()):
            if place := place_of(pattern.regex, int(recognizer.global_regex_flags)):
                yield regex.compile(pattern.regex, recognizer.global_regex_flags), place


def test_every_digit_of_the_regex_module_is_one_of_ours():
    assert set(regex.findall(r"\d", EVERY_CHARACTER)) <= set(fastpatterns._DIGIT.findall(EVERY_CHARACTER))


@pytest.mark.parametrize("letter", "abcdefghijklmnopqrstuvwxyz")
def test_whatever_counts_as_a_letter_without_regard_to_case_does_for_us(letter):
    alike = regex.findall(letter, EVERY_CHARACTER, flags=regex.IGNORECASE)
    assert all(fastpatterns._DOT_LETTERS.search(f".{a}{a}") for a in alike)
    assert all(fastpatterns._IBAN_START.search(f"{a}{a}12") for a in alike)


def test_every_shipped_pattern_but_the_ibans_has_a_place():
    assert len(list(pinned())) == len(fastpatterns._PLACES)


def test_every_match_lies_in_a_piece_that_passes_its_test():
    patterns = list(pinned())
    matches = 0
    for seed in range(300):
        text = mixed(random.Random(seed))
        pieces = Pieces.of(text)
        for compiled, place in patterns:
            for match in compiled.finditer(text):
                matches += 1
                assert any(start <= match.start() and match.end() <= end for start, end in tried(pieces, place))
    assert matches > 500


def tried(pieces, place):
    match place:
        case InChunks(test):
            return [(start, start + len(chunk)) for start, chunk in pieces.chunks if test(chunk)]
        case InRuns(digits, separators):
            return [(s, s + len(w)) for s, w, d, n in pieces.runs if d >= digits and n >= separators]
