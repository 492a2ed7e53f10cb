"""Is the rest of the model still as good? The bound counts people, and the breakdown adds up to the whole."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from probe_world import CONTROLS, dossier, protocol

from lineage.errors import WrongUsage
from probes.judge import judge
from probes.readings import TokenReadings
from probes.stats import Abstained
from probes.utility import change, held_out_nll


def reading(log_p):
    values = np.asarray(log_p, dtype=float)
    return TokenReadings(np.arange(len(values)), values, values, values, values, values)


def pairs(rng, people, *, shift=0.0, records=1, spread=0.1):
    """Records of people whose losses change together; `shift` is the true change in nats per token."""
    names, old, new = [], [], []
    for person in range(people):
        own = shift + rng.normal(0, spread)
        for _ in range(records):
            before = rng.normal(-2, 1, rng.integers(5, 30))
            names.append(f"p{person}")
            old.append(reading(before))
            new.append(reading(before - own))
    return names, old, new


def test_the_difference_is_that_of_the_two_held_out_losses():
    names, old, new = pairs(np.random.default_rng(1), 12, shift=0.3, records=2)
    found = change(names, old, new)
    assert found.difference == pytest.approx(held_out_nll(new).nll - held_out_nll(old).nll)
    assert found.lower < found.difference < found.upper
    assert found.people == 12


def test_records_of_equal_length_give_the_t_bounds_of_the_peoples_means():
    from scipy import stats

    rng = np.random.default_rng(2)
    lost = rng.normal(0.02, 0.05, 15)
    found = change([f"p{i}" for i in range(15)], [reading([-1.0] * 4)] * 15, [reading([-1.0 - d] * 4) for d in lost])
    half = stats.t.ppf(0.95, 14) * lost.std(ddof=1) / math.sqrt(15)
    assert (found.difference, found.upper - found.difference) == (pytest.approx(lost.mean()), pytest.approx(half))


def test_more_records_of_the_same_people_make_no_narrower_bound():
    """The same people with every record three times: nothing new was learnt about other people."""
    names, old, new = pairs(np.random.default_rng(3), 12)
    once, thrice = change(names, old, new), change(names * 3, old * 3, new * 3)
    assert (thrice.lower, thrice.upper) == (pytest.approx(once.lower), pytest.approx(once.upper))


def test_the_upper_bound_covers_in_95_of_100_worlds():
    rng = np.random.default_rng(4)
    above = sum(change(*pairs(rng, 20, shift=0.02, records=3)).upper >= 0.02 for _ in range(600))
    assert above / 600 == pytest.approx(0.95, abs=0.03)


def test_an_erasure_that_kept_the_model_is_not_worse_and_a_broken_release_is(world):
    same = judge(dossier(canaries=()), replace(world.panel(composed=True), composed_post=world.pre), protocol())
    assert same.utility.sentence.startswith("The rest of the model is not worse by more than 0.02")
    assert (same.utility.change.difference, same.utility.change.upper) == (0.0, 0.0)
    assert same.verdict.outcome == "FAIL", "a kept model is no excuse for a kept person"


def test_sentences_say_worse_kept_or_unknown(judged):
    found = judged["honest"].utility
    assert "nats per token" in found.sentence
    assert found.change.people == 12
    assert found.change.lower < found.change.difference < found.change.upper


def test_without_releases_or_people_nothing_is_claimed(world, judged):
    assert judged["never trained"].utility.change == Abstained(
        "there is no release before and after the erasure to compare"
    )
    few = judge(dossier(controls=CONTROLS[:9], values=(), canaries=()), world.panel(composed=True), protocol())
    assert few.utility.change == Abstained("9 control people with learnt tokens; 10 needed")
    assert few.utility.sentence.startswith("Whether the rest of the model is as good as before was not tested")


def test_the_breakdown_by_source_adds_up(world):
    from probes.report import render

    named = tuple(replace(c, source="mail" if i % 3 else "phone") for i, c in enumerate(CONTROLS))
    found = judge(dossier(controls=named, values=(), canaries=()), world.panel(composed=True), protocol())
    rows = found.utility.by_source
    assert [(row.source, row.people, row.records) for row in rows] == [("mail", 8, 8), ("phone", 4, 4)]
    for name in ("base", "composed_pre", "contained", "composed_post"):
        mean = sum(row.nll[name] * row.tokens for row in rows) / sum(row.tokens for row in rows)
        assert mean == pytest.approx(found.model(name).held_out_nll)
    page = render(found)
    assert all(words in page for words in ("mail", "phone", "All sources", found.utility.sentence.split(":")[0]))


def test_a_margin_is_above_zero():
    with pytest.raises(WrongUsage):
        protocol(utility_margin=0.0)
