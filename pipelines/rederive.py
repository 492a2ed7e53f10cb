"""The second process: rebuild the affected suffixes of some shards from the vault and print the digests it got.

It reads no state of the suffix it rebuilds: its store never finds anything, so every slice is trained afresh from the
last clean state. `python -m pipelines.rederive WORKSPACE ADAPTER`, with {shard: first slice} as JSON on standard input.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lineage.workspace import open_workspace
from pipelines.chains import current_chain, trunk_standing
from pipelines.states import Atelier, open_atelier
from pipelines.training import train_chain

if TYPE_CHECKING:
    from unlearn.states import BuiltState, State


class _Forgetful:
    """A store that finds nothing and keeps nothing."""

    def find(self, recipe: str) -> State | None:
        """Nothing, whatever the recipe."""

    def publish(self, built: BuiltState) -> None:
        """Nothing is kept."""


def rederive(atelier: Atelier, shard: int, first: int) -> dict[int, str]:
    """State digests of the slices from `first` on."""
    clean = [state for state in current_chain(atelier, shard) or [] if state.slice < first]
    start = clean[-1] if clean else trunk_standing(atelier)
    trained = train_chain(atelier, shard, store=_Forgetful(), start=start, first=first)
    return {built.slice: built.state_digest for built in trained}


def main() -> None:
    """Read the request, rebuild, print."""
    workspace, adapter = sys.argv[1:]
    atelier = open_atelier(open_workspace(Path(workspace)), adapter)
    request = json.loads(sys.stdin.read())
    json.dump({shard: rederive(atelier, int(shard), first) for shard, first in request.items()}, sys.stdout)


if __name__ == "__main__":
    main()
