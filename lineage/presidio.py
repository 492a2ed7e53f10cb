"""The one doorway to Presidio: its stock engine, offline, silent, and without a claim it cannot keep.

Presidio 2.2.366 is used as it ships except where it would reach for the network or miss what it says it finds: without a
model (`lineage.ner`) the language pipeline is a blank spaCy tokeniser whose lemma is the token (empty lemmas switch context
words off without a sound); the suffix list of the e-mail recogniser comes from the tldextract package.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from lineage.countries import named_recognizer
from lineage.errors import WrongUsage
from lineage.ner import imports_allowed, model_engine
from lineage.policy import Policy
from lineage.quiet import silence
from lineage.tiers import has_model

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine, EntityRecognizer
    from presidio_analyzer.nlp_engine import NlpEngine
    from tldextract import TLDExtract

__all__ = ["LOGGERS", "described", "is_blank", "stock_engine", "suffix_list_sha256"]

LOGGERS = ("presidio-analyzer", "decision_process", "tldextract", "tldextract.cache", "spacy")
_BLANK_ENGINE_FIELDS = {"generic_tokenizer", "_blank_languages", "models", "auto_download", "nlp"}


def stock_engine(policy: Policy) -> AnalyzerEngine:
    """Presidio's analyzer with the policy's recognisers, in Presidio's order.

    Raises:
        WrongUsage: the policy disables or names a recogniser that Presidio does not have.
        GateClosed: the policy's named-entity model is not there or does not load.
    """
    silence(*LOGGERS)
    with imports_allowed(policy):
        from presidio_analyzer import AnalyzerEngine
        from presidio_analyzer.recognizer_registry import RecognizerRegistry

        nlp_engine = model_engine(policy) if has_model(policy) else _blank_engine(policy.language)
    _set_regex_timeout(policy.recognizer_timeout_s)
    languages = [policy.language]
    registry = RecognizerRegistry(supported_languages=languages)
    if has_model(policy):
        registry.load_predefined_recognizers(languages=languages, nlp_engine=nlp_engine)
    else:
        registry.load_predefined_recognizers(languages=languages)
    registry.recognizers = _chosen(list(registry.recognizers), policy)
    return AnalyzerEngine(registry=registry, nlp_engine=nlp_engine, supported_languages=languages)


def is_blank(nlp_engine: NlpEngine, language: str) -> bool:
    """Whether this is the blank tokeniser that `stock_engine` gives an analyzer, as it was made."""
    pipeline = getattr(nlp_engine, "nlp", {}).get(language)
    ours = type(nlp_engine).__module__ == __name__ and set(vars(nlp_engine)) <= _BLANK_ENGINE_FIELDS
    return ours and pipeline is not None and not pipeline.pipe_names and pipeline.lang == language


def suffix_list_sha256() -> str:
    """SHA-256 (hex) of the public suffix list that e-mail addresses are checked against."""
    return hashlib.sha256("\n".join(sorted(_offline_suffixes().tlds)).encode()).hexdigest()


def _set_regex_timeout(seconds: int) -> None:
    """Presidio reads its limit (60 s) from the environment at import; this is the same number, set afterwards."""
    from presidio_analyzer import pattern_recognizer
    from presidio_analyzer.predefined_recognizers.generic import iban_recognizer

    pattern_recognizer.REGEX_TIMEOUT_SECONDS = seconds
    iban_recognizer.REGEX_TIMEOUT_SECONDS = seconds


def _chosen(stock: list[EntityRecognizer], policy: Policy) -> list[EntityRecognizer]:
    """Presidio's recognisers in its order: without the disabled ones, e-mail offline, phones as the policy says."""
    from presidio_analyzer.predefined_recognizers import PhoneRecognizer

    off = set(policy.disabled_recognizers)
    if not has_model(policy):
        off.add("SpacyRecognizer")  # it would find nothing, and still claim PERSON
    if unknown := off - {_name(r) for r in stock} - {"CreditCardRecognizer"}:
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
    present = {_name(r) for r in stock}
    # Presidio has card numbers for four languages only; they look alike in all.
    named = dict.fromkeys((*policy.recognizers, "CreditCardRecognizer"))
    added = [named_recognizer(name, policy.language) for name in named if name not in present]
    return [replaced.get(_name(r), r) for r in (*stock, *added) if _name(r) not in off]


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


def _name(recognizer: EntityRecognizer) -> str:
    return str(vars(recognizer)["name"])


def described(recognizer: EntityRecognizer) -> dict[str, object]:
    """What of a recogniser its findings depend on."""
    patterns = [[p.name, p.regex, p.score] for p in getattr(recognizer, "patterns", [])]
    return {
        "name": _name(recognizer),
        "entities": sorted(recognizer.supported_entities),
        "context": list(recognizer.context or []),
        "patterns": patterns,
        "regions": list(getattr(recognizer, "supported_regions", ())),
    }
