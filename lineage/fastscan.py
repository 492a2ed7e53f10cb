"""Stock Presidio's findings for less work: type, span, score, recogniser and order are those of `AnalyzerEngine.analyze`.

What is found is decided by the stock objects: their compiled patterns, validators, context words and thresholds, called
with the strings that Presidio would call them with. Only the places where they are tried are fewer, and what Presidio
builds for explanations is not built. Each shortcut is argued where it stands:

* `fastpatterns`: which parts of a text a pattern has to be tried on
* `fastphone`: one search for phone candidates for all regions
* `fastcontext`: tokens near findings only

Then follow Presidio's own steps: duplicates within a recogniser, context words, the score threshold, duplicates over all,
order. What is not as pinned is not shortened: a recogniser with another `analyze` or with a pattern of another text runs
stock within the scan; another version of Presidio, a language pipeline that is not our blank one, another context enhancer
or a recogniser that enhances its own results makes every scan stock. `path` says which it is.

The comparison with stock is `tests/lineage/test_fastscan.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import version
from itertools import groupby
from typing import TYPE_CHECKING, Any

from lineage.fastpatterns import Pieces
from lineage.fastplan import Finding, Plan, ibans_of, phones_of
from lineage.presidio import is_blank

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine, RecognizerResult

__all__ = ["PINNED_PRESIDIO", "FastAnalyzer", "Finding"]

PINNED_PRESIDIO = "2.2.366"
_RECIPE = "fast/1"
_PINNED_SPACY = "3.8."


class FastAnalyzer:
    """Presidio's analyzer for one engine. It looks at the engine's recognisers once, when it is made."""

    def __init__(self, engine: AnalyzerEngine, language: str, min_score: float) -> None:
        self.engine = engine
        self._language = language
        self._min_score = min_score
        self._recognizers: list[Any] = [r for r in engine.registry.recognizers if r.supported_language == language]
        self._all_stock = not _is_pinned(engine, language)
        if not self._all_stock:
            self._plan = Plan.of(self._recognizers)
            self._tokens = _tokens(language)
            # An empty context word matches everything and counts for nothing in Presidio: see `_is_pinned`.
            self._words = [[word.lower() for word in r.context or ()] for r in self._recognizers]

    @property
    def path(self) -> str:
        """Which code finds: "stock", or the name of this recipe with the recognisers that run stock in it."""
        if self._all_stock:
            return "stock"
        return " ".join([_RECIPE, *sorted(self._recognizers[owner].name for owner in self._plan.stock)])

    def findings(self, text: str) -> list[Finding]:
        """What `engine.analyze` finds in a text, in its order.

        Raises:
            TimeoutError: a pattern ran out of time.
            Exception: whatever a recogniser raises, or ValueError where spaCy refuses the text. It may quote the text.
        """
        if self._all_stock:
            results = self.engine.analyze(text, self._language, score_threshold=self._min_score)
            return [Finding(r.entity_type, r.start, r.end, r.score, _found_by(r)) for r in results]
        _refuse_as_spacy_does(text, self.engine, self._language)
        found = self._raised_by_context(text, self._found(text))
        return _in_order(_without_duplicates(f for f in found if f.score >= self._min_score))

    def _found(self, text: str) -> list[Finding]:
        plan, pieces = self._plan, Pieces.of(text)
        by_owner: list[list[Finding]] = [[] for _ in self._recognizers]
        for finding in plan.pattern_findings(pieces):
            by_owner[finding.owner].append(finding)
        for owner in plan.phones:
            by_owner[owner] += phones_of(self._recognizers[owner], owner, text)
        by_owner = [_without_duplicates(found) if len(found) > 1 else found for found in by_owner]
        for owner in plan.ibans:
            by_owner[owner] += ibans_of(self._recognizers[owner], owner, text, pieces)
        for owner in plan.stock:
            for finding in self._stock_findings(owner, text):
                by_owner[finding.owner].append(finding)
        return [finding for found in by_owner for finding in found]

    def _stock_findings(self, owner: int, text: str) -> Iterator[Finding]:
        """A recogniser's own `analyze`, as the engine would call it and take down its results."""
        recognizer = self._recognizers[owner]
        artifacts = self.engine.nlp_engine.process_text(text, self._language)
        entities = self.engine.get_supported_entities(self._language)
        owners = {r.id: place for place, r in enumerate(self._recognizers)}
        for result in recognizer.analyze(text=text, entities=entities, nlp_artifacts=artifacts) or ():
            metadata = result.recognition_metadata or {}
            place = owners.get(metadata.get(result.RECOGNIZER_IDENTIFIER_KEY, recognizer.id))
            if place is not None:
                name = metadata.get(result.RECOGNIZER_NAME_KEY, recognizer.name)
                yield Finding(result.entity_type, result.start, result.end, result.score, name, place)

    def _raised_by_context(self, text: str, found: list[Finding]) -> list[Finding]:
        """Presidio's context enhancement: once a finding, at most to 1, and at least to its minimum with context."""
        wanting = list(self._wanting_context(text, found))
        if not wanting:
            return found
        from lineage.fastcontext import Surroundings

        enhancer: Any = self.engine.context_aware_enhancer
        surroundings = Surroundings(self._tokens, text)
        for index in wanting:
            finding = found[index]
            if finding.owner in self._plan.stock:
                surroundings.around(finding.start)  # refuses a place without a token
            if surroundings.hold(finding.start, self._words[finding.owner]):
                score = max(
                    finding.score + enhancer.context_similarity_factor, enhancer.min_score_with_context_similarity
                )
                found[index] = finding._replace(score=min(score, enhancer.MAX_SCORE))
        return found

    def _wanting_context(self, text: str, found: list[Finding]) -> Iterator[int]:
        """The findings that a context word may stand near: one of their recogniser's is in the text."""
        lowered = text.lower()
        wanting: dict[int, bool] = {}
        for index, finding in enumerate(found):
            owner = finding.owner
            if owner not in wanting:
                words = self._words[owner]
                # A recogniser that runs stock may report a place without a token, which Presidio refuses, words or not.
                here = (not word.isascii() or word in lowered for word in words)
                wanting[owner] = bool(words) if owner in self._plan.stock else any(here)
            if wanting[owner]:
                yield index


def _is_pinned(engine: AnalyzerEngine, language: str) -> bool:
    """Whether the flow of a scan, apart from single recognisers, is the one this module was written against."""
    from presidio_analyzer import AnalyzerEngine, EntityRecognizer
    from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer

    enhancer: Any = engine.context_aware_enhancer
    own: Any = EntityRecognizer.enhance_using_context
    return (
        version("presidio-analyzer") == PINNED_PRESIDIO
        and version("spacy").startswith(_PINNED_SPACY)
        and type(engine) is AnalyzerEngine
        and is_blank(engine.nlp_engine, language)
        and type(enhancer) is LemmaContextAwareEnhancer
        and (enhancer.context_prefix_count, enhancer.context_suffix_count) == (5, 0)
        and enhancer.context_matching_mode == "substring"
        and all(getattr(r.enhance_using_context, "__func__", None) is own for r in engine.registry.recognizers)
        and all(all(r.context or ()) for r in engine.registry.recognizers)
    )


def _tokens(language: str) -> Any:
    from lineage.fasttokens import Tokens

    return Tokens(language)


def _refuse_as_spacy_does(text: str, engine: AnalyzerEngine, language: str) -> None:
    """Presidio tokenises every text, so what spaCy cannot take fails there, findings or not."""
    pipelines: Any = engine.nlp_engine
    if len(text) > pipelines.nlp[language].max_length:
        raise ValueError
    text.encode()


def _without_duplicates(found: Iterable[Finding]) -> list[Finding]:
    """`EntityRecognizer.remove_duplicates`: equal findings once, none inside one of its type with at least its score."""
    unique = {finding[:4]: finding for finding in reversed(list(found))}
    kept: list[Finding] = []
    ordered = sorted(unique.values(), key=lambda f: (f.entity_type, f.start, f.start - f.end, -f.score))
    for _, same_type in groupby(ordered, key=lambda f: f.entity_type):
        active: list[Finding] = []
        for finding in same_type:
            active = [other for other in active if other.end >= finding.start]
            if finding.score and not any(finding.end <= o.end and finding.score <= o.score for o in active):
                kept.append(finding)
                active.append(finding)
    return kept


def _in_order(found: list[Finding]) -> list[Finding]:
    """Presidio's order: score, then place, then length; stable over types in alphabetical order."""
    return sorted(found, key=lambda f: (-f.score, f.start, f.start - f.end))


def _found_by(result: RecognizerResult) -> str:
    return str((result.recognition_metadata or {}).get(result.RECOGNIZER_NAME_KEY, ""))
