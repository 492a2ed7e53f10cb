"""A process tree that one process owns: it starts together, dies together, and leaves nobody behind.

Three ways out are covered. *Stopped*: services get SIGTERM, what is left after a grace period SIGKILL; a run that was
working is stopped as by a crash and goes on at the next start (`pipelines.reaper`). *A service dies*: the owner notices and
stops the rest. *The owner is killed*: on Linux the kernel sends the services SIGTERM (prctl PR_SET_PDEATHSIG), and their
own children follow when their heartbeat stops. On Linux the owner also adopts orphaned grandchildren (PR_SET_CHILD_SUBREAPER),
so that the last sweep sees them.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psutil

from lineage.errors import Fault

__all__ = ["Service", "StopFlag", "Tree"]

GRACE_S = 5.0
POLL_S = 0.2
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Service:
    """A process to start. `is_ready` is asked until it says yes; it may raise `Fault` when it never will."""

    name: str
    command: Sequence[str]
    is_ready: Callable[[], bool]
    log: Path


class StopFlag:
    """Set by SIGINT, SIGTERM and SIGHUP, also where the shell that started us had them ignored."""

    def __init__(self) -> None:
        self.is_set = False

    def listen(self) -> None:
        """Install the handlers; only the main thread may."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._raise)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.is_set = True


class Tree:
    """The services of one owner, as a context: leaving it stops everything below this process."""

    def __init__(self, environment: Mapping[str, str], stop: StopFlag) -> None:
        self._environment, self._stop = dict(environment), stop
        self._running: dict[str, tuple[Service, subprocess.Popen[bytes]]] = {}
        self._libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def __enter__(self) -> Tree:
        if self._libc:
            self._libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        return self

    def __exit__(self, *_: object) -> None:
        for _service, process in self._running.values():
            if process.poll() is None:
                process.terminate()
        _wait_until(self._all_ended, GRACE_S)
        _sweep()

    def _all_ended(self) -> bool:
        return all(process.poll() is not None for _, process in self._running.values())

    def start(self, service: Service) -> None:
        """Start a service in a session of its own, so that a Ctrl-C in the terminal reaches the owner alone."""
        service.log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if service.log.exists():
            service.log.replace(service.log.with_suffix(".log.1"))
        descriptor = os.open(service.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        owner = os.getpid()

        def tie_to_owner() -> None:  # runs between fork and exec: system calls only
            if self._libc:
                self._libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != owner:  # it died in between
                os._exit(1)

        try:
            process = subprocess.Popen(
                list(service.command), env=self._environment, stdin=subprocess.DEVNULL, stdout=descriptor,
                stderr=subprocess.STDOUT, start_new_session=True,
                preexec_fn=tie_to_owner,  # noqa: PLW1509 - the owner has no other thread at this point
            )  # fmt: skip
        finally:
            os.close(descriptor)
        self._running[service.name] = (service, process)

    def await_ready(self, service: Service, timeout_s: float) -> bool:
        """Wait until a service is ready; False when we were told to stop.

        Raises:
            Fault: it died, or took too long.
        """
        deadline = time.monotonic() + timeout_s
        while not self._stop.is_set:
            self._require_alive()
            if service.is_ready():
                return True
            if time.monotonic() > deadline:
                raise Fault(f"{service.name} was not ready after {timeout_s:.0f} s.", hint=f"See {service.log}.")
            time.sleep(POLL_S)
        return False

    def watch(self) -> None:
        """Return when we are told to stop.

        Raises:
            Fault: a service died.
        """
        while not self._stop.is_set:
            self._require_alive()
            time.sleep(POLL_S)

    def _require_alive(self) -> None:
        for service, process in self._running.values():
            if (code := process.poll()) is not None:
                raise Fault(f"{service.name} ended by itself (exit {code}); everything was stopped.",
                            hint=f"See {service.log}.")  # fmt: skip


def _wait_until(done: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not done() and time.monotonic() < deadline:
        time.sleep(POLL_S / 4)


def _sweep() -> None:
    """Kill whatever still runs below this process, twice: what was being born during the first time is there at the second."""
    for _ in range(2):
        left = psutil.Process().children(recursive=True)
        for process in left:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(left, timeout=GRACE_S)
