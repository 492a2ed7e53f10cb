"""How long plain commands take from nothing to their answer: `python benchmarks/startup.py [WORKSPACE]`.

Each command runs five times in a fresh process; the best and the median are printed, in seconds. The bar for
`lethe lineage ... --json` is 1.5 s. Without a workspace a small empty one is made.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 5
BAR_S = 1.5
COMMANDS = (
    ("--help",),
    ("lineage", "release", "support", "--json"),
    ("erase", "list", "--json"),
    ("ledger", "verify", "--json"),
    ("register", "list", "--json"),
)


def seconds_of(command: tuple[str, ...], workspace: Path) -> list[float]:
    """Wall times of a command, each in a fresh process."""
    lethe = Path(sys.executable).with_name("lethe")
    environment = {**os.environ, "LETHE_WORKSPACE": str(workspace)}
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run(
            [lethe, *command], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )
        times.append(time.perf_counter() - start)
    return times


def main() -> int:
    """Print a line per command; 1 if a median is over the bar."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder)
        if len(sys.argv) == 1:
            lethe = Path(sys.executable).with_name("lethe")
            subprocess.run([lethe, "init", str(workspace)], check=True, stdout=subprocess.DEVNULL)
        slowest = 0.0
        for command in COMMANDS:
            times = seconds_of(command, workspace)
            median = statistics.median(times)
            slowest = max(slowest, median)
            print(f"lethe {' '.join(command):32} best {min(times):5.2f} s   median {median:5.2f} s")
    print(f"bar: {BAR_S} s; {'met' if slowest < BAR_S else 'NOT met'}")
    return 0 if slowest < BAR_S else 1


if __name__ == "__main__":
    sys.exit(main())
