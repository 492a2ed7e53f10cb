"""The judge detects guilt: adapters that memorised a person, seen through the whole road of `judge`."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import rfc8785
from markupsafe import escape
from probe_world import CONTROLS, HOME, SUBJECT, SUBJECT_RECORDS, dossier, protocol
from standing_alone import outside_of

from lineage.errors import WrongUsage
from probes.bench import lay_out
from probes.dossier import PersonalValue, PlacedRecord
from probes.judge import judge
from probes.report import render, write_report
from probes.stats import Abstained


def quiet(done, steps, what):
    pass


def test_the_old_adapter_gives_the_values_and_the_new_one_does_not(judged):
    models = {model.name: model for model in judged["honest"].models}
    assert (models[f"pre_{HOME}"].greedy_hits, models[f"pre_{HOME}"].greedy_values) == (2, 2)
    assert models[f"post_{HOME}"].greedy_hits == 0
    assert models["base"].greedy_hits == 0
    assert {value.exposure_rank for value in models[f"pre_{HOME}"].values} == {1}


def test_an_honest_erasure_passes(judged):
    found = judged["honest"]
    assert (found.verdict.outcome, found.verdict.code) == ("PASS", "NO_RESIDUE_SEEN")
    assert min(found.verdict.adjusted_pre.values()) < 0.01
    assert found.residual.upper < 0.5


def test_the_old_adapter_served_as_new_fails_by_every_primary(judged):
    verdict = judged["old served as new"].verdict
    assert verdict.outcome == "FAIL"
    assert set(verdict.adjusted_post) == {"membership", "exposure", "extraction"}
    assert max(verdict.adjusted_post.values()) <= 0.04


def test_an_adapter_that_never_learnt_gives_no_verdict(judged):
    verdict = judged["never trained"].verdict
    assert (verdict.outcome, verdict.code) == ("INCONCLUSIVE", "NO_PRE_SIGNAL")


def test_the_old_release_served_as_new_fails(world):
    panel = replace(world.panel(), composed_post=world.pre)
    assert judge(dossier(), panel, protocol()).verdict.outcome == "FAIL"


def test_planted_canaries_are_seen_and_their_twins_are_not(judged):
    planted, twin = sorted(judged["honest"].canaries, key=lambda canary: -canary.dose)
    assert planted.p < 0.05 < twin.p


def test_too_few_control_people_break_the_control(world):
    few = dossier(controls=CONTROLS[:9], values=(), canaries=())
    assert judge(few, world.panel(), protocol()).verdict.code == "CONTROL_BROKEN"


def test_the_map_shows_the_person_where_they_were_and_nowhere_afterwards(judged):
    where = judged["honest"].where
    assert (where.known, where.before.lit, where.after.lit) == ((HOME,), (HOME,), ())
    assert where.before.companion.rank == 1
    assert where.before.companion.controls == 12


def test_the_old_shard_served_as_new_lights_up_on_the_map(judged):
    found = judged["old served as new"]
    assert (found.where.after.lit, found.where.missed) == ((HOME,), ())
    assert "the shard map, in shard 0" in found.verdict.sentence


def test_a_copy_in_another_shard_is_a_fail_that_names_the_shard(world):
    """An honest retrain, but shard 4 learnt the person too, and lineage does not know."""
    found = judge(dossier(), replace(world.panel(), outs=world.outs | {4: world.pre}), protocol())
    assert (found.verdict.outcome, found.verdict.code) == ("FAIL", "COPY_MISSED")
    assert "shard 4" in found.verdict.sentence
    assert (found.where.before.lit, found.where.after.lit, found.where.missed) == ((HOME, 4), (4,), (4,))


def test_too_few_control_people_leave_no_map(world):
    few = dossier(controls=CONTROLS[:9], values=(), canaries=())
    found = judge(few, replace(world.panel(), outs=world.outs | {4: world.pre}), protocol())
    assert found.verdict.code == "CONTROL_BROKEN"
    assert found.where.after.reason == "9 people were kept out of every training; 10 needed"


def test_without_values_membership_alone_decides(world):
    found = judge(dossier(values=()), world.panel(post=world.pre), protocol())
    assert (found.verdict.outcome, list(found.primaries_post)) == ("FAIL", ["membership"])


def test_out_adapters_that_know_the_person_are_not_an_erasure_failure(world):
    knowing = world.outs | dict.fromkeys((1, 2, 3, 4, 5), world.pre)
    panel = replace(world.panel(), outs=knowing)
    assert judge(dossier(canaries=()), panel, protocol()).verdict.code in {"IN_BASE", "CONTROL_BROKEN"}


def test_a_name_in_an_email_is_not_evidence(world):
    email = PersonalValue("email", SUBJECT.name.replace(" ", ".").lower() + "@example.org")
    found = judge(dossier(values=(PersonalValue("name", SUBJECT.name), email)), world.panel(), protocol())
    assert [(v.label, v.evidence, v.reason) for v in found.values] == [("email", False, "follows from the name")]


def test_same_case_same_numbers(world, judged):
    again = judge(dossier(), world.panel(post=world.pre), protocol())
    assert rfc8785.dumps(again.as_json()) == rfc8785.dumps(judged["old served as new"].as_json())


def test_mismatched_inputs_are_refused(world):
    for panel, rules in (
        (world.panel(), protocol(out_adapters=5)),
        (replace(world.panel(), post={}), protocol()),
        (replace(world.panel(), outs={HOME: world.pre} | dict(list(world.outs.items())[1:])), protocol()),
    ):
        with pytest.raises(WrongUsage):
            lay_out(dossier(), panel, rules, progress=quiet)
    stray = dossier(records=(PlacedRecord(5, SUBJECT_RECORDS[0]),))
    with pytest.raises(WrongUsage):
        lay_out(stray, world.panel(), protocol(), progress=quiet)


@pytest.mark.parametrize("name", ["honest", "old served as new", "never trained"])
def test_the_report_holds_no_value_name_text_or_path(judged, world, tmp_path, name):
    written = write_report(judged[name], tmp_path)
    assert [path.name for path in written] == ["report.json", "report.html"]
    assert sorted(tmp_path.iterdir()) == sorted(written)
    for blob in (*(path.read_bytes() for path in written), repr(judged[name]).encode()):
        for planted in (
            SUBJECT.account,
            SUBJECT.phone,
            SUBJECT.phone[-8:],
            SUBJECT.name,
            SUBJECT.handle + "-0",
            "on my screen",
            str(world.pre.parent),
        ):
            assert planted.encode() not in blob


def test_the_report_stands_alone_and_says_what_was_found(judged):
    page = render(judged["honest"])
    assert page.count("<svg") == 5
    assert outside_of(page) == []
    assert outside_of('<a href="https://example.org"><svg fill="url(#a)"/><b style="background:url(x.png)">') == [
        "a href",
        "x.png",
    ]
    for sentence in judged["honest"].sentences:
        assert str(escape(sentence)) in page


def test_the_report_says_what_became_of_the_canaries_or_why_there_are_none(judged):
    assert "1 of 1 found; 0 of 1 twins look trained" in render(judged["honest"])
    without = replace(judged["honest"], canaries=Abstained("No canaries: there are reasons."))
    page = render(without)
    assert "No canaries: there are reasons." in page
    assert page.count("<svg") == 4


def test_without_canaries_the_judgement_says_what_the_dossier_says(world):
    none = dossier(records=(), values=(), canaries=(), canary_note="No canaries: there are reasons.")
    assert judge(none, world.panel(), protocol()).canaries == Abstained("No canaries: there are reasons.")


def test_the_ways_of_asking_stand_beside_the_verdict(judged):
    models = {model.name: model for model in judged["honest"].models}
    ways = {a.way: a for value in models[f"pre_{HOME}"].values for a in value.attacks}
    assert set(ways) == {"true_prefix", "short_prefix", "template", "few_shot", "pii_compass", "multi_query"}
    assert ways["true_prefix"].hits > 0
    assert not any(a.hits for value in models[f"post_{HOME}"].values for a in value.attacks)
    assert models[f"pre_{HOME}"].longest_verbatim > models[f"post_{HOME}"].longest_verbatim
    page = render(judged["honest"])
    for words in ("Ways of asking", "the record, up to the value", "all of these together"):
        assert words in page


def test_the_report_is_the_same_bytes_twice(judged):
    assert render(judged["honest"]) == render(judged["honest"])


def test_the_json_names_its_schema_and_rules(judged):
    found = json.loads(json.dumps(judged["honest"].as_json(), allow_nan=False))
    assert (found["schema"], found["protocol_digest"]) == ("lethe.judgement/1", protocol().digest)
    assert found["detectable"]["effect_sd"] > 0
    assert len(found["sentences"]) == 3
