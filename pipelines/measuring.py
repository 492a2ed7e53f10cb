"""What a trained plan is worth: held-out loss of composition, shard, trunk and base, and how well it remembers.

Read through the judge's own door (`probes.target`), from PEFT directories, like any adapter in service.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lineage.records import TrainingRecord

if TYPE_CHECKING:
    from probes.readings import TokenReadings
    from probes.target import Target
    from probes.tokens import Tokenised
    from unlearn.states import BuiltState
    from unlearn.study import Trained

__all__ = ["COMPOSED_NAME", "TRUNK_NAME", "Measured", "adapters_of", "measure", "open_models"]


SHARDS_READ = 2
"""Of how many shards the loss alone is read; their mean stands for all."""


@dataclass(frozen=True)
class Measured:
    """Held-out losses in nats per token; `trunk_nll` is None without a trunk.

    `shard_auc` and `composed_auc` say how well a loss tells a learnt record from a held-out one (area under the ROC
    curve; 0.5 is chance): by the loss of the record's own shard, and by that of the composed adapter.
    """

    base_nll: float
    trunk_nll: float | None
    shard_nll: float
    composed_nll: float
    shard_auc: float
    composed_auc: float


TRUNK_NAME, COMPOSED_NAME = "trunk", "composed"


def adapters_of(trained: Trained, *, base_name: str) -> dict[str, dict[str, bytes]]:
    """The PEFT directories of a trained plan, as file names and bytes: every shard by its number, trunk, composed."""
    from unlearn.adapters import adapter_files
    from unlearn.compose import compose

    def files(built: BuiltState) -> dict[str, bytes]:
        return adapter_files(built.state.weights, trained.plan, base_name=base_name)

    parts = {shard: files(built) for shard, built in trained.standing.items()}
    found = {str(shard): content for shard, content in parts.items()}
    found[COMPOSED_NAME] = dict(compose(parts, shards=trained.plan.shards).files)
    return found | ({TRUNK_NAME: files(trained.trunk)} if trained.trunk else {})


def open_models(folders: Mapping[str, Path], *, base: str, revision: str = "") -> Target:
    """The judge's models of the directories of `adapters_of`: shards as out_N, the trunk as pre_0, and composed_post."""
    from probes.decoding import DecodingScheme
    from probes.dossier import Panel
    from probes.target import Target

    shards = {int(name): path for name, path in folders.items() if name.isdigit()}
    trunk = {0: folders[TRUNK_NAME]} if TRUNK_NAME in folders else {}
    panel = Panel(
        base=base, revision=revision or None, pre=trunk, post={}, outs=shards, composed_post=folders[COMPOSED_NAME]
    )
    return Target.open(panel, scheme=DecodingScheme())


def measure(
    models: Target,
    trained: Trained,
    *,
    held_out: Sequence[TrainingRecord],
    learnt: Sequence[TrainingRecord],
    homes: Mapping[str, int | None],
) -> Measured:
    """Read the held-out and the learnt records under every model. `homes` says in which shard a record was learnt."""
    from probes.target import BASE
    from probes.tokens import tokenise
    from probes.utility import held_out_nll

    def items(records: Sequence[TrainingRecord]) -> list[Tokenised]:
        return [tokenise(models.tokenizer, record.content, trained.plan.max_length) for record in records]

    strangers = items(held_out)
    by_model = {name: models.read(name, strangers) for name in _names(trained)}
    losses = {name: held_out_nll(found).nll for name, found in by_model.items()}
    own: list[float] = []
    for shard in sorted(trained.standing)[:SHARDS_READ]:
        found = items([record for record in learnt if homes[record.record_id] == shard])
        own += [_auc(models.read(f"out_{shard}", found), by_model[f"out_{shard}"])] if found else []
    whole = models.read("composed_post", items(learnt))
    shards = [nll for name, nll in losses.items() if name.startswith("out_")]
    return Measured(
        base_nll=round(losses[BASE], 4),
        trunk_nll=round(losses["pre_0"], 4) if trained.trunk else None,
        shard_nll=round(sum(shards) / len(shards), 4),
        composed_nll=round(losses["composed_post"], 4),
        shard_auc=round(sum(own) / len(own), 4) if own else math.nan,
        composed_auc=round(_auc(whole, by_model["composed_post"]), 4),
    )


def _names(trained: Trained) -> list[str]:
    from probes.target import BASE

    trunk = ["pre_0"] if trained.trunk else []
    return [BASE, *trunk, "composed_post", *(f"out_{shard}" for shard in sorted(trained.standing)[:SHARDS_READ])]


def _auc(learnt: Sequence[TokenReadings], strangers: Sequence[TokenReadings]) -> float:
    """Share of (learnt, stranger) pairs in which the learnt record has the lower mean loss; ties count half."""
    import numpy as np

    low, high = (
        np.array([-float(reading.log_p.mean()) for reading in found if len(reading.log_p)])
        for found in (learnt, strangers)
    )
    if not len(low) or not len(high):
        return math.nan
    return float((low[:, None] < high).mean() + 0.5 * (low[:, None] == high).mean())
