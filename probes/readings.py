"""Five floats per token, never the logits: what one forward pass leaves behind.

From them come LOSS, Zlib, Min-K%, Min-K%++, exact match, greedy extraction at every split and the exact (n,p)
extraction probability; with a second pass of the bare base also every score of gains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from probes.decoding import DecodingScheme

__all__ = ["TokenReadings", "read_logits", "scheme_log_p"]

Floats = np.ndarray
IMPOSSIBLE = -1e3  # nats: below, the probability is 0 in float64, and 0 times -inf would not be
LOGITS_AT_ONCE = 2**24  # 128 MiB of float64


@dataclass(frozen=True, slots=True, eq=False)
class TokenReadings:
    """What a model thought of the loss-carrying tokens of one record, arrays of shape (n,) in float64.

    positions   index of the token in the record
    log_p       log p(token | everything before)
    mean_log_p  expectation of log p under the model's own prediction: mu = sum p log p
    sd_log_p    its standard deviation, sqrt(max(sum p (log p - mu)^2, 1e-6))
    greedy      1 where the token is the first argmax: what greedy decoding would have written
    scheme_log_p  log p(token) under the decoding scheme, -inf where top-k or top-p removes it
    """

    positions: np.ndarray
    log_p: Floats
    mean_log_p: Floats
    sd_log_p: Floats
    greedy: Floats
    scheme_log_p: Floats

    def at(self, positions: tuple[int, ...]) -> TokenReadings:
        """Only the tokens at these positions of the record."""
        keep = np.isin(self.positions, positions)
        fields = (self.log_p, self.mean_log_p, self.sd_log_p, self.greedy, self.scheme_log_p)
        return TokenReadings(self.positions[keep], *(values[keep] for values in fields))


def read_logits(logits: torch.Tensor, targets: torch.Tensor, scheme: DecodingScheme) -> np.ndarray:
    """Logits (n, V) and target ids (n) to the five floats, shape (5, n) in the order of `TokenReadings`.

    The log-softmax is taken in float64 of the float32 logits, whatever the model computed in: at 1,500 tokens and a
    nearly uniform prediction float32 rounding reaches z_t = (l_t - mu_t)/sigma_t in the sixth digit, and this costs no
    time. Min-K%++ statistics are expectations under the model's own prediction (Zhang et al. 2024, Section 4), not
    averages over the vocabulary; the variance is summed about the mean, which is the same number and does not cancel.
    """
    rows = max(1, LOGITS_AT_ONCE // logits.shape[-1])
    parts = zip(logits.split(rows), targets.split(rows), strict=True)
    return np.concatenate([_five_floats(*part, scheme) for part in parts], axis=1)


def _five_floats(logits: torch.Tensor, targets: torch.Tensor, scheme: DecodingScheme) -> np.ndarray:
    log_probs = torch.log_softmax(logits.double(), dim=-1)
    index = targets[:, None]
    probs, finite = log_probs.exp(), log_probs.clamp(min=IMPOSSIBLE)
    mean = (probs * finite).sum(-1)
    variance = (probs * (finite - mean[:, None]).square()).sum(-1)
    rows = (
        log_probs.gather(1, index)[:, 0],
        mean,
        variance.clamp(min=1e-6).sqrt(),
        (logits.argmax(-1) == targets).double(),
        scheme_log_p(log_probs, index, scheme),
    )
    return torch.stack(rows).cpu().numpy()


def scheme_log_p(log_probs: torch.Tensor, index: torch.Tensor, scheme: DecodingScheme) -> torch.Tensor:
    """log p after temperature, top-k and top-p in that order, as samplers apply them; shape (n,)."""
    warped = torch.log_softmax(log_probs / scheme.temperature, dim=-1)
    if scheme.top_k:
        kth = warped.topk(min(scheme.top_k, warped.shape[-1]), dim=-1).values[:, -1:]
        warped = torch.log_softmax(warped.masked_fill(warped < kth, -torch.inf), dim=-1)
    if scheme.top_p < 1:
        ordered, order = warped.sort(dim=-1, descending=True, stable=True)
        mass_before = ordered.exp().cumsum(-1) - ordered.exp()
        dropped = torch.zeros_like(warped, dtype=torch.bool).scatter(1, order, mass_before >= scheme.top_p)
        warped = torch.log_softmax(warped.masked_fill(dropped, -torch.inf), dim=-1)
    return warped.gather(1, index)[:, 0]
