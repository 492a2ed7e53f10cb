"""One case, start to end: read, test, decide.

`judge` is deterministic: same dossier, panel and protocol, same numbers (up to the rounding of another machine).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from probes.bench import Bench, Progress, lay_out
from probes.canaries import CanaryReading, lit_twins, missed, read_canaries
from probes.companions import subject_scores
from probes.confirm import exposure_of_stage
from probes.dossier import Dossier, Panel, Protocol
from probes.exposure import calibrated, rank
from probes.extraction import verbatim
from probes.judgement import Counts, Detectable, Judgement, ModelReading, ValueReading
from probes.membership import Membership, corrected, membership_p, ratio_input, residual_ratio, shard_membership, total
from probes.scores import tries_needed
from probes.sentences import LIMITS, three_sentences
from probes.stats import Abstained, adapters_needed, detectable_effect
from probes.utility import held_out_nll, upkeep
from probes.values import (
    ValueAssay,
    assay_values,
    extraction_primary,
    given_without_p,
    known_before,
    largest_extraction_p,
)
from probes.verdict import Evidence, decide
from probes.where import Whereabouts, find_whereabouts, lit

__all__ = ["judge"]


def judge(dossier: Dossier, panel: Panel, protocol: Protocol, *, progress: Progress | None = None) -> Judgement:
    """Probe the panel for one person and decide.

    Raises:
        WrongUsage: the inputs do not belong together, a model is missing, or a chat template cannot be used.
    """
    report = progress or _silent
    bench = lay_out(dossier, panel, protocol, progress=report)
    assays = assay_values(bench, progress=report)
    membership = _memberships(bench)
    canaries = read_canaries(bench)
    where = find_whereabouts(bench)
    evidence = _evidence(bench, assays, membership, canaries, where=where)
    verdict = decide(evidence, protocol)
    values = tuple(assay.facts for assay in assays)
    counts = _counts(bench, assays, evidence.control_subjects)
    models = tuple(_model_reading(bench, assays, membership, name) for name in bench.readings)
    detectable = _detectable(bench, assays, membership, tests=verdict.adjusted_post)
    return Judgement(
        case_handle=dossier.case_handle,
        verdict=verdict,
        sentences=three_sentences(verdict, counts, models, values=values, detectable=detectable, protocol=protocol),
        counts=counts,
        primaries_pre=evidence.pre,
        primaries_post=evidence.post,
        extraction_empirical_p=_empirical_p(bench, assays),
        membership=membership,
        where=where,
        residual=evidence.residual,
        adapters_needed=evidence.adapters_needed,
        detectable=detectable,
        values=values,
        models=models,
        canaries=canaries or Abstained(dossier.canary_note),
        companions={side: subject_scores(bench, side) for side in ("pre", "post")},
        utility=upkeep(bench),
        limits=LIMITS,
        protocol=protocol,
    )


def _silent(done: int, steps: int, what: str) -> None:
    """Report no progress."""


def _memberships(bench: Bench) -> tuple[Membership, ...]:
    """The subject statistic of every closure shard that holds learnt tokens of the subject."""
    found = []
    for shard in sorted(bench.panel.pre):
        names = (f"pre_{shard}", f"post_{shard}", *bench.outs)
        subject = {name: bench.subject_gains(name, shard) for name in names}
        control = {name: bench.control_gain(name) for name in names}
        if total(subject[names[0]]).tokens:
            found.append(shard_membership(shard, subject, control, outs=bench.outs))
    return tuple(found)


def _evidence(
    bench: Bench,
    assays: tuple[ValueAssay, ...],
    membership: tuple[Membership, ...],
    canaries: tuple[CanaryReading, ...],
    *,
    where: Whereabouts,
) -> Evidence:
    """Everything the verdict may look at."""
    return Evidence(
        pre=_primaries(bench, assays, membership, side="pre"),
        post=_primaries(bench, assays, membership, side="post"),
        residual=residual_ratio(membership),
        adapters_needed=_adapters_needed(membership, bench.protocol),
        control_subjects=len(bench.control_people()),
        canaries_missed=missed(canaries),
        twins_lit=lit_twins(canaries),
        known_before=known_before(assays, bench),
        lit_own=tuple(shard for shard in lit(where.after) if shard in where.known),
        lit_elsewhere=where.missed,
        copies=bench.dossier.copies,
        given=given_without_p(assays, bench),
    )


def _empirical_p(bench: Bench, assays: tuple[ValueAssay, ...]) -> float | None:
    """The extraction primary's empirical companion for the new adapter, if there is one."""
    found = extraction_primary(assays, bench, side="post")
    return None if isinstance(found, Abstained) else found[1]


def _primaries(
    bench: Bench, assays: tuple[ValueAssay, ...], membership: tuple[Membership, ...], *, side: str
) -> dict[str, float]:
    """Raw p-values of the primaries that exist for this dossier."""
    extraction = extraction_primary(assays, bench, side=side)
    found = {
        "membership": membership_p(membership, side),
        "exposure": exposure_of_stage(assays, bench, side=side),
        "extraction": extraction if isinstance(extraction, Abstained) else extraction[0],
    }
    return {name: p for name, p in found.items() if not isinstance(p, Abstained)}


def _adapters_needed(membership: tuple[Membership, ...], protocol: Protocol) -> int | None:
    ratio = ratio_input(membership)
    return None if isinstance(ratio, Abstained) else adapters_needed(ratio, bound=protocol.rho_bound)


def _detectable(
    bench: Bench, assays: tuple[ValueAssay, ...], membership: tuple[Membership, ...], *, tests: Mapping[str, float]
) -> Detectable:
    """At the strictest level Holm can ask for: alpha by the number of primaries, and of shards.

    What was not tested could not have been flagged. The share is that of one shard's signal, so it needs a single shard.
    """
    protocol = bench.protocol
    level = protocol.primary_alpha / max(1, len(tests))
    effect, share = math.inf, None
    if "membership" in tests:
        effect = detectable_effect(protocol.out_adapters, alpha=level / len(membership))
        ratio = ratio_input(membership)
        if len(membership) == 1 and not isinstance(ratio, Abstained) and ratio.denominator > 0:
            share = effect * math.sqrt(ratio.own_var) / ratio.denominator
    limit = protocol.extractable_log_p
    flagged = "extraction" in tests and largest_extraction_p(assays, bench, log_p_z=limit) <= level
    return Detectable(effect, share, math.exp(limit) if flagged else math.inf)


def _counts(bench: Bench, assays: tuple[ValueAssay, ...], control_subjects: int) -> Counts:
    return Counts(
        records=len(bench.subject),
        tokens=sum(len(item.loss_positions()) for item in bench.subject),
        shards=len(bench.panel.pre),
        values=len(assays),
        evidence_values=sum(assay.facts.evidence for assay in assays),
        control_subjects=control_subjects,
        control_records=len(bench.control),
        out_adapters=len(bench.outs),
        candidates=bench.protocol.candidates,
    )


def _model_reading(
    bench: Bench, assays: tuple[ValueAssay, ...], membership: tuple[Membership, ...], name: str
) -> ModelReading:
    role, _, shard = name.partition("_") if name[-1].isdigit() else (name, "", "")
    role, shard = ("out", "") if role == "extra" else (role, shard)  # a null model of no shard
    tests = {f"{side}_{m.shard}": getattr(m, side) for m in membership for side in ("pre", "post")}
    test = tests.get(name, Abstained("another recipe than the null models'"))
    tested = not isinstance(test, Abstained)
    evidence = [a for a in assays if a.facts.evidence]
    return ModelReading(
        name=name,
        role=role,
        shard=int(shard) if shard else None,
        greedy_hits=sum(a.extraction[name].hits > 0 for a in evidence),
        greedy_values=len(evidence),
        values=tuple(_value_reading(bench, assay, name) for assay in assays),
        longest_verbatim=max((int(verbatim(r).max(initial=0)) for r in bench.readings[name].subject), default=0),
        membership_score=_score(bench, name, int(shard) if role in {"pre", "post"} else None),
        membership_p=test.p if tested else None,
        conformal_p=test.conformal_p if tested else None,
        held_out_nll=held_out_nll(bench.readings[name].control).nll if bench.control else None,
    )


def _score(bench: Bench, name: str, shard: int | None) -> float:
    """SUM-LLR with correction: over the shard's own records for its adapters, over all records for the others."""
    return corrected(total(bench.subject_gains(name, shard)), bench.control_gain(name))


def _value_reading(bench: Bench, assay: ValueAssay, name: str) -> ValueReading:
    reading = assay.extraction[name]
    tries = tries_needed(reading.log_p_z, probability=bench.protocol.extraction_p)
    others = [out for out in bench.outs if out != name]  # an out-adapter is calibrated by the others
    found = rank(calibrated(assay.scores, [name], others)) if assay.scores else None
    return ValueReading(
        label=assay.facts.label,
        prompts=reading.prompts,
        hits=reading.hits,
        log_p_z=reading.log_p_z,
        tries=tries if math.isfinite(tries) else None,
        exposure_rank=found.rank if found else None,
        exposure_of=found.candidates + 1 if found else None,
        exposure_p=found.p if found else None,
        hint_share=reading.hint_share,
        attacks=assay.attacks.get(name, ()),
    )
