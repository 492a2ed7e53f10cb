"""Trace-preserving replay (arXiv 2508.12220): run the *old* trace again with the erased slots filtered out.

The trace keeps, for every step, the records in order, the dropout seed, the rate and the denominator of the loss. An
erasure goes back to the last checkpoint (weights and optimizer) before the first step that holds a record of the person,
blanks those slots and runs the rest. The paper's oracle is the same program over the same trace from the beginning.
Both keep what the person did to everybody else: their batch, their order, the denominators, the number of steps.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from peers.conventional import Checkpoint, Kept
from peers.learner import FRESH, Learner
from peers.setting import Adapter, Setting

__all__ = ["erase", "oracle", "stored_bytes"]


def erase(setting: Setting, kept: Kept, person: str) -> Adapter:
    """Replay from the last checkpoint that no record of the person reached."""
    erased = {record.record_id for record in setting.corpus.trained[person]}
    first = next(i for i, step in enumerate(kept.trace) if erased.intersection(step.slots))
    clean = [Checkpoint(0, setting.trunk.weights, FRESH), *(c for c in kept.checkpoints if c.before <= first)]
    return _replay(setting, kept, clean[-1], erased)


def oracle(setting: Setting, kept: Kept, person: str) -> Adapter:
    """What the paper compares with: the filtered trace from its first step."""
    erased = {record.record_id for record in setting.corpus.trained[person]}
    return _replay(setting, kept, Checkpoint(0, setting.trunk.weights, FRESH), erased)


def stored_bytes(kept: Kept) -> int:
    """Bytes of the checkpoints and of the trace as JSON."""
    trace = sum(len(json.dumps(asdict(step))) for step in kept.trace)
    return trace + sum(len(c.weights) + len(c.moments) for c in kept.checkpoints)


def _replay(setting: Setting, kept: Kept, start: Checkpoint, erased: set[str]) -> Adapter:
    learner = Learner(setting, start.weights, moments=start.moments)
    learner.follow(kept.trace[start.before :], erased=erased)
    return setting.adapter({0: learner.weights})
