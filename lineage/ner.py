"""Presidio's spaCy and transformers engines, offline: a model is there, or the gate stays closed.

The engines are Presidio's own, chosen by its own configuration. What is changed: nothing is ever downloaded; a token
without a lemma is its own lemma, so that context words work; and what the model finds counts only if the policy maps its
label, its score suffices and it is more than a constant that redaction left behind (a model takes `[PERSON]` for a name,
and no redacted record would ever settle).

Presidio fails open here: a transformers model that raises is logged and the text passes as clean. That log line is a
warning, and warnings fail the scan (`lineage.quiet`).
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineage.errors import GateClosed
from lineage.policy import Policy
from lineage.predictions import fitting
from lineage.quiet import without_torch
from lineage.tiers import has_model

if TYPE_CHECKING:
    from presidio_analyzer.nlp_engine import NlpEngine
    from spacy.tokens import Doc, Span

__all__ = ["imports_allowed", "installed_models", "model_engine", "model_folder", "model_identity", "model_settings"]

INSTALL = {
    "spacy": "Install the model's package, e.g. pip install en_core_web_lg-3.8.0-py3-none-any.whl, or name its folder.",
    "transformers": "Name a folder with config.json, tokenizer.json and model.safetensors; nothing is downloaded here.",
}


def imports_allowed(policy: Policy) -> AbstractContextManager[None]:
    """torch stays out of a process that scans without it; a transformers model needs it.

    Raises:
        GateClosed: a transformers model is wanted, and Presidio was loaded without torch in this process, or it is missing.
    """
    if not (has_model(policy) and policy.ner.engine == "transformers"):
        return without_torch()
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise GateClosed(f"The policy wants a transformers model, and {package} is not installed.")
    compat = sys.modules.get("thinc.compat")
    if compat is not None and not compat.has_torch:
        hint = "Run it in a process of its own."
        raise GateClosed("This process has scanned without torch and cannot run a transformers model.", hint=hint)
    return nullcontext()


def model_folder(policy: Policy) -> Path:
    """Where the files of the model of the policy's language lie.

    Raises:
        GateClosed: it is not there. Nothing is downloaded.
    """
    name, engine = policy.ner.models[policy.language], policy.ner.engine
    if Path(name).is_dir():
        return Path(name)
    if engine == "spacy":
        from spacy.util import get_package_path, is_package

        if is_package(name):
            return Path(get_package_path(name))
    raise GateClosed(
        f"The {engine} model for {policy.language!r} is not there: {Path(name).name}.", hint=INSTALL[engine]
    )


def model_engine(policy: Policy) -> NlpEngine:
    """Presidio's engine with the model of the policy's language, loaded.

    Raises:
        GateClosed: the model is not there, cannot be loaded, or has no label for a person.
    """
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    folder, language = str(model_folder(policy)), policy.language
    spacy_only = policy.ner.engine == "spacy"
    model = folder if spacy_only else {"spacy": f"blank:{language}", "transformers": folder}
    settings = {
        "nlp_engine_name": policy.ner.engine,
        "models": [{"lang_code": language, "model_name": model}],
        "ner_model_configuration": {"model_to_presidio_entity_mapping": dict(policy.ner.labels)},
    }
    try:
        provider = NlpEngineProvider(nlp_engines=_offline_engines(policy), nlp_configuration=settings)
        engine: Any = provider.create_engine()
        labels = _labels(engine.nlp[language], spacy_only=spacy_only)
    except Exception as error:  # noqa: BLE001 - a model's own code may raise anything; the gate says which model it was
        sentence = f"The {policy.ner.engine} model for {language!r} cannot be loaded: {Path(folder).name}."
        raise GateClosed(sentence, hint=f"{type(error).__name__}. {INSTALL[policy.ner.engine]}") from None
    mapped = {label: kind for label, kind in policy.ner.labels.items() if label in labels}
    if "PERSON" not in mapped.values():
        hint = f"Map one of its labels to PERSON in ner.labels; it has {', '.join(sorted(labels)) or 'none'}."
        raise GateClosed(f"The {policy.ner.engine} model for {language!r} has no label for a person.", hint=hint)
    engine.ner_model_configuration.model_to_presidio_entity_mapping = mapped
    if not spacy_only:
        _fit(engine.nlp[language], frozenset(label for label, kind in mapped.items() if kind == "PERSON"))
    loaded: NlpEngine = engine
    return loaded


def model_settings(policy: Policy) -> dict[str, object]:
    """What of the policy the model's findings depend on, for the fingerprint."""
    return {"engine": policy.ner.engine, "labels": dict(policy.ner.labels), "min_score": str(policy.ner.min_score)}


def model_identity(policy: Policy) -> str:
    """Which model it is: language, name, versions of what runs it, and a digest over the names and bytes of its files."""
    folder = model_folder(policy)
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    runs = [f"{name} {version(name)}" for name in ("torch", "transformers") if policy.ner.engine == "transformers"]
    name = Path(policy.ner.models[policy.language]).name
    return " ".join((policy.language, name, *runs, f"sha256:{digest.hexdigest()}"))


def installed_models() -> tuple[str, ...]:
    """The spaCy models that are installed as packages here."""
    with without_torch():
        from spacy.util import get_installed_models
    return tuple(sorted(get_installed_models()))


def _offline_engines(policy: Policy) -> tuple[type[NlpEngine], ...]:
    from presidio_analyzer.nlp_engine import SpacyNlpEngine, TransformersNlpEngine

    constants = {policy.constant(entity_type) for entity_type in policy.entities} | {policy.constant("")}
    constant = re.compile("|".join(re.escape(c) for c in sorted(constants)))

    def counts(entity: Span, score: float) -> bool:
        left = constant.sub("", entity.text)
        known = entity.label_ in policy.ner.labels and score >= policy.ner.min_score
        return known and any(character.isalnum() for character in left)

    class OfflineSpacy(SpacyNlpEngine):
        """The stock engine, which downloads nothing and hears only what the policy maps."""

        _download_spacy_model_if_needed = staticmethod(_refuse_download)

        def _doc_to_nlp_artifact(self, doc: Doc, language: str) -> Any:
            return super()._doc_to_nlp_artifact(_with_lemmas(doc), language)

        def _get_updated_entities(self, entities: Iterable[Span], scores: Sequence[float]) -> Any:
            return super()._get_updated_entities(*_those_that(counts, entities, scores))

    class OfflineTransformers(TransformersNlpEngine):
        """Likewise; the words of the text come from spaCy's blank tokeniser."""

        is_available = True
        _download_spacy_model_if_needed = staticmethod(_refuse_download)

        def _doc_to_nlp_artifact(self, doc: Doc, language: str) -> Any:
            return super()._doc_to_nlp_artifact(_with_lemmas(doc), language)

        def _get_updated_entities(self, entities: Iterable[Span], scores: Sequence[float]) -> Any:
            return super()._get_updated_entities(*_those_that(counts, entities, scores))

    return OfflineSpacy, OfflineTransformers


def _refuse_download(model_name: str) -> None:
    """Instead of Presidio's download, which it would do before loading; `model_folder` has found the files."""


def _with_lemmas(doc: Doc) -> Doc:
    for token in doc:
        if not token.lemma_:
            token.lemma_ = token.text
    return doc


def _those_that(counts: Any, entities: Iterable[Span], scores: Sequence[float]) -> tuple[list[Span], list[float]]:
    kept = [(e, s) for e, s in zip(entities, scores, strict=True) if counts(e, s)]
    return [entity for entity, _ in kept], [score for _, score in kept]


def _fit(nlp: Any, persons: frozenset[str]) -> None:
    from presidio_analyzer.nlp_engine.huggingface_token_pipe import FACTORY_NAME

    def tokens(text: str) -> list[tuple[int, int]]:
        return [(token.idx, token.idx + len(token)) for token in nlp.make_doc(text)]

    pipe = nlp.get_pipe(FACTORY_NAME)
    pipe.pipeline = fitting(pipe.pipeline, tokens, persons)


def _labels(nlp: Any, *, spacy_only: bool) -> set[str]:
    """The labels a loaded model can give, without the B- and I- of a transformers model."""
    if spacy_only:
        finders = [name for name in nlp.pipe_names if "doc.ents" in nlp.get_pipe_meta(name).assigns]
        return {label for name in finders for label in nlp.pipe_labels.get(name, ())}
    from presidio_analyzer.nlp_engine.huggingface_token_pipe import FACTORY_NAME

    given = nlp.get_pipe(FACTORY_NAME).pipeline.model.config.id2label.values()
    return {re.sub(r"^[BIESLU]-", "", label) for label in given} - {"O"}
