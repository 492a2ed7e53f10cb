"""A process that walks the road of a case and kills itself with signal 9 at a boundary: `python road_process.py FOLDER AT`.

The boundaries are those of `crashes`; at 0 it walks to the end. Nothing is caught, rolled back, given back or flushed.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2])]  # the rooms; their tests lie in folders of the same names

import crashes  # noqa: E402 - as above
from whole_road import standing_still, walk  # noqa: E402 - as above


class _Fatal(crashes.Schedule):
    """The end of the process, where others raise."""

    def boundary(self) -> None:
        self.passed += 1
        if self.passed == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Walk, and be killed on the way."""
    crashes.Schedule = _Fatal  # type: ignore[misc]
    with standing_still(), crashes.crashing(int(sys.argv[2])):
        walk(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
