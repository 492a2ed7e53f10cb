"""Every score computed by hand on a model with three tokens.

The record is a b b c a c c. L is ln 2. What the tables of `three_tokens` say of its six predicted tokens:

    token         b      b      c      a      c      c
    p adapter    1/4    1/2    1/4    1/8    1/4    3/4
    p base       1/8    1/4    1/2    1/2    1/2    1/4
    d             L      L     -L    -2 L    -L    ln 3
    argmax        a      b      b      c      a      c     right: second and last

    product of p under the adapter: 3/4096; under the base: 1/1024; ratio 3/4
"""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
import three_tokens

from probes.calibration import lira_offline, log_ratio, rmia
from probes.companions import calibrated_scores, mean_log_p, record_scores
from probes.scores import error_zone, gain_sum, min_k, min_k_plus_plus, window_votes
from probes.stats import Abstained

L = math.log(2)


@pytest.fixture(scope="module")
def own():
    return three_tokens.read(three_tokens.ADAPTER, three_tokens.item())[0]


@pytest.fixture(scope="module")
def base():
    return three_tokens.read(three_tokens.BARE, three_tokens.item())[0]


def close(value):
    return pytest.approx(value, abs=1e-6)


def test_the_text_that_is_compressed_is_what_was_scored():
    assert three_tokens.item().learnt_text() == "bbcacc"
    assert three_tokens.item(learnt=(2, 3, 6)).learnt_text() == "bcc"
    assert len(zlib.compress(b"bbcacc")) == 14  # 2 of header, 8 of six literals and an end, 4 of checksum


@pytest.mark.parametrize(
    ("score", "by_hand"),
    [
        ("loss", math.log(3 / 4096) / 6),
        ("gain_mean", math.log(3 / 4) / 6),
        ("zlib", math.log(3 / 4096) / 6 / 14),
        ("min_k", math.log(1 / 8)),  # floor(.2 x 6) = 1 token
        # before c: values ln 1/8 (twice, p 1/8) and ln 3/4 (p 3/4): l - mu = -3/4 ln 6, sigma = sqrt(3)/4 ln 6
        ("min_k_plus_plus", -math.sqrt(3)),
        # wrong: b c a c with d = L, -L, -2 L, -L; c = .006
        ("error_zone", math.log((L + 0.006) / (4 * L + 0.006))),
        # 2: 2L+ 0 -3L -3L ln(3/2)+ of 5; 3: L+ -2L -4L ln(3/8) of 4; 4: -L -3L ln(3/8); 6 and longer: ln(3/4)
        ("window_votes", ((1 + 1 / 2 + 1) / 5 + 1 / 4) / 10),
        ("exact_match", 2 / 6),
        ("extraction_score", 1 - 5 / 6),
    ],
)
def test_a_score_of_the_table(own, base, score, by_hand):
    assert record_scores(own, base, three_tokens.item().learnt_text())[score] == close(by_hand)


def test_the_sum_of_gains(own, base):
    assert gain_sum(own.log_p, base.log_p) == close(math.log(3 / 4))


def test_two_smallest_of_six(own):
    assert min_k(own.log_p, share=0.4) == close((math.log(1 / 8) + math.log(1 / 4)) / 2)
    # before a and b: mu = -3/2 L, sigma = L/2, so p 1/4 is one sigma below
    assert min_k_plus_plus(own, share=0.4) == close((-math.sqrt(3) - 1) / 2)


def test_the_five_floats(own):
    mean = [-1.5 * L, -1.5 * L, -1.5 * L, 0.75 * math.log(0.75) - 0.75 * L, -1.5 * L, 0.75 * math.log(0.75) - 0.75 * L]
    sd = [L / 2, L / 2, L / 2, math.sqrt(3) / 4 * math.log(6), L / 2, math.sqrt(3) / 4 * math.log(6)]
    np.testing.assert_allclose(own.log_p, np.log([1 / 4, 1 / 2, 1 / 4, 1 / 8, 1 / 4, 3 / 4]), atol=1e-6)
    np.testing.assert_allclose(own.mean_log_p, mean, atol=1e-6)
    np.testing.assert_allclose(own.sd_log_p, sd, atol=1e-6)
    assert own.greedy.tolist() == [0, 1, 0, 0, 0, 1]
    np.testing.assert_allclose(own.scheme_log_p, own.log_p, atol=1e-6)
    assert own.positions.tolist() == [1, 2, 3, 4, 5, 6]


def test_only_the_completion_is_scored():
    """Loss on the last three tokens: p 1/8, 1/4, 3/4 under the adapter, 1/2, 1/2, 1/4 under the base."""
    item = three_tokens.item(learnt=(4, 5, 6))
    own, base = (three_tokens.read(rows, item)[0] for rows in (three_tokens.ADAPTER, three_tokens.BARE))
    found = record_scores(own, base, item.learnt_text())
    assert found["loss"] == close(math.log(3 / 128) / 3)
    assert found["gain_mean"] == close(math.log(3 / 8) / 3)
    assert (found["exact_match"], found["extraction_score"]) == (close(1 / 3), close(1 / 3))
    assert found["error_zone"] == close(math.log(0.003 / (3 * L + 0.003)))


def test_a_record_without_a_wrong_token_has_the_top_rank():
    assert error_zone(np.array([0.1, 0.2]), np.array([1, 1])) == math.inf
    assert math.isfinite(error_zone(np.array([9.0, 9.0]), np.array([1, 0])))


@pytest.mark.parametrize(
    ("gains", "votes"), [([1.0], 1.0), ([0.0], 0.5), ([1e-8, -1e-8, 1e-8], 0.5), ([-1.0, 2.0], 1.0), ([0.1] * 60, 1.0)]
)
def test_window_votes_of_odd_records(gains, votes):
    assert window_votes(np.array(gains)) == votes


OUTS = np.log([[1 / 8] * 12, [3 / 8] * 12])  # two out-adapters; their mean probability is 1/4 for every record


def test_the_log_ratio_to_the_out_adapters():
    own = np.log([1 / 4, 1 / 2, 3 / 4, 1 / 8] * 3)
    np.testing.assert_allclose(log_ratio(own, OUTS), [0, L, math.log(3), -L] * 3, atol=1e-12)


@pytest.mark.parametrize(("gamma", "share"), [(1.0, (1 + 1 / 2 + 0 + 1) / 4), (2.0, (1 / 2 + 0 + 0 + 1) / 4)])
def test_rmia_by_hand(gamma, share):
    """The record has ratio 2; the twelve control records 1, 2, 3, 1/2 in turn. A ratio of exactly gamma is half a win."""
    population = log_ratio(np.log([1 / 4, 1 / 2, 3 / 4, 1 / 8] * 3), OUTS)
    assert rmia(L, population, gamma=gamma) == share


def test_lira_by_hand_with_two_and_three_out_adapters():
    # mean -2, sd sqrt 2: t = 3/(sqrt 2 sqrt 3/2) = sqrt 3; one degree: 1/2 - atan(sqrt 3)/pi = 1/6
    assert lira_offline(1.0, [-3.0, -1.0]) == pytest.approx(math.log(6))
    # mean -2, sd 1: t = sqrt 2/3; two degrees: 1/2 - t/(2 sqrt(2 + t^2)) = 1/4
    assert lira_offline(-2 + 2 * math.sqrt(2) / 3, [-3.0, -2.0, -1.0]) == pytest.approx(math.log(4))
    assert lira_offline(-2.0, [-3.0, -1.0]) == pytest.approx(L)  # the middle: one half


def test_rmia_and_lira_abstain_with_a_reason():
    assert rmia(0.0, np.zeros(9)) == Abstained("9 control records; at least 10 needed")
    assert lira_offline(0.0, [1.0]) == Abstained("1 out-adapters; at least 2 needed")
    assert lira_offline(0.0, [1.0, 1.0]) == Abstained("the out-adapters do not vary")


def test_from_readings_to_rmia_and_lira(own):
    """Suspect: the adapter's table. Out-adapters: the base's table and an even one. Controls: twelve records of one token."""
    even = ((1 / 3,) * 3,) * 3
    controls = [three_tokens.item((a, b)) for a, b in [(0, 0), (0, 1), (1, 1), (2, 2)] * 3]
    record = three_tokens.item()
    outs = [three_tokens.read(rows, record, *controls) for rows in (three_tokens.BARE, even)]
    suspect = three_tokens.read(three_tokens.ADAPTER, record, *controls)
    population = log_ratio(mean_log_p(suspect[1:]), np.array([mean_log_p(out[1:]) for out in outs]))
    # p of the controls: 1/2, 1/4, 1/2, 3/4; q: (3/8 + 1/3)/2 = 17/48, (1/8 + 1/3)/2 = 11/48, 7/24, 7/24
    np.testing.assert_allclose(population, np.log([24 / 17, 12 / 11, 12 / 7, 18 / 7] * 3), atol=1e-6)
    # the record: p = (3/4096)^(1/6) = .3002; q = (1024^(-1/6) + 1/3)/2 = .3241; p/q = .926 beats none
    found = calibrated_scores(float(own.log_p.mean()), mean_log_p([out[0] for out in outs]), population)
    assert found["rmia"] == 0.0
    a, b = math.log(1 / 1024) / 6, math.log(1 / 3)
    t = (math.log(3 / 4096) / 6 - (a + b) / 2) / (abs(a - b) / math.sqrt(2) * math.sqrt(3 / 2))
    assert found["lira"] == pytest.approx(-math.log(1 / 2 - math.atan(t) / math.pi), abs=1e-5)
