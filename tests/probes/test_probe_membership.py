from __future__ import annotations

import pytest

from probes.membership import Gain, corrected, membership_p, ratio_input, residual_ratio, shard_membership, total
from probes.stats import Abstained

OUTS = ("out_5", "out_6", "out_7")


def shard(number, pre, post, outs=(0.0, 1.0, 2.0), records=1):
    subject = {f"pre_{number}": [Gain(pre, 10)] * records, f"post_{number}": [Gain(post, 10)] * records}
    subject |= {name: [Gain(nats, 10)] * records for name, nats in zip(OUTS, outs, strict=True)}
    control = dict.fromkeys(subject, Gain(0.0, 100))
    return shard_membership(number, subject, control, outs=OUTS)


def test_an_adapter_that_fits_everybody_better_is_not_guilty():
    assert corrected(Gain(30.0, 10), Gain(300.0, 100)) == 0.0
    assert corrected(Gain(30.0, 10), Gain(0.0, 0)) == 30.0


def test_records_add_up_and_none_is_divided_by_its_length():
    assert total([Gain(3.0, 2), Gain(-1.0, 7)]) == Gain(2.0, 9)
    assert shard(1, 9.0, 1.0, records=4).pre_score == 36.0


def test_several_shards_pay_for_their_number():
    one, two = shard(1, 30.0, 1.0), shard(2, 3.0, 1.0)
    assert membership_p([one], "pre") == one.pre.p
    assert membership_p([one, two], "pre") == pytest.approx(2 * one.pre.p)
    assert isinstance(membership_p([], "pre"), Abstained)


def test_residual_ratio_of_one_shard_is_the_definition():
    interval = residual_ratio([shard(1, 101.0, 11.0)])
    assert interval.point == pytest.approx((11.0 - 1.0) / (101.0 - 1.0))
    assert interval.lower < interval.point < interval.upper


def test_shards_share_the_null_models_mean_but_not_their_own_noise():
    ratio = ratio_input([shard(1, 101.0, 11.0), shard(2, 51.0, 1.0)])
    assert (ratio.numerator, ratio.denominator) == (12.0 - 2.0, 152.0 - 2.0)
    assert (ratio.own_var, ratio.mean_var) == pytest.approx((2.0, 4.0 / 3))


def test_no_variance_no_number():
    assert isinstance(residual_ratio([shard(1, 9.0, 1.0, outs=(1.0, 1.0, 1.0))]), Abstained)
    assert isinstance(residual_ratio([]), Abstained)
