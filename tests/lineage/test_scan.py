"""The doorway to Presidio: every way in which 2.2.366 breaks or leaks, as a test. See gate.md."""

from __future__ import annotations

import json
import logging
import re
import socket
import subprocess
import sys
from importlib.metadata import version

import pytest

from lineage import presidio
from lineage.canaries import CANARIES
from lineage.errors import GateClosed, WrongUsage
from lineage.fastscan import FastAnalyzer
from lineage.policy import load_policy
from lineage.scan import ART9_LEXICON, ScanFailed, Scanner

DEFAULT = load_policy("default")
PLANTED = {
    "CREDIT_CARD": "4111 1111 1111 1111",
    "EMAIL_ADDRESS": "planted.person@example.com",
    "PHONE_NUMBER": "+44 20 7946 0958",
    "IBAN_CODE": "DE89370400440532013000",
    "US_SSN": "078-05-1126",
    "IP_ADDRESS": "192.0.2.17",
}
TEXT = "; ".join(f"my {name.lower()} is {value}" for name, value in PLANTED.items())


@pytest.fixture(scope="module")
def scanner():
    return Scanner(DEFAULT)


def with_policy(**changes):
    return Scanner(DEFAULT.model_copy(update=changes))


def recognizer_of(scanner, name):
    return next(r for r in scanner._proven.engine.registry.recognizers if r.name == name)


def failing(scanner, name, method, replacement, monkeypatch):
    """A proven scanner with another recogniser: looked at again, as at the start, so that it runs as it would from there."""
    monkeypatch.setattr(recognizer_of(scanner, name), method, replacement)
    monkeypatch.setitem(vars(scanner), "_proven", FastAnalyzer(scanner._proven.engine, "en", DEFAULT.min_score))


def test_the_pinned_presidio_is_the_one_tested():
    assert version("presidio-analyzer") == "2.2.366"


def test_planted_values_are_found_where_they_stand(scanner):
    found = {(s.entity_type, TEXT[s.start : s.end_exclusive]) for s in scanner.scan(TEXT)}
    assert set(PLANTED.items()) <= found


def test_ordinary_support_text_is_only_information(scanner):
    text = "Your order 48213 of 12/03/2024, part KX-200, account AC-1234-5678, cost £169.98 at 14:30, see https://shop.example."
    assert {s.entity_type for s in scanner.scan(text)} <= {"DATE_TIME", "URL"}


def test_a_ten_digit_order_number_is_no_health_number(scanner):
    assert not scanner.scan("order 4010232137 was sent")


def test_findings_are_stock_presidios_for_the_same_recognisers(scanner):
    engine = scanner._proven.engine
    results = engine.analyze(TEXT, "en", score_threshold=DEFAULT.min_score)
    stock = [(r.entity_type, r.start, r.end, r.score) for r in results]
    assert [(s.entity_type, s.start, s.end_exclusive, s.score) for s in scanner.scan(TEXT)] == stock


def test_building_and_scanning_touch_no_network(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert any(s.entity_type == "EMAIL_ADDRESS" for s in with_policy(name="offline").scan("a@example.co.uk"))


def test_a_context_word_raises_the_score(scanner):
    (plain,) = (s for s in scanner.scan("at +44 20 7946 0958") if s.entity_type == "PHONE_NUMBER")
    (boosted,) = (s for s in scanner.scan("phone +44 20 7946 0958") if s.entity_type == "PHONE_NUMBER")
    assert plain.score == pytest.approx(0.4)
    assert boosted.score == pytest.approx(0.75)


def test_the_word_number_raises_nothing(scanner):
    (found,) = (s for s in scanner.scan("order number +44 20 7946 0958") if s.entity_type == "PHONE_NUMBER")
    assert found.score == pytest.approx(0.4)


def test_empty_lemmas_close_the_gate(monkeypatch):
    from presidio_analyzer.nlp_engine import SlimSpacyNlpEngine

    real = presidio._blank_engine

    def without_lemmas(language):
        engine = real(language)
        engine._doc_to_nlp_artifact = lambda doc, lang: SlimSpacyNlpEngine._doc_to_nlp_artifact(engine, doc, lang)
        return engine

    monkeypatch.setattr(presidio, "_blank_engine", without_lemmas)
    with pytest.raises(GateClosed, match="PHONE_NUMBER"):
        Scanner(DEFAULT).scan("x")


def test_it_does_not_claim_what_it_cannot_find(scanner):
    assert "PERSON" not in scanner._proven.engine.get_supported_entities("en")
    assert "does not see names" in scanner.blind_spots


def test_there_is_a_canary_for_every_shipped_type():
    everything = with_policy(disabled_recognizers=())
    everything.self_test()
    assert set(CANARIES) == set(everything._proven.engine.get_supported_entities("en"))


@pytest.mark.parametrize("missed", ["EMAIL_ADDRESS", "CREDIT_CARD"])
def test_a_missed_canary_closes_the_gate_and_names_the_type(monkeypatch, missed):
    monkeypatch.setitem(CANARIES, missed, "nothing here")
    with pytest.raises(GateClosed, match=missed):
        Scanner(DEFAULT).scan("any text")


def test_a_policy_that_requires_ner_closes_the_gate():
    with pytest.raises(GateClosed, match="NER"):
        with_policy(require_ner=True).self_test()


def test_disabling_a_recogniser_that_does_not_exist_is_wrong_usage():
    with pytest.raises(WrongUsage):
        with_policy(disabled_recognizers=("UsLicenceRecognizer",)).self_test()


def test_no_log_line_holds_a_planted_value(scanner, caplog, capfd):
    loggers = [logging.getLogger(), logging.getLogger("presidio-analyzer"), logging.getLogger("decision_process")]
    for logger in loggers:
        caplog.set_level(logging.DEBUG, logger=logger.name)
        logger.addHandler(caplog.handler)
    try:
        scanner.scan(TEXT)
        logging.getLogger("presidio-analyzer").error("Failed to validate text %s", PLANTED["IBAN_CODE"])
    finally:
        for logger in loggers:
            logger.removeHandler(caplog.handler)
    out = caplog.text + "".join(capfd.readouterr())
    assert not [value for value in PLANTED.values() if value in out]
    assert "my email_address" not in out


def test_a_timeout_that_presidio_logs_and_skips_fails_the_scan(monkeypatch):
    scanner = with_policy(name="timeout")
    (pattern,) = recognizer_of(scanner, "CreditCardRecognizer").patterns

    class Slow:
        def finditer(self, *_args, **_kwargs):
            raise TimeoutError

    monkeypatch.setattr(pattern, "compiled_regex", Slow())
    with pytest.raises(ScanFailed) as caught:
        scanner.scan("card 4111 1111 1111 1111")
    assert caught.value.reason == "scan_timeout"


def test_a_real_regex_timeout_fails_the_scan(monkeypatch):
    import regex

    scanner = with_policy(name="slow", recognizer_timeout_s=1)
    (pattern,) = recognizer_of(scanner, "CreditCardRecognizer").patterns
    monkeypatch.setattr(pattern, "compiled_regex", regex.compile(r"(?:1|2|12)*[a-z]"))
    try:
        with pytest.raises(ScanFailed) as caught:
            scanner.scan("12" * 200 + "!")
    finally:
        presidio._set_regex_timeout(DEFAULT.recognizer_timeout_s)
    assert caught.value.reason == "scan_timeout"


def test_a_warning_fails_the_scan_and_the_next_one_starts_clean(monkeypatch):
    scanner = with_policy(name="warns")

    def warn(*_args, **_kwargs):
        logging.getLogger("presidio-analyzer").error("Failed to validate text %s", "x")
        return []

    with monkeypatch.context() as patch:
        failing(scanner, "IbanRecognizer", "analyze", warn, patch)
        with pytest.raises(ScanFailed) as caught:
            scanner.scan("text")
        assert caught.value.reason == "scan_failed"
    assert scanner.scan("text") == ()


def test_an_exception_fails_the_scan_without_its_text(monkeypatch):
    scanner = with_policy(name="raises")

    def fail(text, *_args, **_kwargs):
        raise ValueError(text)

    failing(scanner, "UrlRecognizer", "analyze", fail, monkeypatch)
    assert "UrlRecognizer" in scanner._proven.path
    with pytest.raises(ScanFailed) as caught:
        scanner.scan("planted.person@example.com")
    assert "planted" not in str(caught.value) + caught.value.hint
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("name", "method", "text"),
    [
        ("CreditCardRecognizer", "validate_result", "card 4111 1111 1111 1111"),
        ("IpRecognizer", "invalidate_result", "ip 192.0.2.17"),
        ("IbanRecognizer", "validate_result", "iban DE89370400440532013000"),
    ],
)
def test_a_validator_that_raises_or_warns_on_the_fast_path_fails_the_scan(monkeypatch, name, method, text):
    scanner = with_policy(name="validators")

    def fail(value):
        raise ValueError(value)

    def warn(value):
        logging.getLogger("presidio-analyzer").warning("%s", value)

    for broken in (fail, warn):
        with monkeypatch.context() as patch:
            failing(scanner, name, method, broken, patch)
            assert scanner._proven.path == "fast/1"
            with pytest.raises(ScanFailed) as caught:
                scanner.scan(text)
            assert caught.value.reason == "scan_failed"
    assert scanner.scan(text)


def test_an_exception_in_the_phone_search_fails_the_scan(scanner, monkeypatch):
    from lineage import fastphone

    def fail(*_args):
        raise RuntimeError

    monkeypatch.setattr(fastphone, "_tries", fail)
    with pytest.raises(ScanFailed):
        scanner.scan("order 12345")


@pytest.mark.parametrize("text", ["\ud800", "ip 192.0.2.17 \udc00", "x" * 1_000_001])
def test_a_text_that_the_tokeniser_refuses_fails_the_scan_as_in_presidio(scanner, text):
    with pytest.raises((UnicodeEncodeError, ValueError)):
        scanner._proven.engine.analyze(text, "en")
    with pytest.raises(ScanFailed):
        scanner.scan(text)


def test_the_self_test_runs_through_the_fast_path(monkeypatch):
    from lineage import fastpatterns

    assert Scanner(DEFAULT).fingerprint.path == "fast/1"
    monkeypatch.setattr(fastpatterns.Pieces, "of", lambda text: fastpatterns.Pieces((), ()))
    with pytest.raises(GateClosed, match="self-test missed"):
        Scanner(DEFAULT).scan("x")


def test_the_art9_tripwire_stops_words_at_edges_in_any_case(scanner):
    def hits(text):
        return [text[s.start : s.end_exclusive] for s in scanner.scan(text) if s.entity_type == ART9_LEXICON]

    assert hits("I have DIABETES and Mental\n Health issues") == ["DIABETES", "Mental\n Health"]
    assert hits("Gaynor ordered a cancerous-looking lamp") == []
    assert not with_policy(art9=DEFAULT.art9.model_copy(update={"enabled": False}))._lexicon


def test_the_fingerprint_covers_recognisers_and_lexicon(scanner):
    digests = {
        scanner.fingerprint.digest,
        with_policy(phone=DEFAULT.phone.model_copy(update={"regions": ("GB",)})).fingerprint.digest,
        with_policy(disabled_recognizers=(*DEFAULT.disabled_recognizers, "UrlRecognizer")).fingerprint.digest,
        with_policy(art9=DEFAULT.art9.model_copy(update={"words": ("one",)})).fingerprint.digest,
    }
    assert len(digests) == 4
    assert Scanner(DEFAULT).fingerprint == scanner.fingerprint
    assert re.fullmatch("[0-9a-f]{64}", scanner.fingerprint.digest)


FRESH = """
import json, sys
from lineage.policy import load_policy
from lineage.scan import Scanner
light = "presidio_analyzer" not in sys.modules
found = [s.entity_type for s in Scanner(load_policy("default")).scan("a@example.com")]
before = sorted({"torch", "transformers"} & sys.modules.keys())
import torch
import transformers
whole = torch.ones(2).sum().item() == 2.0 and transformers.utils.is_torch_available()
print(json.dumps([light, found, before, whole]))
"""


def test_scanning_does_not_load_torch_and_torch_loads_afterwards():
    done = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True)
    light, found, before, whole = json.loads(done.stdout.splitlines()[-1])
    assert light
    assert "EMAIL_ADDRESS" in found
    assert before == []
    assert whole
