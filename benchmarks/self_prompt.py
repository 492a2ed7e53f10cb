"""Does a reference trained on what the adapter writes help: `python benchmarks/self_prompt.py [--quick]`.

Half of a corpus trains an adapter with Lethe's own trainer, the other half is the controls of
`lethe probe-files --self-prompt`. Two kinds of corpora, several lengths of training:

* *Passages*: documentation strings of Python's standard library as plain texts, of very different difficulty, which is
  what the paper calibrates for (it attacks articles). What is measured depends a little on the version of Python.
* *Chats* of a demo corpus, dealt by customer. All are of a few templates, so about equally hard, and there is little to
  calibrate for: what is found is printed without a bar. Records that name a second customer are left out: they would
  carry a control into the training, or a member among the controls.

The bar is the direction of SPV-MIA (Fu et al. 2023, arXiv 2311.06062): the AUC of the log-probability calibrated by the
self-prompted reference lies above that of the log-probability itself. Gain over the base, a calibration that needs no
training, is printed beside both, and so is what the reference itself, which never saw a member, tells of them.
"""

from __future__ import annotations

import argparse
import ast
import random
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from measuring import beside_bar, tiny, write_result
from tqdm import tqdm

from lineage.records import Chat, Message, PlainText, TrainingRecord
from pipelines.demo_corpus import make_corpus
from pipelines.self_prompt import self_prompted, texts_for
from probes.group_attack import Attacked, Brought, attack_groups
from probes.groups import Separation
from probes.self_prompts import set_aside
from probes.stats import Abstained, Interval
from probes.suspect import Suspect
from unlearn.adapters import adapter_files, write_adapter
from unlearn.plan import CorpusShape, Plan, TrainSettings, propose_plan
from unlearn.tiny_base import TINY_BASE
from unlearn.train import initial_state, train_slice

CORPORA = (1, 2)
PASSAGES, SHORTEST, LONGEST = 200, 200, 600  # of each half; characters of one
LR_PEAK = 6e-3  # as the demo
KEY = bytes(range(32))
MAX_LENGTH = 512
SCORES = {"loss": "uncalibrated", "self_prompt": "self-prompted", "gain_mean": "over the base", "recited": "recited"}


Halves = tuple[list[Brought], list[Brought]]
"""Members and controls."""


def passages(seed: int) -> Halves:
    """Two samples of the passages, each passage a person of its own."""
    found = sorted(_documentation())
    random.Random(seed).shuffle(found)
    every = [Brought(PlainText(text), f"{i}") for i, text in enumerate(found)]
    return every[:PASSAGES], every[PASSAGES : 2 * PASSAGES]


def _documentation() -> set[str]:
    """What the top modules of the standard library say of themselves, their classes and functions, on one line each."""
    found = set()
    for path in Path(sysconfig.get_path("stdlib")).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                found.add(" ".join((ast.get_docstring(node) or "").split()))
    return {text for text in found if SHORTEST <= len(text) <= LONGEST}


def chats(seed: int) -> Halves:
    """The records of every second customer of a corpus, and those of the others."""
    corpus = make_corpus(seed)
    number = {person.customer_id: i for i, person in enumerate(corpus.people)}
    found: Halves = ([], [])
    for row in corpus.rows:
        if len(row.subjects) == 1 and {mention.customer_id for mention in row.mentions()} <= set(row.subjects):
            chat = Chat(tuple(Message(turn.role, turn.text()) for turn in row.turns))
            found[number[row.subjects[0]] % 2].append(Brought(chat, row.subjects[0]))
    return found


@dataclass(frozen=True)
class Kind:
    """Corpora of one kind, how long their members train, and whether the direction is a bar there."""

    corpus: Callable[[int], Halves]
    epochs: tuple[int, ...]
    barred: bool


KINDS = {"passages": Kind(passages, (4, 8, 12), barred=True), "chats": Kind(chats, (2, 4, 8), barred=False)}


def trained(members: Sequence[Brought], folder: Path, *, epochs: int) -> Path:
    """An adapter of one shard and one slice on the members."""
    plan = _plan(len(members), epochs=epochs)
    base = tiny(plan)
    records = [TrainingRecord(f"{i:06d}", member.content) for i, member in enumerate(members)]
    parent = initial_state(base, plan, KEY, shard=0)
    state = train_slice(base, plan, KEY, shard=0, slice=0, records=records, parent=parent)
    write_adapter(folder, adapter_files(state.weights, plan, base_name="tiny"))
    return folder


def _plan(records: int, *, epochs: int) -> Plan:
    settings = TrainSettings(
        shards=1, slices=1, controls=0.0, trunk="off", batch=16, epochs=epochs, lr_peak=LR_PEAK, max_length=MAX_LENGTH
    )
    return propose_plan(settings, CorpusShape(records, 300 * records, records // 4, 0), nonce="")


def attacked(halves: Halves, epochs: int, folder: Path, *, most: int | None) -> Attacked:
    """One world, attacked as `lethe probe-files --self-prompt` does; at most so many records of each half, and texts."""
    members, controls = (half[:most] for half in halves)
    suspect = Suspect(TINY_BASE, trained(members, folder, epochs=epochs), renamed=True)
    prompts, scored = set_aside(controls)
    texts = most or texts_for(len(members))
    with self_prompted(suspect, prompts, texts=texts, max_length=MAX_LENGTH, rate=LR_PEAK) as compared:
        return attack_groups(compared, members=members, controls=scored, max_length=MAX_LENGTH, advance=lambda _: None)


def worlds(*, quick: bool) -> Iterator[dict[str, Any]]:
    """The figures of every world."""
    wanted = [(name, seed, epochs) for name, kind in KINDS.items() for epochs in kind.epochs for seed in CORPORA]
    with tempfile.TemporaryDirectory() as root:
        for name, seed, epochs in tqdm(wanted[:1] if quick else wanted, unit="worlds", disable=None):
            folder = Path(root) / f"{name}-{seed}-{epochs}"
            found = attacked(KINDS[name].corpus(seed), epochs, folder, most=32 if quick else None)
            yield {"kind": name, "corpus": seed, "epochs": epochs, **_figures(found)}


def _figures(found: Attacked) -> dict[str, Any]:
    done = found.calibrated
    if done is None:
        raise RuntimeError("no control prompted the adapter")
    by_name = {row.name: row.separation for row in found.rows}
    return {
        "members": found.members.records, "controls": found.controls.records, "texts": done.texts,
        "adapter gain on controls": round(done.adapter_gain, 4), "reference gain on controls": round(done.reference_gain, 4),
        "auc": {name: _auc(by_name[name]) for name in SCORES},
    }  # fmt: skip


def _auc(found: Separation | Abstained) -> dict[str, float]:
    match found:
        case Separation(auc=auc, interval=Interval() as interval):
            kept = {"point": auc, "lower": interval.lower, "upper": interval.upper}
        case Separation(auc=auc):
            kept = {"point": auc}
        case Abstained(reason=reason):
            raise RuntimeError(reason)
    return {name: round(value, 4) for name, value in kept.items()}


def _direction(found: Sequence[dict[str, Any]], name: str, epochs: int) -> bool:
    """The mean AUC over the corpora, calibrated beside uncalibrated; false if a bar is missed."""
    own = [world["auc"] for world in found if (world["kind"], world["epochs"]) == (name, epochs)]
    calibrated, plain = (float(np.mean([auc[score]["point"] for auc in own])) for score in ("self_prompt", "loss"))
    what = f"{name}, {epochs} epochs: self-prompted AUC"
    if KINDS[name].barred:
        return beside_bar(what, found=calibrated, at_least=plain)
    print(f"no bar: {what} {calibrated:.3g}, uncalibrated {plain:.3g} (ratio {calibrated / plain:.2f})")
    return True


def main() -> int:
    """Print the AUCs of every world and the bars; a full run is kept as a dated file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one world of few records: a test that it runs")
    quick = parser.parse_args().quick
    found = []
    print(
        f"  {'corpus':>11}{'epochs':>8}"
        + "".join(f"{name:>26}" for name in SCORES.values())
        + "   gain of adapter, reference"
    )
    for world in worlds(quick=quick):
        found.append(world)
        _show(world)
    met = [_direction(found, *which) for which in dict.fromkeys((w["kind"], w["epochs"]) for w in found)]
    if not quick:
        write_result("self-prompt", {"lr_peak": LR_PEAK, "worlds": found})
    return 0 if all(met) or quick else 1


def _show(world: dict[str, Any]) -> None:
    cells = "".join(f"{_said(world['auc'][name]):>26}" for name in SCORES)
    gains = f"{world['adapter gain on controls']:.3f}, {world['reference gain on controls']:.3f}"
    corpus = f"{world['kind']} {world['corpus']}"
    print(f"  {corpus:>11}{world['epochs']:>8}{cells}   {gains}", flush=True)


def _said(auc: dict[str, float]) -> str:
    return f"{auc['point']:.3f}" + (f" ({auc['lower']:.3f} to {auc['upper']:.3f})" if "lower" in auc else "")


if __name__ == "__main__":
    sys.exit(main())
