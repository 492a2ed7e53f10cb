"""The shard map's laws: it errs as often as it says, hot shards do not hide each other, names and units mean nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from probes.shard_map import MIN_SHARDS, SecondLook, ShardMap, draw_map, map_budget
from probes.stats import Abstained, power, prediction_test

TRIALS = 1000


def drawn(scores, **kwargs) -> ShardMap:
    found = draw_map(dict(enumerate(scores)), **kwargs)
    assert isinstance(found, ShardMap)
    return found


def rate_of_lit(make, shards: int, *, alpha: float, hot: dict[int, float] | None = None) -> float:
    """Share of trials in which a shard that is not hot lights up."""
    source, wrong = np.random.default_rng(7), 0
    for _ in range(TRIALS):
        scores = make(source, shards)
        for shard, effect in (hot or {}).items():
            scores[shard] += effect
        wrong += bool(set(drawn(scores, alpha=alpha).lit) - set(hot or {}))
    return wrong / TRIALS


def normal(source, shards):
    return source.standard_normal(shards)


def within(rate: float, alpha: float) -> bool:
    """The rate is what a binomial of `TRIALS` with probability alpha gives in 99.9% of all runs, or less."""
    return rate * TRIALS <= stats.binom.ppf(0.999, TRIALS, alpha)


@pytest.mark.parametrize("shards", [5, 8, 16])
@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_no_hot_shard_lights_up_in_alpha_of_all_maps(shards, alpha):
    rate = rate_of_lit(normal, shards, alpha=alpha)
    assert within(rate, alpha)
    assert rate * TRIALS >= stats.binom.ppf(0.001, TRIALS, alpha)


@pytest.mark.parametrize("hot", [{2: 30.0}, {2: 30.0, 5: 30.0}, {2: 4.0, 5: 60.0}])
def test_beside_hot_shards_a_cold_one_lights_up_in_alpha_of_all_maps(hot):
    assert within(rate_of_lit(normal, 8, alpha=0.05, hot=hot), 0.05)


def test_heavier_tails_light_up_more_often_and_we_know_how_much():
    """The price of docs/adr/0024: t with 5 degrees of freedom, 8 shards, alpha .01 gives 2 to 4%."""
    rate = rate_of_lit(lambda source, shards: source.standard_t(5, shards), 8, alpha=0.01)
    assert 0.01 < rate < 0.04


def test_the_rank_among_control_people_is_exact_whatever_the_tails():
    source, seen = np.random.default_rng(3), []
    for _ in range(300):
        maps = [drawn(source.standard_t(2, 8)) for _ in range(20)]
        companion = maps[0].beside(maps[1:]).companion
        assert companion is not None
        seen.append(companion.p)
    assert {round(p * 20) for p in seen} <= set(range(1, 21))
    assert sum(p <= 0.05 for p in seen) <= stats.binom.ppf(0.999, 300, 0.05)


@pytest.mark.parametrize("hot", [(3,), (3, 6), (0, 3, 6)])
def test_equally_hot_shards_are_all_found(hot):
    source = np.random.default_rng(11)
    for _ in range(50):
        scores = source.standard_normal(8)
        scores[list(hot)] += 25.0
        assert drawn(scores).lit == hot


def test_the_largest_alone_would_not_see_two_equal_ones():
    """The masking that peeling is for: with two equally hot shards of five, no single Grubbs test can reject."""
    scores = [0.1, -0.2, 0.3, 1000.0, 1000.0]
    largest_alone = prediction_test(scores[4], scores[:4])
    assert not isinstance(largest_alone, Abstained)
    assert 5 * largest_alone.p > 0.5
    assert drawn(scores).lit == (3, 4)


def test_more_suspected_shards_are_peeled_further():
    scores = [0.1, -0.2, 0.3, -0.1, 0.2, 0.05, 40.0, 41.0, 42.0, 40.5]
    assert drawn(scores, suspected=4).lit == (6, 7, 8, 9)


def test_a_low_shard_never_lights_up():
    assert drawn([-50.0, 0.1, 0.2, -0.1, 0.0, 0.3]).lit == ()


@pytest.mark.parametrize("move", [lambda s: s + 1e4, lambda s: s - 1e4, lambda s: 1e3 * s])
def test_a_constant_or_another_unit_changes_no_shard_and_no_p(move):
    scores = np.random.default_rng(5).standard_normal(9)
    scores[4] += 8.0
    before, after = drawn(scores), drawn(move(scores))
    assert (before.lit, [p.p for p in before.peels]) == (after.lit, [p.p for p in after.peels])
    assert [p.effect_sd for p in after.peels] == pytest.approx([p.effect_sd for p in before.peels])


def test_the_order_of_the_shards_does_not_matter():
    scores = dict(enumerate([0.3, 9.0, -0.4, 0.8, 8.5, -1.0, 0.2]))
    assert draw_map(scores) == draw_map(dict(reversed(scores.items())))
    renamed = draw_map({6 - shard: score for shard, score in scores.items()})
    assert isinstance(renamed, ShardMap)
    assert renamed.lit == tuple(sorted(6 - shard for shard in drawn(scores.values()).lit))


def test_the_first_step_is_the_prediction_test_against_the_others():
    scores = [0.4, -0.3, 1.1, 0.2, 5.0, -0.9]
    test = prediction_test(5.0, [s for s in scores if s != 5.0])
    assert not isinstance(test, Abstained)
    assert drawn(scores).peels[0].effect_sd == pytest.approx(test.effect_sd)
    assert drawn(scores).extremity <= 6 * test.p * (1 + 1e-9)


def test_p_values_never_fall_from_step_to_step():
    source = np.random.default_rng(2)
    for _ in range(100):
        found = [peel.p for peel in drawn(source.standard_normal(8)).peels]
        assert found == sorted(found)


def test_the_detectable_effect_is_detected_in_four_of_five_maps():
    source = np.random.default_rng(13)
    effect = drawn(source.standard_normal(8)).detectable_sd
    seen = 0
    for _ in range(1000):
        scores = source.standard_normal(8)
        scores[0] += effect
        seen += 0 in drawn(scores).lit
    assert seen / 1000 == pytest.approx(0.8, abs=0.04)


def test_too_few_shards_abstain_and_spend_nothing():
    few = draw_map(dict.fromkeys(range(MIN_SHARDS - 1), 1.0))
    assert few == Abstained("4 shards; a map needs at least 5")
    assert (map_budget(MIN_SHARDS - 1), map_budget(MIN_SHARDS)) == (0.0, 0.01)


def test_below_the_least_number_an_effect_of_a_trained_person_would_not_show():
    """With four shards even 20 standard deviations light up in less than 80% of all maps, the best single test granted."""
    assert power(20.0, 3, alpha=0.01 / 4) < 0.8 < power(20.0, 4, alpha=0.01 / 5)


@pytest.mark.parametrize("scores", [[1.0] * 6, [1.0, 1.0, 1.0, 1.0, 1.0, 9.0]])
def test_shards_that_do_not_vary_abstain(scores):
    assert draw_map(dict(enumerate(scores))) == Abstained("the shards do not vary")


def test_a_score_that_is_no_number_abstains():
    assert draw_map({0: float("nan"), 1: 0.0, 2: 1.0, 3: 2.0, 4: 3.0}) == Abstained("a shard has no finite score")


def test_the_same_map_comes_out_twice():
    scores = np.random.default_rng(1).standard_normal(7)
    assert drawn(scores) == drawn(scores)


# --- the second look --------------------------------------------------------------------------------------------------

EXTRAS = 19
LIT_BY_CHANCE = (-0.3, 4.6, 0.0, -0.2, -0.5, -1.1, -0.4, -0.1)  # seven that happen to lie close together


def second_looks(make, *, copies: int = 0, effect: float = 0.0):
    """Maps on which something lights up, with the same after the second look; an extra has each copy with probability 1/8."""
    source = np.random.default_rng(17)
    for _ in range(TRIALS):
        scores, extras = make(source, 8), make(source, EXTRAS)
        hot = source.choice(8, copies, replace=False)
        scores[hot] += effect
        extras[source.random(EXTRAS) > (1 - 1 / 8) ** copies] += effect
        if (first := drawn(scores)).lit:
            yield set(map(int, hot)), first, first.among(extras)


@pytest.mark.parametrize("make", [normal, lambda source, count: source.standard_t(5, count)])
def test_most_shards_that_stand_out_by_chance_do_not_beside_more_models(make):
    found = list(second_looks(make))
    assert len(found) >= 5
    assert sum(bool(second.lit) for _, _, second in found) <= 0.6 * len(found)
    assert sum(bool(second.lit) for _, _, second in found) <= stats.binom.ppf(0.999, TRIALS, 0.01)


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_a_copy_stays_found_though_extras_may_have_learnt_it_too(copies):
    found = [
        (hot, second)
        for hot, first, second in second_looks(normal, copies=copies, effect=12.0)
        if hot <= set(first.lit)
    ]
    assert len(found) >= TRIALS / 2
    assert sum(hot <= set(second.lit) for hot, second in found) >= 0.98 * len(found)


def test_a_second_look_frees_and_never_accuses():
    for _, first, second in second_looks(normal, copies=1, effect=6.0):
        assert set(second.lit) <= set(first.lit)
        assert second.p >= first.p
        assert second.second is not None
        assert set(second.second.faded) == set(first.lit) - set(second.lit)
        assert replace(second, shards=first.shards, second=None) == first


def test_what_faded_says_so_and_its_p_is_that_of_the_wide_map():
    first = drawn(LIT_BY_CHANCE)
    assert first.lit == (1,)
    wide = np.random.default_rng(3).normal(scale=3.0, size=EXTRAS)
    second = first.among(wide)
    assert (second.lit, second.second) == ((), SecondLook(tuple(wide), second.p, (1,)))
    assert second.p > 0.05
    assert not any(found.lit for found in second.shards)


def test_nothing_to_look_at_or_nothing_to_look_with_changes_nothing():
    dark = drawn([0.3, -0.4, 0.8, -1.0, 0.2, 0.1])
    assert dark.among([1.0] * EXTRAS) == dark
    lit = drawn(LIT_BY_CHANCE)
    assert lit.among([float("nan")] * EXTRAS) == lit
