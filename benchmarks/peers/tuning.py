"""The grid of the approximate methods, on a corpus and people that the comparison never uses.

Taken is what gives no value away and has the membership AUC nearest 0.5; the lower held-out NLL where two are close.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np

from peers import approximate, conventional
from peers.judge import Judge, auc
from peers.setting import Setting

__all__ = ["tune"]

RECIPES = {
    "GradAscent": approximate.GRAD_ASCENT,
    "GradDiff": approximate.GRAD_DIFF,
    "NPO": approximate.NPO,
    "SimNPO": approximate.SIM_NPO,
}
STEPS, RATES = (5, 10, 20), (5e-4, 1e-3, 2e-3)


def tune(setting: Setting, people: int) -> int:
    """Print values given away, membership AUC and held-out NLL for every number of steps and rate."""
    judge, kept = Judge(), conventional.train(setting)
    chosen = setting.corpus.forgotten[:people]
    unseen = judge.items([record for own in setting.corpus.unseen.values() for record in own])
    retrained = np.mean([judge.read(conventional.never(setting, kept, p), unseen).nll for p in chosen])
    print(f"before: held-out NLL {judge.read(kept.adapter, unseen).nll:.3f}; retrained {retrained:.3f}")
    for (name, recipe), steps, rate in product(RECIPES.items(), STEPS, RATES):
        given_away, memberships, nll = 0, [], []
        for person in chosen:
            after = approximate.erase(setting, kept, person, recipe=replace(recipe, steps=steps, rate=rate))
            items = judge.items(setting.corpus.trained[person])
            reading, elsewhere = judge.read(after, items), judge.read(after, unseen)
            given_away += judge.extracted(reading, items, setting.corpus.values[person])
            memberships.append(auc(reading.losses, elsewhere.losses))
            nll.append(elsewhere.nll)
        print(f"{name:10} {steps:3} steps at {rate:.0e}: {given_away} given away, AUC {np.mean(memberships):.2f}, "
              f"NLL {np.mean(nll):.3f}", flush=True)  # fmt: skip
    return 0
