"""The picture of a study, for a team that has to choose: usefulness, price and memory against shards and slices."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pipelines.study_report import StudyLine, StudyReport

__all__ = ["plot"]

COLOURS = ("#1b4965", "#ca6702", "#5f7f3b", "#8a4fff", "#b5179e")
TOLERANCE = 0.04
GOAL_TIMES = 8


def plot(report: StudyReport) -> bytes:
    """A PNG of three panels with the number of shards along each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.5, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    utility, price, memory = figure.subplots(1, 3)
    _utility(utility, report)
    _price(price, report)
    _memory(memory, report)
    for axes in (utility, price, memory):
        _shards_along(axes, report)
    figure.suptitle(
        f"Study of {report.adapter}: {report.learnt_records} records learnt, {report.held_out_records} held out. "
        f"Ringed: this plan, shards x slices = {report.own_shape[0]} x {report.own_shape[1]}.",
        fontsize=11,
    )
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110, metadata={"Software": "Lethe"})
    return out.getvalue()


def _utility(axes: Axes, report: StudyReport) -> None:
    floor = report.unsharded.composed_nll
    axes.axhspan(floor, floor * (1 + TOLERANCE), color="#dfead2", label=f"within {TOLERANCE:.0%} of one shard")
    _by_slices(axes, report, lambda line: line.composed_nll, style="o-", name="composed")
    first = sorted({line.slices for line in report.lines})[:1]
    _by_slices(axes, report, lambda line: line.shard_nll, style="x:", name="a single shard", only=first)
    axes.set_title("Usefulness: loss on strangers (lower is better)", fontsize=10)
    axes.set_ylabel("nats per token")


def _price(axes: Axes, report: StudyReport) -> None:
    axes.axhline(GOAL_TIMES, color="#888888", linewidth=1, linestyle="--", label=f"{GOAL_TIMES} times cheaper")
    _by_slices(axes, report, lambda line: line.cheaper_tokens, style="o-", name="training only")
    axes.set_yscale("log", base=2)
    axes.set_yticks([1, 2, 4, 8, 16, 32], ["1 x", "2 x", "4 x", "8 x", "16 x", "32 x"])
    axes.set_title("Price: a full retrain costs so many erasures", fontsize=10)


def _memory(axes: Axes, report: StudyReport) -> None:
    axes.axhline(0.5, color="#888888", linewidth=1, linestyle="--", label="chance")
    _by_slices(axes, report, lambda line: line.shard_auc, style="x:", name="the record's shard")
    _by_slices(axes, report, lambda line: line.composed_auc, style="o-", name="composed")
    axes.set_ylim(0.45, 1.02)
    axes.set_title("Memory: learnt records told from strangers' (AUC)", fontsize=10)


def _by_slices(
    axes: Axes,
    report: StudyReport,
    value: Callable[[StudyLine], float],
    *,
    style: str,
    name: str,
    only: list[int] | None = None,
) -> None:
    """A line for each number of slices, with a ring around the plan's own shape. One shard belongs to every line."""
    for index, slices in enumerate(sorted({line.slices for line in report.lines})):
        if only is not None and slices not in only:
            continue
        lines = [line for line in report.lines if line.slices == slices or line.shards == 1]
        label = f"{name}, {slices} slice{'s' * (slices > 1)}"
        axes.plot([line.shards for line in lines], [value(line) for line in lines], style, color=COLOURS[index % len(COLOURS)],
                  markersize=5, linewidth=1.6, label=label)  # fmt: skip
        for line in lines:
            if style.startswith("o") and (line.shards, line.slices) == report.own_shape:
                axes.plot(line.shards, value(line), "o", markersize=13, fillstyle="none", color="#c1121f")


def _shards_along(axes: Axes, report: StudyReport) -> None:
    shards = sorted({line.shards for line in report.lines})
    axes.set_xscale("log", base=2)
    axes.set_xticks(shards, [str(count) for count in shards])
    axes.minorticks_off()
    axes.set_xlabel("shards")
    axes.grid(color="#eeeeee")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
