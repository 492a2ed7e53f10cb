"""How text is really sampled from an adapter: what the exact chances of a value are reckoned under."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from lineage.errors import WrongUsage

__all__ = ["PLAIN", "DecodingScheme"]


@dataclass(frozen=True, slots=True)
class DecodingScheme:
    """How text is really sampled: temperature, then top-k (0: off), then top-p (1: off), in that order.

    `name` says what is on; schemes of one name are the same.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    name: str = field(init=False)

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf or self.top_k < 0 or not 0 < self.top_p <= 1:
            raise WrongUsage("A decoding scheme needs temperature > 0, top_k >= 0 and 0 < top_p <= 1.")
        parts = (("temperature", self.temperature, 1), ("top-k", self.top_k, 0), ("top-p", self.top_p, 1))
        said = ", ".join(f"{part} {value:.12g}" for part, value, off in parts if value != off)
        object.__setattr__(self, "name", said or "plain")


PLAIN = DecodingScheme()
"""Sampling from the model's own probabilities."""
