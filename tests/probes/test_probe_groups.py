"""Group metrics against other ways to compute the same thing: counting, dealing all labels, simulation, published figures."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from probes.groups import auc, controls_needed, detections, separation
from probes.stats import Abstained, Interval

FEW = st.lists(st.integers(0, 4).map(float), min_size=1, max_size=5)


def counted(members, controls):
    return np.mean([(m > c) + (m == c) / 2 for m in members for c in controls])


@given(FEW, FEW)
def test_auc_is_the_share_of_pairs_won_with_ties_as_half(members, controls):
    assert auc(members, controls) == pytest.approx(counted(members, controls))
    assert auc(controls, members) == pytest.approx(1 - auc(members, controls))


@settings(max_examples=60, deadline=None)
@given(FEW, FEW)
def test_the_exact_p_is_that_of_all_ways_to_deal_the_labels(members, controls):
    pool, seen = [*members, *controls], counted(members, controls)
    dealt = [
        counted([pool[i] for i in chosen], [pool[i] for i in range(len(pool)) if i not in chosen])
        for chosen in itertools.combinations(range(len(pool)), len(members))
    ]
    expected = np.mean(np.array(dealt) >= seen - 1e-12)
    assert separation(members, controls).p == pytest.approx(expected)


def test_the_exact_p_agrees_with_scipy_where_nothing_ties():
    rng = np.random.default_rng(2)
    for m, n in ((3, 40), (19, 25), (30, 7)):
        members, controls = rng.normal(0.4, 1, m), rng.normal(size=n)
        expected = reference.mannwhitneyu(members, controls, alternative="greater", method="exact").pvalue
        assert separation(members, controls).p == pytest.approx(expected, rel=1e-9)


def test_small_groups_get_no_interval_and_large_ones_do():
    scores = [float(i) for i in range(40)]
    small, large = separation(scores[:19], scores[10:40]), separation(scores[:20], scores[10:40])
    assert small.interval == Abstained("19 scores in a group; 20 needed")
    assert isinstance(large.interval, Interval)
    assert separation([], scores) == Abstained("a group without a score has no AUC")
    apart = separation(scores[20:], scores[:20])
    assert (apart.auc, apart.interval) == (
        1.0,
        Abstained("the groups do not overlap, so the scores show no variance"),
    )
    assert apart.p < 1e-6
    assert separation([1.0] * 20, [1.0] * 20).p == 1.0


def placements_error(members, controls):
    """DeLong's standard error from the table of all pairs."""
    won = np.array([[(m > c) + (m == c) / 2 for c in controls] for m in members])
    return math.sqrt(won.mean(1).var(ddof=1) / len(members) + won.mean(0).var(ddof=1) / len(controls))


def test_the_interval_is_delongs_on_the_logit():
    rng = np.random.default_rng(4)
    members, controls = np.round(rng.normal(1, 1, 25), 1), np.round(rng.normal(size=31), 1)
    found = separation(members, controls).interval

    def logit(p: float) -> float:
        return math.log(p / (1 - p))

    half = 1.959964 * placements_error(members, controls) / (found.point * (1 - found.point))
    assert logit(found.upper) - logit(found.point) == pytest.approx(half, rel=1e-5)
    assert logit(found.point) - logit(found.lower) == pytest.approx(half, rel=1e-5)


def test_the_error_is_the_one_another_package_publishes():
    """The example of pAUC 0.1.7: AUC 0.708, lower 95% bound 0.378 without a logit."""
    truth = [0, 0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 1]
    scores = [0.1, 0.35, 0.24, 0.8, 0.2, 0.85, 0.13, 0.85, 0.74, 0.58, 0.71, 0.25]
    members, controls = ([s for s, t in zip(scores, truth, strict=True) if t == side] for side in (1, 0))
    assert auc(members, controls) == pytest.approx(0.708, abs=5e-4)
    lower = auc(members, controls) - 1.959964 * placements_error(members, controls)
    assert lower == pytest.approx(0.378, abs=5e-4)


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0])
def test_the_interval_covers_the_true_auc(shift):
    rng, truth, inside = np.random.default_rng(7), reference.norm.cdf(shift / math.sqrt(2)), 0
    for _ in range(400):
        interval = separation(rng.normal(shift, 1, 25), rng.normal(size=40)).interval
        inside += interval.lower <= truth <= interval.upper
    assert inside / 400 == pytest.approx(0.95, abs=0.035)


def test_p_is_uniform_when_nobody_is_a_member():
    rng = np.random.default_rng(9)
    for m, n in ((8, 12), (30, 30)):
        p = np.array([separation(rng.normal(size=m), rng.normal(size=n)).p for _ in range(400)])
        assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.033)


def test_how_many_controls_a_rate_needs():
    assert [controls_needed(rate) for rate in (0.05, 0.01, 0.001)] == [59, 299, 2995]


@pytest.mark.parametrize(("controls", "rate"), [(58, 0.05), (298, 0.01), (2994, 0.001)])
def test_a_rate_that_the_controls_cannot_support_is_not_reported(controls, rate):
    scores = [float(i) for i in range(controls)]
    refused = detections([1e9], scores, false_alarms=rate)
    assert refused == Abstained(f"{controls} controls; {controls + 1} needed")
    assert detections([1e9], [*scores, -1.0], false_alarms=rate).point == 1.0


def test_at_the_smallest_number_of_controls_a_member_must_beat_them_all():
    controls = [float(i) for i in range(59)]
    found = detections([58.5, 58.0, 3.0, 99.0], controls, false_alarms=0.05)
    low, high = reference.beta.ppf([0.025, 0.975], [2, 3], [3, 2])  # Clopper and Pearson for 2 of 4
    assert (found.point, found.lower, found.upper) == (0.5, pytest.approx(low), pytest.approx(high))
    assert detections([], controls, false_alarms=0.05) == Abstained("no member was scored")


def test_the_threshold_keeps_its_false_alarm_rate():
    """In at least 95% of trials the true rate above the threshold is at most the one asked for."""
    rng, kept, grid = np.random.default_rng(1), 0, np.linspace(0.9, 1, 401)
    for _ in range(300):
        found = detections(grid.tolist(), rng.uniform(size=200).tolist(), false_alarms=0.05)
        lowest_detected = grid[len(grid) - round(found.point * len(grid))]
        kept += lowest_detected >= 0.95
    assert 0.92 < kept / 300 < 1.0
