"""What a certificate says of the probes, from what they filed as evidence (`pipelines.judged`): every judgement."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lineage import facts as f
from lineage.certificate import measured

__all__ = ["certified_probes"]

SECOND_RULE = "; exposure must also be rare among the out-adapters"


def certified_probes(probe: Mapping[str, Any]) -> tuple[f.Probe, ...]:
    """Every judgement; where there were two stages, the first one's FAIL before the second, which decides."""
    return tuple(
        f.Probe(
            stage=p["stage"] if len(stages) > 1 else None, extra_out_adapters=p.get("extra_adapters") or None,
            protocol_digest=p["protocol_digest"], judged_by="lethe-probes:1", at=datetime.fromisoformat(p["at"]),
            level=f"shards {'and composition ' if 'composed_post' in p['extraction'] else ''}of {adapter}", records=p["n_records"], controls=p["controls"],
            out_adapters=p["K"],
            thresholds=f"alpha {p['alpha']}, Holm over membership, exposure and extraction; residual ratio below 0.5{SECOND_RULE if p is not stages[0] else ''}",
            positive_control="the old adapter gave the person away" if p["positive_control"] else "nothing found before either",
            p_value=measured(p["p_post"]["membership"]) if "membership" in p["p_post"] else None,
            interval=_interval(p), detectable_effect=_detectable(p),
            verdict=p["verdict"], reason=f"{p['reason']}: {p['sentence']}", report_digest=p["report_digest"],
            shard_map=_shard_map(p.get("shard_map", {})),
        )
        for adapter, last in probe["adapters"].items()
        for stages in [[*([last["first_stage"]] if "first_stage" in last else []), last]]
        for p in stages
    )  # fmt: skip


def _detectable(p: Mapping[str, Any]) -> str:
    if p["detectable_effect"] is None:
        return f"none: membership was not tested, or no effect could be seen with {p['K']} out-adapters and power 0.8"
    return f"{p['detectable_effect']} standard deviations of the out-adapters, power 0.8"


def _interval(p: Mapping[str, Any]) -> str | None:
    if p["rho_upper"] is None or p["rho_lower"] is None:
        return None
    return f"residual ratio between {p['rho_lower']:.3f} and {p['rho_upper']:.3f} (95%, Fieller)"


def _shard_map(found: Mapping[str, Any]) -> f.ShardMap | None:
    """Shards, p-values and the rank among the control people; the shards' scores stay in the report."""
    if "rank" not in found:
        return None  # filed by a version whose certificates had no map
    before, after = (found[f"p_{when}"] for when in ("before", "after"))
    return f.ShardMap(
        known=tuple(found["known"]), lit_before=tuple(found["before"]), lit_after=tuple(found["after"]),
        p_before=None if before is None else measured(before), p_after=None if after is None else measured(after),
        rank=found["rank"], rank_of=found["rank_of"], result=" ".join(found["sentences"]),
    )  # fmt: skip
