"""The blind check: can a classifier that never asks the model tell members from controls by their words alone?

If it can, the groups differ in more than membership (another period, topic or format), and an attack's AUC mixes
memory with that difference. Duan et al. 2024 (2402.07841) and Das et al. 2024 (2406.16201) show published benchmarks
on which a bag of words beats every attack.

A logistic regression on hashed word counts, cross-validated. People who are named as a record's subject stay in one
fold, so that a name that recurs in one person's records does not look like a shift of the whole group.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import optimize, sparse
from scipy.special import expit

from probes.groups import Separation, separation
from probes.stats import Abstained

__all__ = ["BLIND_NEEDED", "FOLDS", "BlindCheck", "Sample", "blind_check", "shift_seen"]

BUCKETS = 2**13
FOLDS = 5
BLIND_NEEDED = 10  # of each group: two in every fold
PENALTY = 1.0  # of half the squared weights, against the summed loss: scikit-learn's C = 1
SHIFT_LEVEL = 0.05
WORD = re.compile(r"\w+")

BlindCheck = Separation | Abstained


@dataclass(frozen=True, slots=True)
class Sample:
    """A record's text, and its person (empty: nobody named). Neither leaves this module."""

    text: str = field(repr=False)
    person: str = field(repr=False, default="")


def blind_check(members: Sequence[Sample], controls: Sequence[Sample]) -> BlindCheck:
    """How well words alone separate the groups, each record scored by a classifier that was not fitted on its fold."""
    few = min(len(members), len(controls))
    if few < BLIND_NEEDED:
        return Abstained(f"{few} records in a group; {BLIND_NEEDED} needed")
    samples = [*members, *controls]
    features = _features([sample.text for sample in samples])
    truth = np.array([1.0] * len(members) + [0.0] * len(controls))
    folds = np.concatenate([_folds(members), _folds(controls)])
    scores = np.zeros(len(samples))
    for fold in range(FOLDS):
        held = folds == fold
        if len(set(truth[~held])) == 2 and held.any():
            scores[held] = _scores(features[~held], truth[~held], features[held])
    return separation(scores[: len(members)].tolist(), scores[len(members) :].tolist())


def shift_seen(found: BlindCheck) -> bool:
    """Whether words alone separate the groups better than chance would at 5%."""
    return isinstance(found, Separation) and found.p <= SHIFT_LEVEL


def _features(texts: Sequence[str]) -> sparse.csr_matrix:
    """ln(1 + count) of each hashed word, every row of length 1, and one column for ln(1 + words); shape (n, BUCKETS + 1)."""
    rows, columns, values = [], [], []
    for row, text in enumerate(texts):
        words = [zlib.crc32(word.encode()) % BUCKETS for word in WORD.findall(text.casefold())]
        buckets, counts = np.unique(np.array(words, dtype=np.int64), return_counts=True)
        weights = np.log1p(counts)
        norm = float(np.linalg.norm(weights)) or 1.0
        rows += [row] * (len(buckets) + 1)
        columns += [*buckets.tolist(), BUCKETS]
        values += [*(weights / norm).tolist(), math.log1p(len(words))]
    return sparse.csr_matrix((values, (rows, columns)), shape=(len(texts), BUCKETS + 1))


def _folds(samples: Sequence[Sample]) -> np.ndarray:
    """A fold for each record: people in turn, in the order in which they first appear; a record of nobody stands alone."""
    units: dict[object, int] = {}
    keys = [sample.person or index for index, sample in enumerate(samples)]
    return np.array([units.setdefault(key, len(units)) % FOLDS for key in keys])


def _scores(known: sparse.csr_matrix, truth: np.ndarray, unknown: sparse.csr_matrix) -> np.ndarray:
    """Logits of a logistic regression fitted on the known rows, its columns centred there; the prior is left out."""
    centre = np.asarray(known.mean(axis=0)).ravel()
    balance = np.where(truth == 1, 0.5 / truth.mean(), 0.5 / (1 - truth.mean()))

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logits = known @ weights - centre @ weights
        wrong = balance * (expit(logits) - truth)
        losses = balance * (np.logaddexp(0.0, logits) - truth * logits)
        gradient = known.T @ wrong - centre * wrong.sum()
        return float(losses.sum() + PENALTY / 2 * weights @ weights), gradient + PENALTY * weights

    fitted = optimize.minimize(loss, np.zeros(known.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return np.asarray(unknown @ fitted.x - centre @ fitted.x)
