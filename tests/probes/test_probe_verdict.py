"""The verdict as a table of cases."""

from __future__ import annotations

import pytest
from probe_world import protocol

from probes.canaries import CanaryReading, broken_by
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
        ({"canary_fault": "2 planted canaries were not detected"}, "INCONCLUSIVE", "CONTROL_BROKEN"),
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


def test_canaries_void_the_assay_when_they_contradict_it():
    planted, missed = CanaryReading("c", 0, 8, 6.0, 0.001), CanaryReading("c", 0, 16, 0.1, 0.4)
    weak, twin, hot_twin = (
        CanaryReading("c", 0, 2, 0.1, 0.4),
        CanaryReading("t", 0, 0, 0.0, 0.5),
        CanaryReading("t", 0, 0, 9.0, 1e-5),
    )
    assert broken_by([planted, weak, twin]) == ""
    assert "not detected" in broken_by([planted, missed])
    assert "looked trained" in broken_by([planted, hot_twin])


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
