"""Do the probes see what they must, and what does it cost: `python benchmarks/probe_power.py [--quick]`.

*Power*: how often a verdict is FAIL when the person is still there to D deviations of the null models. By simulation through
the verdict's own rules, with membership as the only primary that sees anything; and in trained worlds (those of
`false_alarms.py`), in which the old shard is served as the new one, with 7 and with 19 null models.

*Faults*: seeded into the same worlds, person after person; none may end in PASS. tests/probes/test_probe_faults.py is the
catalogue; here are more people, trained by Lethe's own trainer. What the judge refuses to open counts as refused.

*Cost*: one judgement of 20 records with 999 candidates on two threads; `--cost` times nothing else.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    panel_of,
    protocol_of,
    retrained,
)
from measuring import beside_bar, write_result
from peft import PeftModel
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer

from lineage.errors import NotAcceptable
from lineage.records import Chat, Message, TrainingRecord
from probes.dossier import Panel, Protocol
from probes.judge import judge
from probes.judgement import Judgement
from probes.membership import Membership
from probes.seals import Seal, base_digests, directory_digest
from probes.shard_map import MAP_ALPHA
from probes.stats import Abstained, Interval, prediction_test
from probes.verdict import Evidence, decide
from unlearn.tiny_base import TINY_BASE

DEMO, SMALL = KINDS_OF_WORLD.values()
ENOUGH = 0.9  # share of FAILs
BARS = ((6.0, 7), (4.0, 19))  # effect in deviations of the null models, K
SILENT = {"exposure": 0.5, "extraction": 1.0}
DRAWS, MOST_S, COST_RECORDS = 20_000, 120.0, 20
WEIGHTS = "adapter_model.safetensors"


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


# --- faults ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scene:
    """One person of one world, and a folder for what a fault leaves."""

    world: World
    person: Person
    folder: Path = field(repr=False)

    @property
    def own(self) -> Sequence[TrainingRecord]:
        """The person's records."""
        return self.world.records[self.person]

    @property
    def shard(self) -> int:
        """Where the person was learnt."""
        return self.world.where[self.person].shard

    def panel(self, new: Path) -> Panel:
        """A case's panel with this new adapter."""
        return panel_of(self.world, self.person, new)

    def honest(self) -> Panel:
        """The person's records left the training."""
        return self.panel(self.world.publish("honest", retrained(self.world, self.person, {self.person: ()})))

    def sealed(self) -> Panel:
        """The honest panel in a store of its own, under the addresses of its bytes."""
        panel = self.honest()

        def kept(path: Path) -> Path:
            return Path(shutil.copytree(path, self.folder / directory_digest(path), dirs_exist_ok=True))

        sides = {
            side: {shard: kept(p) for shard, p in getattr(panel, side).items()} for side in ("pre", "post", "outs")
        }
        return replace(panel, **sides, seal=Seal(*base_digests(panel.base)))


def old_adapter_served(scene: Scene) -> Panel:
    """The release was never switched."""
    return scene.panel(scene.world.folder / f"shard-{scene.shard}")


def one_record_left(scene: Scene) -> Panel:
    """The closure missed one of m records."""
    changed = {scene.person: scene.own[:1]}
    return scene.panel(scene.world.publish("left", retrained(scene.world, scene.person, changed)))


def near_duplicate(scene: Scene) -> Panel:
    """Another person's record has the same account and phone in it, under other words."""
    place = scene.world.where[scene.person]
    others = [p for p, placed in scene.world.where.items() if placed == place and p != scene.person]
    answer = scene.own[0].content.messages[1]  # the agent reads account and phone from the screen
    copy = Chat((Message("user", "Hello, I call for somebody else."), answer))
    record = TrainingRecord("near-duplicate", copy)
    changed = {scene.person: (), others[0]: (*scene.world.records[others[0]], record)}
    return scene.panel(scene.world.publish("near", retrained(scene.world, scene.person, changed)))


def warm_start(scene: Scene) -> Panel:
    """The retraining went on from the old adapter."""
    world, place = scene.world, scene.world.where[scene.person]
    old = world.states[place.shard][-1]
    chain = world.chain(place.shard, start=old, first=place.slice, changed={scene.person: ()})
    return scene.panel(world.publish("warm", chain[-1]))


def wrong_digest(scene: Scene) -> Panel:
    """One bit of the new adapter."""
    panel = scene.sealed()
    weights = panel.post[scene.shard] / WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    return panel


def stale_cache(scene: Scene) -> Panel:
    """The new adapter's address holds the old one's bytes."""
    panel = scene.sealed()
    shutil.copy(panel.pre[scene.shard] / WEIGHTS, panel.post[scene.shard] / WEIGHTS)
    return panel


def swapped_tokenizer(scene: Scene) -> Panel:
    """Two digits of the vocabulary changed places."""
    base = Path(shutil.copytree(TINY_BASE, scene.folder / "base"))
    content = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    vocabulary["3"], vocabulary["8"] = vocabulary["8"], vocabulary["3"]
    (base / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return replace(scene.sealed(), base=base)


FAULTS: dict[str, Callable[[Scene], Panel]] = {
    "old adapter served": old_adapter_served,
    "one of m records left": one_record_left,
    "near-duplicate in another record": near_duplicate,
    "warm start from the old adapter": warm_start,
    "wrong digest": wrong_digest,
    "stale cache": stale_cache,
    "swapped tokenizer": swapped_tokenizer,
}


def said_of(scene: Scene, panel: Panel) -> str:
    """The verdict and its code, or that it was refused."""
    try:
        verdict = judge(dossier_of(scene.world, scene.person), panel, protocol_of(scene.world, panel)).verdict
    except NotAcceptable:
        return "refused before scoring"
    return f"{verdict.outcome} {verdict.code}"


def seeded(world: World, people: Sequence[Person]) -> Iterator[tuple[str, str]]:
    """Every fault for every person, and the control: the same world without a fault."""
    for person in people:
        for fault, seed in {"(none)": Scene.honest, **FAULTS}.items():
            with tempfile.TemporaryDirectory() as folder:
                scene = Scene(world, person, Path(folder))
                yield fault, said_of(scene, seed(scene))


def contaminated(kind: Kind, number: int, world: World, person: Person) -> str:
    """The whole world trained again on a base that knew the person before."""
    with tempfile.TemporaryDirectory() as folder:
        base = _knowing_base(world, person, Path(folder))
        again = make_world(kind, number, Path(folder), base_model=str(base))
        scene = Scene(again, person, Path(folder))
        return said_of(scene, scene.honest())


def _knowing_base(world: World, person: Person, folder: Path) -> Path:
    """The base with an adapter merged into it that learnt nothing but the person, again and again."""
    shard, state = world.where[person].shard, world.ground.state
    for _ in range(8):
        state = world.chain(shard, start=state, changed=_only(world, person))[-1]
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(TINY_BASE), world.publish("knowing", state)
    ).merge_and_unload()
    model.save_pretrained(folder / "base")
    AutoTokenizer.from_pretrained(TINY_BASE).save_pretrained(folder / "base")
    return folder / "base"


def _only(world: World, person: Person) -> Mapping[Person, Sequence[TrainingRecord]]:
    return {other: () for other in world.where if other != person}


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
    """How much is done: a kind of world, how many worlds, people for power and for faults in each, null models."""

    kind: Kind
    worlds: int
    served: int
    faulty: int
    outs: tuple[int, ...]
    draws: int
    contaminated: int


FULL = Size(DEMO, worlds=3, served=8, faulty=3, outs=(7, 19), draws=DRAWS, contaminated=2)
QUICK = Size(SMALL, worlds=1, served=1, faulty=1, outs=(2, 3), draws=200, contaminated=0)


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
    faults: dict[str, Counter[str]] = defaultdict(Counter)
    walls: list[float] = []
    for number in tqdm(range(size.worlds), desc="worlds", unit="worlds"):
        with tempfile.TemporaryDirectory() as folder:
            world = make_world(size.kind, number, Path(folder))
            people = _people(world, number)
            for count, trial in old_shards_served(world, people[: size.served], outs=size.outs):
                served[count].append(trial)
            for fault, said in seeded(world, people[: size.faulty]):
                faults[fault][said] += 1
            if number < size.contaminated:
                faults["contaminated base"][contaminated(size.kind, number, world, people[0])] += 1
            walls.append(_wall(world, people[0], quick=quick))
        if not quick:  # after every world: what is cut short has measured something
            write_result("probe-power", _figures(power, served, faults, walls))
    met = [*_power_bars(power, served), _fault_bar(faults), _cost_bar(walls)]
    return 0 if all(met) or quick else 1


def _wall(world: World, person: Person, *, quick: bool) -> float:
    return timed(world, person, records=3 if quick else COST_RECORDS, candidates=99 if quick else 999)[0]


def _cost_alone(size: Size, *, quick: bool) -> bool:
    """Time one judgement for each of three people of one world."""
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(size.kind, 0, Path(folder))
        walls = []
        for person in _people(world, 0)[:3]:
            walls.append(_wall(world, person, quick=quick))
            print(f"  one judgement: {walls[-1]:.1f} s", flush=True)
    if not quick:
        write_result("probe-cost", {"records": COST_RECORDS, "seconds_of_a_judgement": [round(w, 1) for w in walls]})
    return _cost_bar(walls)


def _people(world: World, number: int) -> list[Person]:
    """People in a shard with at least two records and a neighbour in their slice, in a random order."""
    places = Counter(world.where.values())
    fit = [
        person
        for person, placed in world.where.items()
        if placed.kind == "shard" and places[placed] > 1 and len(world.records[person]) > 1
    ]
    return random.Random(f"power {number}").sample(fit, len(fit))


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


def _fault_bar(faults: Mapping[str, Counter[str]]) -> bool:
    for fault, said in faults.items():
        print(f"  {fault}: {dict(said)}")
    passed = sum(
        said[verdict] for fault, said in faults.items() if fault != "(none)" for verdict in said if "PASS" in verdict
    )
    return beside_bar("PASS over all seeded faults", found=passed, at_most=0)


def _cost_bar(walls: Sequence[float]) -> bool:
    return beside_bar("seconds of one judgement on two threads, the slowest", found=max(walls), at_most=MOST_S)


def _figures(
    power: Mapping[str, float], served: Mapping[int, Sequence[Served]], faults: Mapping[str, Counter[str]],
    walls: Sequence[float],
) -> dict[str, object]:  # fmt: skip
    trials = {
        str(k): [{"effect_sd": round(trial.effect_sd, 2), "outcome": trial.outcome} for trial in found]
        for k, found in served.items()
    }
    return {
        "worlds": len(walls), "simulated": power, "old_shard_served": trials, "faults": {fault: dict(said) for fault, said in faults.items()},
        "seconds_of_a_judgement": [round(wall, 1) for wall in walls],
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
