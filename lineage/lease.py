"""Leases with a fencing token: one builder per shard, whoever launched it.

Dagster's queue cannot guard every road (a run started in the UI, by the CLI, by a retry), so the guard is in the data: a
lease is taken by compare-and-set, kept alive by a heartbeat, and its token is checked in the transaction that publishes.
The lease of a process that died on this machine is free at once; that of one elsewhere, when it expires.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import psutil
from sqlmodel import Session

from lineage.database import Database
from lineage.errors import Fault
from lineage.tables import LeaseRow

__all__ = ["Lease", "check", "held"]

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
    elif row.holder and row.expires_at > now and not _gone(row.holder):
        raise Fault(f"Another process is working on {name}.", hint="Wait for it to finish, then run this again.")
    row.token, row.holder, row.expires_at = row.token + 1, _me(), now + LIFETIME
    session.add(row)
    return Lease(name, row.token)


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
    done = threading.Event()
    beating = threading.Thread(target=_beat, args=(database, lease, clock, done), daemon=True)
    beating.start()
    try:
        yield lease
    finally:
        done.set()
        beating.join()
        # An interrupt may have left a connection of ours in the middle of a transaction; then the lease stays behind,
        # and falls to whoever asks next, because its process is gone.
        with suppress(Fault), database.transaction() as session:
            row = session.get(LeaseRow, name)
            if row is not None and row.token == lease.token:
                row.holder = ""


def _beat(database: Database, lease: Lease, clock: Callable[[], datetime], done: threading.Event) -> None:
    while not done.wait(LIFETIME.total_seconds() / 4):
        try:
            with database.transaction() as session:
                row = session.get(LeaseRow, lease.name)
                if row is not None and row.token == lease.token:
                    row.expires_at = clock() + LIFETIME
        except Fault:  # a busy database: the next beat tries again, and `check` decides in the end
            continue
