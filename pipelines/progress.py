"""Progress that a person can watch in a terminal and a log can do without."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

__all__ = ["Progress", "Silent", "bar"]


class Progress(Protocol):
    """Something that is told how far the work is."""

    def advance(self, steps: int = 1) -> None:
        """So many more units are done."""


class Silent:
    """Tells nobody."""

    def advance(self, steps: int = 1) -> None:
        """Nothing to do."""


@contextmanager
def bar(label: str, total: int | None, *, unit: str) -> Iterator[Progress]:
    """A progress bar on standard error, with rate and estimate; silent where standard error is not a terminal."""
    if not sys.stderr.isatty():
        yield Silent()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn(),
    )  # fmt: skip
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(label, total=total)

        class _Bar:
            def advance(self, steps: int = 1) -> None:
                shown.advance(task, steps)

        yield _Bar()
