"""A group attack for people: sentences, JSON, and one HTML page that needs nothing but itself."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from probes.blind import BlindCheck
from probes.figures import GREY, GRID, draw_svg, labelled
from probes.group_attack import PRIMARY, RATES, Attacked, GroupCounts, ScoreRow
from probes.groups import Separation
from probes.report import page, write_page
from probes.stats import Abstained, Interval
from probes.verdict import percent, probability

__all__ = ["SCORE_NAMES", "as_json", "claims", "group_sentence", "headline", "write_attack"]

SCHEMA = "lethe.attack/1"
MEMBER_COLOUR = "#d55e00"
TITLE = "Do the groups look different?"
CAPTION = (
    "The score fixed beforehand: by how much the adapter prefers a record to its base. Two hills apart mean that the groups "
    "can be told apart, not why."
)
SCORE_NAMES = {
    "gain_mean": "Gain over the base",
    "loss": "LOSS",
    "zlib": "Zlib",
    "min_k": "Min-K%",
    "min_k_plus_plus": "Min-K%++",
    "error_zone": "EZ",
    "window_votes": "WBC",
    "exact_match": "Exact match",
    "extraction_score": "Extraction",
    "rmia": "RMIA",
    "lira": "LiRA, offline",
    "self_prompt": "Gain over self-prompt",
    "recited": "Recited",
}


def headline(found: Attacked) -> str:
    """The primary score in one sentence."""
    primary = found.primary.separation
    if isinstance(primary, Abstained):
        return f"The groups could not be compared: {primary.reason}."
    verb = "tells members from controls" if primary.p <= 0.05 else "does not tell members from controls"
    said = f"{SCORE_NAMES[PRIMARY]} {verb}: AUC {primary.auc:.3f}{_between(primary.interval)}, p {_p(primary.p)}"
    return f"{said}. But the groups are SHIFTED: words alone tell them apart." if found.shifted else f"{said}."


def group_sentence(name: str, counts: GroupCounts) -> str:
    """ "120 members of 40 people; 3 cut at the length limit"."""
    people = "" if counts.people is None else f" of {counts.people:,} people"
    silent = f"; {counts.silent:,} left out, without a learnt token" if counts.silent else ""
    cut = f"; {counts.cut:,} reached the length limit" if counts.cut else ""
    return f"{counts.records:,} {name}{people}{silent}{cut}"


def claims(found: Attacked) -> tuple[str, ...]:
    """What these numbers may be read as, and what not."""
    fixed = (
        f"Only {SCORE_NAMES[PRIMARY].lower()} was fixed beforehand. The best of several scores looks better than it is."
    )
    without = (
        "" if found.out_adapters else " Attacks with adapters that never saw the members (--out-adapter) see more."
    )
    return (
        "An AUC speaks about the two groups: the chance that a member's record scores above a control's. It says nothing "
        "about one record or one person.",
        _independence(found),
        _shift(found),
        *_calibration(found),
        f"An AUC near 0.5 means that these scores see no difference; it does not show that nothing was learnt.{without}",
        fixed,
    )


def _independence(found: Attacked) -> str:
    said = "Intervals and p-values count every record as independent. Records of one person, and near-copies, are not"
    groups = (("members", found.members), ("controls", found.controls))
    repeated = [
        f"the {counts.records:,} {name} are of {counts.people:,} people"
        for name, counts in groups
        if counts.people is not None and counts.people < counts.records + counts.silent
    ]
    if repeated:
        return f"{said}: {' and '.join(repeated)}, so the intervals here are too narrow."
    unknown = any(counts.people is None for _, counts in groups)
    return f"{said}{'; the files do not say whose the records are' if unknown else ''}."


def _shift(found: Attacked) -> str:
    blind = found.blind
    if isinstance(blind, Abstained):
        return f"Whether the groups differ by words alone was not tested: {blind.reason}."
    measured = f"a classifier that sees only words, never the model, reaches AUC {blind.auc:.3f}, p {_p(blind.p)}"
    if found.shifted:
        return (
            f"SHIFTED: {measured}. The groups differ in topic, period or format; what the scores show is "
            "that difference mixed with memory. Bring controls from the same source and time as the members."
        )
    return f"No shift by words was seen: {measured}. Other differences, such as length or word order, would go unseen."


def _calibration(found: Attacked) -> tuple[str, ...]:
    done = found.calibrated
    if done is None:
        return ()
    return (
        f"The self-prompted reference was trained on {done.texts:,} texts that the adapter wrote itself, begun by "
        f"{done.prompts:,} controls that are left out of everything else. On the controls it gains "
        f"{done.reference_gain:.3f} nats a token over the base, the adapter {done.adapter_gain:.3f}: a reference that "
        "gains much less takes away little more than the base does.",
        f'"{SCORE_NAMES["recited"]}" is the reference\'s own gain over the base. It knows members by nothing but the '
        "adapter's texts: where it tells them from controls, and the groups are not SHIFTED, the adapter recites them, and "
        "gain over self-prompt, from which that memory is taken away too, looks weaker than the memory is.",
    )


def as_json(found: Attacked) -> dict[str, object]:
    """Numbers, reasons and sentences for programs; no text, no values, no paths."""
    groups = {"members": found.members, "controls": found.controls}
    return {
        "schema": SCHEMA,
        "headline": headline(found),
        "claims": list(claims(found)),
        "groups": {
            name: {"records": c.records, "silent": c.silent, "at_limit": c.cut, "people": c.people}
            for name, c in groups.items()
        },
        "out_adapters": found.out_adapters,
        "max_length": found.max_length,
        "self_prompt": asdict(found.calibrated) if found.calibrated else None,
        "shifted": found.shifted,
        "blind": _blind_body(found.blind),
        "primary": PRIMARY,
        "scores": {row.name: _score_body(row) for row in found.rows},
        "primary_scores": {"members": list(found.member_scores), "controls": list(found.control_scores)},
    }


def _score_body(row: ScoreRow) -> dict[str, object]:
    rates = {f"{rate:g}": _interval(d) for rate, d in zip(RATES, row.detections, strict=True)}
    return {**_separated(row.separation), "detected_at_false_alarms": rates}


def _blind_body(found: BlindCheck) -> dict[str, object]:
    return {"abstained": found.reason} if isinstance(found, Abstained) else {"auc": found.auc, "p": found.p}


def _separated(found: Separation | Abstained) -> dict[str, object]:
    if isinstance(found, Abstained):
        return {"abstained": found.reason}
    return {"auc": found.auc, "interval": _interval(found.interval), "p": found.p}


def _interval(found: Interval | Abstained) -> dict[str, object]:
    if isinstance(found, Abstained):
        return {"abstained": found.reason}
    return {"point": found.point, "lower": found.lower, "upper": found.upper}


def table(found: Attacked) -> list[tuple[str, ...]]:
    """Score, AUC, interval, p, detections at each rate: text, "–" where there is none."""
    rows = []
    for row in found.rows:
        if isinstance(row.separation, Abstained):
            rows.append((SCORE_NAMES[row.name], *"–––", *("–" for _ in RATES)))
            continue
        s = row.separation
        bounds = "–" if isinstance(s.interval, Abstained) else f"{s.interval.lower:.3f} to {s.interval.upper:.3f}"
        detected = tuple(_detected(d) for d in row.detections)
        rows.append((SCORE_NAMES[row.name], f"{s.auc:.3f}", bounds, probability(s.p), *detected))
    return rows


def gaps(found: Attacked) -> tuple[str, ...]:
    """Why a cell of the table is empty, each reason once."""
    reasons: dict[str, None] = {}
    for row in found.rows:
        if isinstance(row.separation, Abstained):
            reasons[f"{SCORE_NAMES[row.name]}: {row.separation.reason}"] = None
            continue
        if isinstance(row.separation.interval, Abstained):
            reasons[f"Interval of an AUC: {row.separation.interval.reason}"] = None
        for rate, d in zip(RATES, row.detections, strict=True):
            if isinstance(d, Abstained):
                reasons[f"Found at {100 * rate:g}% false alarms: {d.reason}"] = None
    return tuple(reasons)


def write_attack(found: Attacked, directory: Path) -> Path:
    """Write attack.html into the directory, whole or not at all; returns its path."""
    directory.mkdir(parents=True, exist_ok=True)
    html = page(
        "attack.html",
        found=found,
        headline=headline(found),
        groups=(group_sentence("members", found.members), group_sentence("controls", found.controls)),
        claims=claims(found),
        rates=[f"{100 * rate:g}%" for rate in RATES],
        rows=table(found),
        gaps=gaps(found),
        title=TITLE,
        caption=CAPTION,
        svg=labelled(distribution_figure(found), TITLE, CAPTION),
    )
    return write_page(directory / "attack.html", html)


def distribution_figure(found: Attacked) -> str:
    """Share of each group's records by the primary score, in the same bins."""
    everything = [*found.member_scores, *found.control_scores]
    bins = min(40, max(8, round(math.sqrt(len(everything)))))
    low, high = min(everything), max(everything)
    edges = [low + (high - low or 1.0) * i / bins for i in range(bins + 1)]

    def draw(axes: Axes) -> None:
        groups = ((found.control_scores, GREY, "controls", 0.55), (found.member_scores, MEMBER_COLOUR, "members", 0.45))
        for scores, colour, name, alpha in groups:
            weights = [1 / len(scores)] * len(scores)
            axes.hist(scores, bins=edges, weights=weights, color=colour, alpha=alpha, label=name, zorder=2)
            axes.hist(scores, bins=edges, weights=weights, color=colour, histtype="step", linewidth=1.4, zorder=3)
        axes.set_xlabel("gain over the base (nats per learnt token)")
        axes.set_ylabel("share of the group")
        axes.yaxis.set_major_formatter(lambda share, _: percent(share))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.grid(axis="y", color=GRID, zorder=0)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)

    return draw_svg(2.9, draw)


def _detected(found: Interval | Abstained) -> str:
    if isinstance(found, Abstained):
        return "–"
    return f"{percent(found.point)} ({percent(found.lower)} to {percent(found.upper)})"


def _between(found: Interval | Abstained) -> str:
    return "" if isinstance(found, Abstained) else f" (95% interval {found.lower:.3f} to {found.upper:.3f})"


def _p(p: float) -> str:
    said = probability(p)
    return said if said.startswith("<") else f"= {said}"
