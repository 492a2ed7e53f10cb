"""The benchmarks still run. Their figures are looked at by people, never by a test: time on a shared machine proves nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["throughput", "erasure_cost"])
def test_a_small_run_ends_well(name: str) -> None:
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--quick"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert (result.returncode, "bar" in result.stdout) == (0, True), result.stderr[-2000:]
