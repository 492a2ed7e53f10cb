"""How each recogniser of an engine runs: its patterns in pieces of a text, the phone search, IBANs in windows, or stock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from lineage.fastpatterns import IBAN_SHA256, InChunks, InRuns, Pieces, iban_starts, iban_window, place_of, sha256_of

if TYPE_CHECKING:
    from presidio_analyzer import EntityRecognizer, Pattern

__all__ = ["Finding", "Plan", "Try", "ibans_of", "phones_of"]

_NO_OWNER = -1


class Finding(NamedTuple):
    """One finding: Presidio's type, half-open span, score and recogniser; `owner` is the recogniser's place in the engine."""

    entity_type: str
    start: int
    end: int
    score: float
    recognizer: str
    owner: int = _NO_OWNER


@dataclass(frozen=True, slots=True)
class Try:
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
class Plan:
    """How each recogniser runs, by its place in the engine."""

    in_chunks: dict[Callable[[str], bool], list[Try]] = field(default_factory=dict)
    in_runs: dict[tuple[int, int], list[Try]] = field(default_factory=dict)
    phones: list[int] = field(default_factory=list)
    ibans: list[int] = field(default_factory=list)
    stock: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, recognizers: Sequence[EntityRecognizer]) -> Plan:
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
            one = Try(recognizer, pattern, owner)
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


def phones_of(recognizer: Any, owner: int, text: str) -> Iterator[Finding]:
    """What `PhoneRecognizer` finds, region by region."""
    from lineage.fastphone import phone_spans

    for start, end in phone_spans(text, recognizer.supported_regions):
        yield Finding(recognizer.supported_entities[0], start, end, recognizer.SCORE, recognizer.name, owner)


def ibans_of(recognizer: Any, owner: int, text: str, pieces: Pieces) -> Iterator[Finding]:
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
