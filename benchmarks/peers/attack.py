"""The artefact attack: can a classifier tell an erased person from one who was never there?

The attacker has the model after the erasure and the records of people, and has seen other erasures of the same method
whose answer is known. One logistic regression per left-out erasure ranks its person against controls of the same make in
the same model, so that the score is 0.5 when nothing is there to see, however few erasures there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Erasure", "Success", "attack", "fit_logistic", "wilson"]

RIDGE = 1.0
NEWTON_STEPS = 25


@dataclass(frozen=True)
class Erasure:
    """Features of the erased person, shape (d,), and of controls in the same model, shape (c, d)."""

    erased: np.ndarray
    controls: np.ndarray


@dataclass(frozen=True)
class Success:
    """AUC of the attack with a 95% interval over `people` erasures."""

    auc: float
    lower: float
    upper: float
    people: int


def attack(erasures: Sequence[Erasure]) -> Success:
    """Leave one erasure out, learn from the others, and rank the one left out; the mean share of controls it beats."""
    wins = [_wins(own, [e for e in erasures if e is not own]) for own in erasures]
    share = float(np.mean(wins))
    return Success(share, *wilson(share, len(wins)), len(wins))


def _wins(own: Erasure, others: Sequence[Erasure]) -> float:
    rows = np.concatenate([np.vstack([e.erased, e.controls]) for e in others])
    labels = np.concatenate([[1.0] + [0.0] * len(e.controls) for e in others])
    mean, scale = rows.mean(0), rows.std(0) + 1e-9
    weights = fit_logistic((rows - mean) / scale, labels)
    erased, controls = ((x - mean) / scale @ weights[1:] for x in (own.erased, own.controls))
    return float((np.sign(erased - controls) + 1).mean() / 2)


def fit_logistic(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Ridge logistic regression by Newton's method; the intercept comes first and is not penalised. Shape (d + 1,)."""
    x = np.hstack([np.ones((len(rows), 1)), rows])
    penalty = RIDGE * np.eye(x.shape[1])
    penalty[0, 0] = 1e-6
    weights = np.zeros(x.shape[1])
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        slope = x.T @ (p - labels) + penalty @ weights
        weights -= np.linalg.solve((x.T * (p * (1 - p))) @ x + penalty, slope)
    return weights


def wilson(share: float, n: int, *, z: float = 1.96) -> tuple[float, float]:
    """Wilson's (1927) interval of a share of n. A share of pairs varies less than one of n coin throws, so it is wide."""
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))
