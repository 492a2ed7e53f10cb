"""The benchmarks still run. Their figures are looked at by people, never by a test: time on a shared machine proves nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "throughput", "erasure_cost", "utility", "false_alarms", "register", "scan", "probe_scores", "probe_extraction",
        "probe_power", "probe_faults", "self_prompt", "canaries", "near_copies", "ledger",
    ],
)  # fmt: skip
def test_a_small_run_ends_well(name: str) -> None:
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--quick"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert (result.returncode, "bar" in result.stdout) == (0, True), result.stderr[-2000:]


@pytest.mark.slow
def test_the_labelled_set_is_scored_for_every_tier() -> None:
    """Marks lie on what was written: a type that the patterns always find is found to the character."""
    command = [sys.executable, str(BENCHMARKS / "detection.py"), "--quick"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert result.returncode == 0, result.stderr[-2000:]
    ibans = [line.split() for line in result.stdout.splitlines() if "IBAN_CODE" in line]
    assert len(ibans) == 4
    assert all(line[1] != "0" and (line[2], line[4]) == ("1.000", "1.000") for line in ibans)
    assert result.stdout.count("false findings per 1,000") == 4


@pytest.mark.slow
def test_the_road_of_the_gpu_benchmark_on_the_processor() -> None:
    """At a tiny shape: bfloat16, checkpointing, erasure equal to never having seen the record."""
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), "--tiny"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert result.returncode == 0, result.stderr[-2000:]
    found = json.loads(result.stdout)
    assert (found["equal"], found["moved"], found["erasure_reused_slices"]) == (True, True, 1)


def test_the_gpu_benchmark_says_in_a_sentence_that_there_is_no_gpu() -> None:
    command = [sys.executable, str(BENCHMARKS / "gpu.py")]
    without = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500, env=without)
    assert (result.returncode, result.stdout.count("\n")) == (0, 1)
    assert "no GPU" in result.stdout
