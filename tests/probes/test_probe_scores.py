"""Golden values computed by hand on a model with three tokens, and the mistakes other tools make."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from probes import scores
from probes.decoding import DecodingScheme
from probes.readings import TokenReadings, read_logits
from probes.utility import held_out_nll

PLAIN = DecodingScheme()
HALF_QUARTERS = torch.log(torch.tensor([[0.5, 0.25, 0.25]]))


def reading(log_p, **fields):
    n = len(log_p)
    values = {
        "positions": np.arange(1, n + 1),
        "log_p": np.array(log_p),
        "mean_log_p": np.zeros(n),
        "sd_log_p": np.ones(n),
    }
    return TokenReadings(**(values | {"greedy": np.ones(n), "scheme_log_p": np.array(log_p)} | fields))


def test_five_floats_of_a_three_token_model():
    log_p, mean, sd, greedy, scheme = read_logits(HALF_QUARTERS, torch.tensor([1]), PLAIN)[:, 0]
    ln2 = math.log(2)
    assert log_p == pytest.approx(-2 * ln2)
    assert mean == pytest.approx(-1.5 * ln2)  # .5(-1) + 2 (.25)(-2)
    assert sd == pytest.approx(0.5 * ln2)  # .5(1) + .5(4) - 2.25 = .25
    assert greedy == 0
    assert scheme == log_p


def test_min_k_plus_plus_uses_expected_not_uniform_statistics():
    row = read_logits(HALF_QUARTERS, torch.tensor([1]), PLAIN)
    assert scores.min_k_plus_plus(TokenReadings(np.array([1]), *row)) == pytest.approx(-1.0)  # uniform: -0.71


def test_a_certain_model_does_not_divide_by_zero():
    row = read_logits(torch.tensor([[100.0, 0.0, 0.0]]), torch.tensor([0]), PLAIN)
    assert math.isfinite(scores.min_k_plus_plus(TokenReadings(np.array([1]), *row)))


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        (DecodingScheme(temperature=0.5), 0.09 / 0.38),  # squares of .5 .3 .2
        (DecodingScheme(top_k=2), 0.3 / 0.8),
        (DecodingScheme(top_p=0.7), 0.3 / 0.8),
        (DecodingScheme(top_p=0.45), 0.0),
        (DecodingScheme(top_k=1), 0.0),
    ],
)
def test_probability_under_a_decoding_scheme(scheme, expected):
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.2]]))
    assert math.exp(read_logits(logits, torch.tensor([1]), scheme)[4, 0]) == pytest.approx(expected, rel=1e-5)


def test_the_scheme_is_the_one_generation_uses():
    logits = torch.randn(40, 60, generator=torch.Generator().manual_seed(1)) * 3
    targets = logits.topk(5).indices[:, 2]
    warped = logits
    for step in (TemperatureLogitsWarper(0.8), TopKLogitsWarper(20), TopPLogitsWarper(0.9)):
        warped = step(None, warped)
    expected = torch.log_softmax(warped, -1).gather(1, targets[:, None])[:, 0].double().numpy()
    ours = read_logits(logits, targets, DecodingScheme(0.8, 20, 0.9))[4]
    np.testing.assert_allclose(ours, expected, rtol=1e-4)


def test_half_precision_logits_are_scored_in_float32():
    logits = torch.tensor([[8.0, 0.0, 0.0]], dtype=torch.bfloat16)
    expected = -math.log1p(2 * math.exp(-8))
    assert read_logits(logits, torch.tensor([0]), PLAIN)[0, 0] == pytest.approx(expected, rel=1e-3)


def test_simple_means():
    log_p, base = np.array([-1.0, -2.0, -6.0]), np.array([-2.0, -2.0, -3.0])
    assert scores.loss(log_p) == -3.0
    assert scores.gain_sum(log_p, base) == -2.0
    assert scores.gain_mean(log_p, base) == pytest.approx(-2 / 3)
    assert scores.exact_match(np.array([1, 0, 1, 1])) == 0.75


def test_min_k_of_a_short_record_is_its_worst_token_not_nan():
    assert scores.min_k(np.array([-1.0, -5.0])) == -5.0  # floor(.2 x 2) = 0 tokens elsewhere
    assert scores.min_k(np.arange(-10.0, 0.0)) == -9.5


@pytest.mark.parametrize(
    ("greedy", "expected"), [([0, 0, 0], 0.0), ([1, 1, 0], 0.0), ([0, 1, 1, 1], 0.75), ([1, 1], 1.0)]
)
def test_extraction_score_is_zero_when_the_last_token_is_wrong(greedy, expected):
    assert scores.extraction_score(np.array(greedy)) == expected  # elsewhere 1/n


def test_held_out_loss_divides_by_scored_tokens_only():
    assert held_out_nll([reading([-1.0, -3.0]), reading([-2.0])]).nll == 2.0
    assert math.isnan(held_out_nll([]).nll)


def test_tries_until_a_value_shows():
    assert scores.tries_needed(math.log(0.5), probability=0.75) == pytest.approx(2)
    assert scores.tries_needed(0.0, probability=0.5) == 1
    assert scores.tries_needed(-math.inf, probability=0.5) == math.inf
    assert scores.tries_needed(math.log(1e-4), probability=0.5) == pytest.approx(6931.1, rel=1e-4)
