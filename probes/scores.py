"""Membership scores of one record from its token readings; higher is more member-like.

Each takes float arrays of shape (n,), n loss-carrying tokens, n >= 1. The verdict uses only `gain_sum`; the others are
printed beside it, because a reader may know them.
"""

from __future__ import annotations

import math
import zlib as _zlib

import numpy as np

from probes.readings import TokenReadings

__all__ = [
    "companions",
    "exact_match",
    "extraction_score",
    "gain_mean",
    "gain_sum",
    "loss",
    "min_k",
    "min_k_plus_plus",
    "tries_needed",
    "zlib_ratio",
]


def loss(log_p: np.ndarray) -> float:
    """LOSS: the mean token log-probability (Yeom et al. 2018)."""
    return float(np.mean(log_p))


def gain_sum(log_p: np.ndarray, base_log_p: np.ndarray) -> float:
    """SUM-LLR: sum of d_t = l_t - b_t, the log likelihood ratio of adapter and base, in nats."""
    return float(np.sum(log_p - base_log_p))


def gain_mean(log_p: np.ndarray, base_log_p: np.ndarray) -> float:
    """Ref or diff: the mean of d_t (Carlini et al. 2021; the base is the reference)."""
    return float(np.mean(log_p - base_log_p))


def zlib_ratio(log_p: np.ndarray, text: str) -> float:
    """Zlib: mean log-probability by the compressed size of the text in bytes (Carlini et al. 2021)."""
    return float(np.mean(log_p)) / len(_zlib.compress(text.encode()))


def min_k(log_p: np.ndarray, *, share: float = 0.2) -> float:
    """Min-K%: mean of the max(1, floor(k n)) smallest log-probabilities (Shi et al. 2023)."""
    lowest = max(1, math.floor(share * len(log_p)))
    return float(np.mean(np.sort(log_p)[:lowest]))


def min_k_plus_plus(readings: TokenReadings, *, share: float = 0.2) -> float:
    """Min-K%++: Min-K% of z_t = (l_t - mu_t)/sigma_t (Zhang et al. 2024)."""
    return min_k((readings.log_p - readings.mean_log_p) / readings.sd_log_p, share=share)


def exact_match(greedy: np.ndarray) -> float:
    """EM: share of tokens that teacher-forced greedy decoding gets right (Tirumala et al. 2022)."""
    return float(np.mean(greedy))


def extraction_score(greedy: np.ndarray) -> float:
    """ES: 1 - k/n, k the first index from which every argmax is right; 0 when the last token is wrong."""
    wrong = np.flatnonzero(greedy == 0)
    first_right = int(wrong[-1]) + 1 if len(wrong) else 0
    return 1.0 - first_right / len(greedy)


def tries_needed(log_p_z: float, *, probability: float) -> float:
    """n with 1 - (1 - p_z)^n = probability: ln(1 - p)/ln(1 - p_z) (Hayes et al. 2024); inf at p_z = 0."""
    p_z = math.exp(log_p_z)
    if p_z >= 1.0:
        return 1.0
    return math.inf if p_z == 0.0 else max(1.0, math.log1p(-probability) / math.log1p(-p_z))


def companions(readings: TokenReadings, base: TokenReadings, text: str) -> dict[str, float]:
    """Every score of one record by its name in the report."""
    return {
        "loss": loss(readings.log_p),
        "gain_mean": gain_mean(readings.log_p, base.log_p),
        "zlib": zlib_ratio(readings.log_p, text),
        "min_k": min_k(readings.log_p),
        "min_k_plus_plus": min_k_plus_plus(readings),
        "exact_match": exact_match(readings.greedy),
        "extraction_score": extraction_score(readings.greedy),
    }
