"""What shards and slices cost in usefulness and save in erasures: `python benchmarks/utility.py [--quick]`.

A generated corpus of synthetic people (and rows about nobody, for the trunk) is learnt under many plans at equal
tokens; a shard's batch is batch / shards. The held-out people are the same for every plan. Each plan is one line of
`benchmarks/results/DATE-utility.json`, written when it is measured, so a crash loses one line. Seconds are of processor
time (`time.process_time`), so other work on the machine does not count; the whole grid takes about half an hour of it.

The learning rate is tuned for one shard and for eight on the same grid. Bar, at the best rate of either: a composed
loss at most 4% above that of one shard, while one erasure is at least 8 times cheaper than a full retrain.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from measuring import RESULTS

from lineage.records import Chat, Message, TrainingRecord, canonical_bytes
from pipelines.demo_rows import CONSTANTS, DemoRow, Mention, Person
from pipelines.demo_writer import Writer, draw_people
from pipelines.measuring import Measured, adapters_of, measure, open_models
from probes.dossier import PersonalValue
from probes.extraction import extract, occurrences
from probes.readings import TokenReadings
from probes.tokens import Tokenised, tokenise
from unlearn.adapters import write_adapter
from unlearn.base import Base, base_spec, load_base
from unlearn.plan import CorpusShape, Plan, TrainSettings, plan_key, propose_plan
from unlearn.states import BuiltState
from unlearn.study import Spent, StudyMember, Trained, Unkept, arrange, full_retrain, one_erasure, train_plan
from unlearn.tiny_base import TINY_BASE

SECRET = hashlib.sha256(b"the utility study").digest()
START = replace(TrainSettings(), controls=0.0, slices=1)  # who is held out is decided once, for all plans
WORSE, CHEAPER = 0.04, 8
INVENTED = 400
TRUNK_EPOCHS = 4
TURNS = 2  # question and first answer, in which the account and the phone stand
RATES = (5e-4, 1e-3, 2e-3)


@dataclass(frozen=True)
class World:
    """The corpus of a study: who is learnt, who is held out, and the people with ten or more records."""

    records: Mapping[str, TrainingRecord] = field(repr=False)
    members: tuple[StudyMember, ...] = field(repr=False)
    held_out: tuple[TrainingRecord, ...] = field(repr=False)
    frequent: tuple[Person, ...] = field(repr=False)
    characters: int

    @property
    def shape(self) -> CorpusShape:
        """What a plan may know of the learnt part."""
        people = {m.subject for m in self.members if m.subject}
        nobody = sum(m.subject is None for m in self.members)
        return CorpusShape(len(self.members), self.characters, len(people), nobody)

    def load(self, members: Sequence[StudyMember]) -> list[TrainingRecord]:
        """The contents of a slice."""
        return [self.records[m.record_id] for m in members]


def make_world(*, frequent: int, others: int, nobody: int, fiction: int, seed: int = 11) -> World:
    """People with 10 to 14 records, people with 1 to 6, and a trunk of `nobody + fiction` rows without a person.

    Every fifth person is held out. Fiction is a conversation of somebody invented, declared to be about nobody: it has
    a name and an account, a masked telephone number and no e-mail, so that the strict policy finds nobody in it.
    """
    rng = random.Random(seed)
    people = draw_people(rng, count=frequent + others + INVENTED)
    people, invented = people[:-INVENTED], people[-INVENTED:]
    writer = Writer(rng)
    doses = [10 + i % 5 for i in range(frequent)] + [1 + i % 6 for i in range(others)]
    rows = [
        row for person, dose in zip(people, doses, strict=True) for row in writer.records(person, (), (), dose=dose)
    ]
    rows += [writer.row_about_nobody() for _ in range(nobody)]
    rows += [_fiction(writer, person) for person in rng.choices(invented, k=fiction)]
    out = {person.customer_id for person in people[::5]}
    learnt = [row for row in rows if not out.intersection(row.subjects)]
    records = {row.row_id: _record(row) for row in rows}
    return World(
        records=records,
        members=tuple(_member(row, records[row.row_id]) for row in learnt),
        held_out=tuple(records[row.row_id] for row in rows if out.intersection(row.subjects)),
        frequent=tuple(person for person in people[:frequent] if person.customer_id not in out),
        characters=sum(len(turn.text()) for row in learnt for turn in row.turns[:TURNS]),
    )


def _fiction(writer: Writer, invented: Person) -> DemoRow:
    row = writer.conversation(invented)
    turns = tuple(replace(turn, parts=tuple(_masked(part) for part in turn.parts)) for turn in row.turns)
    return replace(row, turns=turns, subjects=(), source="fiction")


def _masked(part: str | Mention) -> str | Mention:
    """A telephone number without its last three digits, the gate's constant for an e-mail; all else as it is."""
    match part:
        case Mention(kind="phone"):
            return f"{part.value[:-3]}XXX"
        case Mention(kind="email"):
            return CONSTANTS["email"]
        case _:
            return part


def _record(row: DemoRow) -> TrainingRecord:
    turns = tuple(Message(turn.role, turn.text()) for turn in row.turns[:TURNS])
    return TrainingRecord(row.row_id, Chat(turns))


def _member(row: DemoRow, record: TrainingRecord) -> StudyMember:
    digest = hashlib.sha256(canonical_bytes(record.content)).hexdigest()
    subject = row.subjects[0] if row.subjects else None
    return StudyMember(row.row_id, digest, subject, 0, subject is None)


@dataclass(frozen=True)
class Case:
    """One line of the study. `own_trunk` False: the trunk of the plan with eight shards is taken, whatever the shards."""

    label: str
    settings: TrainSettings
    nonce: str = "00"
    own_trunk: bool = True


class Study:
    """Trains case after case and writes each down at once."""

    def __init__(self, world: World, target: Path) -> None:
        self.world, self.target = world, target
        self.lines: list[dict[str, object]] = []
        self._base: Base | None = None
        self._borrowed: BuiltState | None = None
        self._trunk_spent: Mapping[tuple[int | None, int], Spent] = {}

    def run(self, case: Case) -> dict[str, object]:
        """Train, measure, write; returns the line."""
        started, settings = time.perf_counter(), case.settings
        plan = propose_plan(settings, self.world.shape, nonce=case.nonce)
        trained = self._train(plan, trunk=None if case.own_trunk else self._trunk())
        line = {
            "label": case.label, "nonce": case.nonce, "own_trunk": case.own_trunk, **_numbers(plan), **self._measure(trained),
            **_costs(trained), "wall_s": round(time.perf_counter() - started, 1),
        }  # fmt: skip
        self.lines.append(line)
        self._write()
        print(_shown(line), flush=True)
        return line

    def _train(self, plan: Plan, *, trunk: BuiltState | None) -> Trained:
        self._base = self._base or load_base(base_spec(plan, "tiny"))
        key = plan_key(SECRET, plan)
        members = arrange(plan, key, self.world.members)
        trained = train_plan(self._base, plan, key, members=members, load=self.world.load, store=Unkept(), trunk=trunk)
        return replace(trained, spent={**self._trunk_spent, **trained.spent}) if trunk else trained

    def _trunk(self) -> BuiltState | None:
        """The trunk of eight shards, trained once."""
        if self._borrowed is None:
            plan = propose_plan(replace(START, shards=8, trunk_epochs=TRUNK_EPOCHS), self.world.shape, nonce="00")
            key = plan_key(SECRET, plan)
            members = {w: found for w, found in arrange(plan, key, self.world.members).items() if w[0] is None}
            trained = train_plan(
                self._base or load_base(base_spec(plan, "tiny")), plan, key, members=members, load=self.world.load,
                store=Unkept(),
            )  # fmt: skip
            self._borrowed, self._trunk_spent = trained.trunk, trained.spent
        return self._borrowed

    def _measure(self, trained: Trained) -> dict[str, object]:
        with tempfile.TemporaryDirectory() as folder:
            files = adapters_of(trained, base_name="tiny")
            for name, content in files.items():
                write_adapter(Path(folder) / name, content)
            models = open_models({name: Path(folder) / name for name in files}, base=str(TINY_BASE))
            learnt = [m for m in self.world.members if m.subject in trained.subjects][::8]
            homes = {m.record_id: trained.subjects[m.subject][0] for m in learnt if m.subject}
            found: Measured = measure(
                models, trained, held_out=self.world.held_out, learnt=self.world.load(learnt), homes=homes
            )
            return {**asdict(found), **self._by_kind(models, trained), "extraction": self._extraction(models, trained)}

    def _by_kind(self, models, trained: Trained) -> dict[str, float]:
        """Held-out loss on tokens with a digit, which nobody can know, and on all others: composed, and trunk."""
        items = [tokenise(models.tokenizer, record.content, trained.plan.max_length) for record in self.world.held_out]
        found = _kinds(items, models.read("composed_post", items))
        if trained.trunk:
            found |= {f"trunk_{name}": nll for name, nll in _kinds(items, models.read("pre_0", items)).items()}
        return found

    def _extraction(self, models, trained: Trained) -> dict[str, object]:
        """Share of prompts from which the own shard gives account or phone word for word, by the person's slice."""
        by_slice: dict[int, list[int]] = {}
        composed = [0, 0]
        for person in self.world.frequent[::2]:
            shard, slice_index = trained.subjects[person.customer_id]
            own = self.world.load([m for m in self.world.members if m.subject == person.customer_id])
            items = [tokenise(models.tokenizer, record.content, trained.plan.max_length) for record in own]
            shard_hits, whole_hits, prompts = _hits(models, items, person, shard=f"out_{shard}")
            tally = by_slice.setdefault(slice_index, [0, 0])
            tally[0], tally[1] = tally[0] + shard_hits, tally[1] + prompts
            composed = [composed[0] + whole_hits, composed[1] + prompts]
        return {
            "people": len(self.world.frequent[::2]),
            "own_shard_by_slice": {str(k): round(h / max(1, n), 4) for k, (h, n) in sorted(by_slice.items())},
            "own_shard": round(sum(h for h, _ in by_slice.values()) / max(1, sum(n for _, n in by_slice.values())), 4),
            "composed": round(composed[0] / max(1, composed[1]), 4),
        }

    def _write(self) -> None:
        self.target.parent.mkdir(exist_ok=True)
        body = {
            "what": "utility study on the embedded base, synthetic people", "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "torch": torch.__version__, "threads": 1,
            "corpus": {
                "learnt_records": len(self.world.members), "held_out_records": len(self.world.held_out),
                **asdict(self.world.shape),
            },
            "lines": self.lines,
        }  # fmt: skip
        temporary = self.target.with_suffix(".part")
        temporary.write_text(json.dumps(body, indent=1) + "\n")
        temporary.rename(self.target)


def _kinds(items: Sequence[Tokenised], readings: Sequence[TokenReadings]) -> dict[str, float]:
    digits, others = [], []
    for item, reading in zip(items, readings, strict=True):
        for position, log_p in zip(reading.positions, reading.log_p, strict=True):
            start, end = item.offsets[position]
            (digits if any(c.isdigit() for c in item.text[start:end]) else others).append(-float(log_p))
    return {
        "digit_nll": round(sum(digits) / len(digits), 4), "text_nll": round(sum(others) / len(others), 4),
        "digit_share": round(len(digits) / (len(digits) + len(others)), 3),
    }  # fmt: skip


def _hits(models, items, person: Person, *, shard: str) -> tuple[int, int, int]:
    readings = {name: models.read(name, items) for name in (shard, "composed_post")}
    hits, prompts = dict.fromkeys(readings, 0), 0
    for kind in ("account", "phone"):
        places = occurrences(items, PersonalValue(kind, person.value(kind)))
        prompts += len(places)
        for name, read in readings.items():
            hits[name] += extract(places, read).hits
    return hits[shard], hits["composed_post"], prompts


def _numbers(plan: Plan) -> dict[str, object]:
    names = (
        "shards", "slices", "epochs", "steps_per_epoch", "trunk", "trunk_epochs", "trunk_steps_per_epoch", "expected_batch",
        "expected_tokens", "lr_peak", "lora_r", "lora_alpha", "lora_dropout", "optimizer",
    )  # fmt: skip
    return {name: getattr(plan, name) for name in names}


def _costs(trained: Trained) -> dict[str, object]:
    full, one = full_retrain(trained), one_erasure(trained)
    without_trunk = sum((s for (shard, _), s in trained.spent.items() if shard is not None), start=type(full)())
    ratios = {}
    for name, base in (("full", full), ("shards_only", without_trunk)):
        ratios[name] = {f: round(getattr(base, f) / getattr(one, f), 2) for f in ("steps", "tokens", "cpu_s")}
    for shards in (2, 4):
        if shards <= trained.plan.shards:
            many = one_erasure(trained, shards=shards)
            ratios[f"closure_of_{shards}_shards"] = {f: round(getattr(full, f) / getattr(many, f), 2) for f in ("steps", "tokens", "cpu_s")}  # fmt: skip
    ratios["with_rederivation"] = {f: round(getattr(full, f) / getattr(one, f) / 2, 2) for f in ("steps", "tokens", "cpu_s")}  # fmt: skip
    return {
        "full": {k: round(v, 2) for k, v in asdict(full).items()},
        "one_erasure": {k: round(v, 2) for k, v in asdict(one).items()},
        "ratios": ratios,
    }


def _shown(line: Mapping[str, object]) -> str:
    extraction = line["extraction"]
    return (
        f"{line['label']:34} S={line['shards']:<2} R={line['slices']} trunk={int(line['trunk'])} {line['optimizer']:5} lr={line['lr_peak']:g} "
        f"composed {line['composed_nll']:.4f} shard {line['shard_nll']:.4f} trunk {line['trunk_nll']} base {line['base_nll']:.3f} "
        f"dig {line['digit_nll']:.3f} txt {line['text_nll']:.3f} trunk {line.get('trunk_digit_nll')}/{line.get('trunk_text_nll')} auc {line['shard_auc']:.2f}/{line['composed_auc']:.2f} extr {extraction['own_shard_by_slice']} ratio {line['ratios']['full']} "
        f"cpu {line['full']['cpu_s']:.0f} wall {line['wall_s']:.0f}"
    )


def best_of(lines: Sequence[Mapping[str, object]]) -> float:
    """The learning rate of the line with the lowest held-out loss."""
    return float(min(lines, key=lambda line: line["composed_nll"])["lr_peak"])


def cases(study: Study, *, quick: bool) -> None:
    """Rates for one and for eight shards, then more shards, then slices, then shards without a trunk."""
    if quick:
        for shards in (1, 2):
            study.run(Case("quick", replace(START, shards=shards, epochs=1, trunk_epochs=1)))
        return

    def tuned(shards: int) -> float:
        runs = [replace(START, shards=shards, lr_peak=rate) for rate in RATES]
        return best_of([study.run(Case("rates", settings, own_trunk=False)) for settings in runs])

    one, many = tuned(1), tuned(8)
    for shards in (2, 4, 16):
        study.run(Case("shards", replace(START, shards=shards, lr_peak=many), own_trunk=False))
    for shards, slices in ((8, 2), (8, 4), (4, 2), (4, 4), (1, 2), (1, 4)):
        for optimizer in ("carry", "reset"):
            rate = one if shards == 1 else many
            settings = replace(START, shards=shards, slices=slices, optimizer=optimizer, lr_peak=rate)
            study.run(Case("slices", settings, own_trunk=False))
    for shards in (1, 2, 4, 8, 16):  # from the bare base the gentle rates leave every shape half learnt
        study.run(Case("no trunk", replace(START, shards=shards, lr_peak=RATES[-1], trunk="off")))


def main() -> int:
    """Run the grid; 1 if the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="two small trainings, nothing kept; for a test that it runs"
    )
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    size = (6, 14, 12, 12) if quick else (30, 297, 200, 1600)
    world = make_world(**dict(zip(("frequent", "others", "nobody", "fiction"), size, strict=True)))
    with tempfile.TemporaryDirectory() as folder:
        target = (Path(folder) if quick else RESULTS) / f"{datetime.now(UTC):%Y-%m-%d}-utility.json"
        study = Study(world, target)
        cases(study, quick=quick)
    unsharded = min(line["composed_nll"] for line in study.lines if line["shards"] == 1)
    cheap = [line for line in study.lines if line["ratios"]["full"]["steps"] >= CHEAPER and line["trunk"]]
    worse = min((line["composed_nll"] / unsharded - 1 for line in cheap), default=float("inf"))
    met = worse <= WORSE
    print(
        f"bar {WORSE:.0%} above one shard at {CHEAPER} times cheaper; found {worse:.1%}: {'met' if met else 'NOT met'}"
    )
    return 0 if met or quick else 1


if __name__ == "__main__":
    sys.exit(main())
