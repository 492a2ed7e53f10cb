"""The report's pictures as inline SVG: drawn narrow, so that words are 12 pixels high on a phone and grow on a desk.

Colours are Okabe and Ito's (2008), which colour-blind readers tell apart; shape repeats what colour says.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import stats

from probes.canaries import DETECTED_P, REQUIRED_DOSE
from probes.judgement import Judgement, ModelReading, ValueReading
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
    "labelled",
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
BY_CHANCE = 0.05  # a place in the first twentieth is what chance alone gives one value in twenty
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
    return svg[svg.index("<svg") :].replace("<svg ", '<svg role="img" ', 1)


def labelled(svg: str, title: str, caption: str) -> str:
    """The figure with its heading and caption as the words that a screen reader says for it."""
    return svg.replace("<svg ", f'<svg aria-label="{escape(f"{title} {caption}")}" ', 1)


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


def _value_rows(
    judgement: Judgement, rows: dict[str, str], place: Callable[[ValueReading], float], finish: Callable[[Axes], None]
) -> str:
    """A row for each label of a value, named as `rows` says, and in it a mark for each model; `finish` draws the axis."""
    models = _shown(judgement)
    apart = min(0.16, 0.8 / max(1, len(models)))

    def draw(axes: Axes) -> None:
        for i, model in enumerate(models):
            found = {reading.label: place(reading) for reading in model.values if reading.label in rows}
            places = [y + (i - (len(models) - 1) / 2) * apart for y in range(len(rows))]
            style = {"color": ROLE_COLOURS[model.role], "marker": ROLE_MARKS[model.role], "edgecolor": "white"}
            label = _name(model, judgement)
            axes.scatter([found[value] for value in rows], places, s=54, zorder=3, label=label, linewidth=0.7, **style)
        for y in range(1, len(rows)):
            axes.axhline(y - 0.5, color=GRID, linewidth=0.8, zorder=1)
        axes.set_yticks(range(len(rows)), list(rows.values()))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(axis="x", color=GRID, zorder=1)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, columnspacing=1.0)
        finish(axes)

    return draw_svg(0.8 + 0.22 * math.ceil(len(models) / 2) + max(0.72, 0.12 * len(models)) * len(rows), draw)


def extraction_figure(judgement: Judgement) -> str:
    """Share of prompts after which the model writes the value word for word, per value and model."""
    rows = {
        facts.label: f"{facts.label}\n{facts.prompts} prompt{'s' if facts.prompts > 1 else ''}"
        for facts in judgement.values
        if facts.evidence
    }

    def finish(axes: Axes) -> None:
        axes.set_xlim(-0.06, 1.06)
        axes.set_xticks([0, 0.5, 1], ["0%", "50%", "100%"])
        axes.set_xlabel("prompts that give the value away")

    return _value_rows(judgement, rows, lambda reading: reading.hits / max(1, reading.prompts), finish)


def exposure_figure(judgement: Judgement) -> str:
    """Place of the true value among the made-up ones as a share, logarithmic: left is remembered, right is chance.

    Values have different numbers of others (a date has few), so the same place may mean memory in one row and chance in
    another; the share means the same in all of them.
    """
    known = {reading.label: of for reading in judgement.models[0].values if (of := reading.exposure_of)}
    left = min(BY_CHANCE / 2, 0.7 / max(known.values()))
    ticks = [10.0**power for power in range(math.ceil(math.log10(left)), 1)]

    def finish(axes: Axes) -> None:
        axes.set_xscale("log")
        axes.set_xlim(left, 1.4)
        axes.set_xticks(ticks, [f"{100 * tick:g}%" for tick in ticks])
        axes.minorticks_off()
        axes.axvspan(BY_CHANCE, 1.4, color="#eef1f4", zorder=0)
        axes.text(1.3, -0.48, "chance", ha="right", va="top", fontsize=9, color="#5b6570")
        axes.set_xlabel("place among made-up values, as a share\n(left = remembered)")

    rows = {label: f"{label}\nof {of:,}" for label, of in known.items()}
    return _value_rows(
        judgement, rows, lambda reading: (reading.exposure_rank or 0) / (reading.exposure_of or 1), finish
    )


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
