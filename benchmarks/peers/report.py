"""From one row per method and person to one line per method, and the table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from peers.attack import Erasure, attack
from peers.methods import Method

__all__ = ["Cost", "Line", "Row", "show", "summarise"]

MIN_PEOPLE_FOR_ATTACK = 4


@dataclass(frozen=True)
class Cost:
    """Seconds of work of a process, and on the wall."""

    process_s: float
    wall_s: float


@dataclass(frozen=True)
class Row:
    """One method, one forgotten person. Pairs are (before, after); `traces` are the artefact attack's features."""

    method: str
    equals_never: bool
    equals_oracle: bool | None
    distance: float
    divergence: float
    extracted: tuple[int, int]
    values: int
    membership: tuple[float, float]
    held_out_nll: tuple[float, float]
    cost: Cost
    traces: tuple[float, ...]
    control_traces: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Line:
    """One method over all forgotten people: counts, means, pairs (before, after), and (auc, lower, upper)."""

    method: str
    people: int
    equal_to_never: int
    equal_to_oracle: int | None
    distance: float
    divergence: float
    extracted: tuple[int, int]
    values: int
    membership: tuple[float, float]
    held_out_nll: tuple[float, float]
    process_s: float
    wall_s: float
    share_of_retrain: float
    stored_bytes: int
    artefact_auc: tuple[float, float, float] | None


def summarise(
    rows: Sequence[Row], methods: Sequence[Method], kept: Mapping[str, Any], costs: Mapping[str, Cost]
) -> list[Line]:
    """One line per method, in the methods' order."""
    return [_line([r for r in rows if r.method == m.name], m, kept[m.family], costs[m.family]) for m in methods]


def _line(rows: Sequence[Row], method: Method, kept: Any, trained: Cost) -> Line:
    def mean(values: Iterable[float]) -> float:
        return float(np.mean(list(values)))

    def pair(name: str) -> tuple[float, float]:
        return tuple(float(x) for x in np.mean([getattr(r, name) for r in rows], axis=0))

    process_s = mean(r.cost.process_s for r in rows)
    return Line(
        method=method.name,
        people=len(rows),
        equal_to_never=sum(r.equals_never for r in rows),
        equal_to_oracle=sum(bool(r.equals_oracle) for r in rows) if method.oracle else None,
        distance=mean(r.distance for r in rows),
        divergence=mean(r.divergence for r in rows),
        extracted=tuple(sum(r.extracted[i] for r in rows) for i in (0, 1)),
        values=sum(r.values for r in rows),
        membership=pair("membership"),
        held_out_nll=pair("held_out_nll"),
        process_s=process_s,
        wall_s=mean(r.cost.wall_s for r in rows),
        share_of_retrain=process_s / trained.process_s,
        stored_bytes=method.stored(kept),
        artefact_auc=_attack(rows),
    )


def _attack(rows: Sequence[Row]) -> tuple[float, float, float] | None:
    if len(rows) < MIN_PEOPLE_FOR_ATTACK:
        return None
    found = attack([Erasure(np.array(r.traces), np.array(r.control_traces)) for r in rows])
    return found.auc, found.lower, found.upper


HEAD = (
    "| method | equal to never-ingested | equal to own oracle | distance | KL | values given away | membership AUC | "
    "held-out NLL | seconds | share of retrain | kept | artefact AUC (95%) |\n|" + "---|" * 12
)


def show(lines: Sequence[Line], *, seconds: float, process_s: float) -> None:
    """Print the table as Markdown."""
    print(
        f"{lines[0].people} people forgotten, one at a time; {seconds:.0f} s on the wall, {process_s:.0f} s of work\n\n{HEAD}"
    )
    for line in lines:
        print(_cells(line))


def _cells(x: Line) -> str:
    cells = (
        x.method,
        f"{x.equal_to_never} of {x.people}",
        "-" if x.equal_to_oracle is None else f"{x.equal_to_oracle} of {x.people}",
        f"{x.distance:.3f}",
        f"{x.divergence:.4f}",
        f"{x.extracted[0]} -> {x.extracted[1]} of {x.values}",
        f"{x.membership[0]:.2f} -> {x.membership[1]:.2f}",
        f"{x.held_out_nll[0]:.3f} -> {x.held_out_nll[1]:.3f}",
        f"{x.process_s:.2f}",
        f"{x.share_of_retrain:.1%}",
        f"{x.stored_bytes / 2**20:.1f} MiB",
        "{:.2f} ({:.2f} to {:.2f})".format(*x.artefact_auc) if x.artefact_auc else "too few people",
    )
    return f"| {' | '.join(cells)} |"
