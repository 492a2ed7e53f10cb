"""Identifiers in a text: Presidio's findings and the Art. 9 tripwire, silent, and closed when in doubt.

Whatever Presidio's loggers say is swallowed, and a warning or error among it (a recogniser that timed out and was skipped)
makes the scan fail: left alone it would fail open.

The findings are stock Presidio's, found by a shorter way where that is proven equal (`fastscan`, docs/adr/0016).

A scanner proves itself before its first scan: one canary per type it claims to find (`canaries`), by the way it will scan.
Nothing it raises carries text. Between scans it remembers words of the texts, at most a fixed number (`fasttokens`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

import rfc8785

from lineage.canaries import prove
from lineage.errors import Fault, GateClosed
from lineage.folding import fold
from lineage.gazetteer import Gazetteer
from lineage.ner import model_identity, model_settings
from lineage.policy import Policy
from lineage.presidio import LOGGERS, described, stock_engine, suffix_list_sha256
from lineage.quiet import Complaint, forget_complaints, silence, worst_complaint
from lineage.tiers import blind_spots_of, has_model, tier_of

if TYPE_CHECKING:
    from lineage.fastscan import FastAnalyzer

__all__ = ["ART9_LEXICON", "Fingerprint", "ScanFailed", "Scanner", "Span"]

ART9_LEXICON = "ART9_LEXICON"


class ScanFailed(Fault):
    """A scan that cannot be trusted; `reason` says how. The record goes to quarantine, never through."""

    def __init__(self, reason: Complaint) -> None:
        super().__init__("A record could not be scanned.", hint="It was quarantined; nothing of it was admitted.")
        self.reason: Complaint = reason


class Span(NamedTuple):
    """One finding in one segment: half-open span in code points, Presidio's score in [0, 1], no value."""

    entity_type: str
    start: int
    end_exclusive: int
    score: float
    recognizer: str


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Everything about a scanner that its findings depend on. `path` is the code that finds: see `FastAnalyzer.path`."""

    presidio: str
    phonenumbers: str
    spacy: str
    regex: str
    suffix_list_sha256: str
    recognizers_sha256: str
    tier: str
    path: str
    models: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON of the fields; without models it is as it was before there were any."""
        named = {name: value for name, value in asdict(self).items() if value or name != "models"}
        return hashlib.sha256(rfc8785.dumps(named)).hexdigest()


class Scanner:
    """Finds identifiers in one text in the policy's own language. Built on first use; the same policy, the same findings.

    Records of other languages have scanners of their own: `lineage.languages`.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.tier = tier_of(policy)
        self.blind_spots = blind_spots_of(policy)
        self._gazetteer = Gazetteer.of(policy)
        words = sorted((fold(w).text for w in policy.art9.words), key=lambda w: (-len(w), w))
        alternatives = "|".join(re.escape(w) for w in words)
        self._lexicon = re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)") if policy.art9.enabled and words else None

    def __reduce__(self) -> tuple[type[Scanner], tuple[Policy]]:
        """A copy, also in another process, is a scanner of the same policy that was not used yet."""
        return type(self), (self._policy,)

    def scan(self, text: str) -> tuple[Span, ...]:
        """Presidio's findings in its own order, then hits of the name lists and of the Art. 9 lexicon.

        Raises:
            ScanFailed: a recogniser failed, warned or ran out of time.
            GateClosed: the scanner's self-test does not pass (first use only).
        """
        names = (Span("PERSON", *place, score, "Gazetteer") for place, score in self._gazetteer.names(text))
        return (*self._presidio_spans(self._proven, text), *names, *self._lexicon_spans(text))

    def self_test(self) -> None:
        """Scan one canary per enabled type, one phone per region, and one that needs its context word.

        Raises:
            GateClosed: a type is missed, or has no canary, or the policy requires a tier that is not there.
        """
        _ = self._proven

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """What produced the findings, for admission rows and cache keys."""
        analyzer = self._proven
        recognizers: Any = [described(r) for r in analyzer.engine.registry.recognizers]
        recognizers += [model_settings(self._policy)] if has_model(self._policy) else []
        recognizers += [self._gazetteer.described()] if self._policy.gazetteer.enabled else []
        return Fingerprint(
            presidio=version("presidio-analyzer"),
            phonenumbers=version("phonenumbers"),
            spacy=version("spacy"),
            regex=version("regex"),
            suffix_list_sha256=suffix_list_sha256(),
            recognizers_sha256=hashlib.sha256(rfc8785.dumps([recognizers, list(self._policy.art9.words)])).hexdigest(),
            tier=self.tier,
            path=analyzer.path,
            models=(model_identity(self._policy),) if has_model(self._policy) else (),
        )

    @cached_property
    def _proven(self) -> FastAnalyzer:
        analyzer = self._analyzer()
        self._prove(analyzer)
        return analyzer

    def _analyzer(self) -> FastAnalyzer:
        from lineage.fastscan import FastAnalyzer

        return FastAnalyzer(stock_engine(self._policy), self._policy.language, self._policy.min_score)

    def _presidio_spans(self, analyzer: FastAnalyzer, text: str) -> tuple[Span, ...]:
        silence(*LOGGERS)
        forget_complaints()
        try:
            spans = tuple(
                Span(f.entity_type, f.start, f.end, float(f.score), f.recognizer) for f in analyzer.findings(text)
            )
        except TimeoutError:
            raise ScanFailed("scan_timeout") from None
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

    def _prove(self, analyzer: FastAnalyzer) -> None:
        if self._policy.require_ner and not has_model(self._policy):
            hint = "Name a model in ner.models, or set require_ner = false and accept the blind spots."
            where = f"{self.tier} in {self._policy.language!r}"
            raise GateClosed(f"The policy requires the NER tier, and this scanner is {where}.", hint=hint)
        claimed = analyzer.engine.get_supported_entities(self._policy.language)
        prove(lambda text: self._presidio_spans(analyzer, text), claimed, self._policy)
