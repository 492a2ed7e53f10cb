"""Looking something up loads neither a model nor an orchestrator (benchmarks/startup.py measures the seconds)."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from small_world import ADAPTER, PLANTED

HEAVY = ("torch", "transformers", "peft", "dagster", "presidio_analyzer", "spacy", "datasets", "matplotlib", "scipy")
SCRIPT = """
import sys
from pipelines.cli import main
try:
    main()
except SystemExit as end:
    code = end.code
heavy = [name for name in {heavy!r} if name in sys.modules]
print("HEAVY", code, heavy, file=sys.stderr)
"""
LOOKUPS = [
    ("lineage", "release", ADAPTER, "--json"),
    ("lineage", "adapter", ADAPTER, "--json"),
    ("lineage", "subject", "--from-file", "-", "--json"),
    ("erase", "list", "--json"),
    ("ledger", "verify"),
    ("--help",),
]


@pytest.mark.parametrize("command", LOOKUPS, ids=lambda command: "-".join(command[:2]))
def test_a_lookup_imports_nothing_heavy(trained, command):
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(heavy=HEAVY), *command], input=PLANTED.customer_id, text=True,
        capture_output=True, check=False, env={**os.environ, "LETHE_WORKSPACE": str(trained.folder)},
    )  # fmt: skip
    assert result.stderr.strip() == "HEAVY 0 []"
    assert result.stdout
