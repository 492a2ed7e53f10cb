"""The verdict as a table of cases."""

from __future__ import annotations

import pytest
from probe_world import protocol

from probes.canaries import CanaryReading, lit_twins, missed
from probes.dossier import Protocol
from probes.stats import Abstained, Interval
from probes.verdict import Evidence, decide

SEEN = {"membership": 1e-4, "exposure": 0.001, "extraction": 1e-6}
UNSEEN = {"membership": 0.4, "exposure": 0.6, "extraction": 1.0}
SMALL = Interval(0.05, -0.1, 0.2)


def evidence(**changes) -> Evidence:
    fields = {"pre": SEEN, "post": UNSEEN, "residual": SMALL, "adapters_needed": None, "control_subjects": 12}
    return Evidence(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "outcome", "code"),
    [
        ({}, "PASS", "NO_RESIDUE_SEEN"),
        ({"post": SEEN}, "FAIL", "RESIDUE_SEEN"),
        ({"post": UNSEEN | {"membership": 0.013}}, "FAIL", "RESIDUE_SEEN"),
        ({"post": UNSEEN | {"membership": 0.014}}, "PASS", "NO_RESIDUE_SEEN"),
        ({"lit_own": (0,)}, "FAIL", "RESIDUE_SEEN"),
        ({"lit_elsewhere": (4,)}, "FAIL", "COPY_MISSED"),
        ({"post": SEEN, "lit_elsewhere": (4,)}, "FAIL", "COPY_MISSED"),
        ({"pre": UNSEEN, "lit_elsewhere": (4,)}, "FAIL", "COPY_MISSED"),
        ({"post": UNSEEN | {"extraction": 1e-5}, "control_subjects": 2}, "FAIL", "RESIDUE_SEEN"),
        ({"post": UNSEEN | {"membership": 1e-9}, "control_subjects": 9}, "INCONCLUSIVE", "CONTROL_BROKEN"),
        ({"copies": 1}, "INCONCLUSIVE", "COPY_IN_TRAINING"),
        ({"copies": 2, "pre": UNSEEN, "control_subjects": 2, "twins_lit": 1}, "INCONCLUSIVE", "COPY_IN_TRAINING"),
        ({"copies": 1, "post": SEEN}, "FAIL", "RESIDUE_SEEN"),
        ({"given": ("email",)}, "INCONCLUSIVE", "VALUE_GIVEN"),
        ({"given": ("email",), "post": SEEN}, "FAIL", "RESIDUE_SEEN"),
        ({"given": ("email",), "copies": 1}, "INCONCLUSIVE", "COPY_IN_TRAINING"),
        ({"given": ("email",), "pre": UNSEEN, "control_subjects": 2}, "INCONCLUSIVE", "VALUE_GIVEN"),
        ({"twins_lit": 1}, "INCONCLUSIVE", "CONTROL_BROKEN"),
        ({"twins_lit": 1, "pre": UNSEEN}, "INCONCLUSIVE", "CONTROL_BROKEN"),
        ({"canaries_missed": 1}, "INCONCLUSIVE", "CONTROL_BROKEN"),
        ({"canaries_missed": 1, "residual": Abstained("no variance")}, "INCONCLUSIVE", "CONTROL_BROKEN"),
        ({"canaries_missed": 2, "pre": UNSEEN}, "INCONCLUSIVE", "NO_PRE_SIGNAL"),
        ({"canaries_missed": 2, "post": SEEN}, "FAIL", "RESIDUE_SEEN"),
        ({"known_before": ("phone",)}, "INCONCLUSIVE", "IN_BASE"),
        ({"known_before": ("phone",), "pre": UNSEEN}, "INCONCLUSIVE", "IN_BASE"),
        ({"pre": UNSEEN}, "INCONCLUSIVE", "NO_PRE_SIGNAL"),
        ({"pre": {}, "post": {}, "residual": Abstained("nothing")}, "INCONCLUSIVE", "NO_PRE_SIGNAL"),
        ({"residual": Interval(0.1, -0.3, 0.5), "adapters_needed": 19}, "INCONCLUSIVE", "LOW_POWER"),
        ({"residual": Abstained("the null models gave no variance")}, "INCONCLUSIVE", "LOW_POWER"),
        ({"post": {"membership": 0.04}}, "FAIL", "RESIDUE_SEEN"),
    ],
)
def test_verdict_table(changes, outcome, code):
    verdict = decide(evidence(**changes), protocol())
    assert (verdict.outcome, verdict.code) == (outcome, code)
    assert verdict.sentence.endswith(".")
    assert not any(word in verdict.sentence.lower() for word in ("verified", "proved", "anonymous"))


def test_low_power_prints_the_adapters_needed():
    verdict = decide(evidence(residual=Interval(0.1, -0.3, 0.6), adapters_needed=19), protocol())
    assert "19 adapters" in verdict.sentence


def test_the_map_takes_its_share_of_alpha():
    borderline = evidence(post=UNSEEN | {"membership": 0.015})
    assert decide(borderline, protocol(map_alpha=0.0)).outcome == "FAIL"
    assert decide(borderline, protocol()).outcome == "PASS"


def planted(dose: int, p: float) -> CanaryReading:
    return CanaryReading("c", 0, dose, 1.0, p)


def test_only_canaries_of_eight_or_more_records_must_be_seen():
    assert missed([planted(8, 0.001), planted(16, 0.05), planted(4, 0.9), planted(0, 0.9)]) == 0
    assert missed([planted(8, 0.06), planted(16, 0.4), planted(1, 0.9)]) == 2


def test_more_twins_are_no_more_chances_of_a_false_alarm():
    """Together they err in 5 of 1,000 cases, whether there are five of them or forty; planted ones count for nothing."""
    one_lit = planted(0, 0.0009)
    assert lit_twins([planted(0, 0.0049)]) == 1
    assert lit_twins([one_lit, *(planted(0, 0.5) for _ in range(4)), *(planted(8, 1e-9) for _ in range(40))]) == 1
    assert lit_twins([one_lit, *(planted(0, 0.5) for _ in range(39))]) == 0
    assert lit_twins([]) == 0


def test_a_training_too_light_for_its_canaries_is_called_that():
    light = decide(evidence(canaries_missed=2, pre=UNSEEN), protocol()).sentence
    assert "2 synthetic people still in the new one cannot be seen either: the training may be too light" in light
    assert "synthetic" not in decide(evidence(pre=UNSEEN), protocol()).sentence


def test_every_rule_changes_the_protocol_digest():
    one = Protocol(out_adapters=7)
    changed = [
        Protocol(out_adapters=8),
        Protocol(7, alpha=0.1),
        Protocol(7, candidates=199),
        Protocol(7, candidate_seed=2),
    ]
    assert len({p.digest for p in (one, *changed)}) == 5
    assert one.digest == Protocol(out_adapters=7).digest
