"""The one doorway to Presidio: stock pattern recognisers, offline, silent, and closed when in doubt.

Presidio 2.2.366 is used as it ships except where it would reach for the network, speak a value into a log, or fail open:
the language pipeline is a blank spaCy tokeniser whose lemma is the token (empty lemmas switch context words off without
a sound); the suffix list of the e-mail recogniser comes from the tldextract package; whatever its loggers say is
swallowed, and a warning or error among it (a recogniser that timed out and was skipped) makes the scan fail.

A scanner proves itself before its first scan: one canary per type it claims to find. It holds no state between scans,
and nothing it raises carries text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import rfc8785

from lineage.errors import Fault, GateClosed, WrongUsage
from lineage.forms import fold
from lineage.policy import Policy
from lineage.quiet import Complaint, forget_complaints, silence, without_torch, worst_complaint

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine, EntityRecognizer, RecognizerResult
    from presidio_analyzer.nlp_engine import NlpEngine
    from tldextract import TLDExtract

__all__ = ["ART9_LEXICON", "CANARIES", "Fingerprint", "ScanFailed", "Scanner", "Span"]

ART9_LEXICON = "ART9_LEXICON"

_LOGGERS = ("presidio-analyzer", "decision_process", "tldextract", "tldextract.cache", "spacy")
_CONTEXT_BOOSTED_SCORE = 0.7

# Documentation values and well-known test numbers; none belongs to a person.
CANARIES: dict[str, str] = {
    "CREDIT_CARD": "card 4111 1111 1111 1111",
    "CRYPTO": "wallet 16Yeky6GMjeNkAiNcBY7ZhrLoMSgg1BoyZ",
    "DATE_TIME": "date 2024-03-12",
    "EMAIL_ADDRESS": "email canary@example.com",
    "IBAN_CODE": "iban DE89370400440532013000",
    "IP_ADDRESS": "ip 192.0.2.17",
    "MAC_ADDRESS": "mac 00:00:5E:00:53:AF",
    "MEDICAL_LICENSE": "DEA certificate BB1388568",
    "PHONE_NUMBER": "phone +44 20 7946 0958",
    "UK_NHS": "nhs 401-023-2137",
    "URL": "website https://example.com/path",
    "US_BANK_NUMBER": "bank account 945456787654",
    "US_DRIVER_LICENSE": "driver license H12234567",
    "US_ITIN": "taxpayer itin 911-70-1234",
    "US_PASSPORT": "passport 912803456",
    "US_SSN": "social security ssn 078-05-1126",
    "UUID": "uuid 123e4567-e89b-42d3-a456-426614174000",
}


class ScanFailed(Fault):
    """A scan that cannot be trusted; `reason` says how. The record goes to quarantine, never through."""

    def __init__(self, reason: Complaint) -> None:
        super().__init__("A record could not be scanned.", hint="It was quarantined; nothing of it was admitted.")
        self.reason: Complaint = reason


@dataclass(frozen=True, slots=True)
class Span:
    """One finding in one segment: half-open span in code points, Presidio's score in [0, 1], no value."""

    entity_type: str
    start: int
    end_exclusive: int
    score: float
    recognizer: str


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Everything about a scanner that its findings depend on."""

    presidio: str
    phonenumbers: str
    spacy: str
    regex: str
    suffix_list_sha256: str
    recognizers_sha256: str
    tier: str

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON of the fields."""
        return hashlib.sha256(rfc8785.dumps(asdict(self))).hexdigest()


class Scanner:
    """Finds identifiers in one text under one policy. Built on first use; the same policy gives the same findings."""

    tier = "patterns+register"
    blind_spots = (
        "This tier finds identifiers that have a shape (cards, e-mails, phones, IBANs, addresses of machines) and people "
        "who are in the register. It does not see names, addresses, employers or descriptions of people who are not."
    )

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        words = sorted((fold(w).text for w in policy.art9.words), key=lambda w: (-len(w), w))
        alternatives = "|".join(re.escape(w) for w in words)
        self._lexicon = re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)") if policy.art9.enabled and words else None

    def scan(self, text: str) -> tuple[Span, ...]:
        """Presidio's findings in its own order, then hits of the Art. 9 lexicon.

        Raises:
            ScanFailed: a recogniser failed, warned or ran out of time.
            GateClosed: the scanner's self-test does not pass (first use only).
        """
        return (*self._stock_spans(self._proven_engine, text), *self._lexicon_spans(text))

    def self_test(self) -> None:
        """Scan one canary per enabled type, one phone per region, and one that needs its context word.

        Raises:
            GateClosed: a type is missed, or has no canary, or the policy requires a tier that is not there.
        """
        self._prove(self._build())

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """What produced the findings, for admission rows and cache keys."""
        engine = self._proven_engine
        recognizers: Any = [_described(r) for r in engine.registry.recognizers]
        return Fingerprint(
            presidio=version("presidio-analyzer"),
            phonenumbers=version("phonenumbers"),
            spacy=version("spacy"),
            regex=version("regex"),
            suffix_list_sha256=hashlib.sha256("\n".join(sorted(_offline_suffixes().tlds)).encode()).hexdigest(),
            recognizers_sha256=hashlib.sha256(rfc8785.dumps([recognizers, list(self._policy.art9.words)])).hexdigest(),
            tier=self.tier,
        )

    @cached_property
    def _proven_engine(self) -> AnalyzerEngine:
        engine = self._build()
        self._prove(engine)
        return engine

    def _build(self) -> AnalyzerEngine:
        silence(*_LOGGERS)
        with without_torch():
            from presidio_analyzer import AnalyzerEngine
            from presidio_analyzer.recognizer_registry import RecognizerRegistry
        _set_regex_timeout(self._policy.recognizer_timeout_s)
        languages = [self._policy.language]
        registry = RecognizerRegistry(supported_languages=languages)
        registry.load_predefined_recognizers(languages=languages)
        registry.recognizers = _chosen(list(registry.recognizers), self._policy)
        return AnalyzerEngine(registry=registry, nlp_engine=_blank_engine(languages[0]), supported_languages=languages)

    def _stock_spans(self, engine: AnalyzerEngine, text: str) -> tuple[Span, ...]:
        silence(*_LOGGERS)
        forget_complaints()
        try:
            # No `entities`: Presidio turns a given list into a set, and the order of findings would vary by process.
            results = engine.analyze(text, self._policy.language, score_threshold=self._policy.min_score)
            spans = tuple(Span(r.entity_type, r.start, r.end, float(r.score), _found_by(r)) for r in results)
        except Exception:  # noqa: BLE001 - whatever a recogniser raises may quote the text; it closes the gate, nameless
            raise ScanFailed("scan_failed") from None
        if complaint := worst_complaint():
            raise ScanFailed(complaint)
        return spans

    def _lexicon_spans(self, text: str) -> Iterator[Span]:
        if self._lexicon is None:
            return
        folded = fold(text)
        for found in self._lexicon.finditer(folded.text):
            yield Span(ART9_LEXICON, *folded.original_span(*found.span()), 1.0, "Art9Lexicon")

    def _prove(self, engine: AnalyzerEngine) -> None:
        if self._policy.require_ner:
            hint = "Install a named-entity model, or set require_ner = false and accept its blind spots."
            raise GateClosed(f"The policy requires the NER tier, and this scanner is {self.tier}.", hint=hint)
        for entity_type in sorted(engine.get_supported_entities(self._policy.language)):
            self._expect(engine, entity_type, CANARIES.get(entity_type, ""), 0.0)
        if "PHONE_NUMBER" in engine.get_supported_entities(self._policy.language):
            for region in self._policy.phone.regions:
                self._expect(engine, "PHONE_NUMBER", _example_phone(region), 0.0)
            if self._policy.language == "en":
                text = f"{self._policy.phone.context[0]} {CANARIES['PHONE_NUMBER']}"
                self._expect(engine, "PHONE_NUMBER", text, _CONTEXT_BOOSTED_SCORE)

    def _expect(self, engine: AnalyzerEngine, entity_type: str, canary: str, min_score: float) -> None:
        found = self._stock_spans(engine, canary) if canary else ()
        if not any(s.entity_type == entity_type and s.score >= min_score for s in found):
            hint = "The gate stays closed: disable the recogniser in the policy, or repair the installation."
            raise GateClosed(f"The scanner's self-test missed {entity_type}.", hint=hint)


def _set_regex_timeout(seconds: int) -> None:
    """Presidio reads its limit (60 s) from the environment at import; this is the same number, set afterwards."""
    from presidio_analyzer import pattern_recognizer
    from presidio_analyzer.predefined_recognizers.generic import iban_recognizer

    pattern_recognizer.REGEX_TIMEOUT_SECONDS = seconds
    iban_recognizer.REGEX_TIMEOUT_SECONDS = seconds


def _chosen(stock: list[EntityRecognizer], policy: Policy) -> list[EntityRecognizer]:
    """Presidio's recognisers in its order: without the disabled ones, e-mail offline, phones as the policy says."""
    from presidio_analyzer.predefined_recognizers import PhoneRecognizer

    # Without a model SpacyRecognizer finds nothing, and would still claim PERSON.
    off = {"SpacyRecognizer", *policy.disabled_recognizers}
    if unknown := off - {_name(r) for r in stock}:
        raise WrongUsage(
            "The policy disables a recogniser that Presidio does not have.", hint=", ".join(sorted(unknown))
        )
    replaced: dict[str, EntityRecognizer] = {
        "EmailRecognizer": _offline_email(policy.language),
        "PhoneRecognizer": PhoneRecognizer(
            context=list(policy.phone.context),
            supported_language=policy.language,
            supported_regions=policy.phone.regions,
        ),
    }
    return [replaced.get(_name(r), r) for r in stock if _name(r) not in off]


def _offline_suffixes() -> TLDExtract:
    from tldextract import TLDExtract

    return TLDExtract(suffix_list_urls=(), cache_dir=None)


def _offline_email(language: str) -> EntityRecognizer:
    from presidio_analyzer.predefined_recognizers import EmailRecognizer

    suffixes = _offline_suffixes()

    class OfflineEmailRecognizer(EmailRecognizer):
        """The stock recogniser; only the suffix list is the one in the package instead of one fetched by HTTP."""

        def validate_result(self, pattern_text: str) -> bool:
            return bool(suffixes(pattern_text).fqdn)

    return OfflineEmailRecognizer(supported_language=language, name="EmailRecognizer")


def _blank_engine(language: str) -> NlpEngine:
    import spacy
    from presidio_analyzer.nlp_engine import NlpArtifacts, SlimSpacyNlpEngine
    from spacy.tokens import Doc

    class BlankEngine(SlimSpacyNlpEngine):
        """A tokeniser without a model: every token is its own lemma, so that context words are found."""

        def _doc_to_nlp_artifact(self, doc: Doc, language: str) -> NlpArtifacts:
            for token in doc:
                token.lemma_ = token.text
            return super()._doc_to_nlp_artifact(doc, language)

    engine: Any = BlankEngine(models=[{"lang_code": language, "model_name": "blank"}], auto_download=False)
    engine.nlp = {language: spacy.blank(language)}
    blank: NlpEngine = engine
    return blank


def _example_phone(region: str) -> str:
    import phonenumbers

    number = phonenumbers.example_number(region)
    return f"phone {phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)}" if number else ""


def _found_by(result: RecognizerResult) -> str:
    return str((result.recognition_metadata or {}).get(result.RECOGNIZER_NAME_KEY, ""))


def _name(recognizer: EntityRecognizer) -> str:
    return str(vars(recognizer)["name"])


def _described(recognizer: EntityRecognizer) -> dict[str, object]:
    patterns = [[p.name, p.regex, p.score] for p in getattr(recognizer, "patterns", [])]
    return {
        "name": _name(recognizer),
        "entities": sorted(recognizer.supported_entities),
        "context": list(recognizer.context or []),
        "patterns": patterns,
        "regions": list(getattr(recognizer, "supported_regions", ())),
    }
