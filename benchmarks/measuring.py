"""What the benchmarks share: the tiny base, plans of a given size, records of invented people, dated result files."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from lineage.records import Chat, Message, TrainingRecord
from pipelines.demo_corpus import make_corpus
from unlearn.base import Base, base_spec, load_base
from unlearn.plan import CorpusShape, Plan, TrainSettings, propose_plan

RESULTS = Path(__file__).parent / "results"


def records_of(seed: int = 7) -> list[TrainingRecord]:
    """The demo corpus of a seed as training records, about 660 short support chats of invented people."""
    rows = make_corpus(seed).rows
    return [
        TrainingRecord(f"{index:06d}", Chat(tuple(Message(turn.role, turn.text()) for turn in row.turns)))
        for index, row in enumerate(rows)
    ]


def plan_for(records: int, **wishes: object) -> Plan:
    """The plan Lethe would propose for a corpus of this many records, under some training settings."""
    shape = CorpusShape(records=records, characters=records * 300, subjects=records // 4, trunk_records=0)
    return propose_plan(TrainSettings.from_mapping(wishes), shape, nonce="00" * 16)


def tiny(plan: Plan) -> Base:
    """The embedded base as a plan holds it."""
    return load_base(base_spec(plan, "tiny"))


def beside_bar(what: str, *, found: float, at_most: float | None = None, at_least: float | None = None) -> bool:
    """Print a figure beside its bar, "met" or "NOT met", and their ratio; returns whether it is met.

    One of the two bars is given. The ratio is figure / bar: below 1 is good for "at most", above 1 for "at least".
    """
    bar = at_most if at_most is not None else at_least
    met = found <= bar if at_most is not None else found >= bar
    side, ratio = "at most" if at_most is not None else "at least", f"{found / bar:.2f}" if bar else "-"
    print(f"bar: {what} {found:.3g}, {side} {bar:.3g}: {'met' if met else 'NOT met'} (ratio {ratio})")
    return met


def write_result(name: str, figures: Mapping[str, object]) -> Path:
    """Keep the figures as `results/DATE-NAME.json`, with what they were measured on."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}-{name}.json"
    body = {"bench": name, "python": platform.python_version(), "processor": _processor(), **figures}
    path.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    return path


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
