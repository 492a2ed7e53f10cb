"""A ledger of 100,000 events: `python benchmarks/ledger.py [--quick]`.

The events are those of cases: kinds, digests and counts as the product writes them, appended through `ledger.append` in
transactions of 500 to the database of a fresh workspace, on disk and with its settings. Then the whole chain is verified as
`lethe ledger verify` does, reading every row. Seconds are wall time with the processor time in brackets.
Bars, in processor time because a shared machine says little by the clock: append in 10 s, verify in 1 s.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from measuring import beside_bar, write_result

from lineage import ledger
from lineage.chain import Intact
from lineage.database import Database
from lineage.workspace import create_workspace, open_workspace

EVENTS, QUICK_EVENTS, BATCH = 100_000, 2_000, 500
BAR_APPEND_S, BAR_VERIFY_S = 10.0, 1.0
KINDS = ("case.received", "case.preview_ready", "case.approved", "release.switched", "case.contained", "case.purged")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def append(database: Database, events: int) -> None:
    """Event after event, each a minute after the one before, ten to a case."""
    for first in range(0, events, BATCH):
        with database.transaction() as session:
            for number in range(first, min(first + BATCH, events)):
                digest = hashlib.sha256(str(number).encode()).hexdigest()
                ledger.append(
                    session, at=BEGIN + timedelta(minutes=number), kind=KINDS[number % len(KINDS)],
                    case_id=f"case-{number // 10:08x}", payload={"by": "dana", "evidence": digest, "adapters": number % 4},
                )  # fmt: skip


def verify(database: Database, events: int) -> None:
    """The whole chain, as the command reads it."""
    with database.reader() as session:
        found = ledger.verify(session)
    if not isinstance(found, Intact) or found.length != events:
        raise RuntimeError(f"the chain does not hold: {found}")


def timed(what: Callable[[], None]) -> tuple[float, float]:
    """Wall and processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    what()
    return time.perf_counter() - wall, time.process_time() - processor


def main() -> int:
    """Append, verify, tell, keep."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--quick", action="store_true", help="2,000 events; nothing is kept")
    quick = parser.parse_args().quick
    events = QUICK_EVENTS if quick else EVENTS
    with tempfile.TemporaryDirectory() as folder:
        create_workspace(Path(folder), controller="Test GmbH")
        database = open_workspace(Path(folder)).database
        appended, verified = (timed(lambda verb=verb: verb(database, events)) for verb in (append, verify))
    print(
        f"{events} events: appended in {appended[0]:.2f} s ({appended[1]:.2f}), verified in {verified[0]:.2f} s ({verified[1]:.2f})"
    )
    met = [
        beside_bar("processor seconds to append", found=appended[1], at_most=BAR_APPEND_S),
        beside_bar("processor seconds to verify", found=verified[1], at_most=BAR_VERIFY_S),
    ]
    if not quick:
        names = ("wall_s", "processor_s")
        write_result("ledger", {
            "events": events, "append": dict(zip(names, appended, strict=True)), "verify": dict(zip(names, verified, strict=True)),
        })  # fmt: skip
    return 0 if all(met) or quick else 1


if __name__ == "__main__":
    sys.exit(main())
