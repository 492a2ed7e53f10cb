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

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from lineage.fastpatterns import IBAN_SHA256, InChunks, InRuns, Pieces, iban_starts, iban_window, place_of, sha256_of
from lineage.presidio import is_blank

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine, EntityRecognizer, Pattern, RecognizerResult

__all__ = ["PINNED_PRESIDIO", "FastAnalyzer", "Finding"]

PINNED_PRESIDIO = "2.2.366"
_RECIPE = "fast/1"
_PINNED_SPACY = "3.8."
_NO_OWNER = -1


class Finding(NamedTuple):
    """One finding: Presidio's type, half-open span, score and recogniser; `owner` is the recogniser's place in the engine."""

    entity_type: str
    start: int
    end: int
    score: float
    recognizer: str
    owner: int = _NO_OWNER


class FastAnalyzer:
    """Presidio's analyzer for one engine. It looks at the engine's recognisers once, when it is made."""

    def __init__(self, engine: AnalyzerEngine, language: str, min_score: float) -> None:
        self.engine = engine
        self._language = language
        self._min_score = min_score
        self._recognizers: list[Any] = [r for r in engine.registry.recognizers if r.supported_language == language]
        self._all_stock = not _is_pinned(engine, language)
        if not self._all_stock:
            self._plan = _Plan.of(self._recognizers)
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

    def forget(self) -> None:
        """Drop what is remembered of texts."""
        if not self._all_stock:
            self._tokens.forget()

    def _found(self, text: str) -> list[Finding]:
        plan, pieces = self._plan, Pieces.of(text)
        by_owner: list[list[Finding]] = [[] for _ in self._recognizers]
        for finding in plan.pattern_findings(pieces):
            by_owner[finding.owner].append(finding)
        for owner in plan.phones:
            by_owner[owner] += _phones(self._recognizers[owner], owner, text)
        by_owner = [_without_duplicates(found) if len(found) > 1 else found for found in by_owner]
        for owner in plan.ibans:
            by_owner[owner] += _ibans(self._recognizers[owner], owner, text, pieces)
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


@dataclass(frozen=True, slots=True)
class _Try:
    """One pattern of one recogniser, tried on one piece of a text at a time."""

    recognizer: Any
    pattern: Pattern
    owner: int

    def findings(self, piece: str, offset: int, timeout_s: int) -> Iterator[Finding]:
        """What `PatternRecognizer` makes of the pattern's matches."""
        recognizer, compiled = self.recognizer, self.pattern.compiled_regex
        for match in compiled.finditer(piece, timeout=timeout_s):  # type: ignore[attr-defined]
            value = match.group()
            valid = recognizer.validate_result(value)
            score = self.pattern.score
            if valid is not None:
                score = recognizer.MAX_SCORE if valid else recognizer.MIN_SCORE
            if recognizer.invalidate_result(value):
                score = recognizer.MIN_SCORE
            if value and score > recognizer.MIN_SCORE:
                start, end = match.span()
                entity_type = recognizer.supported_entities[0]
                yield Finding(entity_type, offset + start, offset + end, score, recognizer.name, self.owner)


@dataclass(slots=True)
class _Plan:
    """How each recogniser runs, by its place in the engine."""

    in_chunks: dict[Callable[[str], bool], list[_Try]] = field(default_factory=dict)
    in_runs: dict[tuple[int, int], list[_Try]] = field(default_factory=dict)
    phones: list[int] = field(default_factory=list)
    ibans: list[int] = field(default_factory=list)
    stock: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, recognizers: Sequence[EntityRecognizer]) -> _Plan:
        """Look at every recogniser and decide."""
        plan = cls()
        for owner, recognizer in enumerate(recognizers):
            if _is_pinned_phone(recognizer):
                plan.phones.append(owner)
            elif _is_pinned_iban(recognizer):
                plan.ibans.append(owner)
            elif not plan._takes_patterns(recognizer, owner):
                plan.stock.append(owner)
        return plan

    def pattern_findings(self, pieces: Pieces) -> Iterator[Finding]:
        """The findings of all pinned patterns."""
        from presidio_analyzer import pattern_recognizer

        timeout_s = pattern_recognizer.REGEX_TIMEOUT_SECONDS
        for start, chunk in pieces.chunks:
            for test, tries in self.in_chunks.items():
                if test(chunk):
                    for one in tries:
                        yield from one.findings(chunk, start, timeout_s)
        for start, window, digits, separators in pieces.runs:
            for (least_digits, least_separators), tries in self.in_runs.items():
                if digits >= least_digits and separators >= least_separators:
                    for one in tries:
                        yield from one.findings(window, start, timeout_s)

    def _takes_patterns(self, recognizer: Any, owner: int) -> bool:
        from presidio_analyzer import PatternRecognizer

        if not _runs(recognizer, PatternRecognizer) or not recognizer.patterns:
            return False
        flags = recognizer.global_regex_flags
        places = [place_of(pattern.regex, int(flags)) for pattern in recognizer.patterns]
        if None in places:
            return False
        for pattern, place in zip(recognizer.patterns, places, strict=True):
            _compile(pattern, flags)
            one = _Try(recognizer, pattern, owner)
            match place:
                case InChunks(test):
                    self.in_chunks.setdefault(test, []).append(one)
                case InRuns(digits, separators):
                    self.in_runs.setdefault((digits, separators), []).append(one)
        return True


def _compile(pattern: Any, flags: Any) -> None:
    """As PatternRecognizer does before its first use of a pattern."""
    import regex

    if not pattern.compiled_regex or pattern.compiled_with_flags != flags:
        pattern.compiled_with_flags = flags
        pattern.compiled_regex = regex.compile(pattern.regex, flags=flags)


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


def _runs(recognizer: Any, of: Any) -> bool:
    """Whether the recogniser's `analyze` is that of the class, on the class and on the object."""
    return getattr(recognizer.analyze, "__func__", None) is of.analyze


def _is_pinned_iban(recognizer: Any) -> bool:
    from presidio_analyzer.predefined_recognizers import IbanRecognizer

    return _runs(recognizer, IbanRecognizer) and [sha256_of(p.regex) for p in recognizer.patterns] == [IBAN_SHA256]


def _is_pinned_phone(recognizer: Any) -> bool:
    from presidio_analyzer.predefined_recognizers import PhoneRecognizer

    from lineage.fastphone import is_pinned

    return _runs(recognizer, PhoneRecognizer) and recognizer.leniency == 1 and is_pinned()


def _phones(recognizer: Any, owner: int, text: str) -> Iterator[Finding]:
    from lineage.fastphone import phone_spans

    for start, end in phone_spans(text, recognizer.supported_regions):
        yield Finding(recognizer.supported_entities[0], start, end, recognizer.SCORE, recognizer.name, owner)


def _ibans(recognizer: Any, owner: int, text: str, pieces: Pieces) -> Iterator[Finding]:
    """What `IbanRecognizer` makes of its pattern's matches: of each the longest part with a right check digit."""
    import regex
    from presidio_analyzer.predefined_recognizers.generic import iban_recognizer

    (pattern,) = recognizer.patterns
    compiled, end = regex.compile(pattern.regex, flags=recognizer.global_regex_flags), 0
    for start in iban_starts(pieces):
        first, window = iban_window(text, start)
        if start < end or not (
            match := compiled.match(window, start - first, timeout=iban_recognizer.REGEX_TIMEOUT_SECONDS)
        ):
            continue
        end = first + match.end()
        for group in (3, 2, 1):
            part_end = match.end(group) if match.end(group) > 0 else match.end()
            valid = recognizer.validate_result(match.string[match.start() : part_end])
            if valid is not False:
                score = recognizer.MAX_SCORE if valid else pattern.score
                yield Finding(recognizer.supported_entities[0], start, first + part_end, score, recognizer.name, owner)
                break


def _tokens(language: str) -> Any:
    from lineage.fastcontext import Tokens

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
