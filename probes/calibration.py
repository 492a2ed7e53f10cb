"""The membership scores that compare with models which never saw the record: RMIA, offline LiRA, and SPV-MIA's calibration.

All take one number per record and model, the mean log-probability of its loss-carrying tokens (`scores.loss`), so the
readings that the verdict needs anyway are enough. K is the number of out-adapters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats
from scipy.special import logsumexp

from probes.scores import signs
from probes.stats import Abstained, prediction_test

__all__ = ["POPULATION_NEEDED", "lira_offline", "log_ratio", "rmia", "self_prompt_gain"]

POPULATION_NEEDED = 10  # with fewer, RMIA moves in steps of more than a tenth


def log_ratio(own: np.ndarray | float, outs: np.ndarray) -> np.ndarray:
    """ln(p/q) of each record: p under the suspect (n,), q the mean probability over the out-adapters (K, n).

    Zarifzadeh et al. 2024 (2312.03262), where Pr(x) is the average over reference models. A record's probability is
    the geometric mean of its tokens', so that records of different length compare. All reference models are out-models
    here, as in their offline attack; its linear correction for the missing in-models is left out, because it assumes
    that the probability of a member is near 1.
    """
    outs = np.atleast_1d(outs)
    return np.asarray(own) - (logsumexp(outs, axis=0) - math.log(len(outs)))


def rmia(record: float, population: np.ndarray, *, gamma: float = 1.0) -> float | Abstained:
    """RMIA: share of control records z with (p_x/q_x)/(p_z/q_z) > gamma; a tie counts one half.

    Zarifzadeh et al. 2024. `record` and `population` (n,) are log ratios under the same suspect. gamma = 1
    is the only threshold that does not depend on how many nats a token can gain.
    """
    if len(population) < POPULATION_NEEDED:
        return Abstained(f"{len(population)} control records; at least {POPULATION_NEEDED} needed")
    return float(np.mean(signs(record - population - math.log(gamma))))


def lira_offline(own: float, outs: Sequence[float]) -> float | Abstained:
    """LiRA, offline: -ln Pr[an out-adapter scores at least this much], in nats.

    Carlini et al. 2022 (2112.03570), Section IV-C, Equation 4, which is 1 - Pr; the logarithm ranks alike and does not
    round to 1. With few out-adapters their normal distribution becomes the Student-t predictive of K - 1 degrees. The
    score is the mean log-probability itself: the logit they take would magnify float32 rounding on a memorised record.
    """
    test = prediction_test(own, outs)
    return test if isinstance(test, Abstained) else -float(stats.t.logsf(test.t, test.k - 1))


def self_prompt_gain(own: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """SPV-MIA's calibration: each record's mean log-probability under the suspect minus that under the reference, (n,).

    Fu et al. 2023 (2311.06062), Section 4.2, practical difficulty calibration: a record is called a member when
    m(x; theta) - m(x; theta') reaches a threshold, theta the target and theta' the same base, trained on what the target
    wrote itself (`self_prompts`). Their m is the probabilistic variation of Section 4.3: the mean probability of N pairs
    of symmetric paraphrases against that of the record, an estimate of whether p has a peak there. Here m is the mean
    log-probability. Paraphrases by a mask-filling model need that model in the records' language and 2N more passes of
    either adapter; and what they put another word for, a name or a number, is what a person is remembered by.
    """
    return own - reference
