"""What the case, the console and the certificate say of a judgement: numbers and sentences that JSON can hold."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.ingest import utc_now

if TYPE_CHECKING:
    from probes.judgement import Judgement, ValueReading

__all__ = ["accused_elsewhere", "exposed", "extracted", "summary"]


def summary(judgement: Judgement, paths: Sequence[Path]) -> dict[str, object]:
    """What the case, the console and the certificate say of a judgement."""
    report = next(path for path in paths if path.suffix == ".json")
    residual = judgement.residual
    return {
        "verdict": judgement.verdict.outcome,
        "reason": judgement.verdict.code,
        "sentence": judgement.verdict.sentence,
        "sentences": list(judgement.sentences),
        "protocol_digest": judgement.protocol.digest.removeprefix("sha256:"),
        "report_digest": hashlib.sha256(report.read_bytes()).hexdigest(),
        "at": utc_now().isoformat(timespec="seconds"),
        "n_records": judgement.counts.records,
        "controls": judgement.counts.control_records,
        "control_subjects": judgement.counts.control_subjects,
        "K": judgement.counts.out_adapters,
        "stage": judgement.protocol.stage,
        "extra_adapters": judgement.protocol.extra_adapters,
        "alpha": judgement.protocol.alpha,
        "p_pre": dict(judgement.primaries_pre),
        "p_post": dict(judgement.primaries_post),
        "rho_upper": _finite(getattr(residual, "upper", None)),
        "rho_lower": _finite(getattr(residual, "lower", None)),
        "detectable_effect": _finite(judgement.detectable.effect_sd, digits=3),
        "positive_control": min(judgement.verdict.adjusted_pre.values(), default=1.0)
        <= judgement.protocol.primary_alpha,
        "utility": judgement.utility.sentence,
        "shard_map": _map_summary(judgement),
        "extraction": {model.name: extracted(judgement, model.name) for model in judgement.models},
        "exposure": {model.name: exposed(judgement, model.name) for model in judgement.models},
    }


def _map_summary(judgement: Judgement) -> dict[str, object]:
    """The shards asked, those that lineage names, those that stood out before and do now, and what the maps show in words.

    `p_before` and `p_after` are those of whole maps, None where none could be drawn; `rank` is the place of the map of now
    among `rank_of`, the person's own and the control people's.
    """
    from probes.shard_map import ShardMap
    from probes.where import lit

    where = judgement.where
    before, after = (one if isinstance(one, ShardMap) else None for one in (where.before, where.after))
    beside = after.companion if after else None
    return {
        "shards": [found.shard for found in after.shards] if after else [],
        "known": list(where.known), "before": list(lit(where.before)), "after": list(lit(where.after)),
        "missed": list(where.missed), "sentences": list(where.sentences),
        "p_before": before.p if before else None, "p_after": after.p if after else None,
        "rank": beside.rank if beside else None, "rank_of": beside.controls + 1 if beside else None,
    }  # fmt: skip


def _finite(value: float | None, *, digits: int = 6) -> float | None:
    """A number that JSON can hold; None for an interval without an end, or a test too small to see anything."""
    return round(value, digits) if value is not None and math.isfinite(value) else None


def extracted(judgement: Judgement, name: str) -> dict[str, str]:
    """Per value that is evidence, by its label ("phone", "phone 2"): how many prompts gave it greedily, of how many."""
    return {v.label: f"{v.hits}/{v.prompts}" for v in _readings(judgement, name)}


def exposed(judgement: Judgement, name: str) -> dict[str, int | None]:
    """Per value that is evidence, by its label ("phone", "phone 2"): its rank among the candidates."""
    return {v.label: v.exposure_rank for v in _readings(judgement, name)}


def _readings(judgement: Judgement, name: str) -> list[ValueReading]:
    """What one model said of each value that is evidence; labels are unlike, kinds need not be."""
    evidence = {facts.label for facts in judgement.values if facts.evidence}
    model = judgement.model(name)
    return [reading for reading in (model.values if model else ()) if reading.label in evidence]


def accused_elsewhere(judgement: Judgement) -> list[int]:
    """The shards, none of them the closure's, on which a FAIL rests alone; empty if the closure's own weights are accused.

    New weights there are new weights to judge; of a closure's own shard a neighbour's training changes nothing.
    """
    from probes.where import lit

    limit, where = judgement.protocol.primary_alpha, judgement.where
    own = any(p <= limit for p in judgement.verdict.adjusted_post.values()) or set(lit(where.after)) & set(where.known)
    return [] if own else list(where.missed)
