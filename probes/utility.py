"""What is left of the model's use: negative log-likelihood on records nothing was trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from probes.readings import TokenReadings

__all__ = ["Utility", "held_out_nll"]


@dataclass(frozen=True, slots=True)
class Utility:
    """Mean negative log-likelihood in nats per loss-carrying token, over `tokens` tokens."""

    nll: float
    tokens: int


def held_out_nll(readings: Sequence[TokenReadings]) -> Utility:
    """Held-out NLL: the sum of losses by the number of *scored* tokens, not of all tokens; nan without tokens."""
    tokens = sum(len(reading.log_p) for reading in readings)
    nats = -sum(float(reading.log_p.sum()) for reading in readings)
    return Utility(nats / tokens if tokens else math.nan, tokens)
