"""The comparison with other methods runs, and its claims about bytes hold on a tiny corpus."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def methods(tmp_path_factory):
    """The lines of a quick run by the name of their method; people are forgotten one at a time."""
    out = tmp_path_factory.mktemp("peers") / "result.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "peers.py"), "--quick", "--out", str(out)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True)
    return {line["method"]: line for line in json.loads(out.read_text())["methods"]}


@pytest.mark.slow
def test_every_method_runs(methods):
    assert set(methods) == {
        "never-ingested retrain", "Lethe", "SISA", "S3T, group off", "S3T, group retrained", "replay",
        "GradAscent", "GradDiff", "NPO", "SimNPO",
    }  # fmt: skip
    assert all(
        np.isfinite([line["distance"], line["divergence"], *line["held_out_nll"]]).all() for line in methods.values()
    )


@pytest.mark.slow
def test_lethe_equals_a_training_that_never_met_the_person(methods):
    lethe = methods["Lethe"]
    assert (lethe["equal_to_never"], lethe["distance"]) == (lethe["people"], 0.0)


@pytest.mark.slow
def test_replay_equals_its_own_oracle_and_no_training_without_the_person(methods):
    replay = methods["replay"]
    assert (replay["equal_to_oracle"], replay["equal_to_never"]) == (replay["people"], 0)
    assert replay["distance"] > 0.01


@pytest.mark.slow
def test_switched_off_layers_hold_nobody(methods):
    off = methods["S3T, group off"]
    assert (off["equal_to_oracle"], off["equal_to_never"]) == (off["people"], 0)


@pytest.mark.slow
def test_approximate_methods_equal_nothing(methods):
    assert [methods[name]["equal_to_never"] for name in ("GradAscent", "GradDiff", "NPO", "SimNPO")] == [0, 0, 0, 0]


def test_the_attack_sees_a_mark_and_nothing_where_there_is_none():
    from peers.attack import Erasure, attack

    rng = np.random.default_rng(3)

    def erasures(mark: float, count: int) -> list[Erasure]:
        return [Erasure(rng.normal(size=5) + mark * np.eye(5)[2], rng.normal(size=(2, 5))) for _ in range(count)]

    seen, unseen = attack(erasures(6.0, 12)), attack(erasures(0.0, 200))
    assert seen.auc > 0.9
    assert seen.lower > 0.5
    assert unseen.lower < 0.5 < unseen.upper
    assert (seen.people, unseen.people) == (12, 200)


def test_losses_are_the_papers():
    """NPO starts at 2/b log 2 with gradient ascent's slope and then leaves what is forgotten alone (Eq. 3)."""
    import torch
    from peers.approximate import Forgetting, grad_ascent, npo, sim_npo

    before, tokens = torch.tensor([4.0, 6.0]), torch.tensor([10.0, 10.0])
    now = before.clone().requires_grad_()
    value = npo(Forgetting(now, before, tokens), beta=0.5)
    assert value.item() == pytest.approx(2 / 0.5 * np.log(2))
    value.backward()
    assert now.grad.tolist() == pytest.approx([-0.5, -0.5])  # -1 per nat, averaged over two records
    far = torch.tensor([400.0, 600.0], requires_grad=True)
    npo(Forgetting(far, before, tokens), beta=0.5).backward()
    assert far.grad.abs().max() < 1e-6
    assert grad_ascent(Forgetting(before, before, tokens)).item() == pytest.approx(-0.5)
    nats = torch.tensor([4.0])
    expected = 2 / 2.5 * np.log1p(np.exp(-(2.5 * 0.4 - 0.3)))
    assert sim_npo(Forgetting(nats, nats, torch.tensor([10.0])), beta=2.5, gamma=0.3).item() == pytest.approx(expected)
