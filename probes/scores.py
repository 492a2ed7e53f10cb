"""Membership scores of one record from its token readings; higher is more member-like.

Each takes float arrays of shape (n,), n loss-carrying tokens, n >= 1: `log_p` is l_t under the adapter, `base_log_p` b_t
under the bare base, and d_t = l_t - b_t is the gain in nats. The verdict uses only `gain_sum`; the others are printed
beside it, because a reader may know them. `calibration` holds the two that need out-adapters.
"""

from __future__ import annotations

import math
import zlib as _zlib

import numpy as np

from probes.readings import TokenReadings

__all__ = [
    "TIE_NATS",
    "WINDOWS",
    "error_zone",
    "exact_match",
    "extraction_score",
    "gain_mean",
    "gain_sum",
    "loss",
    "min_k",
    "min_k_plus_plus",
    "tries_needed",
    "window_votes",
    "zlib_ratio",
]

TIE_NATS = 1e-6  # a model's float32 rounding in a sum of log-probabilities: what lies nearer to zero has no sign
WINDOWS = (2, 3, 4, 6, 9, 13, 18, 25, 32, 40)  # the grid of the authors' program; the paper's Equation 12 gives another
ZONE_SMOOTHING = 1e-3  # nats per token


def loss(log_p: np.ndarray) -> float:
    """LOSS: the mean token log-probability. Yeom et al. 2018 (1709.01604), Adversary 2: threshold the loss."""
    return float(np.mean(log_p))


def gain_sum(log_p: np.ndarray, base_log_p: np.ndarray) -> float:
    """SUM-LLR: sum of d_t, the log likelihood ratio of adapter and base, in nats (Neyman and Pearson 1933).

    It grows with the record, as evidence does: two records of a person weigh as much as one of their joint length.
    """
    return float(np.sum(log_p - base_log_p))


def gain_mean(log_p: np.ndarray, base_log_p: np.ndarray) -> float:
    """Ref or diff: the mean of d_t. Carlini et al. 2021 (2012.07805), Section 5.2; the base is the reference."""
    return float(np.mean(log_p - base_log_p))


def zlib_ratio(log_p: np.ndarray, text: str) -> float:
    """Zlib: mean log-probability by the size in bytes of the compressed text. Carlini et al. 2021, Section 5.2.

    `text` is what was scored (`Tokenised.learnt_text`): the size of a prompt says nothing about a completion.
    """
    return float(np.mean(log_p)) / len(_zlib.compress(text.encode()))


def min_k(log_p: np.ndarray, *, share: float = 0.2) -> float:
    """Min-K%: mean of the max(1, floor(k n)) smallest l_t. Shi et al. 2023 (2310.16789), Section 3, Equation 1."""
    lowest = max(1, math.floor(share * len(log_p)))
    return float(np.mean(np.sort(log_p)[:lowest]))


def min_k_plus_plus(readings: TokenReadings, *, share: float = 0.2) -> float:
    """Min-K%++: Min-K% of z_t = (l_t - mu_t)/sigma_t. Zhang et al. 2024 (2404.02936), Section 4.

    mu_t and sigma_t are expectations under the model's own prediction, as `TokenReadings` says.
    """
    return min_k((readings.log_p - readings.mean_log_p) / readings.sd_log_p, share=share)


def error_zone(gains: np.ndarray, greedy: np.ndarray) -> float:
    """EZ: ln[(P + c)/(N + c)], P the sum of the gains and N of the losses in d_t over the tokens that argmax gets wrong.

    Ilić et al. 2026 (2601.12104), Sections 3.3 and 3.4, as a logarithm. A record without a wrong token is the clearest member of
    all (their Appendix E.5) and gets inf. c = 0.001 n nats is ours: without it a single wrong token would weigh as
    much as none.
    """
    zone = gains[greedy == 0]
    if not len(zone):
        return math.inf
    smoothing = ZONE_SMOOTHING * len(gains)
    up, down = float(zone[zone > 0].sum()), -float(zone[zone < 0].sum())
    return math.log((up + smoothing) / (down + smoothing))


def window_votes(gains: np.ndarray) -> float:
    """WBC: mean over window lengths of the share of windows whose d_t sum above zero, a tie counting one half.

    Chen et al. 2026 (2601.02751), Section 4.1, Equation 13. A length beyond the record means the whole record, as in
    the authors' program; half a vote for a tie is ours, so that an adapter without effect scores 1/2 and not 0.
    """
    edges = np.concatenate([[0.0], np.cumsum(gains)])
    sums = [edges[w:] - edges[:-w] for w in (min(length, len(gains)) for length in WINDOWS)]
    return float(np.mean([np.mean(signs(window)) for window in sums]))


def signs(nats: np.ndarray) -> np.ndarray:
    """1 above zero, 0 below, 1/2 within float32 rounding of it."""
    return np.where(np.abs(nats) <= TIE_NATS, 0.5, nats > 0)


def exact_match(greedy: np.ndarray) -> float:
    """EM: share of tokens that teacher-forced greedy decoding gets right.

    The memorization accuracy of Tirumala et al. 2022 (2205.10770).
    """
    return float(np.mean(greedy))


def extraction_score(greedy: np.ndarray) -> float:
    """ES: 1 - k/n, k the first index from which every argmax is right; 0 when the last token is wrong.

    Extraction strength as unlearning benchmarks use it (OpenUnlearning, 2506.12618): the share of the record that its
    own beginning gives away. Their program gives 1/n where we give 0.
    """
    wrong = np.flatnonzero(greedy == 0)
    first_right = int(wrong[-1]) + 1 if len(wrong) else 0
    return 1.0 - first_right / len(greedy)


def tries_needed(log_p_z: float, *, probability: float) -> float:
    """n with 1 - (1 - p_z)^n = probability: ln(1 - p)/ln(1 - p_z) (Hayes et al. 2024, Equation 2); inf at p_z = 0."""
    p_z = math.exp(log_p_z)
    if p_z >= 1.0:
        return 1.0
    return math.inf if p_z == 0.0 else max(1.0, math.log1p(-probability) / math.log1p(-p_z))
