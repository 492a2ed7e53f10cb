"""The blind check: can a classifier that never asks the model tell members from controls by their words alone?

If it can, the groups differ in more than membership (another period, topic or format), and an attack's AUC mixes
memory with that difference. Duan et al. 2024 (2402.07841) and Das et al. 2024 (2406.16201) show published benchmarks
on which a bag of words beats every attack.

A regularised least-squares classifier on hashed word counts, cross-validated. The p-value comes from dealing the labels
anew: scores of a cross-validation lean on each other, and the usual rank test would raise about twice the alarms it
promises. Least squares is linear in the labels, so that a thousand deals cost one fit. The unit is the person where the
file names one: a name that recurs in one person's records is no shift of the whole group.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import linalg, sparse, stats

from probes.stats import Abstained

__all__ = ["BLIND_NEEDED", "BlindCheck", "Sample", "Told", "blind_check", "shift_seen"]

BUCKETS = 2**13
FOLDS = 5
BLIND_NEEDED = 10  # units of each group: two in every fold
MOST_READ = 1000  # records of each group: the fit grows with their cube
PENALTY = 1.0  # rows have length 1, so this is as much as one record says
DEALS = 999
SHIFT_LEVEL = 0.05
WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Sample:
    """A record's text, and its person (empty: nobody named). Neither leaves this module."""

    text: str = field(repr=False)
    person: str = field(repr=False, default="")


@dataclass(frozen=True, slots=True)
class Told:
    """Cross-validated AUC of words alone, and its one-sided p: the share of deals of the labels that do as well."""

    auc: float
    p: float


BlindCheck = Told | Abstained


def blind_check(members: Sequence[Sample], controls: Sequence[Sample]) -> BlindCheck:
    """How well words alone separate the groups; of more than 1,000 records an even choice of a group is read."""
    groups = [_even_choice(group) for group in (members, controls)]
    units = [_units(group) for group in groups]
    few = min(len(set(group)) for group in units)
    if few < BLIND_NEEDED:
        return Abstained(f"{few} people, or records of nobody named, in a group; {BLIND_NEEDED} needed")
    split = len(set(units[0]))
    whose = np.array([*units[0], *(split + unit for unit in units[1])])
    rng = np.random.default_rng(0)
    own = np.arange(whose.max() + 1) < split
    labels = np.stack([own, *(rng.permutation(own) for _ in range(DEALS))], axis=1)[whose]
    folds = (rng.permutation(len(own)) % FOLDS)[whose]
    kernel = _kernel([sample.text for group in groups for sample in group])
    areas = _areas(_held_out_scores(kernel, labels.astype(float), folds), labels)
    return Told(float(areas[0]), float(np.mean(areas >= areas[0] - 1e-12)))


def shift_seen(found: BlindCheck) -> bool:
    """Whether words alone separate the groups better than chance would at 5%."""
    return isinstance(found, Told) and found.p <= SHIFT_LEVEL


def _even_choice(group: Sequence[Sample]) -> list[Sample]:
    places = np.linspace(0, len(group) - 1, min(len(group), MOST_READ)).round().astype(int)
    return [group[i] for i in places]


def _units(samples: Sequence[Sample]) -> list[int]:
    """A number for each record's person, in order of appearance; a record of nobody is a unit of its own."""
    known: dict[object, int] = {}
    return [known.setdefault(sample.person or index, len(known)) for index, sample in enumerate(samples)]


def _kernel(texts: Sequence[str]) -> np.ndarray:
    """Inner products of the records' hashed word weights ln(1 + count), each record of length 1; shape (n, n)."""
    rows, columns, values = [], [], []
    for row, text in enumerate(texts):
        words = [zlib.crc32(word.encode()) % BUCKETS for word in WORD.findall(text.casefold())]
        buckets, counts = np.unique(np.array(words, dtype=np.int64), return_counts=True)
        weights = np.log1p(counts)
        rows += [row] * len(buckets)
        columns += buckets.tolist()
        values += (weights / (np.linalg.norm(weights) or 1.0)).tolist()
    table = sparse.csr_matrix((values, (rows, columns)), shape=(len(texts), BUCKETS))
    return np.asarray((table @ table.T).todense())


def _held_out_scores(kernel: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Each record's score by the classifier of the other folds, for every deal of the labels; shape (n, deals)."""
    scores = np.zeros(labels.shape)
    for fold in range(FOLDS):
        held, known = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        among, across = kernel[np.ix_(known, known)], kernel[np.ix_(held, known)]
        mean = among.mean(axis=0)
        centred = among - mean - mean[:, None] + mean.mean()
        towards = across - mean - across.mean(axis=1)[:, None] + mean.mean()
        targets = labels[known] - labels[known].mean(axis=0)
        scores[held] = towards @ linalg.solve(centred + PENALTY * np.eye(len(known)), targets, assume_a="pos")
    return scores


def _areas(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """AUC of every column: Mann and Whitney's statistic from mid-ranks."""
    ranks, members = stats.rankdata(scores, axis=0), labels.sum(axis=0)
    sums = (ranks * labels).sum(axis=0) - members * (members + 1) / 2
    return sums / (members * (len(labels) - members))
