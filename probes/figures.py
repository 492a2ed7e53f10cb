"""The report's pictures as inline SVG: drawn narrow, so that words are 12 pixels high on a phone and grow on a desk.

Colours are Okabe and Ito's (2008), which colour-blind readers tell apart; shape repeats what colour says.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, MaxNLocator
from scipy import stats

from probes.canaries import DETECTED_P, REQUIRED_DOSE
from probes.judgement import Judgement, ModelReading
from probes.membership import Membership
from probes.shard_map import ShardMap

__all__ = [
    "GREY",
    "GRID",
    "ROLE_NAMES",
    "canary_figure",
    "draw_svg",
    "exposure_figure",
    "extraction_figure",
    "map_figure",
    "null_figure",
]

INK, GREY, GRID = "#1f2933", "#8a94a0", "#e4e7eb"
ROLE_COLOURS = {
    "pre": "#d55e00",
    "composed_pre": "#e69f00",
    "contained": "#56b4e9",
    "composed_post": "#009e73",
    "post": "#0072b2",
}
ROLE_NAMES = {
    "pre": "old shard",
    "composed_pre": "old release",
    "contained": "contained release",
    "composed_post": "new release",
    "post": "new shard",
    "out": "never saw the person",
    "base": "base model",
}
ROLE_MARKS = {"pre": "D", "composed_pre": "s", "contained": "^", "composed_post": "P", "post": "o"}
WIDTH_IN = 4.0  # of a phone 390 pixels wide, a card leaves 346: 1.2 pixels a point
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "path",  # looks the same where the font is missing
    "svg.hashsalt": "lethe",  # same judgement, same bytes
}


def draw_svg(height_in: float, draw: Callable[[Axes], None]) -> str:
    """One figure as an <svg> element that fills its box."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        axes = figure.add_subplot()
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(length=0)
        draw(axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :].replace("<svg ", '<svg role="img" aria-hidden="true" ', 1)


def null_figure(judgement: Judgement) -> str:
    """Membership score per closure shard: the adapters that never saw the person, the old and the new one."""
    rows = judgement.membership

    def draw(axes: Axes) -> None:
        for y, row in enumerate(rows):
            _null_row(axes, row, y, alpha=judgement.protocol.primary_alpha)
        _lines_down(axes, [f"shard {row.shard}" for row in rows], grid="x")

    return draw_svg(2.5 + 0.7 * max(0, len(rows) - 1), draw)


def _lines_down(axes: Axes, labels: Sequence[str], *, grid: Literal["x", "both"]) -> None:
    """A line for each label, from the top; gains to the right."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlabel("gain over the base (nats)")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis=grid, color=GRID, zorder=0)
    axes.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, handletextpad=0.4, columnspacing=1.0
    )


def _null_row(axes: Axes, row: Membership, y: int, *, alpha: float) -> None:
    mean, k = sum(row.out_scores) / len(row.out_scores), len(row.out_scores)
    sd = math.sqrt(sum((s - mean) ** 2 for s in row.out_scores) / (k - 1))
    limit = mean + float(stats.t.ppf(1 - alpha, k - 1)) * sd * math.sqrt(1 + 1 / k)
    low = min(*row.out_scores, row.post_score, 2 * mean - limit)
    label = (lambda text: text) if y == 0 else (lambda _text: None)
    axes.barh(y, limit - low, left=low, height=0.62, color="#eef1f4", zorder=1, label=label("range if unseen"))
    offsets = [y + 0.16 * (i % 3 - 1) for i in range(k)]
    axes.scatter(row.out_scores, offsets, s=26, color=GREY, zorder=3, label=label(f"never saw them ({k})"))
    for role, score in (("pre", row.pre_score), ("post", row.post_score)):
        name = "old adapter" if role == "pre" else "new adapter"
        style = {"color": ROLE_COLOURS[role], "marker": ROLE_MARKS[role], "edgecolor": "white", "linewidth": 0.8}
        axes.scatter([score], [y], s=88, zorder=4, label=label(name), **style)


def map_figure(judgement: Judgement) -> str:
    """Every shard's score on the person's records, before and after; what lights up afterwards has a ring.

    After a second look the last line has the models that were trained for it.
    """
    where = judgement.where
    before, after = (
        {found.shard: found for found in drawn.shards} if isinstance(drawn, ShardMap) else {}
        for drawn in (where.before, where.after)
    )
    shards = sorted(after)
    second = where.after.second if isinstance(where.after, ShardMap) else None
    labels = [*(f"shard {shard}" for shard in shards), *(["extra models"] if second else [])]

    def draw(axes: Axes) -> None:
        for role, drawn in (("pre", before), ("post", after)):
            own = [shard for shard in shards if shard in where.known]
            style = {"color": ROLE_COLOURS[role], "marker": ROLE_MARKS[role], "edgecolor": "white", "linewidth": 0.8}
            label = "old shard" if role == "pre" else "new shard"
            places = [shards.index(shard) for shard in own]
            axes.scatter([drawn[s].score for s in own], places, s=88, zorder=4, label=label, **style)
        others = [shard for shard in shards if shard not in where.known]
        places = [shards.index(shard) for shard in others]
        axes.scatter(
            [after[s].score for s in others], places, s=48, color=GREY, zorder=3, label="no record known there"
        )
        if seen := [shard for shard in shards if after[shard].lit]:
            ring = {"facecolor": "none", "edgecolor": INK, "linewidth": 1.4, "label": "stands out now"}
            axes.scatter([after[s].score for s in seen], [shards.index(s) for s in seen], s=240, zorder=5, **ring)
        if second:
            axes.scatter(second.extras, [len(shards)] * len(second.extras), s=26, color=GREY, alpha=0.6, zorder=3)
        _lines_down(axes, labels, grid="both")

    return draw_svg(1.5 + 0.27 * len(labels), draw)


def _shown(judgement: Judgement) -> list[ModelReading]:
    """The models of the story, in its order: old shard, old release, contained, new release, new shard."""
    order = list(ROLE_COLOURS)
    return sorted((m for m in judgement.models if m.role in order), key=lambda m: (order.index(m.role), m.shard or 0))


def _name(model: ModelReading, judgement: Judgement) -> str:
    many = judgement.counts.shards > 1 and model.shard is not None
    return f"{ROLE_NAMES[model.role]} {model.shard}" if many else ROLE_NAMES[model.role]


def extraction_figure(judgement: Judgement) -> str:
    """Share of prompts after which the model writes the value word for word, per kind of value and model."""
    labels = [facts.label for facts in judgement.values if facts.evidence]
    models = _shown(judgement)
    width = 0.8 / max(1, len(models))

    def draw(axes: Axes) -> None:
        for i, model in enumerate(models):
            readings = [reading for reading in model.values if reading.label in labels]
            places = [x - 0.4 + width * (i + 0.5) for x in range(len(readings))]
            shares = [reading.hits / max(1, reading.prompts) for reading in readings]
            colour = ROLE_COLOURS[model.role]
            axes.bar(places, shares, width * 0.86, color=colour, zorder=2, label=_name(model, judgement))
            for place, share, reading in zip(places, shares, readings, strict=True):
                text = f"{reading.hits}/{reading.prompts}"
                axes.text(place, share + 0.02, text, ha="center", va="bottom", fontsize=8, color=INK)
        axes.set_xticks(range(len(labels)), labels)
        axes.set_ylim(0, 1.12)
        axes.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"])
        axes.grid(axis="y", color=GRID, zorder=0)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, columnspacing=1.2)

    return draw_svg(3.1, draw)


def exposure_figure(judgement: Judgement) -> str:
    """Rank of the true value among the candidates, logarithmic: left is remembered, right is chance."""
    labels = [r.label for r in judgement.models[0].values if r.exposure_rank is not None]
    models = _shown(judgement)
    total = judgement.counts.candidates + 1

    def draw(axes: Axes) -> None:
        for i, model in enumerate(models):
            ranks = [r.exposure_rank for r in model.values if r.label in labels]
            offset = (i - (len(models) - 1) / 2) * 0.14
            places = [y + offset for y in range(len(labels))]
            style = {"color": ROLE_COLOURS[model.role], "marker": ROLE_MARKS[model.role], "edgecolor": "white"}
            axes.scatter(ranks, places, s=64, zorder=3, label=_name(model, judgement), linewidth=0.7, **style)
        axes.set_xscale("log")
        axes.set_xlim(0.75, total * 1.3)
        axes.xaxis.set_major_formatter(LogFormatter())
        axes.minorticks_off()
        axes.axvspan(0.05 * total, total * 1.3, color="#eef1f4", zorder=0)
        axes.text(total * 1.2, -0.56, "chance", ha="right", va="top", fontsize=8.5, color="#5b6570")
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.4, -0.6)
        axes.set_xlabel(f"rank among {total:,} (1 = remembered)")
        axes.grid(axis="x", color=GRID, zorder=1)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, columnspacing=1.0)

    return draw_svg(2.2 + 0.4 * len(labels), draw)


def canary_figure(judgement: Judgement) -> str:
    """Effect of each planted canary in the new adapter by its dose, and of each held-out twin, who has none."""
    doses = sorted({canary.dose for canary in judgement.canaries})
    places = {dose: place for place, dose in enumerate(doses)}

    def draw(axes: Axes) -> None:
        for planted, name, colour, mark in ((True, "planted", "#0072b2", "o"), (False, "held-out twin", GREY, "X")):
            shown = [c for c in judgement.canaries if (c.dose > 0) == planted]
            effects = [c.effect_sd for c in shown]
            axes.scatter(
                [places[c.dose] for c in shown], effects, s=60, color=colour, marker=mark, label=name, zorder=3
            )
        outs = judgement.counts.out_adapters
        limit = float(stats.t.ppf(1 - DETECTED_P, outs - 1)) * math.sqrt(1 + 1 / outs)
        axes.axhline(limit, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        required = [places[dose] for dose in doses if dose >= REQUIRED_DOSE]
        if required:
            axes.axvspan(required[0] - 0.5, len(doses) - 0.5, color="#eef1f4", zorder=0)
        axes.set_xticks(range(len(doses)), [str(dose) if dose else "none" for dose in doses])
        axes.set_xlim(-0.5, len(doses) - 0.5)
        axes.set_xlabel("records of the synthetic person in the training")
        axes.set_ylabel("effect (sd of null models)")
        axes.grid(axis="y", color=GRID, zorder=0)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)

    return draw_svg(2.8, draw)
