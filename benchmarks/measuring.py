"""What the benchmarks share: the tiny base, plans of a given size, records of invented people, processes, dated files."""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from lineage.records import Chat, Message, TrainingRecord
from pipelines.demo_corpus import make_corpus
from unlearn.base import Base, base_spec, load_base
from unlearn.plan import CorpusShape, Plan, TrainSettings, propose_plan

RESULTS = Path(__file__).parent / "results"
Key, Figures = TypeVar("Key"), TypeVar("Figures")


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


def processes_option(parser: argparse.ArgumentParser, *, of: str) -> None:
    """Let a benchmark of many worlds measure several at a time."""
    parser.add_argument(
        "--processes", type=int, default=min(4, os.cpu_count() or 1), metavar="N",
        help=f"{of} at a time, each in a process of its own (a core, 0.7 GB); default: the processors, at most 4",
    )  # fmt: skip


def in_processes(
    jobs: Mapping[Key, Callable[[], Figures]], *, processes: int, prepare: Callable[[], None] | None = None
) -> Iterator[tuple[Key, Figures]]:
    """What every job gives, as it is done; jobs must give the same in whatever process and order they run.

    A job is a `functools.partial` of a function of a module; `prepare` is one, and runs first in each process.
    """
    spawn = get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=spawn, initializer=_in_silence, initargs=(prepare,))
    try:
        running = {pool.submit(job): key for key, job in jobs.items()}
        for done in as_completed(running):
            yield running[done], done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _in_silence(prepare: Callable[[], None] | None) -> None:
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    if prepare:
        prepare()


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
