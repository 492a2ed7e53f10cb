"""A record's language chooses its scanner: what is found where, what is not covered, and that every scanner proves itself."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage.admit import Gate, examine
from lineage.canaries import CANARIES, COUNTRY_CANARIES
from lineage.countries import is_nir
from lineage.errors import GateClosed, WrongUsage
from lineage.languages import Scanners, primary
from lineage.policy import LanguageRule, LexiconRule, PhoneRule, Policy, load_policy
from lineage.records import PlainText
from lineage.register import RegisterIndex
from lineage.scan import ART9_LEXICON, Scanner

EUROPEAN, STRICT = load_policy("european"), load_policy("strict")

# Values of documentation, or computed; the phone numbers are the examples of libphonenumber.
SENTENCES = {
    "de": {
        "DE_TAX_ID": ("Meine Steuer-ID lautet {}.", "86095742719"),
        "DE_SOCIAL_SECURITY": ("Rentenversicherungsnummer: {}", "15070649C103"),
        "DE_HEALTH_INSURANCE": ("Die Versichertennummer ist {}, danke.", "A000500015"),
        "DE_ID_CARD": ("Personalausweis {} liegt bei.", "L01X00T44"),
        "DE_VAT_ID": ("Rechnung mit USt-IdNr. {} bitte.", "DE123456788"),
        "PHONE_NUMBER": ("Sie erreichen mich am Telefon unter {}.", "030 123456"),
        "CREDIT_CARD": ("Bitte von Karte {} abbuchen.", "4111 1111 1111 1111"),
        "IBAN_CODE": ("IBAN {}", "DE89370400440532013000"),
        ART9_LEXICON: ("Wegen meiner {} kann ich nicht öffnen.", "Schwangerschaft"),
    },
    "fr": {
        "FR_NIR": ("Mon numéro de sécurité sociale est {}.", "2 55 08 14 168 025 38"),
        "PHONE_NUMBER": ("Mon téléphone est le {}.", "01 23 45 67 89"),
        "CREDIT_CARD": ("Carte {} s'il vous plaît.", "4111 1111 1111 1111"),
        ART9_LEXICON: ("Je suis {} et en fauteuil.", "diabétique"),
    },
    "es": {
        "ES_NIF": ("Mi DNI es {}.", "12345678Z"),
        "ES_NIE": ("Mi NIE es {}.", "X1234567L"),
        "PHONE_NUMBER": ("Mi teléfono es el {}.", "810 12 34 56"),
        "CREDIT_CARD": ("La tarjeta {} caducó.", "4111 1111 1111 1111"),
        ART9_LEXICON: ("Estoy {} y no puedo subirlo.", "embarazada"),
    },
}  # fmt: skip
PLANTED = [(code, kind, *said) for code, kinds in SENTENCES.items() for kind, said in kinds.items()]


@pytest.fixture(scope="module")
def scanners() -> Scanners:
    return Scanners(EUROPEAN)


def gate(scanners: Scanners, policy: Policy = EUROPEAN) -> Gate:
    nobody = RegisterIndex([])
    return Gate(scanners.main, nobody, nobody, policy, STRICT, scanners.others)


def reason(scanners: Scanners, text: str, language: str | None) -> str:
    return examine(gate(scanners), PlainText(text), declared=[], language=language).reason


def with_language(code: str, **rule: object) -> Policy:
    given_rule = {
        "phone": PhoneRule(regions=("IT",), context=("telefono",)),
        "art9": LexiconRule(enabled=False),
        **rule,
    }
    return EUROPEAN.model_copy(update={"languages": {code: LanguageRule(**given_rule)}})


@pytest.mark.parametrize(("code", "kind", "sentence", "value"), PLANTED, ids=[f"{c}-{k}" for c, k, *_ in PLANTED])
def test_a_planted_value_is_found_in_its_language(scanners, code, kind, sentence, value):
    text = sentence.format(value)
    found = {(s.entity_type, text[s.start : s.end_exclusive]) for s in scanners.by_language[code].scan(text)}
    assert (kind, value) in found


@pytest.mark.parametrize(
    ("code", "kind"), [(c, k) for c, k, *_ in PLANTED if k not in {*CANARIES, ART9_LEXICON, "DE_VAT_ID"}]
)
def test_a_number_that_a_state_gave_stops_the_record(scanners, code, kind):
    sentence, value = SENTENCES[code][kind]
    assert reason(scanners, sentence.format(value), code) in ("blocked_identifier", "quarantined_type")


def test_the_language_of_the_record_chooses(scanners):
    """The same words: a national number of Spain, a word of the French list, and nothing to an English scanner."""
    nif, word = "12345678Z", "musulman"
    assert [reason(scanners, f"{nif} is the reference", code) for code in ("en", "es")] == [
        "clean",
        "blocked_identifier",
    ]
    assert [reason(scanners, f"un {word}", code) for code in ("en", "fr")] == ["clean", "art9_lexicon"]


@pytest.mark.parametrize(
    ("tag", "expected"), [(None, "clean"), ("en", "clean"), ("en-GB", "clean"), ("DE_at", "clean"),
                          ("nl", "language_not_covered"), ("", "language_not_covered"), ("english", "language_not_covered")]
)  # fmt: skip
def test_a_language_that_nobody_scans_waits_for_a_human(scanners, tag, expected):
    assert reason(scanners, "nothing here", tag) == expected


def test_a_policy_of_one_language_covers_one_language():
    default = load_policy("default")
    alone = Scanners(default)
    assert alone.others == {}
    decision = examine(gate(alone, default), PlainText("nichts"), declared=[], language="de")
    assert (decision.verdict, decision.reason) == ("quarantine", "language_not_covered")
    assert alone.fingerprint == Scanner(default).fingerprint


def test_a_redacted_text_is_scanned_again_in_its_own_language(scanners):
    said = examine(gate(scanners), PlainText("Telefon 030 123456, Rechnung."), declared=[], language="de")
    assert (said.verdict, said.content) == ("redact", PlainText("Telefon [PHONE], Rechnung."))


# --- proof and fingerprint ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missed", ["DE_TAX_ID", "FR_NIR", "ES_NIE"])
def test_a_canary_missed_in_any_language_closes_the_gate(monkeypatch, missed):
    monkeypatch.setitem(COUNTRY_CANARIES, missed, "nothing here")
    with pytest.raises(GateClosed, match=missed):
        Scanners(EUROPEAN).self_test()


def test_there_is_a_canary_for_every_type_of_the_shipped_languages(scanners):
    claimed = {
        kind
        for code, scanner in scanners.by_language.items()
        for kind in scanner._proven.engine.get_supported_entities(code)
    }
    assert claimed <= {*CANARIES, *COUNTRY_CANARIES}
    assert claimed <= set(EUROPEAN.entities), "a type that the policy does not list"


GERMAN = ["DeBsnr", "DeLanr", "DePlz"]  # no check digit and no canary: a policy that names one does not start


def test_the_other_german_and_the_italian_recognisers_can_be_named():
    more = ("DeHandelsregisterRecognizer", "DeKfzRecognizer", "DeTaxNumberRecognizer")
    with_language("de", recognizers=more).in_language("de")
    Scanner(with_language("de", recognizers=more).in_language("de")).self_test()
    Scanner(with_language("it").in_language("it")).self_test()
    Scanner(EUROPEAN.model_copy(update={"languages": {}, "recognizers": ("UkNinoRecognizer",)})).self_test()


@pytest.mark.parametrize("name", GERMAN)
def test_a_recogniser_without_a_canary_closes_the_gate(name):
    with pytest.raises(GateClosed, match=name[2:].upper()):
        Scanner(with_language("de", recognizers=(f"{name}Recognizer",)).in_language("de")).self_test()


@pytest.mark.parametrize("name", ["AzureAILanguageRecognizer", "GLiNERRecognizer", "NoSuchRecognizer", "Pattern"])
def test_only_recognisers_of_patterns_can_be_named(name):
    """The others may call a service, and would send the text away."""
    with pytest.raises(WrongUsage, match="none of patterns"):
        Scanner(with_language("de", recognizers=(name,)).in_language("de")).self_test()


def test_the_fingerprint_covers_every_language(scanners):
    spain = EUROPEAN.languages["es"]
    changed = spain.model_copy(update={"phone": spain.phone.model_copy(update={"context": ("fijo",)})})
    other = Scanners(EUROPEAN.model_copy(update={"languages": {**EUROPEAN.languages, "es": changed}}))
    assert other.fingerprint.digest != scanners.fingerprint.digest == Scanners(EUROPEAN).fingerprint.digest
    assert scanners.tier == "patterns+register (de, en, es, fr)"
    assert scanners.blind_spots.startswith("In de, en, es, fr: ")


LAZY = """
import json, sys
from lineage.languages import Scanners
from lineage.policy import load_policy
scanners = Scanners(load_policy("european"))
unused = "presidio_analyzer" not in sys.modules
scanners.by_language["de"].scan("nichts")
print(json.dumps([unused, sorted(m[11:] for m in sys.modules if m in ("spacy.lang.de", "spacy.lang.fr", "spacy.lang.es"))]))
"""


def test_a_scanner_is_built_when_its_language_is_first_met():
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [True, ["de"]]


# --- French numbers --------------------------------------------------------------------------------------------------------

BODIES = st.from_regex(r"[12][0-9]{2}(0[1-9]|1[0-2])([0-9]{2}|2A|2B)[0-9]{6}", fullmatch=True)


def nir(body: str) -> str:
    number = int(body.replace("2A", "19").replace("2B", "18")) if "A" in body or "B" in body else int(body)
    return f"{body}{97 - number % 97:02}"


@given(BODIES, st.integers(0, 14), st.integers(1, 9))
def test_a_number_with_its_key_is_one_and_with_a_wrong_digit_it_is_not(body, place, step):
    whole = nir(body)
    assert is_nir(whole)
    assert is_nir(" ".join(whole))
    if whole[place].isdigit() and not (place in (5, 6) and whole[6] in "AB"):
        wrong = whole[:place] + str((int(whole[place]) + step) % 10) + whole[place + 1 :]
        assert not is_nir(wrong)


@pytest.mark.parametrize("text", ["", "2550814168025", "255081416802539", "ABCDEFGHIJKLMNO"])
def test_what_is_no_french_number(text):
    assert not is_nir(text)


def test_the_primary_part_of_a_tag():
    assert [primary(tag) for tag in ("en", "en-GB", "de_AT", "FR", "")] == ["en", "en", "de", "fr", ""]
