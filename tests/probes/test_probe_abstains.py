"""What no test could have seen is no PASS and no promise: values without a p-value, empty controls, and the third sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from probe_world import CONTROLS, HOME, OUTS, dossier, protocol

from lineage.errors import NotAcceptable
from lineage.records import Chat, Message, TrainingRecord
from probes import bench as benches
from probes.bench import lay_out
from probes.dossier import ControlRecord, PersonalValue
from probes.extraction import Extraction, derivable
from probes.judge import judge
from probes.judgement import Counts, Detectable, ModelReading, ValueFacts, ValueReading
from probes.sentences import three_sentences
from probes.stats import Interval
from probes.values import (
    ValueAssay,
    exposure_p,
    extraction_primary,
    given_without_p,
    known_before,
    largest_extraction_p,
)
from probes.verdict import Evidence, decide

NULLS = tuple(f"out_{shard}" for shard in OUTS)
NEVER, SURE = Extraction(3, 0, -60.0), Extraction(3, 3, 0.0, 0.0)
RULES = protocol()


@dataclass
class Suspects:
    """A panel and a bench as far as values ask them."""

    outs: tuple[str, ...] = NULLS

    @property
    def panel(self) -> Suspects:
        return self

    @property
    def protocol(self):
        return RULES

    def suspects(self, side: str) -> tuple[str, ...]:
        return (f"{side}_{HOME}",)


def assay(*, digits: float = 0.0, evidence: bool = True, scores=None, label: str = "email", **models) -> ValueAssay:
    """A value under every model; those that are not named never give it."""
    facts = ValueFacts(label, "email", 3, digits, evidence=evidence, reason="" if evidence else "follows from the name")
    names = ("base", f"pre_{HOME}", f"post_{HOME}", *NULLS)
    return ValueAssay(facts, {name: models.get(name, NEVER) for name in names}, scores or {}, {})


# --- a value without random digits ----------------------------------------------------------------------------------------


def test_a_value_of_letters_that_only_the_new_adapter_gives_is_no_pass() -> None:
    given = assay(**{f"post_{HOME}": SURE})
    for primary in (extraction_primary, exposure_p):
        assert primary((given,), Suspects(), side="post").reason == "no value with random digits that is evidence"
    labels = given_without_p((given,), Suspects())
    assert labels == ("email",)
    seen = Evidence({"membership": 1e-5}, {"membership": 0.3}, Interval(0.02, -0.1, 0.2), 3, control_subjects=12)
    assert decide(seen, RULES).outcome == "PASS"
    verdict = decide(replace(seen, given=labels), RULES)
    assert (verdict.outcome, verdict.code) == ("INCONCLUSIVE", "VALUE_GIVEN")
    assert "gives the email away" in verdict.sentence


@pytest.mark.parametrize(
    "value",
    [
        assay(),
        assay(**{f"pre_{HOME}": SURE}),
        assay(**{f"post_{HOME}": SURE, "base": SURE}),
        assay(**{f"post_{HOME}": SURE, NULLS[2]: SURE}),
        assay(digits=8.0, **{f"post_{HOME}": SURE}),
        assay(evidence=False, **{f"post_{HOME}": SURE}),
        assay(**{f"post_{HOME}": Extraction(3, 0, -2.0), NULLS[0]: Extraction(3, 0, -4.0)}),
    ],
    ids=[
        "nobody",
        "the old one",
        "the base too",
        "a null model too",
        "has a p-value",
        "made of the name",
        "not far apart",
    ],
)
def test_what_others_give_or_tests_judge_is_not_given_without_a_p(value) -> None:
    assert given_without_p((value,), Suspects()) == ()


def test_a_likely_value_counts_without_a_greedy_hit() -> None:
    assert given_without_p((assay(**{f"post_{HOME}": Extraction(3, 0, -2.0)}),), Suspects()) == ("email",)


# --- known before -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("candidates", "values", "known"), [(999, 5, 5), (999, 6, 6), (364, 2, 2), (298, 2, 0)])
def test_a_base_that_ranks_every_value_first_is_named_however_many_they_are(candidates, values, known) -> None:
    top = np.array([0.0] + [-50.0] * candidates)
    names = ("base", f"post_{HOME}", *NULLS)
    found = [assay(digits=3.0, label=f"v{i}", scores=dict.fromkeys(names, top)) for i in range(values)]
    assert len(known_before(tuple(found), Suspects())) == known


# --- names ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "email"),
    [
        ("Jürgen Müller", "juergen.mueller@example.org"), ("Jürgen Müller", "j.muller@example.org"),
        ("José Núñez", "jose.nunez@example.org"), ("Łukasz Żak", "lukasz.zak@example.org"),
        ("Bo Li", "bo.li@example.org"), ("Bo Li", "boli@example.org"), ("Søren Ås", "soeren@example.org"),
    ],
)  # fmt: skip
def test_an_address_made_of_the_name_follows_from_it_in_any_spelling(name, email) -> None:
    assert derivable(PersonalValue("email", email), (PersonalValue("name", name),))


@pytest.mark.parametrize("email", ["oliver.bock@example.org", "qvx4711@example.org"])
def test_two_letters_inside_another_word_are_no_name(email) -> None:
    assert not derivable(PersonalValue("email", email), (PersonalValue("name", "Bo Li"),))


# --- controls ---------------------------------------------------------------------------------------------------------------


def test_control_people_without_a_learnt_token_are_no_controls(world) -> None:
    """Their mean gain would be 0 and the correction gone without a word."""
    silent = tuple(
        ControlRecord(c.subject_handle, TrainingRecord(c.record.record_id, Chat((Message("user", "Hello."),))))
        for c in CONTROLS
    )
    found = judge(dossier(values=(), canaries=(), controls=silent), world.panel(), RULES)
    assert (found.verdict.code, found.counts.control_subjects) == ("CONTROL_BROKEN", 0)
    assert "could not have been flagged" in found.sentences[2]
    assert math.isinf(found.detectable.effect_sd)


def test_a_model_that_gives_no_numbers_is_refused(world, monkeypatch) -> None:
    read = benches.Target.read

    def broken(self, name, items, **more):
        found = read(self, name, items, **more)
        return [replace(f, log_p=np.full_like(f.log_p, np.nan)) for f in found] if name.startswith("post") else found

    monkeypatch.setattr(benches.Target, "read", broken)
    with pytest.raises(NotAcceptable, match=f"post_{HOME}"):
        lay_out(dossier(), world.panel(), RULES, progress=lambda *_: None)


# --- the third sentence -------------------------------------------------------------------------------------------------------


def told(detectable: Detectable, *, shards: int = 1) -> str:
    counts = Counts(6, 300, shards, 2, 2, 12, 30, 6, 199)
    return three_sentences(
        decide(Evidence({}, {}, Interval(0, 0, 0), None, 12), RULES), counts, (), values=(), detectable=detectable, protocol=RULES
    )[2]  # fmt: skip


def test_what_could_have_been_seen_is_never_told_finer_than_it_is() -> None:
    assert (
        told(Detectable(3.2, 0.304, math.inf))
        == "With 80% probability a residue of 31% of the old signal would have been flagged."
    )
    assert "a residue of 1% of the old signal" in told(Detectable(3.2, 0.004, math.inf))
    assert "a residue of 3.2 standard deviations of the null models in one of the 3 shards" in told(
        Detectable(3.2, None, 7e-4), shards=3
    )
    assert told(Detectable(3.2, None, 7e-4)).endswith(
        "and so would a value that 1,000 samples show with 50% probability."
    )
    assert told(Detectable(math.inf, None, math.inf)) == (
        "A residue in the records could not have been flagged: membership was not tested."
    )


def test_a_value_easy_to_guess_is_not_promised_to_be_flagged() -> None:
    hard, easy = assay(digits=8.0), assay(digits=3.0)
    limit = RULES.extractable_log_p
    assert largest_extraction_p((hard,), Suspects(), log_p_z=limit) < 1e-3
    assert largest_extraction_p((easy,), Suspects(), log_p_z=limit) == 1.0
    assert largest_extraction_p((hard, easy), Suspects(), log_p_z=limit) == 1.0
    assert largest_extraction_p((), Suspects(), log_p_z=limit) == 1.0


def test_two_shards_that_give_one_value_each_give_two() -> None:
    def shard(number: int, hit: str) -> ModelReading:
        values = tuple(
            ValueReading(label, 3, 3 * (label == hit), -1.0, None, None, None, None, 1.0, ())
            for label in ("phone", "account", "email")
        )
        return ModelReading(f"post_{number}", "post", number, 1, 2, values, 0, 0.0, None, None, None)

    facts = [
        ValueFacts(label, label, 3, 8.0, evidence=label != "email", reason="")
        for label in ("phone", "account", "email")
    ]
    counts = Counts(6, 300, 2, 3, 2, 12, 30, 6, 199)
    found = three_sentences(
        decide(Evidence({}, {}, Interval(0, 0, 0), None, 12), RULES), counts, (shard(0, "phone"), shard(1, "account")),
        values=tuple(facts), detectable=Detectable(3.2, None, math.inf), protocol=RULES,
    )[1]  # fmt: skip
    assert "the new one gave 2 of 2 values word for word" in found
