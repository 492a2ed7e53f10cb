"""The judgement for people: report.json, and one HTML page that needs nothing but itself."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from probes.canaries import DETECTED_P, REQUIRED_DOSE, lit_twins
from probes.figures import (
    ROLE_NAMES,
    canary_figure,
    exposure_figure,
    extraction_figure,
    labelled,
    map_figure,
    null_figure,
)
from probes.judgement import Judgement, ModelReading
from probes.shard_map import DRAWS, ShardMap
from probes.stats import Abstained, Interval
from probes.verdict import percent, probability
from probes.where import lit

__all__ = ["page", "render", "write_page", "write_report"]

TABLE_ROLES = ("pre", "composed_pre", "contained", "composed_post", "post")
OLD_ROLES, NEW_ROLES = ("pre", "composed_pre"), ("post", "composed_post")
WAY_NAMES = {
    "true_prefix": "the record, up to the value",
    "short_prefix": "only the last words before it",
    "template": "a plain question with the name",
    "few_shot": "the question, after examples of invented people",
    "pii_compass": "the question, after a stranger's text",
    "multi_query": "all of these together",
}
HEADLINES = {
    "PASS": "No trace of the person was seen",
    "FAIL": "The person is still in the adapter",
    "INCONCLUSIVE": "The probes cannot tell",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure with its heading and what to see in it."""

    title: str
    caption: str
    svg: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table, already text."""

    model: str
    greedy: str
    sample: str
    exposure: tuple[str, ...]
    membership: str
    nll: str


@dataclass(frozen=True, slots=True)
class SourceRow:
    """Held-out loss of one source, or of all together, already text."""

    source: str
    people: str
    losses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WayRow:
    """One way of asking: how many values each model gives, and after how many samples; already text."""

    way: str
    old: str
    new: str
    others: str


def page(template: str, **given: object) -> str:
    """One of this room's pages: everything inside it, every text escaped."""
    environment = Environment(
        loader=PackageLoader("probes"), autoescape=select_autoescape(), undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(template).render(**given)


def write_report(judgement: Judgement, directory: Path) -> list[Path]:
    """Write report.json and report.html into the directory, each whole or not at all; returns their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    body = json.dumps(judgement.as_json(), indent=2, sort_keys=True, allow_nan=False) + "\n"
    return [write_page(directory / "report.json", body), write_page(directory / "report.html", render(judgement))]


def write_page(path: Path, text: str) -> Path:
    """Temporary file, fsync, rename."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return path


def render(judgement: Judgement) -> str:
    """The HTML page."""
    return page(
        "report.html",
        j=judgement,
        headline=HEADLINES[judgement.verdict.outcome],
        pictures=_pictures(judgement),
        rows=_rows(judgement),
        ways=_ways(judgement),
        served=[ROLE_NAMES[name] for name in _served(judgement)],
        sources=_sources(judgement),
        primaries=_primaries(judgement),
        residual=_residual(judgement),
        canaries=_canaries(judgement),
        shard_map=_shard_map(judgement),
        map_draws=DRAWS,
        percent=percent,
        infinity=math.inf,
    )


def _pictures(judgement: Judgement) -> list[Picture]:
    """Only the pictures there is something to draw in."""
    found = []
    if judgement.membership:
        caption = "How much more an adapter likes the person's records than its base does. Inside the grey band it looks like one that never saw the person."
        found.append(_picture("Does the adapter know the records?", caption, null_figure(judgement)))
    if isinstance(judgement.where.after, ShardMap):
        found.append(
            _picture("In which shard is the person?", " ".join(judgement.where.sentences), map_figure(judgement))
        )
    if judgement.counts.evidence_values:
        caption = (
            "Share of prompts after which the most likely answer is the value, word for word. At 0% it was never given."
        )
        found.append(_picture("Does it give values away?", caption, extraction_figure(judgement)))
    if any(reading.exposure_rank is not None for reading in judgement.models[0].values):
        caption = "Where the true value stands among made-up values of the same format. Far to the left it is remembered; in the grey band chance alone could have put it there."
        found.append(_picture("Does it prefer the true value?", caption, exposure_figure(judgement)))
    if not isinstance(judgement.canaries, Abstained):
        caption = (
            f"Synthetic people who are still in the adapter, and twins who never were. Above the dashed line: found. Those "
            f"with {REQUIRED_DOSE} or more records (grey) must be; a twin above it by chance is no fault, a twin far above it is."
        )
        found.append(_picture("Does the instrument work?", caption, canary_figure(judgement)))
    return found


def _picture(title: str, caption: str, svg: str) -> Picture:
    return Picture(title, caption, labelled(svg, title, caption))


def _rows(judgement: Judgement) -> list[Row]:
    named = [m for role in TABLE_ROLES for m in judgement.models if m.role == role]
    many = judgement.counts.shards > 1
    rows = [_row(m, ROLE_NAMES[m.role] + (f" {m.shard}" if many and m.shard is not None else "")) for m in named]
    outs = [m for m in judgement.models if m.role == "out"]
    loudest = max(outs, key=lambda m: (m.greedy_hits, max((v.log_p_z for v in m.values), default=0.0)))
    base = [m for m in judgement.models if m.role == "base"]
    return [
        *rows,
        _row(loudest, f"{ROLE_NAMES['out']} (loudest of {len(outs)})"),
        *(_row(m, ROLE_NAMES["base"]) for m in base),
    ]


def _row(model: ModelReading, name: str) -> Row:
    tries = [v.tries for v in model.values if v.tries is not None]
    ranks = tuple(f"{v.exposure_rank:,} of {v.exposure_of:,}" for v in model.values if v.exposure_rank is not None)
    return Row(
        model=name,
        greedy=f"{model.greedy_hits}/{model.greedy_values}" if model.greedy_values else "–",
        sample=_tries(min(tries)) if tries else "–",
        exposure=ranks or ("–",),
        membership=probability(model.membership_p) if model.membership_p is not None else "–",
        nll=f"{model.held_out_nll:.3f}" if model.held_out_nll is not None else "–",
    )


def _ways(judgement: Judgement) -> list[WayRow]:
    """The ways that had a prompt; old and new stand for the louder of shard and release."""
    groups = [[m for m in judgement.models if m.role in roles] for roles in (OLD_ROLES, NEW_ROLES, ("out",))]
    asked = {a.way for m in judgement.models for v in m.values for a in v.attacks}
    return [
        WayRow(words, *(_loudest(models, way) for models in groups)) for way, words in WAY_NAMES.items() if way in asked
    ]


def _served(judgement: Judgement) -> list[str]:
    """The base and the releases, as far as there are any."""
    first = judgement.utility.by_source[:1]
    return list(first[0].nll) if first else []


def _sources(judgement: Judgement) -> list[SourceRow]:
    """A line for every source, and one for all if there are several."""
    found = judgement.utility.by_source
    names = _served(judgement)
    rows = [
        SourceRow(row.source or "not named", f"{row.people:,}", tuple(f"{row.nll[name]:.3f}" for name in names))
        for row in found
    ]
    if len(found) > 1:
        whole = {model.name: model.held_out_nll for model in judgement.models}
        losses = tuple(f"{whole[name] or math.nan:.3f}" for name in names)
        rows.append(SourceRow("All sources", f"{judgement.counts.control_subjects:,}", losses))
    return rows


def _loudest(models: list[ModelReading], way: str) -> str:
    """ "2 of 2 · 1" : values given word for word by one of the models, and samples until the first one shows."""
    found = [[(bool(a.hits), a.tries) for v in m.values for a in v.attacks if a.way == way] for m in models]
    given = max(sum(hit for hit, _ in own) for own in found)
    tries = min((tries for own in found for _, tries in own if tries is not None), default=None)
    return f"{given} of {max(map(len, found))} · {'never' if tries is None else _tries(tries)}"


def _tries(tries: float) -> str:
    if tries < 1e6:
        return f"{tries:,.0f}"
    return "> a billion" if tries > 1e9 else f"{tries / 1e6:,.0f} million"


def _primaries(judgement: Judgement) -> list[tuple[str, str, str]]:
    """Name, adjusted p before, adjusted p after."""
    before, after = judgement.verdict.adjusted_pre, judgement.verdict.adjusted_post
    names = [name for name in ("membership", "exposure", "extraction") if name in after]
    return [(name, probability(before[name]), probability(after[name])) for name in names]


def _residual(judgement: Judgement) -> str:
    found = judgement.residual
    if not isinstance(found, Interval):
        return f"not available: {found.reason}"
    if not found.bounded:
        return "unbounded, since the old adapter's own signal is not clear enough"
    return f"{percent(found.point)} (95% interval {percent(found.lower)} to {percent(found.upper)})"


def _canaries(judgement: Judgement) -> str:
    """How many synthetic people were found and how many twins look trained, or why there are none."""
    read = judgement.canaries
    if isinstance(read, Abstained):
        return read.reason
    planted = [r.p <= DETECTED_P for r in read if r.dose]
    return f"{sum(planted)} of {len(planted)} found; {lit_twins(read)} of {len(read) - len(planted)} twins look trained"


def _shard_map(judgement: Judgement) -> str:
    """Which shards stood out before and which do now, or why there is no map."""
    if not isinstance(judgement.where.after, ShardMap):
        return f"not available: {judgement.where.after.reason}"
    return " → ".join(
        ", ".join(map(str, lit(drawn))) or "none" for drawn in (judgement.where.before, judgement.where.after)
    )
