"""Proof of grade A: a second process rebuilds what an erasure rebuilt, from the vault alone, and gets the same bytes.

The second process is `pipelines.rederive`. For the cases of one window it derives each suffix once.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lineage.case import CaseFile
from lineage.errors import Fault, NotAcceptable
from lineage.evidence import add_evidence, evidence
from lineage.stages import Stage
from lineage.workspace import Workspace
from pipelines.chains import current_chain
from pipelines.ingest import utc_now
from pipelines.states import open_atelier
from pipelines.windows import Window

__all__ = ["rederive"]


def rederive(workspace: Workspace, *case_ids: str) -> dict[str, dict[str, Any]]:
    """Let a second process rebuild the affected suffixes from the vault, without the first one's states, and compare.

    Raises:
        NotAcceptable: the second process got other bytes.
    """
    window = Window(workspace, case_ids)
    first: dict[str, dict[str, dict[int, int]]] = {}
    for case_id in window.cases:
        with window.apart(case_id), workspace.database.transaction() as session:
            case = CaseFile(session, case_id)
            case.require_no_hold()
            case.advance(Stage.VERIFYING, now=utc_now())
            adapters = evidence(session, case_id, "rebuild")["adapters"]
            first[case_id] = {
                adapter: {int(shard): index for shard, index in facts.get("first", {}).items()}
                for adapter, facts in adapters.items()  # type: ignore[attr-defined]
            }
    derived = _derive_again(window, first)
    bodies: dict[str, dict[str, Any]] = {}
    for case_id in window.still():
        with window.apart(case_id):
            bodies[case_id] = _file_rederivation(workspace, case_id, first[case_id], derived)
    window.require_somebody()
    return bodies


@dataclass(frozen=True)
class _Derived:
    """State digests by shard and slice: what the tables say, and what the second process got. `cases` shared its run."""

    expected: Mapping[int, Mapping[int, str]]
    found: Mapping[int, Mapping[int, str]]
    cases: tuple[str, ...]


def _derive_again(window: Window, first: Mapping[str, Mapping[str, Mapping[int, int]]]) -> dict[str, _Derived]:
    """One second process per adapter, each shard once, from the earliest slice that a case of the window needs."""
    derived = {}
    for adapter in sorted({name for adapters in first.values() for name in adapters}):
        cases = window.still(case_id for case_id, adapters in first.items() if adapters.get(adapter))
        if not cases:
            continue
        start: dict[int, int] = {}
        for shard, index in (part for case_id in cases for part in first[case_id][adapter].items()):
            start[shard] = min(start.get(shard, index), index)
        with window.apart(*cases):
            expected = _expected(window.workspace, adapter, start)
            derived[adapter] = _Derived(expected, _second_process(window.workspace, adapter, start), cases)
    return derived


def _expected(workspace: Workspace, adapter: str, start: Mapping[int, int]) -> dict[int, dict[int, str]]:
    atelier = open_atelier(workspace, adapter)
    chains = {shard: current_chain(atelier, shard) for shard in start}
    if stale := [shard for shard, chain in chains.items() if chain is None]:
        raise NotAcceptable(f"Shard {stale[0]} of {adapter} is stale; it cannot be re-derived.")
    return {
        shard: {state.slice: state.state_digest for state in chain or [] if state.slice >= start[shard]}
        for shard, chain in chains.items()
    }


def _file_rederivation(
    workspace: Workspace, case_id: str, first: Mapping[str, Mapping[int, int]], derived: Mapping[str, _Derived]
) -> dict[str, Any]:
    found = {adapter: _compared(shards, derived.get(adapter)) for adapter, shards in first.items()}
    with workspace.database.transaction() as session:
        add_evidence(session, case_id, "rederivation", {"adapters": found}, now=utc_now())
    if unequal := [adapter for adapter, result in found.items() if not result["equal"]]:
        raise NotAcceptable(f"Re-derivation of {', '.join(unequal)} gave other bytes; nothing may be signed.")
    return found


def _compared(first: Mapping[int, int], derived: _Derived | None) -> dict[str, Any]:
    """One case's own suffixes in what was derived for the window."""
    if not first or derived is None:
        return {"equal": True, "states": 0, "grade": "B", "sentence": "Nothing had to be rebuilt.", "window": []}
    pairs = [
        (digest, derived.found.get(shard, {}).get(index))
        for shard in first
        for index, digest in derived.expected[shard].items()
        if index >= first[shard]
    ]
    extra = any(set(derived.found.get(shard, {})) != set(derived.expected[shard]) for shard in first)
    equal = not extra and all(here == there for here, there in pairs)
    sentence = f"A second process rebuilt {len(pairs)} state(s) from the vault: {'every byte is' if equal else 'not every byte is'} equal."
    return {"equal": equal, "states": len(pairs), "grade": "A", "sentence": sentence, "window": list(derived.cases)}


def _second_process(workspace: Workspace, adapter: str, first: Mapping[int, int]) -> dict[int, dict[int, str]]:
    request = json.dumps({str(shard): index for shard, index in first.items()})
    command = [sys.executable, "-m", "pipelines.rederive", str(workspace.settings.workspace), adapter]
    result = subprocess.run(command, input=request, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise Fault("The re-deriving process failed.", hint="Run the case again: lethe erase run CASE")
    return {int(shard): {int(k): v for k, v in chain.items()} for shard, chain in json.loads(result.stdout).items()}
