"""kill -9 on the whole road of a case: real processes that end at a boundary, and others that walk on from there.

Twenty-six kills here, of which two hit the same case one after the other. Commands that are killed by what they have
written so far are in tests/laws/test_crash.py, and every boundary, without processes, in tests/laws/test_fault_suite.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from command_line import QUIET
from exported import copy_world
from faults import Kind, count_boundaries
from whole_road import Outcome, Truth, lies, make_small_world, outcome, standing_still, truth_of, walk

PROCESS = Path(__file__).parents[1] / "support" / "road_process.py"
KILLS = 25
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Undisturbed:
    """A world, how many boundaries its road has, and what an undisturbed walk leaves."""

    world: Path
    boundaries: int
    truth: Truth
    reference: Outcome


@pytest.fixture(scope="module")
def undisturbed(template: Path) -> Iterator[Undisturbed]:
    with standing_still():
        world = make_small_world(template, template.parent / "world")
        whole = copy_world(world, template.parent / "whole")
        boundaries = count_boundaries(Kind.CRASH, lambda: walk(whole))
        yield Undisturbed(world, boundaries, truth_of(world, whole), outcome(whole))


def process(folder: Path, at: int) -> int:
    """Walk in a process of its own; returns how it ended."""
    command = [sys.executable, str(PROCESS), str(folder), str(at)]
    return subprocess.run(
        command, check=False, env={**os.environ, **QUIET}, capture_output=True, timeout=300
    ).returncode


@pytest.mark.parametrize("number", range(KILLS))
def test_a_killed_process_has_told_no_lie_and_the_next_ends_the_case(undisturbed, tmp_path, number) -> None:
    """Evenly over the road; the last case is killed once more on its way on."""
    folder = copy_world(undisturbed.world, tmp_path / "ws")
    at = 1 + number * (undisturbed.boundaries - 1) // (KILLS - 1)
    assert process(folder, at) == -signal.SIGKILL
    assert lies(folder, undisturbed.truth) == []
    if number == KILLS // 2:
        assert process(folder, at // 2) == -signal.SIGKILL
        assert lies(folder, undisturbed.truth) == []
    walk(folder)
    assert lies(folder, undisturbed.truth) == []
    assert outcome(folder).differs(undisturbed.reference) == set()
