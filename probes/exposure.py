"""Exposure: where does the true value rank among values that could as well have been the person's?

Carlini et al. 2019. Candidates come from the format of the true value (its random digits drawn anew), are scored in
the same prompts by summed log-probability, calibrated by the mean of the out-adapters, and p = (1 + #{candidate >=
true})/(C + 1): under the null the true value is one draw like the others, so p is uniform.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lineage.errors import WrongUsage
from probes.dossier import PersonalValue
from probes.extraction import Occurrence
from probes.target import Target
from probes.tokens import Tokenised

__all__ = ["Exposure", "Trial", "calibrated", "candidates", "pattern_of", "rank", "score_trials", "trial"]

PEERS_NEEDED = 5
FREE_DIGITS = 7  # without peers only the last digits of a number count as random: a prefix is shared by many people


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


def pattern_of(value: PersonalValue, texts: Sequence[str]) -> str:
    """How values of this kind are made: "#" for a random digit, the literal character elsewhere.

    Other people's values of the same shape in `texts` (control records) show which digits everybody shares, such as a
    country code or an exchange. Random are the digits behind the last shared one: those before it may differ between
    people and still be anything but random (area codes come from a short list that every adapter has learnt). With
    fewer than five others the last seven digits count as random.
    """
    if value.pattern:
        if len(value.pattern) != len(value.value):
            raise WrongUsage(f"The pattern of the {value.kind} has another length than the value.")
        return value.pattern
    shape = r"(?<!\w)" + "".join(r"\d" if c.isdigit() else re.escape(c) for c in value.value) + r"(?!\w)"
    peers = {found for text in texts for found in re.findall(shape, text)} - {value.value}
    digits = [i for i, c in enumerate(value.value) if c.isdigit()]
    if len(peers) >= PEERS_NEEDED:
        columns = zip(value.value, *peers, strict=True)
        shared = [i for i, (own, *rest) in enumerate(columns) if own.isdigit() and set(rest) == {own}]
        digits = [i for i in digits if i > max(shared, default=-1)]
    else:
        digits = digits[-FREE_DIGITS:]
    return "".join("#" if i in digits else c for i, c in enumerate(value.value))


def candidates(value: str, pattern: str, *, count: int, seed: int) -> tuple[str, ...]:
    """Up to `count` different values of the pattern, none of them the true one; all of them if there are fewer."""
    free = pattern.count("#")
    space = 10**free
    true = int("0" + "".join(own for own, c in zip(value, pattern, strict=True) if c == "#"))
    # drawn from space - 1 numbers and shifted past the true one, so no candidate is lost to a collision
    drawn = random.Random(seed).sample(range(space - 1), min(count, space - 1))
    return tuple(_filled(pattern, number + (number >= true), free) for number in drawn)


def _filled(pattern: str, number: int, free: int) -> str:
    digits = iter(f"{number:0{free}d}")
    return "".join(next(digits) if c == "#" else c for c in pattern)


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
        for ids, offsets in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
            last = max(i for i, (a, b) in enumerate(offsets) if a < place.end_exclusive and b > place.start)
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
