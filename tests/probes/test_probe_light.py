"""An adapter that saw each record once: the probes say that they could not have seen the person, and why that is so."""

from __future__ import annotations

import probe_world as w
import pytest
from markupsafe import escape

from probes.canaries import DETECTED_P
from probes.dossier import CanaryRecord, Panel, PlacedRecord
from probes.judge import judge
from probes.report import render

RECORD = w.SUBJECT_RECORDS[0]


@pytest.fixture(scope="module")
def panel(world, tmp_path_factory):
    """One record of the person, one epoch, a gentle rate; other shards likewise. Each shard has a canary of eight."""
    root, trunk = tmp_path_factory.mktemp("light"), world.pre.parent / "trunk"

    def once(name, shard, canary, *more):
        members = [*w.shard_records(shard, people=3), *w.records(canary, 8), *more]
        return w.train(root / name, members, trunk=trunk, epochs=1, rate=2e-4, seed=shard)

    outs = {shard: once(f"out{shard}", shard, w.person(300 + shard)) for shard in w.OUTS}
    pre, post = once("pre", w.HOME, w.CANARY, RECORD), once("post", w.HOME, w.CANARY)
    return Panel(w.BASE, {w.HOME: pre}, {w.HOME: post}, outs)


@pytest.fixture(scope="module")
def light(panel):
    return judge(w.dossier(records=(PlacedRecord(w.HOME, RECORD),)), panel, w.protocol())


def test_nothing_was_measurable_before_either(light):
    assert (light.verdict.outcome, light.verdict.code) == ("INCONCLUSIVE", "NO_PRE_SIGNAL")
    assert min(light.verdict.adjusted_pre.values()) > 0.04
    assert light.verdict.sentence.endswith("the sign-off rests on lineage and re-derivation.")


def test_an_unseen_canary_is_part_of_the_explanation_and_no_broken_control(light, panel):
    """A canary of eight is seen even here. One that the training left no trace of leaves the code as it is."""
    assert min(canary.p for canary in light.canaries) <= DETECTED_P
    assert "synthetic" not in light.verdict.sentence
    unseen = tuple(CanaryRecord("unseen", w.HOME, 8, record) for record in w.records(w.TWIN, 8))
    found = judge(w.dossier(records=(PlacedRecord(w.HOME, RECORD),), canaries=unseen), panel, w.protocol())
    assert found.verdict.code == "NO_PRE_SIGNAL"
    assert (
        "1 synthetic person still in the new one cannot be seen either: the training may be too light"
        in found.verdict.sentence
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
