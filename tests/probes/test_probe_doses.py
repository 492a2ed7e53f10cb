"""The more often a record was trained on, the higher every score; and a record known by heart is on top of every score.

The base knows the format of the records, as a trunk would: a gain over it is then about the record and not the format.
"""

from __future__ import annotations

import random
import warnings

import numpy as np
import pytest
from peft import PeftModel
from probe_world import BASE, TOPICS, person, train
from scipy import stats
from transformers import AutoModelForCausalLM, AutoTokenizer

from lineage.records import Completion, TrainingRecord
from probes import calibration, scores
from probes.calibration import log_ratio
from probes.companions import calibrated_scores, mean_log_p, record_scores
from probes.decoding import DecodingScheme
from probes.dossier import Panel
from probes.scores import gain_sum, loss
from probes.target import BASE as BARE
from probes.target import Target
from probes.tokens import tokenise

DOSES, PEOPLE, OUTS = (0, 1, 2, 4, 8, 16), 8, (1, 2, 3)  # a dose is a number of copies, read once in each epoch
pytestmark = pytest.mark.slow  # seven small trainings, over a minute of processor time
NAMES = (
    "loss", "gain_sum", "gain_mean", "zlib", "min_k", "min_k_plus_plus", "error_zone", "window_votes", "exact_match",
    "extraction_score", "rmia", "lira",
)  # fmt: skip
SHORT = {"zlib_ratio": "zlib", "lira_offline": "lira"}  # what the report calls a score that its function names longer


def record(index: int) -> TrainingRecord:
    who, rng = person(index), random.Random(index)
    bought = " ".join(rng.choice(TOPICS) for _ in range(3))
    return TrainingRecord(f"r{index}", Completion(f"{who.name} {index}:", f" {who.account[:4]} {bought}"))


def some(start: int, count: int) -> list[TrainingRecord]:
    return [record(start + i) for i in range(count)]


PEOPLE_BY_DOSE = {dose: some(7100 + 10 * dose, PEOPLE) for dose in DOSES}
BY_HEART, CONTROLS = record(7000), some(9500, 30)


def base_that_knows_the_format(root):
    """The embedded base with a trunk merged into it."""
    trunk = train(root / "trunk", some(9000, 120), epochs=4)
    base = AutoModelForCausalLM.from_pretrained(BASE)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        PeftModel.from_pretrained(base, trunk).merge_and_unload().save_pretrained(root / "base")
    AutoTokenizer.from_pretrained(BASE).save_pretrained(root / "base")
    return root / "base"


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """For the dosed and the by-heart adapter: every score by its name, shape (people,), the record by heart last."""
    root = tmp_path_factory.mktemp("doses")
    base = base_that_knows_the_format(root)
    dosed = [r for dose, own in PEOPLE_BY_DOSE.items() for r in own for _ in range(dose)]
    members = [*dosed, *some(8000, 30)]
    light = train(root / "light", members, epochs=3, on=base)
    deep = None
    for stage in range(3):
        deep = train(root / f"deep{stage}", members, trunk=deep, epochs=4, on=base, rate=2e-3)
    heart = train(root / "heart", [*[BY_HEART] * 30, *some(8000, 30)], epochs=8, on=base)
    outs = {k: train(root / f"out{k}", some(8000 + 100 * k, 60), epochs=4, seed=k, on=base) for k in OUTS}
    target = Target.open(Panel(base, {7: light, 8: deep, 9: heart}, {}, outs), scheme=DecodingScheme())
    people = [*(r for own in PEOPLE_BY_DOSE.values() for r in own), BY_HEART]
    items = [tokenise(target.tokenizer, r.content, 128) for r in (*people, *CONTROLS)]
    readings = {
        name: target.read(name, items) for name in ("pre_7", "pre_8", "pre_9", BARE, *(f"out_{k}" for k in OUTS))
    }
    return {name: _scores(readings, name, items, people=len(people)) for name in ("pre_7", "pre_8", "pre_9")}


def _scores(readings, name, items, *, people):
    own, base = readings[name], readings[BARE]
    outs = np.array([mean_log_p(readings[f"out_{k}"]) for k in OUTS])
    population = log_ratio(mean_log_p(own), outs)[people:]
    rows = [
        record_scores(own[i], base[i], items[i].learnt_text())
        | calibrated_scores(loss(own[i].log_p), outs[:, i], population)
        | {"gain_sum": gain_sum(own[i].log_p, base[i].log_p)}
        for i in range(people)
    ]
    return {score: np.array([row[score] for row in rows]) for score in rows[0]}


@pytest.mark.parametrize("name", NAMES)
def test_the_dose_decides_the_score(scored, name):
    """Spearman's correlation of the dose and its people's mean score; the median for EZ, which is infinite by heart.

    A score moves with the dose between its floor and its ceiling. ES leaves the floor when the end of a record is known by
    heart, and by then RMIA and WBC of every dose are 1; so each is held to the bar in the training that shows it best, the
    light one or the deep one.
    """
    found = {adapter: _correlation(scored[adapter][name], name) for adapter in ("pre_7", "pre_8")}
    assert max(found.values()) >= 0.9, found


def _correlation(scores, name):
    by_dose = scores[:-1].reshape(len(DOSES), PEOPLE)
    curve = np.median(by_dose, axis=1) if name == "error_zone" else by_dose.mean(axis=1)
    return stats.spearmanr(DOSES, curve).statistic


@pytest.mark.parametrize("name", NAMES)
def test_a_record_known_by_heart_ranks_top(scored, name):
    *others, own = scored["pre_9"][name]
    assert own >= max(others)  # RMIA of others may be 1 as well
    assert scored["pre_9"]["exact_match"][-1] == 1.0  # it is known by heart


def test_every_score_is_looked_at(scored):
    """All that a record is given in a report, and all that the two modules of scores offer."""
    offered = {name for module in (scores, calibration) for name in module.__all__ if name.islower()}
    offered -= {
        "tries_needed",
        "log_ratio",
        "self_prompt_gain",
    }  # a score's meaning, RMIA's part, a loss less another's
    assert {SHORT.get(name, name) for name in offered} == set(scored["pre_8"]) == set(NAMES)
