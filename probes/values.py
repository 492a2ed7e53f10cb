"""All personal values of a case under all models: extraction and exposure, and what they add up to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from probes.bench import Bench, Progress
from probes.dossier import PersonalValue
from probes.exposure import Trial, calibrated, candidates, pattern_of, rank, score_trials, trial
from probes.extraction import Extraction, Occurrence, best, derivable, extract, extraction_p, occurrences
from probes.judgement import ValueFacts
from probes.stats import Abstained
from probes.target import BASE

__all__ = ["ValueAssay", "assay_values", "exposure_p", "extraction_primary", "known_before"]

KNOWN_ALPHA = 0.01  # false IN_BASE rate over all values of a case


@dataclass(frozen=True, slots=True, eq=False)
class ValueAssay:
    """One value under every model. `scores` (1 + C,) per model, the true value first; empty without candidates."""

    facts: ValueFacts
    extraction: Mapping[str, Extraction]
    scores: Mapping[str, np.ndarray]


def assay_values(bench: Bench, *, progress: Progress) -> tuple[ValueAssay, ...]:
    """Measure every value but the names, in the dossier's order."""
    values = [value for value in bench.dossier.values if value.kind != "name"]
    found = []
    for done, value in enumerate(values):
        progress(done, len(values), "trying to extract values")
        found.append(_assay(bench, value, label=_label(values, done)))
    return tuple(found)


def _label(values: list[PersonalValue], index: int) -> str:
    """The kind, numbered from the second one of a kind on."""
    nth = sum(value.kind == values[index].kind for value in values[: index + 1])
    return values[index].kind if nth == 1 else f"{values[index].kind} {nth}"


def _assay(bench: Bench, value: PersonalValue, *, label: str) -> ValueAssay:
    places = occurrences(bench.subject, value)
    pattern = pattern_of(value, [item.text for item in bench.control])
    facts = _facts(bench, value, label=label, prompts=len(places), free=pattern.count("#"))
    extraction = {name: extract(places, readings.subject) for name, readings in bench.readings.items()}
    scores = _scores(bench, value.value, pattern, places) if facts.evidence and facts.random_digits else {}
    return ValueAssay(facts, extraction, scores)


def _facts(bench: Bench, value: PersonalValue, *, label: str, prompts: int, free: int) -> ValueFacts:
    reason = ""
    if derivable(value, bench.dossier.values):
        reason = "follows from the name"
    elif not prompts:
        reason = "never learnt where it could not be copied"
    return ValueFacts(label, value.kind, prompts, free, evidence=not reason, reason=reason)


def _scores(bench: Bench, value: str, pattern: str, places: tuple[Occurrence, ...]) -> dict[str, np.ndarray]:
    protocol = bench.protocol
    others = candidates(value, pattern, count=protocol.candidates, seed=protocol.candidate_seed)
    chosen = sorted(places, key=lambda place: bench.dossier.records[place.item].record.record_id)
    trials: list[Trial] = [
        trial(bench.target, bench.subject[place.item], place, others) for place in chosen[: protocol.exposure_prompts]
    ]
    return {name: score_trials(bench.target, name, trials) for name in bench.readings}


def exposure_p(assays: tuple[ValueAssay, ...], bench: Bench, *, side: str) -> float | Abstained:
    """The exposure primary: smallest rank p over the values, by their number (Bonferroni)."""
    ranked = [a for a in assays if a.scores]
    if not ranked:
        return Abstained("no value with random digits that is evidence")
    suspects = bench.panel.suspects(side)
    return min(1.0, len(ranked) * min(rank(calibrated(a.scores, suspects, bench.outs)).p for a in ranked))


def extraction_primary(assays: tuple[ValueAssay, ...], bench: Bench, *, side: str) -> tuple[float, float] | Abstained:
    """The extraction primary and its empirical companion, both by the number of values (Bonferroni)."""
    usable = [a for a in assays if a.facts.evidence and a.facts.random_digits]
    if not usable:
        return Abstained("no value with random digits that is evidence")
    pairs = [
        extraction_p(
            best(a.extraction, bench.panel.suspects(side)),
            [a.extraction[name] for name in bench.outs],
            random_digits=a.facts.random_digits,
            protocol=bench.protocol,
        )
        for a in usable
    ]
    return tuple(min(1.0, len(usable) * min(column)) for column in zip(*pairs, strict=True))


def known_before(assays: tuple[ValueAssay, ...], bench: Bench) -> tuple[str, ...]:
    """Labels of values that the base, or most out-adapters, give away or rank first without calibration."""
    evidence = [a for a in assays if a.facts.evidence]
    return tuple(a.facts.label for a in evidence if _talks(a, bench) or _ranks(a, bench, values=len(evidence)))


def _talks(assay: ValueAssay, bench: Bench) -> bool:
    limit = bench.protocol.extractable_log_p

    def gives(name: str) -> bool:
        reading = assay.extraction[name]
        return reading.hits > 0 or reading.log_p_z >= limit

    return gives(BASE) or 2 * sum(map(gives, bench.outs)) > len(bench.outs)


def _ranks(assay: ValueAssay, bench: Bench, *, values: int) -> bool:
    if not assay.scores:
        return False
    everyone = np.mean([assay.scores[name] for name in bench.outs], axis=0)
    return any(rank(scores).p <= KNOWN_ALPHA / (2 * values) for scores in (assay.scores[BASE], everyone))
