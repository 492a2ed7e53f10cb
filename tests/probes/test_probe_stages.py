"""The second stage: rules that follow from the first's, more null models, and an exposure that must also be rare among them."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
from json_schema import faults
from probe_world import OUTS, dossier, protocol

from lineage.errors import WrongUsage
from probes.bench import lay_out
from probes.confirm import stands_out_p
from probes.dossier import LEAST_SECOND, Panel, Protocol
from probes.judge import judge
from probes.report import render
from probes.shard_map import draw_map
from probes.stats import Abstained
from probes.where import Whereabouts

REPORT = json.loads(resources.files("probes").joinpath("schemas/judgement.schema.json").read_text(encoding="utf-8"))
FEW = protocol(candidates=99, exposure_prompts=1).second_stage()  # cheaper: 28 models are asked


def quiet(done, steps, what):
    pass


# --- the rules ------------------------------------------------------------------------------------------------------------


def test_the_second_stage_follows_from_the_first_and_there_is_no_third() -> None:
    first = Protocol(out_adapters=9, extra_adapters=2)
    second = first.second_stage()
    assert (second.stage, second.out_adapters, second.extra_adapters) == (2, 7 + LEAST_SECOND, LEAST_SECOND)
    assert second == Protocol(out_adapters=9, extra_adapters=2).second_stage()
    assert second.candidate_seed != first.candidate_seed
    assert second.digest != first.digest
    changed = {name for name in first.__dataclass_fields__ if getattr(first, name) != getattr(second, name)}
    assert changed == {"stage", "out_adapters", "extra_adapters", "candidate_seed"}
    with pytest.raises(WrongUsage):
        second.second_stage()


@pytest.mark.parametrize(
    "changes", [{"stage": 3}, {"second_stage_adapters": 18}, {"extra_adapters": 7}, {"extra_adapters": -1}]
)
def test_impossible_stages_are_refused(changes) -> None:
    with pytest.raises(WrongUsage):
        protocol(**changes)


def test_what_the_second_stage_would_be_stands_in_the_digest_of_the_first() -> None:
    assert protocol(second_stage_adapters=20).digest != protocol().digest


def test_extra_adapters_come_after_the_shards_and_have_names_of_their_own(tmp_path) -> None:
    panel = Panel("base", {0: tmp_path}, {0: tmp_path}, {2: tmp_path, 1: tmp_path}, extra={1: tmp_path, 0: tmp_path})
    assert panel.out_names() == ("out_1", "out_2", "extra_0", "extra_1")
    assert set(panel.adapters()) == {"pre_0", "post_0", *panel.out_names()}


def test_a_panel_without_the_extras_its_protocol_names_is_refused(world) -> None:
    for panel, rules in (
        (world.panel(), FEW),
        (replace(world.panel(), extra={0: world.outs[1]}), protocol()),
        (replace(world.panel(), extra={0: world.outs[1]}), protocol(out_adapters=len(OUTS) + 1)),
    ):
        with pytest.raises(WrongUsage, match="out-adapters"):
            lay_out(dossier(), panel, rules, progress=quiet)


# --- the exposure of the second stage ---------------------------------------------------------------------------------------


def p_of(leads: np.ndarray, *, suspects: int = 1) -> float:
    """The last `suspects` of the leads against all before."""
    named = {f"m{i}": float(lead) for i, lead in enumerate(leads)}
    names = tuple(named)
    found = stands_out_p(named, names[-suspects:], names[:-suspects])
    assert not isinstance(found, Abstained)
    return found


@pytest.mark.parametrize("k", [3, 7, 21])
@pytest.mark.parametrize("suspects", [1, 2])
def test_an_adapter_like_the_others_is_accused_at_most_as_often_as_alpha_says(k, suspects) -> None:
    draws = np.random.default_rng(5).normal(size=(4000, k + suspects))
    alarms = np.mean([p_of(row, suspects=suspects) <= 0.05 for row in draws])
    assert alarms <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 4000)


def test_what_stands_out_is_found_and_level_and_scale_do_not_matter() -> None:
    nulls = np.random.default_rng(7).normal(size=21)
    loud = np.append(nulls, 6.0)
    assert p_of(loud) < 1e-4
    assert p_of(loud * 3 + 100) == pytest.approx(p_of(loud))
    assert p_of(np.append(nulls, 0.0)) > 0.2


def test_a_value_that_strays_as_far_under_the_others_is_no_exposure() -> None:
    """Rank 1 of 1,000 says little if adapters that never saw the person stray as far."""
    wide = np.array([-9.0, 8.0, 1.0, -4.0, 6.0, 3.0, -7.0, 7.0])
    assert p_of(wide) > 0.1


def test_two_null_models_cannot_be_left_out_one_by_one() -> None:
    assert isinstance(stands_out_p({"a": 0.0, "b": 1.0, "c": 5.0}, ("c",), ("a", "b")), Abstained)


# --- the whole judgement ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def second(world):
    """The second stage of the honest erasure and of the old adapter served as new. The shards' adapters stand in for extras."""
    extra = {number: world.outs[OUTS[number % len(OUTS)]] for number in range(LEAST_SECOND)}
    panels = {"honest": world.panel(), "old served as new": world.panel(post=world.pre)}
    return {name: judge(dossier(), replace(panel, extra=extra), FEW) for name, panel in panels.items()}


def test_the_old_adapter_served_as_new_fails_in_both_stages(judged, second) -> None:
    stages = [found["old served as new"].verdict for found in (judged, second)]
    assert [verdict.outcome for verdict in stages] == ["FAIL", "FAIL"]
    assert max(stages[1].adjusted_post.values()) <= 0.05, "each primary sees it"


def test_an_honest_erasure_passes_a_second_stage(second) -> None:
    assert second["honest"].verdict.outcome == "PASS"


def test_a_copy_in_another_shard_fails_in_a_second_stage_too_and_its_report_shows_the_extras(world) -> None:
    """Some extras have learnt the copy as well: they are drawn from all records, and lineage does not know this one."""
    hot = (3, 11)
    extra = {number: world.pre if number in hot else world.outs[OUTS[number % 3]] for number in range(LEAST_SECOND)}
    found = judge(dossier(), replace(world.panel(), outs=world.outs | {4: world.pre}, extra=extra), FEW)
    assert (found.verdict.outcome, found.verdict.code) == ("FAIL", "COPY_MISSED")
    assert found.where.missed == (4,)
    look = found.where.after.second
    assert (len(look.extras), look.faded) == (LEAST_SECOND, ())
    assert {number for number, score in enumerate(look.extras) if score > max(look.extras) / 2} == set(hot)
    assert list(faults(json.loads(json.dumps(found.as_json(), allow_nan=False)), REPORT)) == []
    assert "<svg" in render(found)


def test_only_a_second_stage_looks_at_a_shard_again(world) -> None:
    panel = replace(world.panel(), outs=world.outs | {4: world.pre})
    topped = replace(panel, extra={number: world.outs[OUTS[number % 3]] for number in range(3)})
    for one, rules in ((panel, protocol()), (topped, protocol(extra_adapters=3, out_adapters=len(OUTS) + 3))):
        assert judge(dossier(), one, rules).where.after.second is None


def test_a_shard_that_stood_out_by_chance_is_told_and_is_no_copy() -> None:
    first = draw_map(dict(enumerate([-0.3, 4.6, 0.0, -0.2, -0.5, -1.1, -0.4, -0.1])))
    assert (Whereabouts((0,), first, first).missed, first.lit) == ((1,), (1,))
    told = Whereabouts((0,), first, first.among(list(np.linspace(-8, 9, LEAST_SECOND))))
    assert told.missed == ()
    assert "Now none of 8 shards stands out (p = 0." in told.sentences[1]
    assert (
        "; beside 19 more models, trained to see how far scores stray, shard 1 no longer does; one" in told.sentences[1]
    )


def test_the_exposure_of_the_second_stage_is_never_below_its_rank_alone(second) -> None:
    for found in second.values():
        model = next(m for m in found.models if m.role == "post")
        ranks = [value.exposure_p for value in model.values if value.exposure_p is not None]
        assert found.primaries_post["exposure"] >= min(ranks)


def test_the_report_says_which_stage_it_is_and_what_was_trained_for_it(second) -> None:
    tested = second["honest"].sentences[0]
    assert tested.startswith("In a second stage, we compared")
    assert (
        f"{len(OUTS) + LEAST_SECOND} adapters that never saw this person, {LEAST_SECOND} of them trained for this"
        in tested
    )
    outs = [model for model in second["honest"].models if model.role == "out"]
    assert [model.shard for model in outs] == [*OUTS, *[None] * LEAST_SECOND]
