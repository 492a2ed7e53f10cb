"""An adapter that saw each record once: the probes say that they could not have seen the person, and why that is so."""

from __future__ import annotations

import probe_world as w
import pytest
from markupsafe import escape

from probes.canaries import DETECTED_P
from probes.dossier import Panel, PlacedRecord
from probes.judge import judge
from probes.report import render

RECORD = w.SUBJECT_RECORDS[0]


@pytest.fixture(scope="module")
def light(world, tmp_path_factory):
    """One record of the person, one epoch, a gentle rate; neighbours, a canary of eight and other shards likewise."""
    root, trunk = tmp_path_factory.mktemp("light"), world.pre.parent / "trunk"

    def once(name, members, seed=0):
        return w.train(root / name, members, trunk=trunk, epochs=1, rate=2e-4, seed=seed)

    planted = [*w.shard_records(w.HOME, people=4), *w.records(w.CANARY, 8)]
    outs = {shard: once(f"out{shard}", w.shard_records(shard), shard) for shard in w.OUTS}
    panel = Panel(w.BASE, {w.HOME: once("pre", [*planted, RECORD])}, {w.HOME: once("post", planted)}, outs)
    dossier = w.dossier(records=(PlacedRecord(w.HOME, RECORD),))
    return judge(dossier, panel, w.protocol())


def test_nothing_was_measurable_before_either(light):
    assert (light.verdict.outcome, light.verdict.code) == ("INCONCLUSIVE", "NO_PRE_SIGNAL")
    assert min(light.verdict.adjusted_pre.values()) > 0.04
    assert light.verdict.sentence.endswith("the sign-off rests on lineage and re-derivation.")


def test_an_unseen_canary_is_part_of_the_explanation_and_no_broken_control(light):
    planted = next(canary for canary in light.canaries if canary.dose == 8)
    assert planted.p > DETECTED_P
    assert (
        "1 synthetic person still in the new one cannot be seen either: the training is too light"
        in light.verdict.sentence
    )


def test_the_explanation_can_be_read_without_the_code(light):
    tested, found, could = light.sentences
    assert "1 record" in tested
    assert found.startswith("The old adapter gave 0 of 2 values word for word")
    assert "would have been flagged" in could
    page = render(light)
    for sentence in (*light.sentences, light.verdict.sentence):
        assert str(escape(sentence)) in page
    assert "The probes cannot tell" in page
