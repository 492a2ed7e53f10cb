"""What the ways of asking yield under one model: greedy hits and the exact chance per sample, no sampling anywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lineage.records import Chat
from probes.asking import MULTI_QUERY, WAYS, Ask, Asker
from probes.bench import Bench
from probes.dossier import Protocol
from probes.judgement import AttackReading
from probes.scores import tries_needed
from probes.target import Target

__all__ = ["asker_for", "chance_of_any", "read_asks"]


def asker_for(bench: Bench) -> Asker:
    """Asks as the person's records talk: in their chat form and behind their system prompt, or in plain text."""
    first = bench.dossier.records[0].record.content if bench.dossier.records else None
    opening = tuple(t for t in first.messages if t.role == "system") if isinstance(first, Chat) else None
    return Asker(
        tokenizer=bench.target.tokenizer,
        rules=bench.protocol.attacks,
        max_length=bench.protocol.max_length,
        seed=bench.protocol.candidate_seed,
        name=next((value.value for value in bench.dossier.values if value.kind == "name"), ""),
        opening=opening,
        strangers=tuple(control.record.content for control in bench.dossier.controls),
    )


def read_asks(target: Target, model: str, prompts: Sequence[Ask], protocol: Protocol) -> tuple[AttackReading, ...]:
    """One reading per way that has a prompt, and one of all prompts together."""
    rows = target.spell(model, [ask.item for ask in prompts], protocol.schemes)
    by_way = {way: [row for ask, row in zip(prompts, rows, strict=True) if ask.way == way] for way in WAYS}
    found = [_reading(way, own, protocol, together=False) for way, own in by_way.items() if own]
    return (*found, _reading(MULTI_QUERY, rows, protocol, together=True)) if rows else ()


def _reading(way: str, rows: Sequence[np.ndarray], protocol: Protocol, *, together: bool) -> AttackReading:
    """`together`: the chance that at least one prompt shows it, one sample each; else that of the best prompt."""
    hits = sum(bool(row[0].all()) for row in rows)
    by_scheme = np.array([row[1:].sum(axis=1) for row in rows]).T  # (schemes, prompts)
    found = [chance_of_any(column) if together else float(column.max()) for column in by_scheme]
    log_p_z = {scheme.name: log_p for scheme, log_p in zip(protocol.schemes, found, strict=True)}
    tries = tries_needed(max(found), probability=protocol.extraction_p) * (len(rows) if together else 1)
    return AttackReading(way, len(rows), hits, log_p_z, tries if math.isfinite(tries) else None)


def chance_of_any(log_p: Sequence[float] | np.ndarray) -> float:
    """log of 1 - prod(1 - p): at least one of independent samples, one per prompt, shows the value."""
    p = np.exp(np.minimum(log_p, 0.0))
    if p.max(initial=0.0) >= 1.0:
        return 0.0
    some = -math.expm1(float(np.log1p(-p).sum()))
    return math.log(some) if some > 0 else -math.inf
