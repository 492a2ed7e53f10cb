"""The scanner against stock Presidio: `python benchmarks/scan.py [--quick]`.

The same recognisers (the default policy), two engines that share no object but Presidio's compiled patterns, one process.
The two take turns of 50 records, the order alternates, each repetition has records that neither side has seen, and both have scanned
2,000 records before: a scanner starts once and scans many. Times are processor time of one thread. The ratio is that of the
sums; every record's findings are compared (type, span, score, recogniser, order).
Then the gate around it: what it adds, records a second on one and two processes, memory over 100,000 records (`gate_load`).
Bars: 3.5 times on records of 1,000 characters (goal 5), 50 times on one of a million characters, no difference.
The 12,500 records of the comparison with odd texts are a test: tests/lineage/test_fastscan.py.
"""

from __future__ import annotations

import argparse
import gc
import random
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import gate_load
from measuring import write_result

sys.path.insert(0, str(Path(__file__).parents[1]))

from lineage.fastscan import FastAnalyzer
from lineage.policy import load_policy
from lineage.presidio import LOGGERS, stock_engine
from lineage.quiet import silence
from tests.support.scan_texts import clean, mixed, ordinary

BAR, GOAL, LONG_BAR = 3.5, 5.0, 50.0
TURN = 50
Finds = Callable[[str], list[tuple[object, ...]]]


@dataclass
class Sides:
    """Stock and ours, and what was compared so far."""

    stock: Finds
    ours: Finds
    records: int = 0
    findings: int = 0
    differences: int = 0
    turn: int = field(default=0, repr=False)

    def seconds(self, texts: Iterable[str]) -> tuple[float, float]:
        """Processor time of each side over the texts."""
        spent = {self.stock: 0.0, self.ours: 0.0}
        texts = list(texts)
        for first in range(0, len(texts), TURN):
            found = {}
            sides = (self.stock, self.ours) if self.turn % 2 else (self.ours, self.stock)
            self.turn += 1
            for side in sides:
                start = time.thread_time()
                found[side] = [_outcome(side, text) for text in texts[first : first + TURN]]
                spent[side] += time.thread_time() - start
            self.records += len(found[self.stock])
            self.findings += sum(map(len, found[self.stock]))
            self.differences += sum(a != b for a, b in zip(found[self.stock], found[self.ours], strict=True))
        return spent[self.stock], spent[self.ours]


def _outcome(side: Finds, text: str) -> list[tuple[object, ...]]:
    try:
        return side(text)
    except (ValueError, UnicodeError):
        return [("failed",)]


def both_sides() -> Sides:
    """Two engines of the default policy; the second is the one that the fast path runs."""
    silence(*LOGGERS)
    policy = load_policy("default")
    engine = stock_engine(policy)
    analyzer = FastAnalyzer(stock_engine(policy), policy.language, policy.min_score)

    def stock(text: str) -> list[tuple[object, ...]]:
        results = engine.analyze(text, policy.language, score_threshold=policy.min_score)
        return [(r.entity_type, r.start, r.end, r.score, r.recognition_metadata["recognizer_name"]) for r in results]

    return Sides(stock, lambda text: [tuple(finding[:5]) for finding in analyzer.findings(text)])


def main() -> int:
    """Print a line per kind of record; 1 if a bar is missed or a finding differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the records, nothing longer than 50,000 characters"
    )
    quick = parser.parse_args().quick
    sides, seed = both_sides(), int(time.time())
    print(f"seed {seed}")
    count = 100 if quick else 1_000
    sides.seconds(ordinary(random.Random(f"{seed} warm {i}")) for i in range(2_000))
    gc.collect()
    gc.freeze()  # what was loaded is not looked at again by either side's garbage collections
    kinds = {
        "1,000 characters": [ordinary(random.Random(f"{seed} {i}")) for i in range(3 * count)],
        "1,000 characters, no findings": [clean(random.Random(f"{seed} clean {i}")) for i in range(count)],
        "odd texts": [mixed(random.Random(f"{seed} mixed {i}")) for i in range(count)],
        "50,000 characters": [ordinary(random.Random(f"{seed} long"), 50_000)],
    }
    if not quick:
        kinds["200,000 characters"] = [ordinary(random.Random(f"{seed} longer"), 200_000)]
        kinds["1,000,000 characters"] = [ordinary(random.Random(f"{seed} longest"), 1_000_000)]
    ratios = {}
    for kind, texts in kinds.items():
        stock, ours = sides.seconds(texts)
        ratios[kind] = stock / ours
        print(
            f"{kind:32} stock {stock / len(texts) * 1e3:10.2f} ms   ours {ours / len(texts) * 1e3:8.2f} ms   {stock / ours:6.1f} x"
        )
    print(f"{sides.records} records compared, {sides.findings} findings, {sides.differences} differences")
    met = (
        ratios["1,000 characters"] >= BAR
        and not sides.differences
        and ratios.get("1,000,000 characters", LONG_BAR) >= LONG_BAR
    )
    print(
        f"bar: {BAR} x (goal {GOAL} x), {LONG_BAR:.0f} x on 1,000,000 characters, 0 differences; {'met' if met else 'NOT met'}"
    )
    figures = {
        "seed": seed,
        "ratios": ratios,
        "records": sides.records,
        "findings": sides.findings,
        "differences": sides.differences,
    }
    gc.unfreeze()
    load = gate_load.measure(quick=quick)
    if not quick:
        write_result("scan", figures | {"load": load})
    return 0 if (met and all(load["bars"].values())) or (quick and not sides.differences) else 1


if __name__ == "__main__":
    sys.exit(main())
