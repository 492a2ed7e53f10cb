"""What a plan's synthetic people show, and what they cost an honest case: `python benchmarks/canaries.py [--quick]`.

Worlds of eight shards on a corpus that is just large enough for canaries: the default plan trained with the default
settings, as the demo, and lightly (one epoch); and one that learns by heart. In each shard stand five synthetic people
with 1, 2, 4, 8 and 16 records; every shard is read as the new adapter of a case whose null models are the other seven,
which is what an honest erasure leaves. No gate stands between: the default policy lets these texts through as they are.

* *Dose curve*: how often a canary is detected, by dose, in the judge's own test.
* *Twins*: how often one who was never learnt looks so, and how often the twins of a file (one shard's set) void it. Many
  sets are read in each world, of which a case has one. Sets of one world share its models: intervals are clustered by world.
* *Scores*: Spearman's correlation of dose and every score of the report, 0 being the twins' dose, "membership" the judge's
  own. A dose's score is the mean over its people, each under their own shard, and over the worlds; the median for EZ,
  which is infinite by heart. No training shows every curve: ES does not move before a record's end is known by heart,
  and then others are at their ceiling; nor does it rise with the number of *different* records of a person, being about
  the end of one; and a later slice overwrites the ends that an earlier one taught. So the worlds that learn by heart plant
  copies of one record and have one slice, and a score is held against the bar in the kind of world that shows it best.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from false_alarms import (
    KINDS_OF_WORLD,
    Kind,
    World,
    clustered,
    dossier_of,
    keyring_of,
    make_world,
    panel_of,
    protocol_of,
    records_of,
)
from measuring import beside_bar, in_processes, processes_option, write_result
from scipy import stats
from tqdm import tqdm

from pipelines.canary_people import Canary, canary_twins
from probes.bench import Bench, Readings, read_everything
from probes.canaries import DETECTED_P, REQUIRED_DOSE, CanaryReading, lit_twins, missed, read_canaries
from probes.companions import subject_scores
from probes.dossier import CanaryRecord, Dossier, Panel, PlacedRecord
from probes.stats import Abstained
from probes.tokens import tokenise
from unlearn.plan import TrainSettings

DOSES = (1, 2, 4, 8, 16)
DEFAULT = Kind(
    TrainSettings(), people=430, doses=(1, 2, 3, 4, 5, 6, 10, 12), trunk_records=320, worlds=4, trials=0,
    canary_doses=DOSES,
)  # fmt: skip
DEMO, SMALL = KINDS_OF_WORLD.values()
KINDS = {
    "default settings": DEFAULT,
    "as the demo, 8 epochs at 6e-3": replace(DEFAULT, settings=DEMO.settings, worlds=2),
    "copies of one record, 1 slice, 12 epochs at 1e-3": replace(
        DEFAULT, settings=TrainSettings(slices=1, epochs=12, lr_peak=1e-3), worlds=3, copies=True
    ),
    "light, 1 epoch": replace(DEFAULT, settings=TrainSettings(epochs=1), worlds=2),
}
TWIN_SETS = 10
ENOUGH, MOST_BY_CHANCE, ALIKE = 0.9, 0.05, 0.9
LEVELS = (0.05, 0.01, 0.001)

File = tuple[CanaryReading, ...]
"""What a judge reads of one new shard: its own canaries and one set of twins."""
Curve = dict[int, list[float]]
"""The scores of a dose's people."""


@dataclass(frozen=True)
class Seen:
    """What one world gave: the canaries of every shard, its files, and every score by dose."""

    files: Sequence[File]
    scores: Mapping[str, Curve] = field(repr=False)

    def planted(self) -> list[CanaryReading]:
        """Every canary once: a shard's own are the same in all its files."""
        return list({r.handle: r for one in self.files for r in one if r.dose}.values())

    def twins(self) -> list[CanaryReading]:
        """Every twin in every shard."""
        return [r for one in self.files for r in one if not r.dose]


# --- reading -----------------------------------------------------------------------------------------------------------


def look_at(world: World, number: int, *, twin_sets: int) -> Seen:
    """Read every canary and twin under every shard once; what is a null model and what is new is decided afterwards."""
    keyring = keyring_of(number)
    sets = [canary_twins(replace(world.plan, nonce=f"{i:064x}"), keyring) for i in range(twin_sets)]
    twins = [replace(t, identifier=f"{i}/{t.identifier}") for i, own in enumerate(sets) for t in own]
    dossier, panel = everybody(world, (*world.canaries, *twins))
    bench = read_everything(dossier, panel, protocol_of(world, panel), progress=lambda *_: None)
    scores: dict[str, Curve] = defaultdict(lambda: defaultdict(list))
    files: list[File] = []
    for shard in range(world.plan.shards):
        own = seen_from(bench, shard)
        readings = read_canaries(own)
        files += _files(readings)
        for reading in readings:
            scores["membership"][reading.dose].append(reading.effect_sd)
        for canary in (*(c for c in world.canaries if c.shard == shard), *twins[: len(DOSES)]):
            for name, score in scores_of(own, canary).items():
                scores[name][dose_of(canary)].append(score)
    return Seen(files, {name: dict(curve) for name, curve in scores.items()})


def dose_of(canary: Canary) -> int:
    """How many records are learnt from; a twin's are not."""
    return 0 if canary.shard is None else canary.dose


def everybody(world: World, canaries: Sequence[Canary]) -> tuple[Dossier, Panel]:
    """All canaries and the control people, and every shard, none of them old or new yet."""
    person = next(p for p, placed in world.where.items() if placed.kind == "shard")
    shards = {shard: world.folder / f"shard-{shard}" for shard in range(world.plan.shards)}
    records = tuple(
        CanaryRecord(c.identifier, c.shard, dose_of(c), record) for c in canaries for record in records_of(c)
    )
    dossier = replace(dossier_of(world, person), records=(), values=(), canaries=records)
    return dossier, replace(panel_of(world, person, shards[0]), pre={}, post={}, outs=shards)


def seen_from(bench: Bench, shard: int) -> Bench:
    """The same readings in a case of this shard: it is the new adapter, the others are the null models."""
    shards = dict(bench.panel.outs)
    panel = replace(bench.panel, post={shard: shards.pop(shard)}, outs=shards)
    return replace(
        bench, panel=panel, readings={**bench.readings, f"post_{shard}": bench.readings[f"out_{shard}"]}
    )  # fmt: skip


def _files(readings: Sequence[CanaryReading]) -> Iterator[File]:
    """One for each set of twins, each with the shard's own canaries."""
    own = [r for r in readings if r.dose]
    sets: dict[str, list[CanaryReading]] = defaultdict(list)
    for reading in readings:
        if not reading.dose:
            sets[reading.handle.partition("/")[0]].append(reading)
    return ((*own, *twins) for twins in sets.values())


def scores_of(bench: Bench, canary: Canary) -> dict[str, float]:
    """Every score of the report for a synthetic person, as if they were the subject of the case. Top rank: inf."""
    (shard,) = bench.panel.post
    mine = [i for i, r in enumerate(bench.dossier.canaries) if r.handle == canary.identifier]
    placed = tuple(PlacedRecord(shard, bench.dossier.canaries[i].record) for i in mine)
    tokenizer, longest = bench.target.tokenizer, bench.protocol.max_length
    items = tuple(tokenise(tokenizer, one.record.content, longest) for one in placed)
    readings = {name: Readings([r.canary[i] for i in mine], r.control, []) for name, r in bench.readings.items()}
    alone = replace(bench, dossier=replace(bench.dossier, records=placed), subject=items, readings=readings)
    found = subject_scores(alone, "post")
    return {name: np.inf if isinstance(score, Abstained) else score for name, score in found.items()}


# --- what it comes to --------------------------------------------------------------------------------------------------


def summarise(worlds: Sequence[Seen]) -> dict[str, object]:
    """The dose curve, the twins, what honest files are called, and the scores; rates with 95% intervals by world."""
    planted, twins = [w.planted() for w in worlds], [w.twins() for w in worlds]
    doses = sorted({r.dose for own in planted for r in own})
    return {
        "worlds": len(worlds), "canaries": sum(map(len, planted)), "twins": sum(map(len, twins)),
        "files": sum(len(w.files) for w in worlds),
        "detected": {dose: _rate(planted, lambda r, d=dose: r.dose == d, _detected) for dose in doses},
        "effect_sd": {dose: _quartiles([r.effect_sd for own in planted for r in own if r.dose == dose]) for dose in doses},
        "required_detected": _rate(planted, lambda r: r.dose >= REQUIRED_DOSE, _detected),
        "twins_at": {level: _rate(twins, None, lambda r, at=level: r.p <= at) for level in LEVELS},
        "files_twins_void": clustered([[bool(lit_twins(f)) for f in w.files] for w in worlds]),
        "files_with_a_missed_canary": clustered([[bool(missed(f)) for f in w.files] for w in worlds]),
        "spearman": _spearman(worlds),
    }  # fmt: skip


def _detected(reading: CanaryReading) -> bool:
    return reading.p <= DETECTED_P


def _rate(
    worlds: Sequence[Sequence[CanaryReading]], among: Callable[[CanaryReading], bool] | None,
    hit: Callable[[CanaryReading], bool],
) -> dict[str, float]:  # fmt: skip
    return clustered([[hit(r) for r in own if among is None or among(r)] for own in worlds])


def _quartiles(effects: Sequence[float]) -> list[float]:
    return [round(float(q), 2) for q in np.percentile(effects, [25, 50, 75])]


def _spearman(worlds: Sequence[Seen]) -> dict[str, float]:
    """By score: of dose and its people's mean (EZ: median), over all worlds together. 0 if the score never moves."""
    found = {}
    for name in worlds[0].scores:
        doses = sorted(worlds[0].scores[name])
        middle = np.median if name == "error_zone" else np.mean
        curve = [float(middle([s for w in worlds for s in w.scores[name][dose]])) for dose in doses]
        moved = len(set(curve)) > 1
        found[name] = round(float(stats.spearmanr(doses, curve).statistic), 3) if moved else 0.0
    return found


# --- the run -----------------------------------------------------------------------------------------------------------


def main() -> int:
    """Print each kind's figures, and the bars; 1 if one is missed. A full run is kept as a dated file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one small world of three shards, for a test that it runs")
    processes_option(parser, of="worlds")
    options = parser.parse_args()
    quick = options.quick
    kinds = {"small": replace(SMALL, worlds=1, canary_doses=(1, 8))} if quick else KINDS
    jobs = {
        (name, number): partial(_world, kind, number, twin_sets=2 if quick else TWIN_SETS)
        for name, kind in kinds.items()
        for number in range(kind.worlds)
    }
    done = in_processes(jobs, processes=options.processes)
    seen = dict(tqdm(done, total=len(jobs), desc="worlds", unit="worlds"))
    found = {}
    for name, kind in kinds.items():
        found[name] = summarise([seen[name, number] for number in range(kind.worlds)])
        _show(name, found[name])
    if not quick:
        write_result("canaries", {"required_dose": REQUIRED_DOSE, "twin_sets": TWIN_SETS, "kinds": found})
    return 0 if _bars(found) or quick else 1


def _world(kind: Kind, number: int, *, twin_sets: int) -> Seen:
    with tempfile.TemporaryDirectory() as folder:
        return look_at(make_world(kind, number, Path(folder)), number, twin_sets=twin_sets)


def _bars(found: Mapping[str, Mapping[str, object]]) -> bool:
    first = next(iter(found))
    what = f"{first}: dose >= {REQUIRED_DOSE} detected"
    met = [beside_bar(what, found=found[first]["required_detected"]["rate"], at_least=ENOUGH)]
    for name, part in found.items():
        what = f"{name}: files that the twins void"
        met.append(beside_bar(what, found=part["files_twins_void"]["rate"], at_most=MOST_BY_CHANCE))
    for score in found[first]["spearman"]:
        best = max(part["spearman"][score] for part in found.values())
        met.append(beside_bar(f"Spearman of dose and {score}, at best", found=best, at_least=ALIKE))
    return all(met)


def _show(name: str, found: Mapping[str, object]) -> None:
    print(f"{name}: {found['canaries']} canaries, {found['twins']} twins in {found['worlds']} worlds")
    for dose, rate in found["detected"].items():
        print(f"  dose {dose:2}: detected {_words(rate)}; effect in sd, quartiles {found['effect_sd'][dose]}")
    for level, rate in found["twins_at"].items():
        print(f"  twins at p <= {level}: {_words(rate)}")
    print(f"  files that the twins void: {_words(found['files_twins_void'])}")
    print(f"  files with a missed canary: {_words(found['files_with_a_missed_canary'])}")
    print(f"  Spearman of dose and score: {found['spearman']}")


def _words(rate: Mapping[str, float]) -> str:
    return f"{rate['rate']:.1%} ({rate['lower']:.1%} to {rate['upper']:.1%})"


if __name__ == "__main__":
    sys.exit(main())
