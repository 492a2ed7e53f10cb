"""Leases with a fencing token: one builder per shard, whoever launched it.

Dagster's queue cannot guard every road (a run started in the UI, by the CLI, by a retry), so the guard is in the data: a
lease is taken by compare-and-set, kept alive by a heartbeat, and its token is checked in the transaction that publishes.
The lease of a process that died on this machine is free at once; that of one elsewhere, when it expires.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import psutil
from sqlmodel import Session, select

from lineage.database import Database
from lineage.errors import Fault
from lineage.tables import LeaseRow

__all__ = ["Lease", "all_held", "check", "held", "held_free", "is_held"]

LIFETIME = timedelta(seconds=60)


@dataclass(frozen=True)
class Lease:
    """A name and the token under which it is held."""

    name: str
    token: int


def _me() -> str:
    process = psutil.Process()
    return f"{socket.gethostname()}:{process.pid}:{process.create_time():.2f}"


def _gone(holder: str) -> bool:
    """Whether the holder was a process of this machine that no longer runs."""
    host, pid, started = holder.rsplit(":", 2)
    if host != socket.gethostname():
        return False
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" != started
    except psutil.NoSuchProcess:
        return True


def _take(session: Session, name: str, now: datetime) -> Lease:
    row = session.get(LeaseRow, name, with_for_update=True)
    if row is None:
        row = LeaseRow(name=name, token=0, holder="", expires_at=now)
    elif _busy(row, now):
        raise Fault(f"Another process is working on {name}.", hint="Wait for it to finish, then run this again.")
    row.token, row.holder, row.expires_at = row.token + 1, _me(), now + LIFETIME
    session.add(row)
    return Lease(name, row.token)


def is_held(session: Session, name: str, *, now: datetime) -> bool:
    """Whether a living process holds the lease."""
    row = session.get(LeaseRow, name)
    return row is not None and _busy(row, now)


def all_held(session: Session, *, now: datetime) -> set[str]:
    """Names of the leases that living processes hold."""
    return {row.name for row in session.exec(select(LeaseRow)).all() if _busy(row, now)}


def _busy(row: LeaseRow, now: datetime) -> bool:
    return bool(row.holder) and row.expires_at > now and not _gone(row.holder)


def check(session: Session, lease: Lease) -> None:
    """Call in the transaction that publishes.

    Raises:
        Fault: somebody else took over in between; nothing may be published.
    """
    row = session.get(LeaseRow, lease.name, with_for_update=True)
    if row is None or row.token != lease.token:
        raise Fault(f"The lease on {lease.name} was lost to another process; nothing was published.")


@contextmanager
def held(database: Database, name: str, clock: Callable[[], datetime]) -> Iterator[Lease]:
    """Hold a lease for the block, with a heartbeat in the background.

    Raises:
        Fault: a living process holds it.
    """
    with database.transaction() as session:
        lease = _take(session, name, clock())
    with _beating(database, (lease,), clock):
        yield lease


@contextmanager
def held_free(database: Database, names: Iterable[str], clock: Callable[[], datetime]) -> Iterator[tuple[Lease, ...]]:
    """Hold those of the leases that nobody else holds, all on one heartbeat."""
    leases: list[Lease] = []
    for name in names:
        with suppress(Fault), database.transaction() as session:
            leases.append(_take(session, name, clock()))
    with _beating(database, tuple(leases), clock):
        yield tuple(leases)


@contextmanager
def _beating(database: Database, leases: tuple[Lease, ...], clock: Callable[[], datetime]) -> Iterator[None]:
    """Keep leases alive for the block, then give them back."""
    done = threading.Event()
    beating = threading.Thread(target=_beat, args=(database, leases, clock, done), daemon=True)
    beating.start()
    try:
        yield
    finally:
        done.set()
        beating.join()
        # An interrupt may have left a connection of ours in the middle of a transaction; then the leases stay behind,
        # and fall to whoever asks next, because their process is gone.
        with suppress(Fault), database.transaction() as session:
            for row in _ours(session, leases):
                row.holder = ""


def _beat(database: Database, leases: tuple[Lease, ...], clock: Callable[[], datetime], done: threading.Event) -> None:
    while not done.wait(LIFETIME.total_seconds() / 4):
        try:
            with database.transaction() as session:
                for row in _ours(session, leases):
                    row.expires_at = clock() + LIFETIME
        except Fault:  # a busy database: the next beat tries again, and `check` decides in the end
            continue


def _ours(session: Session, leases: tuple[Lease, ...]) -> list[LeaseRow]:
    """The rows of leases that were not lost to somebody else."""
    rows = ((lease, session.get(LeaseRow, lease.name)) for lease in leases)
    return [row for lease, row in rows if row is not None and row.token == lease.token]
