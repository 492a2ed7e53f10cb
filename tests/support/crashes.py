"""Crashes in this process, at every step boundary: before and after each effect, inside and after each transaction."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from party import Party
from sqlmodel import select

from lineage import derived_place, durable, journal, store
from lineage.database import Database
from lineage.store import Store
from lineage.tables import LeaseRow
from lineage.vault import KeyStore
from lineage.workspace import Workspace


class Killed(BaseException):
    """What a killed process does not even get to see; nothing of ours catches it."""


class Schedule:
    """Counts boundaries and crashes at one of them; `at` = 0 never does."""

    def __init__(self, at: int) -> None:
        self.at, self.passed = at, 0

    def boundary(self) -> None:
        self.passed += 1
        if self.passed == self.at:
            raise Killed


@contextmanager
def crashing(at: int) -> Iterator[Schedule]:
    """Everything that changes something outside memory becomes two boundaries."""
    schedule = Schedule(at)
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in (
            (Store, "destroy"), (KeyStore, "shred"), (Database, "compact"), (journal, "append"), (store, "write_synced"),
            (durable, "write_synced"), (Party, "answer"), (derived_place, "_unlink"), (derived_place, "_rmdir"),
        ):  # fmt: skip
            patch.setattr(owner, name, _between(schedule, getattr(owner, name)))
        patch.setattr(Database, "transaction", _transaction(schedule, Database.transaction))
        yield schedule


def _between(schedule: Schedule, original: Callable[..., Any]) -> Callable[..., Any]:
    def effect(*arguments: Any, **named: Any) -> Any:
        schedule.boundary()
        result = original(*arguments, **named)
        schedule.boundary()
        return result

    return effect


def _transaction(schedule: Schedule, original: Callable[..., Any]) -> Callable[..., Any]:
    @contextmanager
    def transaction(self: Database) -> Iterator[Any]:
        with original(self) as session:
            yield session
            schedule.boundary()  # nothing is committed yet
        schedule.boundary()

    return transaction


def let_die(workspace: Workspace) -> None:
    """What the operating system does for a killed process and not for a raised exception: the holder of its leases is gone."""
    with workspace.database.transaction() as session:
        for row in session.exec(select(LeaseRow)).all():
            row.holder = f"{socket.gethostname()}:{2**22 - 1}:1.00"


def boundaries(action: Callable[[], object]) -> int:
    """How many there are when nothing crashes."""
    with crashing(0) as schedule:
        action()
    return schedule.passed


def count(folder: Path, question: str) -> int:
    """A number from a workspace's database, asked from outside; 0 while it cannot be asked."""
    try:
        connection = sqlite3.connect(f"file:{folder / '.lethe' / 'lethe.db'}?mode=ro", uri=True, timeout=1)
        try:
            return int(connection.execute(question).fetchone()[0] or 0)
        finally:
            connection.close()
    except sqlite3.Error:
        return 0
