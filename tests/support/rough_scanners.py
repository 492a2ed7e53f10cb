"""Scanners that misbehave in a worker process, and one that tells what is loaded there. Each can be pickled."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass

from lineage.errors import GateClosed
from lineage.scan import Span

HEAVY = ("torch", "transformers", "peft", "dagster", "datasets", "pipelines", "unlearn", "probes")
DEADLY, ENDLESS, CLOSING = "deadly", "endless", "closing"


@dataclass(frozen=True)
class Mark:
    """A fingerprint, as far as workers look at it."""

    digest: str


@dataclass(frozen=True)
class RoughScanner:
    """Finds every `@`; some words kill the process, never end, or close the gate."""

    mark: str = "rough"

    @property
    def fingerprint(self) -> Mark:
        return Mark(self.mark)

    def scan(self, text: str) -> tuple[Span, ...]:
        if DEADLY in text:
            os.kill(os.getpid(), signal.SIGKILL)
        while ENDLESS in text:
            time.sleep(0.01)
        if CLOSING in text:
            raise GateClosed("The scanner's self-test missed PERSON.", hint="Repair the installation.")
        places = (at for at, character in enumerate(text) if character == "@")
        return tuple(Span("EMAIL_ADDRESS", at, at + 1, 1.0, "Rough") for at in places)


class ChangedScanner(RoughScanner):
    """Another scanner in the worker than in the caller."""

    @property
    def fingerprint(self) -> Mark:
        return Mark(f"{self.mark} of process {os.getpid()}")


class UnstartableScanner(RoughScanner):
    """Cannot be built where the worker is."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (3,)


@dataclass(frozen=True)
class TellingScanner:
    """The scanner inside; each scan also tells which heavy packages are loaded in its process, and the process."""

    inside: object

    @property
    def fingerprint(self) -> object:
        return self.inside.fingerprint

    def scan(self, text: str) -> tuple[Span, ...]:
        self.inside.scan(text)
        loaded = ",".join(sorted(name for name in HEAVY if sys.modules.get(name)))
        return (Span("URL", 0, 1, 1.0, f"{os.getpid()}:{loaded}"),)
