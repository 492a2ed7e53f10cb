"""Exact chances against samples, what they cost, and whether exposure is uniform for people a model never saw.

Tiny adapters are trained on invented people. People in none of them are the null: their values are random, so the rank
of a true value among its candidates has to be uniform, whatever the adapters learnt.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from measuring import beside_bar, plan_for, tiny, write_result
from peft import PeftModel
from scipy import stats
from tqdm import tqdm
from transformers import AutoModelForCausalLM

from lineage.records import Chat, Message, TrainingRecord
from probes.decoding import DecodingScheme
from probes.dossier import Panel, PersonalValue
from probes.exposure import calibrated, rank, score_trials, trial
from probes.extraction import Occurrence, occurrences
from probes.formats import candidates, format_of, iban_check_digits
from probes.target import Target
from probes.tokens import Tokenised, tokenise
from unlearn.adapters import adapter_files, write_adapter
from unlearn.determinism import pin_environment
from unlearn.plan import plan_key
from unlearn.tiny_base import TINY_BASE
from unlearn.train import initial_state, train_slice

SCHEMES = (
    DecodingScheme(),
    DecodingScheme(0.8, 40),
    DecodingScheme(0.7, 0, 0.95),
)
SAMPLES, ADAPTERS, PEOPLE, CANDIDATES, UNSEEN = 10_000, 3, 20, 99, 40
RARE = 1e-4
Found = TypeVar("Found")


@dataclass(frozen=True)
class Person:
    """An invented person and their values."""

    name: str = field(repr=False)
    values: tuple[PersonalValue, ...] = field(repr=False)

    def record(self, value: PersonalValue) -> TrainingRecord:
        """A chat in which the assistant reads the value from the screen."""
        turns = (
            Message("user", f"Hello, this is {self.name}. What do you have?"),
            Message("assistant", f"Hello {self.name}. I have {value.kind} {value.value} on my screen."),
        )
        return TrainingRecord("record", Chat(turns))


def person(rng: random.Random) -> Person:
    """Values drawn evenly over their formats: that is the null."""
    name = f"{rng.choice('ABCDEFGHK')}{rng.choice(('da', 'ea', 'il', 'on'))} {rng.choice(('Arden', 'Birch', 'Crane'))}"
    body = f"37040044{rng.randrange(10**10):010d}"
    day = time.gmtime(rng.randrange(365) * 86_400)
    values = (
        ("phone", f"+44 20 {rng.randrange(10**8):08d}"),
        ("account", f"AC-{rng.randrange(10**8):08d}"),
        ("iban", f"DE{iban_check_digits('DE00' + body)}{body}"),
        ("birthdate", f"{day.tm_mday:02d}.{day.tm_mon:02d}.{rng.choice((1961, 1979, 1985, 1999))}"),
        ("email", f"{name.split()[1].lower()}{rng.randrange(100, 1000)}@example.org"),
    )
    return Person(name, tuple(PersonalValue(kind, value) for kind, value in values))


def adapters(folder: Path, *, count: int, people: int) -> dict[int, Path]:
    """Adapters on different invented people, each trained on several records per person."""
    found = {}
    for number in range(count):
        rng = random.Random(f"adapter {number}")
        records = [
            TrainingRecord(f"{i:06d}", one.record(value).content)
            for i, (one, value) in enumerate((p, v) for p in (person(rng) for _ in range(people)) for v in p.values)
        ]
        plan = plan_for(len(records), shards=1, slices=1, epochs=6, batch=16, lr_peak=6e-3, trunk_lr_peak=0.0)
        key = plan_key(bytes(32), plan)
        pin_environment(plan)
        base = tiny(plan)
        start = initial_state(base, plan, key, shard=None)
        state = train_slice(base, plan, key, shard=0, slice=0, records=records, parent=start)
        found[number] = folder / f"adapter-{number}"
        write_adapter(found[number], adapter_files(state.weights, plan, base_name="tiny"))
    return found


def placed(target: Target, one: Person, value: PersonalValue) -> tuple[Tokenised, Occurrence]:
    """The person's record with the place of the value."""
    item = tokenise(target.tokenizer, one.record(value).content, 512)
    return item, occurrences([item], value)[0]


def sampled(target: Target, model: str, sampler: PeftModel, *, samples: int, steps: int) -> Iterator[dict[str, object]]:
    """Exact chance of the first 1 to `steps` random tokens of a value, against samples of the same length.

    What all values share before them is part of the prompt: its chance is near 1 and would test nothing.
    """
    rng = random.Random("sampled")
    for scheme in SCHEMES:
        one = person(rng)
        item, place = placed(target, one, one.values[0])
        shared = next(i for i, slot in enumerate(format_of(one.values[0]).slots) if len(slot) > 1)
        start = item.overlapping(place.start + shared, place.end_exclusive)[0]
        for length in range(1, steps + 1):
            end = start + length
            mask = tuple(start <= i < end for i in range(end))
            short = Tokenised(item.ids[:end], mask, item.offsets[:end], item.text)
            rows, one_pass = _timed(partial(target.spell, model, [short], [scheme]), times=9)
            exact = float(np.exp(rows[0][1].sum()))
            hits, drawing = _timed(partial(_hits, sampler, short, start, scheme, samples))
            low, high = stats.binomtest(hits, samples).proportion_ci(0.99)
            yield {
                "scheme": scheme.name, "tokens": length, "exact": exact, "hits": hits, "interval_99": [low, high],
                "inside": bool(low <= exact <= high), "pass_s": one_pass, "sample_s": drawing / samples,
                "cheaper": drawing / samples / RARE / one_pass,
            }  # fmt: skip


def _timed(work: Callable[[], Found], *, times: int = 1) -> tuple[Found, float]:
    """What it gives, and the median of its processor seconds; one short measurement is at the mercy of the machine."""
    spent = []
    for _ in range(times):
        began = time.process_time()
        found = work()
        spent.append(time.process_time() - began)
    return found, statistics.median(spent)


def _sampler(adapter: Path) -> PeftModel:
    """The adapter as any PEFT user would open it."""
    return PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(TINY_BASE), adapter).eval()


def _hits(sampler: PeftModel, short: Tokenised, start: int, scheme: DecodingScheme, samples: int) -> int:
    """How many samples of the scheme begin with the marked tokens."""
    wanted, prompt = torch.tensor(short.ids[start:]), torch.tensor([short.ids[:start]])
    hits = 0
    for _ in range(0, samples, 1000):
        drawn = sampler.generate(
            input_ids=prompt, attention_mask=torch.ones_like(prompt), do_sample=True, max_new_tokens=len(wanted),
            num_return_sequences=min(1000, samples), temperature=scheme.temperature, top_k=scheme.top_k,
            top_p=scheme.top_p, pad_token_id=0, eos_token_id=None,
        )  # fmt: skip
        hits += int((drawn[:, start:] == wanted).all(dim=1).sum())
    return hits


def null_ps(target: Target, names: Sequence[str], *, unseen: int, count: int) -> dict[str, list[float]]:
    """Randomised exposure p-values by kind, of people in no adapter: the first one is the suspect."""
    rng, found = random.Random("unseen"), {}
    for _ in tqdm(range(unseen), desc="exposure", unit="people"):
        one = person(rng)
        for value in one.values:
            item, place = placed(target, one, value)
            others = candidates(format_of(value), value.value, count=count, seed=rng.randrange(2**31))
            trials = [trial(target, item, place, others)]
            scores = {name: score_trials(target, name, trials) for name in names}
            exposed = rank(calibrated(scores, names[:1], names[1:]))
            found.setdefault(value.kind, []).append(exposed.p - rng.random() / (exposed.candidates + 1))
    return found


def main() -> int:
    """Print the figures beside their bars; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few people and samples, for a test that it runs")
    quick = parser.parse_args().quick
    warnings.filterwarnings("ignore")
    torch.manual_seed(11)
    with tempfile.TemporaryDirectory() as folder:
        outs = adapters(Path(folder), count=3 if quick else ADAPTERS, people=4 if quick else PEOPLE)
        target = Target.open(Panel(TINY_BASE, {}, {}, outs), scheme=SCHEMES[0])
        names = [f"out_{number}" for number in outs]
        rows = list(
            sampled(target, names[0], _sampler(outs[0]), samples=1000 if quick else SAMPLES, steps=2 if quick else 4)
        )
        by_kind = null_ps(target, names, unseen=2 if quick else UNSEEN, count=19 if quick else CANDIDATES)
    every = np.concatenate(list(by_kind.values()))
    uniform = float(stats.kstest(every, "uniform").pvalue)
    cheaper = [row["cheaper"] for row in rows]  # 1/RARE samples show a value of that chance once, on average
    inside = sum(row["inside"] for row in rows)
    kinds = {kind: round(float(stats.kstest(ps, "uniform").pvalue), 3) for kind, ps in by_kind.items()}
    met = (
        beside_bar("exact p_z inside the 99% interval of samples, of all", found=inside / len(rows), at_least=1 - 1 / len(rows)),
        beside_bar(f"times cheaper than sampling at p_z = {RARE}, the least", found=min(cheaper), at_least=1000),
        beside_bar(f"KS p of the exposure of {len(every)} values never seen", found=uniform, at_least=0.05),
    )  # fmt: skip
    print(
        f"  {inside} of {len(rows)} inside; {min(cheaper):,.0f} to {max(cheaper):,.0f} times cheaper; KS p by kind {kinds}"
    )
    if not quick:
        figures = {"samples": SAMPLES, "rows": rows, "ks_p": uniform, "values": len(every), "ks_p_by_kind": kinds}
        write_result("probe-extraction", figures)
    return 0 if all(met) or quick else 1


if __name__ == "__main__":
    sys.exit(main())
