"""Lethe beside other unlearning methods: `python benchmarks/peers.py [--quick] [--tune]`.

Same base, trunk, people, records, LoRA rank for a retrain, Lethe, SISA, S3T, trace-preserving replay, GradAscent,
GradDiff, NPO and SimNPO; one table. Under 20 minutes on two idle cores. docs/peers.md says how to read it.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from peers.run import main

    sys.exit(main(sys.argv[1:]))
