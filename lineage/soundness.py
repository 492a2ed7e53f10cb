"""What cannot be true together in a certificate, told in sentences: `lineage.statement` neither writes nor reads such facts.

The verifier asks the same of the probes in code of its own (`lineage.attested`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lineage import absence
from lineage.facts import AdapterChange, CertificateFacts, Probe, Rederivation

__all__ = ["contradictions"]

RESTS_ELSEWHERE = "the sign-off rests on lineage and re-derivation"


def contradictions(facts: CertificateFacts) -> Iterator[str]:
    """A sentence for each; a certificate with one of them is neither written nor read."""
    request = facts.request
    scanners = (facts.search.scanner, *(facts.search.further_scanners or ()))
    if not (facts.limits and facts.kept and facts.search.stores and all(one.cannot_see for one in scanners)):
        yield "A certificate names its limits, what was kept, the stores searched and what the scanner cannot see."
    if request.due < request.received or request.extended != (request.extension_reasons is not None):
        yield "The due date lies before receipt, or an extension and its reasons do not come together."
    if not facts.preview.at <= facts.purge.at <= facts.issued:
        yield "Preview, purge approval and issue are not in this order of time."
    if len({decision.record for decision in facts.decisions}) != len(facts.decisions):
        yield "Two decisions name the same record."
    if any(kind.digests and len(kind.digests) != kind.count for kind in facts.destroyed):
        yield "The count of something destroyed is not the number of its digests."
    yield from absence.contradictions(facts)
    yield from _probe_contradictions(facts.probes)
    yield from _silence_contradictions(facts)
    for adapter in facts.adapters:
        yield from _adapter_contradictions(adapter)


def _probe_contradictions(probes: Sequence[Probe]) -> Iterator[str]:
    if not all(_map_is_sound(probe) for probe in probes):
        yield "A shard map names shards or a rank that it cannot have, or one lights up and the verdict is no FAIL."
    if any((probe.extra_out_adapters or 0) > probe.out_adapters for probe in probes):
        yield "A probe has more extra out-adapters than out-adapters."
    for level in {probe.level for probe in probes if probe.stage is not None}:
        match [(probe.stage, probe.verdict) for probe in probes if probe.level == level]:
            case [(1, "FAIL"), (2, _)]:
                continue
            case _:
                yield "A second stage of the probes stands beside the first one's FAIL, and the first beside the second."


def _map_is_sound(probe: Probe) -> bool:
    """Only a drawn map lights shards up, afterwards only beside a FAIL; its rank lies among those it is a rank of."""
    found = probe.shard_map
    if found is None:
        return True
    undrawn = (found.p_before is None and found.lit_before) or (found.p_after is None and found.lit_after)
    if found.rank is None or found.rank_of is None:
        ranked = found.rank is found.rank_of
    else:
        ranked = found.p_after is not None and 1 <= found.rank <= found.rank_of
    return ranked and not undrawn and (probe.verdict == "FAIL" or not found.lit_after)


def _silence_contradictions(facts: CertificateFacts) -> Iterator[str]:
    """Probes that did not see the person even before prove nothing: lineage and re-derivation have to, and it must be said."""
    silent = [probe for probe in facts.probes if probe.reason.startswith("NO_PRE_SIGNAL")]
    if any(probe.verdict != "INCONCLUSIVE" or RESTS_ELSEWHERE not in probe.reason for probe in silent):
        yield f"A probe that saw nothing even before does not say that {RESTS_ELSEWHERE}."
    derived = [adapter.rederivation for adapter in facts.adapters]
    if silent and any(one.states_equal != one.states_compared for one in derived):
        yield "The sign-off rests on re-derivation alone, but not every state came out equal."


def _adapter_contradictions(adapter: AdapterChange) -> Iterator[str]:
    match adapter.rederivation:
        case Rederivation(grade="A", states_compared=compared, states_equal=equal) if not 0 < compared == equal:
            yield "Grade A needs a re-derivation in which every state compared was equal."
        case Rederivation(states_compared=compared, states_equal=equal) if equal > compared:
            yield "More states are equal than were compared."
    if adapter.old_digest == adapter.new_digest:
        yield "An adapter is listed as changed, but its digest is the old one."
