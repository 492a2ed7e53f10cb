"""Records judged side by side: worker processes that each hold the whole gate, and answers in the order of the questions.

A record is judged by `admit.examine`, in this process or in a worker, and the decisions are the same for any number of
workers. What differs is what a fault costs. A worker that dies or sits over one record longer than the limit is killed,
and that record is asked once more, of a fresh worker; if that fails too, the record goes to quarantine, unread, and the
rest goes on. A worker that cannot start, or that brings another scanner than the one in the stamp, stops the work.

A worker is a plain Python process that runs `lineage.worker` and nothing else: not the caller's main module, hence no
torch, no transformers and no Dagster. Questions and answers travel through a socket pair that only the two hold; what a
worker would print goes nowhere, and its command line says nothing. It ends when its caller ends.
"""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, SimpleQueue
from socket import SO_RCVTIMEO, SO_SNDTIMEO, SOL_SOCKET, socketpair
from threading import Lock
from types import TracebackType
from typing import TypeVar

from lineage import errors
from lineage.admit import Decision, Gate, examine, unread
from lineage.errors import Fault
from lineage.quiet import Complaint
from lineage.records import Content

__all__ = ["Question", "Refusal", "Workers", "in_order", "scanners_digest", "usable_cores"]

START_LIMIT_S, STALLED_S = 300, 60
STRIKES = 2
"""How many workers one record may cost before it goes to quarantine."""
RECYCLE_AFTER = 50_000
"""Records after which a worker is replaced, whatever its libraries kept."""
FIRST_HERE = 256
"""Records that are judged in this process before workers are started, which takes seconds."""
CHUNK = 32

Batch = TypeVar("Batch")


@dataclass(frozen=True, slots=True)
class Question:
    """What `examine` is asked about one record."""

    content: Content = field(repr=False)
    declared: tuple[str, ...]
    language: str | None

    def put_to(self, gate: Gate) -> Decision:
        """The decision. Raises what `examine` raises."""
        return examine(gate, self.content, declared=self.declared, language=self.language)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A worker's deliberate error, by the name of its class: it holds for every record, so it is raised again."""

    error: str
    sentence: str
    hint: str

    def raised(self) -> errors.LetheError:
        """The error as the worker raised it."""
        kind: type[errors.LetheError] = getattr(errors, self.error, Fault)
        return kind(self.sentence, hint=self.hint)


class Workers:
    """So many worker processes, started when they are first needed; a context that leaves none behind."""

    def __init__(self, gate: Gate, *, count: int, record_limit_s: float) -> None:
        self.count = count
        self._gate, self._scanners, self._limit_s = gate, scanners_digest(gate), record_limit_s
        self._threads = ThreadPoolExecutor(count, "scan")  # one waits for each worker
        self._idle = SimpleQueue[_Worker]()
        self._all: set[_Worker] = set()
        self._lock, self._closed = Lock(), False

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock:
            self._closed = True
            workers = list(self._all)
        for worker in workers:
            worker.kill()
        self._threads.shutdown(cancel_futures=True)

    def ask(self, questions: Sequence[Question]) -> Future[list[Decision]]:
        """One decision a question, in their order, when the result is asked for.

        Its result raises what `examine` raises, and Fault: a worker does not start, or its scanners are not those of the
        gate that was given.
        """
        return self._threads.submit(self._decide, questions)

    def _decide(self, questions: Sequence[Question]) -> list[Decision]:
        decisions: list[Decision] = []
        strikes = 0
        while len(decisions) < len(questions):
            worker = self._start() if strikes else self._take()  # one that waited may be dead for longer
            try:
                for decision in worker.ask(questions[len(decisions) :], self._limit_s):
                    decisions.append(decision)
                    strikes = 0
            except _Lost as lost:
                self._end(worker)
                strikes += 1
                if strikes == STRIKES:
                    decisions.append(unread(self._gate.policy, questions[len(decisions)].content, lost.reason))
                    strikes = 0
            else:
                self._give_back(worker)
        return decisions

    def _take(self) -> _Worker:
        try:
            return self._idle.get_nowait()
        except Empty:
            return self._start()

    def _start(self) -> _Worker:
        with self._lock:
            if self._closed:
                raise Fault("The scan was stopped.")
            worker = _Worker()
            self._all.add(worker)
        try:
            digest = worker.prepare(self._gate)
        except _Lost:
            self._end(worker)
            raise Fault(
                "A scan worker did not start.", hint="Is there memory enough? With [gate] workers = 1 none is needed."
            ) from None
        if digest != self._scanners:
            self._end(worker)
            raise Fault(
                "A scan worker has another scanner than this ingest began with.",
                hint="Was something installed meanwhile? Run the same ingest again; it goes on.",
            )
        return worker

    def _give_back(self, worker: _Worker) -> None:
        if worker.answered >= RECYCLE_AFTER:
            self._end(worker)
        else:
            self._idle.put(worker)

    def _end(self, worker: _Worker) -> None:
        with self._lock:
            self._all.discard(worker)
        worker.end()


def in_order(
    batches: Iterable[tuple[Batch, Sequence[Question]]], *, gate: Gate, workers: Workers | None, ahead: bool = True
) -> Iterator[tuple[Batch, list[Decision]]]:
    """Each batch with the decisions on its questions, in the order given, whoever judged.

    The first batches are judged here. With `ahead` later batches are taken from the source while earlier ones are still
    being judged; without, a batch is taken only after the one before it was handed out.
    """
    source, asked = iter(batches), 0
    for batch, questions in source:
        asked += len(questions)
        if workers is not None and asked > FIRST_HERE:
            yield from _side_by_side(chain([(batch, questions)], source), workers, ahead=ahead)
            return
        yield batch, [question.put_to(gate) for question in questions]


def _side_by_side(
    batches: Iterable[tuple[Batch, Sequence[Question]]], workers: Workers, *, ahead: bool
) -> Iterator[tuple[Batch, list[Decision]]]:
    waiting: deque[tuple[Batch, list[Future[list[Decision]]]]] = deque()
    for batch, questions in batches:
        chunks = (questions[i : i + CHUNK] for i in range(0, len(questions), CHUNK))
        waiting.append((batch, [workers.ask(chunk) for chunk in chunks]))
        while len(waiting) > (workers.count if ahead else 0):
            yield _answered(*waiting.popleft())
    while waiting:
        yield _answered(*waiting.popleft())


def _answered(batch: Batch, chunks: Iterable[Future[list[Decision]]]) -> tuple[Batch, list[Decision]]:
    return batch, [decision for chunk in chunks for decision in chunk.result()]


def scanners_digest(gate: Gate) -> str:
    """SHA-256 (hex) over the fingerprints of a gate's scanners, in the order of their languages."""
    scanners = [gate.scanner, *(scanner for _, scanner in sorted(gate.others.items()))]
    return hashlib.sha256("".join(scanner.fingerprint.digest for scanner in scanners).encode()).hexdigest()


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Lost(Exception):
    """A worker died, or was over its time; carries no text."""

    def __init__(self, reason: Complaint) -> None:
        super().__init__(reason)
        self.reason: Complaint = reason


class _Worker:
    """One process and the parent's end of its socket."""

    def __init__(self) -> None:
        ours, theirs = socketpair()
        for side in (SO_RCVTIMEO, SO_SNDTIMEO):  # in the middle of a message; `poll` waits for its beginning
            ours.setsockopt(SOL_SOCKET, side, struct.pack("ll", STALLED_S, 0))
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", "from lineage.worker import main; main()", str(theirs.fileno())],
                pass_fds=[theirs.fileno()], env=_environment(), stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        self._connection = Connection(ours.detach())
        self.answered = 0

    def prepare(self, gate: Gate) -> str:
        """Give the worker its gate; returns the digest of the scanners it built. Raises _Lost, and what the gate raises."""
        self._send(gate)
        return str(self._receive(START_LIMIT_S))

    def ask(self, questions: Sequence[Question], limit_s: float) -> Iterator[Decision]:
        """The decisions, one by one. Raises _Lost, and what `examine` raises."""
        self._send((list(questions), limit_s))
        for _ in questions:
            decision = self._receive(limit_s)
            if not isinstance(decision, Decision):
                raise _Lost("scan_failed")
            self.answered += 1
            yield decision

    def kill(self) -> None:
        """End it, whatever it does. Whoever waits for its answer learns that it is lost."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """End it, and close the socket: nobody waits any more."""
        self.kill()
        self._connection.close()

    def _send(self, message: object) -> None:
        try:
            self._connection.send(message)
        except OSError:
            raise _Lost("scan_failed") from None

    def _receive(self, limit_s: float) -> object:
        try:
            if not self._connection.poll(limit_s):
                raise _Lost("scan_timeout")
            answer = self._connection.recv()
        except (EOFError, OSError):
            raise _Lost("scan_failed") from None
        if isinstance(answer, Refusal):
            raise answer.raised()
        return answer


def _environment() -> dict[str, str]:
    """Ours, with this package on the path and without what names databases and stores."""
    path = os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LETHE_")}
    return {**kept, "PYTHONPATH": path}
