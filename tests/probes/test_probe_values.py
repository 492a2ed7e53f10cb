"""Extraction and exposure: what counts as a value, which places are evidence, and how it is ranked."""

from __future__ import annotations

import math

import numpy as np
import pytest
from probe_world import BASE, SUBJECT, SUBJECT_RECORDS, protocol
from scipy import stats as reference

from lineage.records import Chat, Completion, Message
from probes.dossier import PersonalValue
from probes.exposure import calibrated, rank, trial
from probes.extraction import Extraction, chance_p, derivable, extract, extraction_p, occurrences
from probes.formats import candidates, format_of
from probes.readings import TokenReadings
from probes.tokens import tokenise

PHONE = PersonalValue("phone", SUBJECT.phone)


def places(tokenizer, content, value=PHONE):
    return occurrences([tokenise(tokenizer, content, 512)], value)


def chat(user, assistant):
    return Chat((Message("user", user), Message("assistant", assistant)))


def test_a_learnt_value_is_found_with_all_its_tokens(tokenizer):
    item = tokenise(tokenizer, SUBJECT_RECORDS[0].content, 512)
    (place,) = occurrences([item], PHONE)
    assert tokenizer.decode([item.ids[p] for p in place.positions]).strip() == SUBJECT.phone


def test_a_value_keeps_its_leading_space(tokenizer):
    item = tokenise(tokenizer, Completion("the number is", f" {SUBJECT.account}."), 512)
    (place,) = occurrences([item], PersonalValue("account", SUBJECT.account))
    assert SUBJECT.account in tokenizer.decode([item.ids[p] for p in place.positions])
    assert item.ids[place.positions[0] - 1] != tokenizer.convert_tokens_to_ids("Ġ") or place.positions[0] > 0


@pytest.mark.parametrize(
    "said", [SUBJECT.phone, SUBJECT.phone.replace(" ", ""), "0" + SUBJECT.phone[4:], SUBJECT.phone.replace(" ", "-")]
)
def test_what_the_customer_said_before_is_copying_not_memory(tokenizer, said):
    assert not places(tokenizer, chat(f"call me at {said}", f"I call you at {SUBJECT.phone}"))


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("my login is qvx4711", "qvx4711@web.example"),
        ("the card ending in 0170", "5500000000000170"),
        ("it ends in 34-567", "12034567"),
    ],
)
def test_the_last_digits_said_before_leave_less_to_remember(tokenizer, said, value):
    assert not places(tokenizer, chat(said, f"I have {value} here."), PersonalValue("account", value))


@pytest.mark.parametrize(("said", "value"), [("order 47", "qvx47@web.example"), ("the 5th of 2034", "12034567")])
def test_other_numbers_said_before_do_not(tokenizer, said, value):
    assert places(tokenizer, chat(said, f"I have {value} here."), PersonalValue("account", value))


def test_a_value_in_a_user_turn_was_never_learnt(tokenizer):
    assert not places(tokenizer, chat(f"call me at {SUBJECT.phone}", "yes"))


def test_a_value_that_truncation_cut_in_two_is_no_evidence(tokenizer):
    whole = tokenise(tokenizer, SUBJECT_RECORDS[0].content, 512)
    (place,) = occurrences([whole], PHONE)
    assert not occurrences([tokenise(tokenizer, SUBJECT_RECORDS[0].content, place.positions[-1])], PHONE)


def test_values_made_of_the_name_prove_nothing():
    name = PersonalValue("name", "Ada Birch")
    assert derivable(PersonalValue("email", "ada.birch@example.org"), (name,))
    assert derivable(name, ())
    assert not derivable(PersonalValue("account", "12345678"), (name,))


def test_one_wrong_argmax_is_no_greedy_hit():
    def reading(greedy):
        n = len(greedy)
        return TokenReadings(np.arange(n), np.zeros(n), np.zeros(n), np.ones(n), np.array(greedy), np.full(n, -1.0))

    class Place:
        def __init__(self, item):
            self.item, self.positions = item, (0, 1)

    found = extract([Place(0), Place(1)], [reading([1.0, 1.0, 0.0]), reading([1.0, 0.0, 1.0])])
    assert found == Extraction(prompts=2, hits=1, log_p_z=-2.0, hint_share=0.0)
    assert extract([], []) == Extraction(0, 0, -math.inf)


def test_chance_of_giving_a_random_value_by_markov():
    assert chance_p(math.log(0.01), random_digits=6, prompts=1) == pytest.approx(1e-4)
    assert chance_p(math.log(0.01), random_digits=6, prompts=5) == pytest.approx(5e-4)
    assert chance_p(math.log(0.01), random_digits=1, prompts=1) == 1.0
    assert chance_p(-math.inf, random_digits=6, prompts=1) == 1.0


@pytest.mark.parametrize(
    ("suspect", "out", "guilty"),
    [(-1.0, -20.0, True), (-20.0, -40.0, False), (-1.0, -2.0, False), (-1.0, -1.0, False), (-7.0, -7.5, False)],
)
def test_the_extraction_rule(suspect, out, guilty):
    outs = [Extraction(1, 0, out), Extraction(1, 0, -50.0)]
    p, empirical = extraction_p(Extraction(1, 1, suspect), outs, random_digits=8, protocol=protocol())
    assert (p < 1e-4) is guilty
    assert empirical == pytest.approx((1 + (out >= suspect)) / 3)


def test_a_tie_counts_for_the_candidate():
    assert rank(np.array([1.0, 1.0, 0.5])).rank == 2
    assert rank(np.array([2.0, 1.0, 0.5])).p == pytest.approx(1 / 3)
    assert rank(np.array([2.0, 1.0, 0.5, 0.1])).exposure_bits == 2.0


def test_exposure_p_is_uniform_when_the_value_is_one_of_many():
    rng = np.random.default_rng(5)
    found = []
    for _ in range(400):
        scores = {name: rng.normal(size=100) * 3 + rng.normal(size=100) for name in ("a", "b", "o1", "o2", "o3")}
        found.append(rank(calibrated(scores, ["a", "b"], ["o1", "o2", "o3"])).p)
    jittered = np.array(found) - rng.uniform(0, 1 / 100, 400)
    assert reference.kstest(jittered, "uniform").pvalue > 0.05


def test_endings_are_whole_string_tokens_of_any_length(tokenizer):
    class Doorway:
        pass

    doorway = Doorway()
    doorway.tokenizer = tokenizer
    item = tokenise(tokenizer, SUBJECT_RECORDS[0].content, 512)
    (place,) = occurrences([item], PHONE)
    form = format_of(PersonalValue("phone", PHONE.value, "+44 20 ########"))
    found = trial(doorway, item, place, candidates(form, PHONE.value, count=50, seed=1))
    assert len(found.endings) == 51
    assert found.prompt + found.endings[0] == item.ids[: place.positions[-1] + 1]
    assert BASE.is_dir()
