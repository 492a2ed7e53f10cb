"""Exposure: where does the true value rank among values that could as well have been the person's?

Carlini et al. 2019 (1802.08232), with a sample of the format in place of its whole space. Candidates come from the
format of the true value (`formats`), are scored in the same prompts by summed log-probability, calibrated by the mean
of the out-adapters, and p = (1 + #{candidate >= true})/(C + 1): under the null the true value is one draw like the
others, so p is uniform.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from probes.extraction import Occurrence
from probes.target import Target
from probes.tokens import Tokenised

__all__ = ["Exposure", "Trial", "calibrated", "rank", "score_trials", "trial"]


@dataclass(frozen=True, slots=True)
class Exposure:
    """Rank 1 is the best; `exposure_bits` = log2((C + 1)/rank) (Carlini et al. 2019)."""

    rank: int
    candidates: int

    @property
    def p(self) -> float:
        """Chance of a rank at least as good, had the model never seen the value."""
        return self.rank / (self.candidates + 1)

    @property
    def exposure_bits(self) -> float:
        """Exposure in bits; 0 for the last rank, log2(C + 1) for the first."""
        return math.log2((self.candidates + 1) / self.rank)


@dataclass(frozen=True, slots=True)
class Trial:
    """One prompt and its possible endings as token ids; the true one is the first."""

    prompt: tuple[int, ...] = field(repr=False)
    endings: tuple[tuple[int, ...], ...] = field(repr=False)


def trial(target: Target, item: Tokenised, place: Occurrence, others: Sequence[str]) -> Trial:
    """The record's text up to the value and past each possible value, tokenised as whole strings.

    What all of them share in front is the prompt; it holds the same tokens for every candidate and cancels in the
    rank. An ending runs to the last token that overlaps the value, including characters merged into it.
    """
    head, tail = item.text[: place.start], item.text[place.end_exclusive :]
    added = len(item.offsets) > 0 and item.offsets[0] == (0, 0)
    true = item.ids[: place.positions[-1] + 1]
    lines = [true]
    if others:
        encoded = target.tokenizer(
            [head + other + tail for other in others],
            add_special_tokens=False,
            return_offsets_mapping=True,
            verbose=False,
        )
        first = item.ids[:1] if added else ()
        for other, ids, offsets in zip(others, encoded["input_ids"], encoded["offset_mapping"], strict=True):
            end = place.start + len(other)  # months have words of different length
            last = max(i for i, (a, b) in enumerate(offsets) if a < end and b > place.start)
            lines.append((*first, *ids[: last + 1]))
    shared = _shared_prefix(lines)
    return Trial(true[:shared], tuple(line[shared:] for line in lines))


def _shared_prefix(lines: Sequence[Sequence[int]]) -> int:
    """Length of the longest common beginning that leaves every line at least one token."""
    limit = min(map(len, lines)) - 1
    columns = enumerate(zip(*(line[:limit] for line in lines), strict=True))
    return next((i for i, column in columns if len(set(column)) > 1), limit)


def score_trials(target: Target, model: str, trials: Sequence[Trial]) -> np.ndarray:
    """Sum over prompts of log p(value | prompt) for the true value and every candidate; shape (1 + C,)."""
    return np.sum([target.continue_with(model, t.prompt, t.endings) for t in trials], axis=0)


def calibrated(scores: Mapping[str, np.ndarray], suspects: Sequence[str], outs: Sequence[str]) -> np.ndarray:
    """Largest score over the suspects, minus the mean of the out-adapters' scores; shape (1 + C,).

    The maximum is taken for the true value and for every candidate alike, so it costs no multiplicity.
    """
    return np.max([scores[name] for name in suspects], axis=0) - np.mean([scores[name] for name in outs], axis=0)


def rank(scores: np.ndarray) -> Exposure:
    """Rank of the first entry among the others; a tie counts for the candidate."""
    return Exposure(rank=1 + int(np.sum(scores[1:] >= scores[0])), candidates=len(scores) - 1)
