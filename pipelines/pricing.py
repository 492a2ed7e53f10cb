"""What a plan costs and keeps, told before anything is trained and measured afterwards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session

from lineage import builds, plans
from lineage.errors import NotAcceptable
from lineage.settings import AdapterSettings
from lineage.workspace import Workspace
from pipelines.bases import base_for_probes
from pipelines.placing import propose
from pipelines.planting import canary_note
from pipelines.study_report import Files, StudyReport, files_of, read_report
from unlearn.costs import ExtraCost, GridRow, cost_grid, estimated_state_bytes, extra_cost
from unlearn.erase import ExpectedCost, expected_cost
from unlearn.plan import Plan

__all__ = ["Price", "extra_costs", "price_of"]


@dataclass(frozen=True)
class Price:
    """A plan with its costs. `state_bytes` is one state's size, None if the base is not on this machine;
    `state_measured` says that it was read off a stored state. `seconds` and `steps` are what was trained so far,
    `study` is the newest study. `extras` is what the probes of one case may train besides: in the first stage, and in a
    second one after a FAIL."""

    plan: Plan
    frozen: bool
    costs: tuple[ExpectedCost, ...]
    grid: tuple[GridRow, ...]
    state_bytes: int | None
    state_measured: bool
    seconds: float
    steps: int
    study: StudyReport | None
    study_files: Files
    extras: tuple[ExtraCost, ExtraCost]
    canaries: str


def price_of(workspace: Workspace, adapter: str) -> Price:
    """The plan in force, or the one that would be frozen now, with the cost of every shape beside it."""
    plan = propose(workspace, adapter)
    with workspace.database.reader() as session:
        frozen = plans.current_plan(session, adapter) is not None
        seconds, steps = builds.build_pace(session, plan.digest)
        measured = _measured_bytes(workspace, session, plan)
    size = measured or _estimated_bytes(plan, workspace.settings.adapter(adapter))
    return Price(
        plan=plan, frozen=frozen, costs=tuple(expected_cost(plan, requests=k) for k in (1, 5, 20)),
        grid=cost_grid(plan, bytes_per_state=size), state_bytes=size, state_measured=measured is not None,
        seconds=seconds, steps=steps, study=read_report(workspace.home, adapter), study_files=files_of(workspace.home, adapter),
        extras=extra_costs(plan, workspace.settings.adapter(adapter), hit=1),
        canaries=canary_note(workspace, adapter, plan),
    )  # fmt: skip


def extra_costs(
    plan: Plan, settings: AdapterSettings, *, hit: int, generations: int = 1
) -> tuple[ExtraCost, ExtraCost]:
    """The extra out-adapters of a first and of a second stage for a closure in `hit` shards; the second only after a FAIL."""
    from probes.dossier import LEAST_SECOND

    wanted = settings.probes.out_adapters
    first = max(0, wanted - (plan.shards - hit))
    second = max(LEAST_SECOND, wanted)
    return extra_cost(plan, first, generations=generations), extra_cost(plan, second, generations=generations)


def _measured_bytes(workspace: Workspace, session: Session, plan: Plan) -> int | None:
    """The size of a stored state; all states of a plan have the same tensors."""
    digest = builds.any_state(session, plan.digest)
    if digest is None:
        return None
    try:
        return sum(len(content) for content in workspace.store.read("states", digest).values())
    except NotAcceptable:  # its bytes were lost; the next training builds it again
        return None


def _estimated_bytes(plan: Plan, settings: AdapterSettings) -> int | None:
    """From the headers of the base's weight files; None for a base that is only on a hub."""
    folder = Path(base_for_probes(settings)).expanduser()
    shapes = {name: shape for path in sorted(folder.glob("*.safetensors")) for name, shape in _shapes(path).items()}
    return estimated_state_bytes(plan, shapes) if shapes else None


def _shapes(path: Path) -> Mapping[str, list[int]]:
    """Tensor shapes of a safetensors file: eight bytes of length, then a JSON header."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return {name: facts["shape"] for name, facts in header.items() if name != "__metadata__"}
