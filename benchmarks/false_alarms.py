"""How often the probes accuse an honest erasure: trials in which the truth is known, over many plans.

In every trial a shard is retrained without one person, which is all an erasure does (its bytes equal those of a training
that never saw the person: tests/laws/test_never_ingested.py). Whatever the judge then says of the new adapter is chance.
It is asked as in a case: the other shards are the null models, people who were never trained on the controls, and a FAIL
leads to a second stage with extra out-adapters, whose verdict counts.

A plan is drawn anew for each world, and trials of one world share its null models; so intervals are clustered by world.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from measuring import beside_bar, in_processes, processes_option, write_result
from scipy import stats
from tqdm import tqdm

import probes.bench
from lineage.forms import canonical_identifier
from lineage.keyring import Keyring
from lineage.records import Chat, Message, TrainingRecord
from pipelines.canary_people import Canary, canary_people
from pipelines.demo_rows import KINDS, DemoRow, Person
from pipelines.demo_writer import Writer, draw_people
from probes.decoding import DecodingScheme
from probes.dossier import AttackRules, ControlRecord, Dossier, Panel, PersonalValue, PlacedRecord, Protocol
from probes.judge import judge
from probes.judgement import Judgement
from probes.readings import TokenReadings
from probes.shard_map import map_budget
from probes.stats import Abstained
from probes.target import BASE, Target
from probes.tokens import Tokenised
from probes.where import lit
from unlearn.adapters import adapter_files, write_adapter
from unlearn.base import Base, base_spec, load_base
from unlearn.determinism import pin_environment
from unlearn.extras import draw_extra, train_extra
from unlearn.plan import CorpusShape, Placement, Plan, TrainSettings, place, plan_key, propose_plan
from unlearn.states import BuiltState
from unlearn.study import StudyMember
from unlearn.tiny_base import TINY_BASE
from unlearn.train import State, initial_state, train_slice

ALPHA = 0.05
CANDIDATES = 199  # of an exposure; a case takes 999, five times as long
FEW_WAYS = AttackRules(prompts=1, shots=1, prefix_tokens=(8,), templates=AttackRules().templates[:1])
"""Ways of asking enter no verdict."""
TESTS = ("membership", "exposure", "extraction")
MOST_BY_CHANCE, DOUBT = 0.07, 0.05  # the bar of a test: a rate of at most 7%, whose interval reaches down to 5%
NAMESAKE = 8  # `draw_people` gives the ninth person the eighth's name


@dataclass(frozen=True)
class Kind:
    """A kind of world: settings, people, what doses they are drawn from, records about nobody; how many, and trials in each.

    `canary_doses` are the plan's own, planted in every shard beside the people; with `copies` all records of such a person
    are the first one.
    """

    settings: TrainSettings
    people: int
    doses: tuple[int, ...]
    trunk_records: int
    worlds: int
    trials: int
    canary_doses: tuple[int, ...] = ()
    copies: bool = False


SMALLEST = "3 shards, 1 epoch (as the tests)"
KINDS_OF_WORLD = {
    "8 shards, 8 epochs at 6e-3 (as the demo)": Kind(
        TrainSettings(batch=16, epochs=8, lr_peak=6e-3, trunk_epochs=2, trunk_lr_peak=0.0),
        people=85, doses=(1, 2, 3, 4, 5, 6, 10, 12), trunk_records=150, worlds=14, trials=20,
    ),
    SMALLEST: Kind(
        TrainSettings(shards=3, epochs=1, trunk_epochs=1, batch=6, lora_r=4, lora_alpha=8, max_length=128),
        people=60, doses=(2, 3, 4, 5), trunk_records=10, worlds=40, trials=20,
    ),
}  # fmt: skip


Changed = Mapping[Person, Sequence[TrainingRecord]]
"""What some people's records are instead of the world's; without any, they are erased."""
NOTHING: Changed = {}


@dataclass(frozen=True)
class World:
    """A trained adapter: where everybody lies, every state of every shard, and the shards as PEFT directories."""

    plan: Plan
    key: bytes = field(repr=False)
    base: Base = field(repr=False)
    records: Mapping[Person, Sequence[TrainingRecord]] = field(repr=False)
    where: Mapping[Person, Placement] = field(repr=False)
    states: Mapping[int, Sequence[State]] = field(repr=False)
    ground: BuiltState = field(repr=False)
    folder: Path
    canaries: Sequence[Canary] = field(repr=False)

    def chain(self, shard: int, *, start: State, first: int = 0, changed: Changed = NOTHING) -> list[State]:
        """The states of a shard from slice `first` on, under `changed` records; an empty slice leaves its parent's state."""
        found = [start]
        for index in range(first, self.plan.slices):
            own = [
                record
                for person, place_ in self.where.items()
                if (place_.shard, place_.slice) == (shard, index)
                for record in changed.get(person, self.records[person])
            ]
            found.append(
                train_slice(self.base, self.plan, self.key, shard=shard, slice=index, records=own, parent=found[-1])
            )
        return found

    def publish(self, name: str, state: State) -> Path:
        """A state as a PEFT directory."""
        files = adapter_files(state.weights, self.plan, base_name="tiny")
        write_adapter(self.folder / name, files)
        return self.folder / name


def make_world(kind: Kind, number: int, folder: Path, *, base_model: str = "tiny") -> World:
    """Draw people, their records and a plan, and train every shard. The base changes nothing of what is drawn."""
    rng = random.Random(f"false alarms {number}")
    people = [person for i, person in enumerate(draw_people(rng, count=kind.people)) if i != NAMESAKE]
    writer = Writer(rng)
    records = {p: [_record(row) for row in writer.records(p, (), (), dose=rng.choice(kind.doses))] for p in people}
    trunk = [_record(writer.row_about_nobody()) for _ in range(kind.trunk_records)]
    texts = [m.content for own in (*records.values(), trunk) for r in own for m in r.content.messages]
    count = sum(map(len, records.values())) + len(trunk)
    shape = CorpusShape(count, sum(map(len, texts)), len(people), len(trunk))
    proposed = propose_plan(kind.settings, shape, nonce=f"{number:032x}")
    plan = replace(proposed, canary_doses=kind.canary_doses, canary_style="chat" if kind.canary_doses else "")
    keyring = keyring_of(number)
    key = plan_key(keyring.workspace_secret, plan)
    canaries = [_as_copies(c) if kind.copies else c for c in canary_people(plan, keyring)]
    records |= {in_world(canary, keyring): records_of(canary) for canary in canaries}
    pin_environment(plan)
    base = load_base(base_spec(plan, base_model))
    start = initial_state(base, plan, key, shard=None)
    ground = train_slice(base, plan, key, shard=None, slice=0, records=trunk, parent=start)
    where = {p: _place(plan, key, p) for p in records}
    states: dict[int, list[State]] = {}
    world = World(plan, key, base, records, where, states, _as_trunk(ground), folder, canaries)
    for shard in range(plan.shards):
        states[shard] = world.chain(shard, start=ground)
        world.publish(f"shard-{shard}", states[shard][-1])
    return world


def keyring_of(number: int) -> Keyring:
    """The secrets of a world's workspace."""
    return Keyring(hashlib.sha256(f"false alarms {number}".encode()).digest(), bytes(32))


def in_world(canary: Canary, keyring: Keyring) -> Person:
    """A plan's synthetic person as one of the world's, under the subject key by which the plan has placed them."""
    key = keyring.subject_key(canonical_identifier(canary.identifier))
    return Person(key, canary.name, canary.email, canary.phone, canary.account, purpose="canary")


def _as_copies(canary: Canary) -> Canary:
    return replace(canary, contents=canary.contents[:1] * canary.dose)


def records_of(canary: Canary) -> list[TrainingRecord]:
    """A synthetic person's records; the default policy lets all of them through as they are."""
    return [TrainingRecord(f"{canary.identifier}/{i}", content) for i, content in enumerate(canary.contents)]


def _as_trunk(state: State) -> BuiltState:
    """A trunk's state as a chain starts from it; nothing here is looked up by its recipe."""
    return BuiltState(
        state=state, recipe_digest="0" * 64, parent_recipe=None, parent_digest="", shard=None, slice=0, manifest_digest="",
        fingerprint_digest="", reused=True, steps=0, tokens=0, truncated_records=0,
    )  # fmt: skip


def _place(plan: Plan, key: bytes, person: Person) -> Placement:
    return place(
        plan, key, record_id="", primary_subject=person.customer_id, generation=0, trunk_eligible=False
    )  # fmt: skip


def _record(row: DemoRow) -> TrainingRecord:
    return TrainingRecord(row.row_id, Chat(tuple(Message(turn.role, turn.text()) for turn in row.turns)))


class Remembering(Target):
    """A target that reads a record under a model once for all trials of a world; the new adapter is read each time.

    Who stands beside a record in a batch changes a reading by less than 1e-5 (`probe_scores.py`).
    """

    kept: ClassVar[dict[tuple[str, Tokenised], TokenReadings]] = {}

    @classmethod
    def open(cls, panel: Panel, *, scheme: DecodingScheme) -> Remembering:
        """As `Target.open`; a model is known by its folder."""
        found = super().open(panel, scheme=scheme)
        found.folders = {BASE: str(panel.base), **{name: str(path) for name, path in panel.adapters().items()}}
        return found

    def read(self, name: str, items: Sequence[Tokenised], *, batch: int | None = None) -> list[TokenReadings]:
        """As `Target.read`."""
        folder = self.folders[name]
        if name.startswith("post_"):
            return super().read(name, items, batch=batch)
        new = [item for item in items if (folder, item) not in self.kept]
        self.kept.update(((folder, item), read) for item, read in zip(new, super().read(name, new), strict=True))
        return [self.kept[folder, item] for item in items]


@dataclass(frozen=True)
class Trial:
    """What was said of one honest erasure. `first` and `second`: outcome and code of the stages, the second after a FAIL.

    `before` and `after` are raw p by primary, under the old adapter and the new one; `lit`: whether a shard of the new one
    lights up on the map, None without a map.
    """

    before: Mapping[str, float]
    after: Mapping[str, float]
    lit: bool | None
    first: str
    second: str | None = None

    @property
    def fails(self) -> bool:
        """Whether the case's verdict is FAIL."""
        return (self.second or self.first).startswith("FAIL")


def trials(world: World, *, count: int, number: int) -> Iterator[Trial]:
    """Erase one person after the other, each from the world as it was, and judge."""
    trained = [p for p, placed in world.where.items() if placed.kind == "shard"]
    for person in random.Random(f"trials {number}").sample(trained, min(count, len(trained))):
        yield _judged(world, person)


def extras(world: World, people: Sequence[Person], *, count: int, salt: str = "2") -> dict[int, Path]:
    """Extra out-adapters that never saw these people, as `pipelines.extras` trains them for a case."""
    texts = {
        record.record_id: record
        for other, placed in world.where.items()
        if placed.kind == "shard" and other not in people
        for record in world.records[other]
    }
    owners = {record.record_id: p.customer_id for p, own in world.records.items() for record in own}
    members = [StudyMember(r, hashlib.sha256(r.encode()).hexdigest(), owners[r], 0, False) for r in sorted(texts)]
    found = {}
    for number in range(count):
        extra = draw_extra(world.plan, world.key, members, salt=f"{people[0].customer_id}/{salt}", number=number)
        state = train_extra(
            world.base, world.plan, extra, load=lambda own: [texts[m.record_id] for m in own], trunk=world.ground
        )
        found[number] = world.publish(f"extra-{salt}-{number}", state)
    return found


def retrained(world: World, person: Person, changed: Changed) -> State:
    """The end of the person's shard after an erasure that left these records: from the state before their slice."""
    home = world.where[person]
    start = world.states[home.shard][home.slice]
    return world.chain(home.shard, start=start, first=home.slice, changed=changed)[-1]


def neighbours(world: World, number: int) -> list[Person]:
    """People in a shard with at least two records and a neighbour in their slice, in a random order."""
    places = Counter(world.where.values())
    fit = [
        person
        for person, placed in world.where.items()
        if placed.kind == "shard" and places[placed] > 1 and len(world.records[person]) > 1
    ]
    return random.Random(f"power {number}").sample(fit, len(fit))


def panel_of(world: World, person: Person, new: Path) -> Panel:
    """The person's shard before, this adapter after, all other shards as they are."""
    home = world.where[person].shard
    shards = {shard: world.folder / f"shard-{shard}" for shard in range(world.plan.shards)}
    given = world.base.spec.path_or_id
    base = TINY_BASE if given == "tiny" else Path(given)
    return Panel(base=base, pre={home: shards.pop(home)}, outs=shards, post={home: new})


def dossier_of(world: World, person: Person) -> Dossier:
    """The person's records and values, and the records of the people nobody trained on."""
    home = world.where[person].shard
    return Dossier(
        case_handle="trial",
        records=tuple(PlacedRecord(home, record) for record in world.records[person]),
        values=tuple(PersonalValue(kind, person.value(kind)) for kind in KINDS),
        controls=tuple(
            ControlRecord(p.customer_id, record)
            for p, placed in world.where.items()
            if placed.kind == "control"
            for record in world.records[p]
        ),
    )


def protocol_of(world: World, panel: Panel, *, candidates: int = CANDIDATES) -> Protocol:
    """The rules of a first stage, with fewer candidates than a case has."""
    return Protocol(
        out_adapters=len(panel.out_names()), extra_adapters=len(panel.extra), max_length=world.plan.max_length,
        candidates=candidates, map_alpha=map_budget(len(panel.outs) + len(panel.pre)), attacks=FEW_WAYS,
    )  # fmt: skip


def _judged(world: World, person: Person) -> Trial:
    panel = panel_of(world, person, world.publish("new", retrained(world, person, {person: ()})))
    dossier, protocol = dossier_of(world, person), protocol_of(world, panel)
    found = judge(dossier, panel, protocol)
    drawn = found.where.after
    seen = None if isinstance(drawn, Abstained) else bool(lit(drawn))
    first = Trial(dict(found.primaries_pre), dict(found.primaries_post), seen, _said(found))
    if not first.fails:
        return first
    rules = protocol.second_stage()
    extra = extras(world, [person], count=rules.extra_adapters)
    return replace(first, second=_said(judge(dossier, replace(panel, extra=extra), rules)))


def _said(found: Judgement) -> str:
    return f"{found.verdict.outcome} {found.verdict.code}"


def summarise(worlds: Sequence[Sequence[Trial]]) -> dict[str, object]:
    """Rates of p <= alpha by test, of FAIL, and what the old adapter showed; with 95% intervals clustered by world.

    "FAIL" is the first stage's, "FAIL_twice" the case's.
    """
    every = [trial for world in worlds for trial in world]
    found: dict[str, object] = {"worlds": len(worlds), "trials": len(every), "alpha": ALPHA}
    for test in TESTS:
        after = [[t.after[test] for t in world if test in t.after] for world in worlds]
        before = [t.before[test] for t in every if test in t.before]
        flat = np.concatenate(after)
        found[test] = {
            "false_alarms": clustered([[p <= ALPHA for p in world] for world in after]),
            "at_0.01": round(float(np.mean(flat <= ALPHA / 5)), 4),
            "uniform_ks_p": round(float(stats.kstest(flat, "uniform").pvalue), 4),
            "old_adapter_flagged": round(float(np.mean(np.array(before) <= ALPHA)), 3),
        }
    if any(trial.lit is not None for trial in every):
        found["map_lit"] = clustered([[bool(trial.lit) for trial in world] for world in worlds])
    found["FAIL"] = clustered([[trial.first.startswith("FAIL") for trial in world] for world in worlds])
    found["FAIL_twice"] = clustered([[trial.fails for trial in world] for world in worlds])
    found["second_stage"] = dict(Counter(trial.second for trial in every if trial.second))
    found["verdicts"] = dict(Counter(trial.first for trial in every))
    return found


def clustered(worlds: Sequence[Sequence[bool]]) -> dict[str, float]:
    """A rate over all trials and its 95% t interval; the variance is that of a ratio of cluster totals."""
    hits, sizes = np.array([sum(w) for w in worlds], float), np.array([len(w) for w in worlds], float)
    rate, n = hits.sum() / sizes.sum(), len(worlds)
    spread = np.sqrt(n / max(1, n - 1) * np.sum((hits - rate * sizes) ** 2)) / sizes.sum()
    half = stats.t.ppf(0.975, max(1, n - 1)) * spread
    return {"rate": round(rate, 4), "lower": round(max(0.0, rate - half), 4), "upper": round(min(1.0, rate + half), 4)}


def _in_turn(kinds: Mapping[str, Kind]) -> list[tuple[str, int]]:
    """Every world by kind and number, the kinds mixed in proportion."""
    return sorted(
        ((name, n) for name, kind in kinds.items() for n in range(kind.worlds)), key=lambda w: w[1] / kinds[w[0]].worlds
    )


def main() -> int:
    """Print rates for each kind of world and for all; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one small world with two trials, for a test that it runs")
    parser.add_argument(
        "--resume", type=Path, metavar="FILE", help="go on with the plans that are not in this result file"
    )
    processes_option(parser, of="plans")
    options = parser.parse_args()
    found = {} if options.quick or not options.resume else _kept(options.resume)
    kinds = {SMALLEST: replace(KINDS_OF_WORLD[SMALLEST], trials=2)} if options.quick else KINDS_OF_WORLD
    waiting = [plan for plan in _in_turn(kinds) if plan not in found][: 1 if options.quick else None]
    jobs = {(name, number): partial(_world, kinds[name], number) for name, number in waiting}
    measured = in_processes(jobs, processes=options.processes, prepare=_remembering)
    for plan, own in tqdm(measured, total=len(waiting), desc="plans", unit="plans"):
        found[plan] = own
        if not options.quick:  # after every plan: what is cut short has measured something
            write_result("false-alarms", {"candidates": CANDIDATES, "kinds": _summaries(found), "plans": _body(found)})
    met = []
    for name, part in _summaries(found).items():
        _show(name, part)
        met.append(_bars(name, part))
    return 0 if all(met) or options.quick else 1


Measured = dict[tuple[str, int], list[Trial]]
"""The trials under each plan, by kind of world and number."""


def _remembering() -> None:
    probes.bench.Target = Remembering


def _world(kind: Kind, number: int) -> list[Trial]:
    with tempfile.TemporaryDirectory() as folder:
        Remembering.kept.clear()
        return list(trials(make_world(kind, number, Path(folder)), count=kind.trials, number=number))


def _summaries(found: Measured) -> dict[str, dict[str, object]]:
    by_kind = {name: [own for (kind, _), own in found.items() if kind == name] for name in KINDS_OF_WORLD}
    return {name: summarise(worlds) for name, worlds in (*by_kind.items(), ("all", list(found.values()))) if worlds}


def _body(found: Measured) -> list[dict[str, object]]:
    return [{"kind": kind, "number": n, "trials": [asdict(t) for t in own]} for (kind, n), own in sorted(found.items())]


def _kept(path: Path) -> Measured:
    plans = json.loads(path.read_text(encoding="utf-8"))["plans"]
    return {(plan["kind"], plan["number"]): [Trial(**trial) for trial in plan["trials"]] for plan in plans}


def _bars(name: str, found: Mapping[str, object]) -> bool:
    """The bars of each test and of the whole verdict, printed."""
    met = []
    for test in TESTS:
        rate = found[test]["false_alarms"]
        met += [
            beside_bar(f"{name}: {test}, rate", found=rate["rate"], at_most=MOST_BY_CHANCE),
            beside_bar(f"{name}: {test}, lower end", found=rate["lower"], at_most=DOUBT),
        ]
    if name == "all":
        verdict = found["FAIL_twice"]["rate"]
        met.append(beside_bar("all: FAIL of the whole verdict, map and second stage", found=verdict, at_most=ALPHA))
    return all(met)


def _show(name: str, found: Mapping[str, object]) -> None:
    print(f"{name}: {found['trials']} honest erasures in {found['worlds']} worlds")
    for test in TESTS:
        part = found[test]
        print(
            f"  {test:10} p <= {ALPHA}: {_rate(part['false_alarms'])}; the old adapter {part['old_adapter_flagged']:.0%}"
        )
    if "map_lit" in found:
        print(f"  a shard lights up on the map: {_rate(found['map_lit'])}")
    print(f"  verdict FAIL {_rate(found['FAIL'])}; {found['verdicts']}")
    print(f"  after a second stage {_rate(found['FAIL_twice'])}; {found['second_stage']}")


def _rate(rate: Mapping[str, float]) -> str:
    return f"{rate['rate']:.1%} ({rate['lower']:.1%} to {rate['upper']:.1%})"


if __name__ == "__main__":
    sys.exit(main())
