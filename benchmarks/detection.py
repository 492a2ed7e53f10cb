"""What the gate finds and what it misses, on a labelled set: `python benchmarks/detection.py [--quick] [--records N]`.

Support transcripts are generated with every identifier marked as it is written, in the formats of several countries,
among order numbers, dates, part numbers, prices, tracking numbers and product names. For each tier: recall and precision
by type with 95% intervals, false findings on records without identifiers, and at the level of verdicts how many records
were admitted with another person's identifier in them. docs/benchmarks.md says how to read it.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from measuring import write_result
from tqdm import tqdm

if __name__ == "__main__":
    from detection.scoring import Tier, score
    from detection.transcripts import Customer, customers, forms_of, write_set
    from detection.values import LABELS, REGIONS

from lineage.admit import Gate
from lineage.policy import Policy, load_policy
from lineage.register import RegisterForm, RegisterIndex
from lineage.scan import Scanner
from lineage.suppression import SuppressionList
from lineage.tiers import GazetteerRule, NerRule

SEED, PEOPLE, REGISTERED = 20261124, 600, 0.9


def tiers(people: Sequence[Customer], model: str | None) -> list[Tier]:
    """A line for each tier: name, policy, and what the register holds. `model` is a spaCy package or folder."""
    default = load_policy("default")
    listed = default.model_copy(update={"gazetteer": GazetteerRule(enabled=True)})
    everywhere = default.model_copy(update={"phone": default.phone.model_copy(update={"regions": REGIONS})})
    known = forms_of(people)
    named = default.model_copy(update={"ner": NerRule(engine="spacy", models={"en": model})}) if model else default
    return [
        _tier("patterns", default, ()),
        _tier("patterns + register", default, known),
        _tier("patterns + register, phone regions of all eight countries", everywhere, known),
        _tier("patterns + register + name lists", listed, known),
        *([_tier("patterns + register + spaCy", named, known)] if model else []),
    ]


def _tier(name: str, policy: Policy, known: Sequence[RegisterForm]) -> Tier:
    nobody = SuppressionList(hmac=lambda _kind, form: form)
    return Tier(name, Gate(Scanner(policy), RegisterIndex(known), nobody, policy, load_policy("strict")))


def main() -> int:
    """Print a table for each tier; a full run is kept as a dated file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--records", type=int, default=6000, help="half with identifiers, half clean (default 6000)")
    parser.add_argument("--quick", action="store_true", help="60 records, for a test that it runs")
    parser.add_argument("--ner", metavar="MODEL", help="a spaCy model, by package name or folder, as a further tier")
    given = parser.parse_args()
    half = (60 if given.quick else given.records) // 2
    rng = random.Random(SEED)
    people = customers(rng, PEOPLE, registered=REGISTERED)
    records = list(write_set(rng, people, named=half, clean=half))
    found = []
    for tier in tiers(people, given.ner):
        begun = time.perf_counter()
        found.append(score(tier, tqdm(records, desc=tier.name, unit="records", disable=None)))
        found[-1]["seconds"] = round(time.perf_counter() - begun, 1)
        _show(found[-1])
    if not given.quick:
        write_result("detection", {"records": 2 * half, "seed": SEED, "registered": REGISTERED, "tiers": found})
    return 0


def _show(found: Mapping[str, Any]) -> None:
    print(f"\n{found['tier']}: {found['seconds']} s")
    print("  type                spans  recall (95%)            exact  precision (95%)")
    for label in LABELS:
        recall = found["recall"][label]
        print(f"  {label:16} {recall['overlap']['total']:8}  {_ends(recall['overlap']):22}  {_share(recall['exact']):>5}  "
              f"{_ends(found['precision'].get(label, {}))}")  # fmt: skip
    print(
        f"  all              {found['recall of all']['overlap']['total']:8}  {_ends(found['recall of all']['overlap'])}"
    )
    clean = found["clean records"]
    print(f"  clean: {clean['false findings per 1,000']} false findings per 1,000 records {clean['by type']}; "
          f"stopped {_ends(clean['stopped'])}, changed {_ends(clean['changed'])}")  # fmt: skip
    others = found["records that name another person"]
    ends = ", ".join(f"{name} {_ends(others[name])}" for name in ("leaked", "redacted", "quarantined", "blocked"))
    print(f"  {others['records']} records that name another person: {ends}")


def _share(part: Mapping[str, Any]) -> str:
    return f"{part['share']:.3f}" if part.get("total") else "-"


def _ends(part: Mapping[str, Any]) -> str:
    return f"{part['share']:.3f} ({part['lower']:.3f}-{part['upper']:.3f})" if part.get("total") else "-"


if __name__ == "__main__":
    sys.exit(main())
