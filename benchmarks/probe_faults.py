"""What a judge says of seeded faults: `python benchmarks/probe_faults.py [--quick]`. None may end in PASS.

Seeded into the worlds of `probe_power.py`, person after person. tests/probes/test_probe_faults.py is the catalogue; here are
more people, trained by Lethe's own trainer. What the judge refuses to open counts as refused. As in a case, the judge is told
in how many of the records that lineage has in the training a search for the person's values finds them
(`pipelines.rechecking.copies_in`); what the weights alone would have said is printed beside it.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from false_alarms import (
    KINDS_OF_WORLD,
    Changed,
    Kind,
    Person,
    World,
    dossier_of,
    make_world,
    neighbours,
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
from lineage.redaction import speaks_of
from lineage.register import RegisterForm, RegisterIndex
from pipelines.demo_rows import KINDS
from probes.dossier import Panel
from probes.judge import judge
from probes.seals import Seal, base_digests, directory_digest
from unlearn.tiny_base import TINY_BASE

DEMO, SMALL = KINDS_OF_WORLD.values()
WEIGHTS = "adapter_model.safetensors"
REFUSED, BLIND = "refused before scoring", ", by the weights alone"


@dataclass(frozen=True)
class Scene:
    """One person of one world, and a folder for what a fault leaves."""

    world: World
    person: Person
    folder: Path = field(repr=False)

    def copies(self, learnt: Changed) -> int:
        """Records of a training in which a search for the person's values finds them."""
        values = [RegisterForm(self.person.customer_id, kind, self.person.value(kind)) for kind in KINDS]
        index = RegisterIndex(values)
        everybody = [
            record
            for person, placed in self.world.where.items()
            if placed.kind == "shard"
            for record in learnt.get(person, self.world.records[person])
        ]
        return sum(speaks_of(index, record.content) for record in everybody)

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

    def trained(self, learnt: Changed) -> Panel:
        """A case's panel, the new adapter trained on these records."""
        return self.panel(self.world.publish("new", retrained(self.world, self.person, learnt)))

    def honest(self) -> Panel:
        """The person's records left the training."""
        return self.trained({self.person: ()})

    def sealed(self) -> Panel:
        """The honest panel in a store of its own, under the addresses of its bytes."""
        panel = self.honest()

        def kept(path: Path) -> Path:
            return Path(shutil.copytree(path, self.folder / directory_digest(path), dirs_exist_ok=True))

        sides = {
            side: {shard: kept(p) for shard, p in getattr(panel, side).items()} for side in ("pre", "post", "outs")
        }
        return replace(panel, **sides, seal=Seal(*base_digests(panel.base)))


def one_record_left(scene: Scene) -> Changed:
    """The closure missed one of m records."""
    return {scene.person: scene.own[:1]}


def near_duplicate(scene: Scene) -> Changed:
    """Another person's record has the same account and phone in it, under other words."""
    place = scene.world.where[scene.person]
    others = [p for p, placed in scene.world.where.items() if placed == place and p != scene.person]
    answer = scene.own[0].content.messages[1]  # the agent reads account and phone from the screen
    copy = Chat((Message("user", "Hello, I call for somebody else."), answer))
    record = TrainingRecord("near-duplicate", copy)
    return {scene.person: (), others[0]: (*scene.world.records[others[0]], record)}


def old_adapter_served(scene: Scene) -> Panel:
    """The release was never switched."""
    return scene.panel(scene.world.folder / f"shard-{scene.shard}")


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


OF_DATA: dict[str, Callable[[Scene], Changed]] = {
    "one of m records left": one_record_left,
    "near-duplicate in another record": near_duplicate,
}
"""What was learnt that should not have been: lineage has the records, and no approval knows that they are about the person."""
FAULTS: dict[str, Callable[[Scene], Panel]] = {
    "old adapter served": old_adapter_served,
    "warm start from the old adapter": warm_start,
    "wrong digest": wrong_digest,
    "stale cache": stale_cache,
    "swapped tokenizer": swapped_tokenizer,
}


def said_of(scene: Scene, panel: Panel, learnt: Changed | None = None) -> tuple[str, str]:
    """The verdict and its code, or that it was refused; as in a case, and by the weights alone.

    `learnt`: what lineage has in the training of the new adapter; without it, everything but the person's records.
    """
    copies = scene.copies({scene.person: ()} if learnt is None else learnt)
    dossier, protocol = dossier_of(scene.world, scene.person), protocol_of(scene.world, panel)
    try:
        blind = judge(dossier, panel, protocol).verdict
    except NotAcceptable:
        return REFUSED, REFUSED
    told = judge(replace(dossier, copies=copies), panel, protocol).verdict if copies else blind
    return f"{told.outcome} {told.code}", f"{blind.outcome} {blind.code}"


def seeded(world: World, people: Sequence[Person]) -> Iterator[tuple[str, str]]:
    """Every fault for every person, and the control: the same world without a fault."""
    for person in people:
        for fault, seed in {"(none)": Scene.honest, **FAULTS}.items():
            with tempfile.TemporaryDirectory() as folder:
                scene = Scene(world, person, Path(folder))
                yield fault, said_of(scene, seed(scene))[0]
        for fault, change in OF_DATA.items():
            with tempfile.TemporaryDirectory() as folder:
                scene = Scene(world, person, Path(folder))
                learnt = change(scene)
                told, blind = said_of(scene, scene.trained(learnt), learnt)
                yield fault, told
                yield f"{fault}{BLIND}", blind


def contaminated(kind: Kind, number: int, world: World, person: Person) -> str:
    """The whole world trained again on a base that knew the person before."""
    with tempfile.TemporaryDirectory() as folder:
        base = _knowing_base(world, person, Path(folder))
        again = make_world(kind, number, Path(folder), base_model=str(base))
        scene = Scene(again, person, Path(folder))
        return said_of(scene, scene.honest())[0]


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


# --- the run -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Size:
    """How much is done: a kind of world, how many, people in each, and worlds that are trained again on a knowing base."""

    kind: Kind
    worlds: int
    people: int
    contaminated: int


FULL = Size(DEMO, worlds=3, people=3, contaminated=2)
QUICK = Size(SMALL, worlds=1, people=1, contaminated=0)


def main() -> int:
    """Print what was said of every fault; 1 if one of them ended in PASS."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one small world, one person; for a test that it runs")
    quick = parser.parse_args().quick
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    size = QUICK if quick else FULL
    faults: dict[str, Counter[str]] = defaultdict(Counter)
    for number in tqdm(range(size.worlds), desc="worlds", unit="worlds"):
        with tempfile.TemporaryDirectory() as folder:
            world = make_world(size.kind, number, Path(folder))
            people = neighbours(world, number)[: size.people]
            for fault, said in seeded(world, people):
                faults[fault][said] += 1
            if number < size.contaminated:
                faults["contaminated base"][contaminated(size.kind, number, world, people[0])] += 1
        if not quick:  # after every world: what is cut short has measured something
            write_result(
                "probe-faults", {"worlds": number + 1, "faults": {f: dict(said) for f, said in faults.items()}}
            )
    return 0 if _bar(faults) or quick else 1


def _bar(faults: Mapping[str, Counter[str]]) -> bool:
    for fault, said in faults.items():
        print(f"  {fault}: {dict(said)}")
    wrong = [said for fault, said in faults.items() if fault != "(none)" and not fault.endswith(BLIND)]
    passed = sum(said[verdict] for said in wrong for verdict in said if "PASS" in verdict)
    return beside_bar("PASS over all seeded faults", found=passed, at_most=0)


if __name__ == "__main__":
    sys.exit(main())
