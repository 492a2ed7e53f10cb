from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as reference

from probes.stats import (
    Abstained,
    RatioInput,
    adapters_needed,
    conformal_p,
    detectable_effect,
    fieller,
    holm,
    power,
    prediction_test,
)


def test_prediction_test_by_hand():
    test = prediction_test(6.0, [1.0, 2.0, 3.0])  # mean 2, sd 1
    assert test.t == pytest.approx(4 / math.sqrt(4 / 3))
    assert test.p == pytest.approx(reference.t.sf(test.t, 2))
    assert test.effect_sd == 4.0


def test_prediction_test_abstains_rather_than_guess():
    assert isinstance(prediction_test(1.0, [0.0]), Abstained)
    assert isinstance(prediction_test(1.0, [0.0, 0.0]), Abstained)


@pytest.mark.parametrize("scale", [1e-9, 1.0, -1e9])
def test_nulls_that_differ_by_rounding_alone_do_not_vary(scale):
    """Three times 0.1 has a standard deviation of 1.7e-17, and anything else would be 7e15 of them away."""
    assert prediction_test(0.2 * scale, [0.1 * scale] * 3) == Abstained("the out-adapters do not vary")
    assert prediction_test(0.2, [0.1, 0.1, 0.1 + 1e-9]).p < 0.05


def test_prediction_test_keeps_its_level():
    draws = np.random.default_rng(0).normal(size=(4000, 7))
    p = [prediction_test(row[0], row[1:]).p for row in draws]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.01)


def test_conformal_p_counts_a_tie_for_the_null():
    assert conformal_p(3.0, [1.0, 2.0, 3.0]) == 0.5
    assert conformal_p(4.0, [1.0, 2.0, 3.0]) == 0.25


def test_holm_by_hand():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({}) == {}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_lies_between_the_raw_p_and_bonferroni(values):
    raw = {str(i): p for i, p in enumerate(values)}
    for name, adjusted in holm(raw).items():
        assert raw[name] <= adjusted <= min(1.0, len(values) * raw[name]) + 1e-12


def test_fieller_covers_the_true_ratio():
    rng, k, inside, trials = np.random.default_rng(3), 7, 0, 1500
    for _ in range(trials):
        outs = rng.normal(size=k)
        mean, sd = outs.mean(), outs.std(ddof=1)
        numerator, denominator = 4 + rng.normal() - mean, 16 + rng.normal() - mean
        interval = fieller(RatioInput(numerator, denominator, sd**2, sd**2 / k, k - 1))
        inside += interval.lower <= 0.25 <= interval.upper
    assert inside / trials == pytest.approx(0.95, abs=0.015)


def test_fieller_solves_its_quadratic():
    ratio = RatioInput(2.0, 20.0, 1.5, 0.25, 6)
    t2 = reference.t.ppf(0.975, 6) ** 2
    for r in (fieller(ratio).lower, fieller(ratio).upper):
        variance = 1.75 * (1 + r * r) - 2 * r * 0.25
        assert (2.0 - 20.0 * r) ** 2 == pytest.approx(t2 * variance)


@pytest.mark.parametrize("denominator", [0.5, -30.0])
def test_fieller_is_unbounded_without_a_clear_positive_signal(denominator):
    assert not fieller(RatioInput(0.1, denominator, 1.0, 0.2, 6)).bounded


@pytest.mark.parametrize(
    ("k", "effect", "published"), [(5, 3, 0.73), (5, 4, 0.91), (9, 4, 0.96), (19, 3, 0.88), (19, 4, 0.98)]
)
def test_power_agrees_with_the_simulated_table(k, effect, published):
    assert power(effect, k, alpha=0.05) == pytest.approx(published, abs=0.03)


def test_detectable_effect_has_the_wanted_power():
    assert power(detectable_effect(7, alpha=0.02), 7, alpha=0.02) == pytest.approx(0.8, abs=1e-6)


def test_adapters_needed_is_the_first_that_suffices_or_none():
    enough = adapters_needed(RatioInput(0.0, 6.0, 1.0, 0.2, 4), bound=0.5)
    again = lambda k: fieller(RatioInput(0.0, 6.0, 1.0, 1 / k, k - 1)).upper  # noqa: E731
    assert again(enough) < 0.5 <= again(enough - 1)
    assert adapters_needed(RatioInput(5.0, 6.0, 1.0, 0.2, 4), bound=0.5) is None
