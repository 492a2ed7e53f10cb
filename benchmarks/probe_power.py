"""Do the probes see what they must, and what does it cost: `python benchmarks/probe_power.py [--quick]`.

*Power*: how often a verdict is FAIL when the person is still there to D deviations of the null models. By simulation through
the verdict's own rules, with membership as the only primary that sees anything; and in trained worlds (those of
`false_alarms.py`), in which the old shard is served as the new one, with 7 and with 19 null models.

*Cost*: one judgement of 20 records with 999 candidates on two threads; `--cost` times nothing else.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from false_alarms import (
    KINDS_OF_WORLD,
    Kind,
    Person,
    World,
    dossier_of,
    extras,
    make_world,
    neighbours,
    panel_of,
    protocol_of,
)
from measuring import beside_bar, write_result
from tqdm import tqdm

from probes.dossier import Protocol
from probes.judge import judge
from probes.judgement import Judgement
from probes.membership import Membership
from probes.shard_map import MAP_ALPHA
from probes.stats import Abstained, Interval, prediction_test
from probes.verdict import Evidence, decide

DEMO, SMALL = KINDS_OF_WORLD.values()
ENOUGH = 0.9  # share of FAILs
BARS = ((6.0, 7), (4.0, 19))  # effect in deviations of the null models, K
SILENT = {"exposure": 0.5, "extraction": 1.0}
DRAWS, MOST_S, COST_RECORDS = 20_000, 120.0, 20


# --- power -------------------------------------------------------------------------------------------------------------


def simulated(effect: float, k: int, *, draws: int) -> float:
    """Share of FAILs when the new adapter's score lies `effect` deviations above K normal null models."""
    rng = np.random.default_rng(int(effect * 100) + k)
    protocol = Protocol(out_adapters=k, map_alpha=MAP_ALPHA)
    fails = 0
    for scores in rng.normal(size=(draws, k + 1)):
        test = prediction_test(scores[0] + effect, scores[1:])
        post = {"membership": test.p, **SILENT}
        evidence = Evidence(post, post, Interval(1.0, 0.5, 2.0), None, protocol.min_control_subjects)
        fails += decide(evidence, protocol).outcome == "FAIL"
    return fails / draws


@dataclass(frozen=True)
class Served:
    """A trial in which the old shard is served: how far it stands out, and what was said."""

    effect_sd: float
    outcome: str


def old_shards_served(world: World, people: Sequence[Person], *, outs: Sequence[int]) -> Iterator[tuple[int, Served]]:
    """Each person's old shard served as the new one, under every number of null models, extra ones where shards lack."""
    shards = world.plan.shards - 1
    extra = extras(world, people, count=max(0, max(outs) - shards), salt="power")
    for person in people:
        plain = panel_of(world, person, world.folder / f"shard-{world.where[person].shard}")
        for count in outs:
            panel = replace(plain, extra={n: extra[n] for n in range(count - shards)})
            found = judge(dossier_of(world, person), panel, protocol_of(world, panel))
            yield count, Served(_effect(found.membership[0]), found.verdict.outcome)


def _effect(found: Membership) -> float:
    return 0.0 if isinstance(found.post, Abstained) else found.post.effect_sd


# --- cost --------------------------------------------------------------------------------------------------------------


def timed(world: World, person: Person, *, records: int, candidates: int) -> tuple[float, Judgement]:
    """Wall seconds of one judgement; the person's records are repeated under new ids until there are enough."""
    own = [replace(r, record_id=f"{i}") for i, r in enumerate((*world.records[person],) * records)][:records]
    known = replace(world, records={**world.records, person: own})
    panel = panel_of(known, person, world.folder / f"shard-{world.where[person].shard}")
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    begun = time.perf_counter()
    found = judge(dossier_of(known, person), panel, protocol_of(known, panel, candidates=candidates))
    wall = time.perf_counter() - begun
    torch.set_num_threads(threads)
    return wall, found


# --- the run -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Size:
    """How much is done: a kind of world, how many worlds, people in each, null models."""

    kind: Kind
    worlds: int
    served: int
    outs: tuple[int, ...]
    draws: int


FULL = Size(DEMO, worlds=3, served=8, outs=(7, 19), draws=DRAWS)
QUICK = Size(SMALL, worlds=1, served=1, outs=(2, 3), draws=200)


def main() -> int:
    """Print the figures beside their bars; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="one small world, one person each; for a test that it runs"
    )
    parser.add_argument(
        "--cost", action="store_true", help="only the time of one judgement, of three people; asks for an idle machine"
    )
    arguments = parser.parse_args()
    quick = arguments.quick
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    size = QUICK if quick else FULL
    if arguments.cost:
        return 0 if _cost_alone(size, quick=quick) or quick else 1
    power = {f"D {effect:g}, K {k}": simulated(effect, k, draws=size.draws) for effect, k in BARS}
    served: dict[int, list[Served]] = defaultdict(list)
    walls: list[float] = []
    for number in tqdm(range(size.worlds), desc="worlds", unit="worlds"):
        with tempfile.TemporaryDirectory() as folder:
            world = make_world(size.kind, number, Path(folder))
            people = neighbours(world, number)
            for count, trial in old_shards_served(world, people[: size.served], outs=size.outs):
                served[count].append(trial)
            walls.append(_wall(world, people[0], quick=quick))
        if not quick:  # after every world: what is cut short has measured something
            write_result("probe-power", _figures(power, served, walls))
    met = [*_power_bars(power, served), _cost_bar(walls)]
    return 0 if all(met) or quick else 1


def _wall(world: World, person: Person, *, quick: bool) -> float:
    return timed(world, person, records=3 if quick else COST_RECORDS, candidates=99 if quick else 999)[0]


def _cost_alone(size: Size, *, quick: bool) -> bool:
    """Time one judgement for each of three people of one world."""
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(size.kind, 0, Path(folder))
        walls = []
        for person in neighbours(world, 0)[:3]:
            walls.append(_wall(world, person, quick=quick))
            print(f"  one judgement: {walls[-1]:.1f} s", flush=True)
    if not quick:
        write_result("probe-cost", {"records": COST_RECORDS, "seconds_of_a_judgement": [round(w, 1) for w in walls]})
    return _cost_bar(walls)


def _power_bars(power: Mapping[str, float], served: Mapping[int, Sequence[Served]]) -> list[bool]:
    met = [beside_bar(f"simulated FAIL at {name}", found=share, at_least=ENOUGH) for name, share in power.items()]
    for effect, k in BARS:
        strong = [trial.outcome == "FAIL" for trial in served.get(k, ()) if trial.effect_sd >= effect]
        every = [trial.outcome == "FAIL" for trial in served.get(k, ())]
        if strong:
            what = f"old shard served, K {k}, D >= {effect:g}: FAIL in {sum(strong)} of {len(strong)}"
            met.append(beside_bar(what, found=sum(strong) / len(strong), at_least=ENOUGH))
        if every:
            print(f"  whatever the effect, K {k}: FAIL in {sum(every)} of {len(every)}")
    return met


def _cost_bar(walls: Sequence[float]) -> bool:
    return beside_bar("seconds of one judgement on two threads, the slowest", found=max(walls), at_most=MOST_S)


def _figures(
    power: Mapping[str, float], served: Mapping[int, Sequence[Served]], walls: Sequence[float]
) -> dict[str, object]:
    trials = {
        str(k): [{"effect_sd": round(trial.effect_sd, 2), "outcome": trial.outcome} for trial in found]
        for k, found in served.items()
    }
    return {
        "worlds": len(walls), "simulated": power, "old_shard_served": trials,
        "seconds_of_a_judgement": [round(wall, 1) for wall in walls],
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
