"""Progress that a person can watch in a terminal, and that a log gets a line of once a minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

__all__ = ["LINE_EVERY_S", "Lines", "Progress", "Silent", "bar"]

LINE_EVERY_S = 60


class Progress(Protocol):
    """Something that is told how far the work is."""

    def advance(self, steps: int = 1) -> None:
        """So many more units are done."""


class Silent:
    """Tells nobody."""

    def advance(self, steps: int = 1) -> None:
        """Nothing to do."""


class Lines:
    """Writes a sentence to standard error once a minute: how far, how fast, how long still. Nothing of the work itself."""

    def __init__(
        self, label: str, total: int | None, *, unit: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._label, self._total, self._unit, self._clock = label, total, unit, clock
        self._done, self._began, self._told = 0, clock(), clock()

    def advance(self, steps: int = 1) -> None:
        """So many more units are done."""
        self._done += steps
        now = self._clock()
        if now - self._told >= LINE_EVERY_S:
            self._told = now
            print(self._sentence(self._done / (now - self._began)), file=sys.stderr, flush=True)

    def _sentence(self, rate: float) -> str:
        said = f"{self._label}: {self._done:,} {self._unit}, {rate:,.1f} {self._unit}/s"
        if self._total is None or self._total <= self._done or not rate:
            return said
        return f"{said}, about {(self._total - self._done) / rate / 60:,.0f} min left of about {self._total:,}"


@contextmanager
def bar(label: str, total: int | None, *, unit: str) -> Iterator[Progress]:
    """A progress bar on standard error, with rate and estimate; a line a minute where that is not a terminal."""
    if not sys.stderr.isatty():
        yield Lines(label, total, unit=unit)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress
    from rich.text import Text

    class _Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.1f} {unit}/s" if task.speed else f"- {unit}/s")

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit), _Rate(), TimeRemainingColumn(),
    )  # fmt: skip
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(label, total=total)

        class _Bar:
            def advance(self, steps: int = 1) -> None:
                shown.advance(task, steps)

        yield _Bar()
