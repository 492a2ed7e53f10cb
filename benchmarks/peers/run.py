"""The run: trainings first, then one task per forgotten person, in two processes of one thread each."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any, TypeVar

from measuring import write_result

from peers.corpus import Scale
from peers.judge import Judge, auc, divergence, relative_distance
from peers.methods import FAMILIES, METHODS, Erase
from peers.report import Cost, Row, show, summarise
from peers.setting import Adapter, Setting, make_setting
from peers.tuning import tune
from unlearn.compose import files_digest
from unlearn.train import State

__all__ = ["FULL", "QUICK", "main"]

FULL = Scale(
    forgotten=12, others=12, controls_each=2, dose=6, other_dose=4, trunk_records=96, epochs=16, trunk_epochs=4
)
QUICK = Scale(
    forgotten=2, others=8, controls_each=1, dose=2, other_dose=2, trunk_records=16, epochs=2, trunk_epochs=1, shards=2
)
SEED, TUNING_SEED = 1, 2
KL_RECORDS = 48
T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """What a worker needs to find its setting again."""

    scale: Scale
    seed: int
    trunk: State = field(repr=False)


def main(argv: Sequence[str]) -> int:
    """Run the comparison; 0 when every method ran."""
    wishes = _arguments(argv)
    scale = QUICK if wishes.quick else FULL
    if wishes.tune:
        return tune(make_setting(scale, seed=TUNING_SEED), wishes.people or 2)
    started = time.perf_counter()
    setting = make_setting(scale, seed=SEED)
    job = Job(scale, SEED, setting.trunk)
    people = setting.corpus.forgotten[: wishes.people]
    with ProcessPoolExecutor(wishes.processes, mp_context=get_context("spawn")) as pool:
        trained = dict(_all(pool, {name: (_train, job, name) for name in FAMILIES}, what="trained"))
        kept = {name: value for name, (value, _) in trained.items()}
        tasks = {person: (_forget, job, kept, person) for person in people}
        found = dict(_all(pool, tasks, what="forgotten", until_s=started + 60 * wishes.minutes))
    costs = {name: cost for name, (_, cost) in trained.items()}
    lines = summarise([row for person in people for row in found.get(person, ())], METHODS, kept, costs)
    seconds, work = time.perf_counter() - started, time.process_time() + getrusage(RUSAGE_CHILDREN).ru_utime
    show(lines, seconds=seconds, process_s=work)
    figures = {
        "seconds": round(seconds),
        "process_s": round(work),
        "scale": asdict(scale),
        "full_training": {name: asdict(cost) for name, cost in costs.items()},
        "methods": [asdict(line) for line in lines],
    }
    if wishes.out:
        wishes.out.write_text(json.dumps(figures, indent=1))
    elif not wishes.quick:
        print(f"\n{write_result('peers', figures)}")
    return 0


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tiny run in which every method only has to work")
    parser.add_argument("--tune", action="store_true", help="the grid of the approximate methods, on another corpus")
    parser.add_argument("--people", type=int, help="forget fewer people")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--minutes", type=float, default=18, help="nobody's turn begins later than this after the start"
    )
    parser.add_argument("--out", type=Path, help="the result file (default: a dated one in benchmarks/results)")
    return parser.parse_args(argv)


def _all(
    pool: ProcessPoolExecutor, tasks: Mapping[str, tuple[Any, ...]], *, what: str, until_s: float = math.inf
) -> Iterator[tuple[str, Any]]:
    """Results by name as they come, a line for each; after `until_s` on the clock of `perf_counter` nothing new begins."""
    running: dict[Future[Any], str] = {pool.submit(*task): name for name, task in tasks.items()}
    for done, future in enumerate(as_completed(running), 1):
        if future.cancelled():
            continue
        print(f"{what} {done} of {len(running)}: {running[future]}", file=sys.stderr, flush=True)
        yield running[future], future.result()
        if time.perf_counter() > until_s:
            for waiting in running:
                waiting.cancel()


@lru_cache(maxsize=1)
def _setting(job: Job) -> Setting:
    """The worker's setting, made once."""
    return make_setting(job.scale, seed=job.seed, trunk=job.trunk)


def _timed(work: Callable[[], T]) -> tuple[T, Cost]:
    wall, process = time.perf_counter(), time.process_time()
    value = work()
    return value, Cost(time.process_time() - process, time.perf_counter() - wall)


def _train(job: Job, family: str) -> tuple[Any, Cost]:
    setting = _setting(job)
    return _timed(lambda: FAMILIES[family](setting))


def _forget(job: Job, kept: Mapping[str, Any], person: str) -> list[Row]:
    """Every method forgets one person; then each result is judged."""
    setting, judge = _setting(job), Judge()

    def made(make: Erase, family: str) -> tuple[Adapter, Cost]:
        return _timed(lambda: make(setting, kept[family], person))

    never = {make: made(make, family) for make, family in _references().items()}
    rows = []
    for method in METHODS:
        reference, _ = never[method.never]
        after, cost = never[method.erase] if method.erase in never else made(method.erase, method.family)
        oracle, _ = made(method.oracle, method.family) if method.oracle else (None, None)
        case = Case(person, kept[method.family].adapter, after, reference, oracle)
        rows.append(_row(setting, judge, case, method=method.name, cost=cost))
    return rows


def _references() -> dict[Erase, str]:
    """What makes the never-ingested model of each recipe, with the recipe's family; several methods share one."""
    return {method.never: method.family for method in METHODS}


@dataclass(frozen=True)
class Case:
    """The adapters of one method and person: in service before and after, never ingested, and the authors' oracle."""

    person: str
    before: Adapter = field(repr=False)
    after: Adapter = field(repr=False)
    never: Adapter = field(repr=False)
    oracle: Adapter | None = field(repr=False)


def _row(setting: Setting, judge: Judge, case: Case, *, method: str, cost: Cost) -> Row:
    unseen = judge.items([record for own in setting.corpus.unseen.values() for record in own])
    some = unseen[:: max(1, len(unseen) // KL_RECORDS)]
    seen = [_view(setting, judge, adapter, case.person, unseen) for adapter in (case.before, case.after)]
    return Row(
        method=method,
        equals_never=files_digest(case.after) == files_digest(case.never),
        equals_oracle=None if case.oracle is None else files_digest(case.after) == files_digest(case.oracle),
        distance=relative_distance(case.after, case.never),
        divergence=divergence(*(judge.read(a, some, distributions=True) for a in (case.never, case.after))),
        extracted=(seen[0].extracted, seen[1].extracted),
        values=len(setting.corpus.values[case.person]),
        membership=(seen[0].membership, seen[1].membership),
        held_out_nll=(judge.read(case.before, unseen).nll, judge.read(case.after, unseen).nll),
        cost=cost,
        traces=seen[1].traces,
        control_traces=seen[1].control_traces,
    )


@dataclass(frozen=True)
class View:
    """What the LoRA that learnt a person, or a control, shows of them."""

    extracted: int
    membership: float
    traces: tuple[float, ...]
    control_traces: tuple[tuple[float, ...], ...]


def _view(setting: Setting, judge: Judge, adapter: Adapter, person: str, unseen: tuple[Any, ...]) -> View:
    part, corpus = setting.part(adapter, person), setting.corpus
    items = judge.items(corpus.trained[person])
    reading = judge.read(part, items)

    def traces(name: str, records: Sequence[Any]) -> tuple[float, ...]:
        own = judge.items(records)
        return judge.traces(judge.read(part, own), judge.read(None, own), own, corpus.values[name])

    return View(
        judge.extracted(reading, items, corpus.values[person]),
        auc(reading.losses, judge.read(part, unseen).losses),
        traces(person, corpus.trained[person]),
        tuple(traces(name, corpus.unseen[name]) for name in corpus.controls[person]),
    )
