"""Faults of every kind at every step boundary: `crashes` made general. A schedule is a kind and the number of a boundary.

::

    kind            its boundaries                                     what happens there
    CRASH           those of `crashes`                                 the process is gone; nothing of ours catches it
    DISK_FULL       each write and rename of a file, each commit,      ENOSPC, and what was written of the file is half of it
                    each compaction
    DATABASE_GONE   each transaction: begun, before and after its      the driver's error; after the commit, nobody can tell
                    commit; each reading; each compaction              whether it counted
    STORE_REFUSES   each call of the store's file system               the client's error, also with half of the entry deleted
    STORE_LIES      each deletion in the store                         the store says yes and deletes nothing
    FILES_REFUSE    each deletion in a derived file            an error of the file system, and nothing is deleted
    FILES_LIE       each deletion in a derived file            the file system says yes and deletes nothing
    PARTY_REFUSES   each notice that goes out                          HTTP 200 and `{"ok": false}`, and the party has done nothing

What a machine does not get over by itself lasts: from that boundary on every one fails, also for whoever wants to write down
what happened. With `lasting` unset it fails once.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from crashes import Killed, Schedule, crashing
from fsspec.implementations.local import LocalFileSystem
from party import Party
from sqlalchemy.exc import OperationalError

from lineage import derived_place, store
from lineage.database import Database
from lineage.errors import LetheError

FAULTS = (Killed, LetheError)
"""What a disturbed step may raise: one sentence. Anything else would be shown to a user as a fault in Lethe."""


TORN_BYTES = 20
"""How much of an appended line is missing on a full disk."""


class Kind(StrEnum):
    """What goes wrong."""

    CRASH = "crash"
    DISK_FULL = "disk full"
    DATABASE_GONE = "database gone"
    STORE_REFUSES = "store refuses"
    STORE_LIES = "store lies"
    FILES_REFUSE = "files refuse"
    FILES_LIE = "files lie"
    PARTY_REFUSES = "party refuses"


@dataclass(frozen=True)
class Disturbance:
    """One schedule. `at` counts the boundaries of its kind from 1; 0 disturbs nothing."""

    kind: Kind
    at: int
    lasting: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.at}{' for good' if self.lasting else ''}"


class _Failing(Schedule):
    """A schedule that raises an error of its kind, once or from there on. `met` tells whether it came to that."""

    def __init__(self, what: Disturbance, error: Callable[[], Exception]) -> None:
        super().__init__(what.at)
        self._lasting, self._error = what.lasting, error

    def due(self) -> bool:
        """Whether this boundary, which is passed now, is disturbed."""
        self.passed += 1
        return 0 < self.at <= self.passed if self._lasting else self.passed == self.at

    def boundary(self) -> None:
        if self.due():
            raise self._error()


@contextmanager
def disturbed(what: Disturbance) -> Iterator[Schedule]:
    """The block with one fault in it."""
    if what.kind is Kind.CRASH:
        with crashing(what.at) as schedule:
            yield schedule
        return
    with pytest.MonkeyPatch.context() as patch:
        match what.kind:
            case Kind.DISK_FULL:
                yield _disk(patch, what)
            case Kind.DATABASE_GONE:
                yield _database(patch, what)
            case Kind.STORE_REFUSES:
                yield _refusing_store(patch, what)
            case Kind.STORE_LIES:
                yield _lying_store(patch, what)
            case Kind.FILES_REFUSE:
                yield _files(
                    patch, _Failing(what, lambda: PermissionError(errno.EACCES, "Permission denied")), lie=False
                )
            case Kind.FILES_LIE:
                yield _files(patch, _Failing(what, AssertionError), lie=True)
            case Kind.PARTY_REFUSES:
                yield _refusing_party(patch, what)


def count_boundaries(kind: Kind, action: Callable[[], object]) -> int:
    """How many boundaries of a kind there are when nothing is disturbed."""
    with disturbed(Disturbance(kind, 0)) as schedule:
        action()
    return schedule.passed


# --- what each kind does --------------------------------------------------------------------------------------------------------


def _disk(patch: pytest.MonkeyPatch, what: Disturbance) -> Schedule:
    schedule = _Failing(what, lambda: OSError(errno.ENOSPC, "No space left on device"))
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        if schedule.due():
            size, appended = os.fstat(descriptor).st_size, fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND
            os.ftruncate(descriptor, size - TORN_BYTES if appended else size // 2)
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    patch.setattr(os, "fsync", fsync)
    for name in ("rename", "replace"):
        patch.setattr(Path, name, _before(schedule, getattr(Path, name)))
    in_database = _sharing(schedule, "database or disk is full")
    patch.setattr(Database, "transaction", _opened(Database.transaction, inside=in_database))
    patch.setattr(Database, "compact", _compaction(Database.compact, in_database))
    return schedule


def _database(patch: pytest.MonkeyPatch, what: Disturbance) -> Schedule:
    schedule = _Failing(what, lambda: _driver_error("server closed the connection unexpectedly"))
    fails = schedule.boundary
    patch.setattr(Database, "compact", _compaction(Database.compact, fails))
    patch.setattr(Database, "transaction", _opened(Database.transaction, begun=fails, inside=fails, after=fails))
    patch.setattr(Database, "reader", _opened(Database.reader, begun=fails))
    return schedule


def _refusing_store(patch: pytest.MonkeyPatch, what: Disturbance) -> Schedule:
    schedule = _Failing(what, lambda: EndpointConnectionError(endpoint_url="https://store.example"))
    for name in ("exists", "cat_file", "ls", "rm"):
        patch.setattr(LocalFileSystem, name, _before(schedule, getattr(LocalFileSystem, name)))
    patch.setattr(store, "write_synced", _before(schedule, store.write_synced))
    delete = LocalFileSystem.rm

    def rm(self: LocalFileSystem, path: str, **how: Any) -> None:
        files = sorted(file for file in Path(path).rglob("*") if file.is_file())
        if files and schedule.due():
            files[0].unlink()
            raise EndpointConnectionError(endpoint_url="https://store.example")
        delete(self, path, **how)

    patch.setattr(LocalFileSystem, "rm", rm)
    return schedule


def _lying_store(patch: pytest.MonkeyPatch, what: Disturbance) -> Schedule:
    schedule, delete = _Failing(what, AssertionError), LocalFileSystem.rm

    def rm(self: LocalFileSystem, path: str, **how: Any) -> None:
        if not schedule.due():
            delete(self, path, **how)

    patch.setattr(LocalFileSystem, "rm", rm)
    return schedule


def _files(patch: pytest.MonkeyPatch, schedule: _Failing, *, lie: bool) -> Schedule:
    for name in ("_unlink", "_rmdir"):
        delete = getattr(derived_place, name)
        patch.setattr(derived_place, name, _unless_due(schedule, delete) if lie else _before(schedule, delete))
    return schedule


def _unless_due(schedule: _Failing, delete: Callable[..., None]) -> Callable[..., None]:
    def effect(*arguments: Any) -> None:
        if not schedule.due():
            delete(*arguments)

    return effect


def _refusing_party(patch: pytest.MonkeyPatch, what: Disturbance) -> Schedule:
    schedule, answer = _Failing(what, AssertionError), Party.answer

    def refuse(party: Party, notice_id: str) -> tuple[int, bytes]:
        if schedule.due():
            return 200, json.dumps({"id": notice_id, "ok": False}).encode()
        return answer(party, notice_id)

    patch.setattr(Party, "answer", refuse)
    return schedule


def _driver_error(said: str) -> OperationalError:
    return OperationalError("a statement", {}, sqlite3.OperationalError(said))


def _sharing(schedule: _Failing, said: str) -> Callable[[], None]:
    """A boundary of the same schedule that raises what the database's driver says."""

    def boundary() -> None:
        if schedule.due():
            raise _driver_error(said)

    return boundary


def _before(schedule: _Failing, original: Callable[..., Any]) -> Callable[..., Any]:
    def effect(*arguments: Any, **named: Any) -> Any:
        schedule.boundary()
        return original(*arguments, **named)

    return effect


def _nothing() -> None:
    """No boundary."""


def _opened(
    original: Callable[..., Any], *, begun: Callable[[], None] = _nothing, inside: Callable[[], None] = _nothing,
    after: Callable[[], None] = _nothing,
) -> Callable[..., Any]:  # fmt: skip
    """A session of the database with boundaries at its beginning, at its end, and behind it. What is raised there takes the
    way of a driver's error, through the product's own translation."""
    reader = Database.reader

    @contextmanager
    def session_of(self: Database) -> Iterator[Any]:
        with original(self) as session:
            begun()
            yield session
            inside()
        with reader(self):
            after()

    return session_of


def _compaction(original: Callable[..., Any], boundary: Callable[[], None]) -> Callable[..., Any]:
    reader = Database.reader

    def compact(self: Database) -> None:
        with reader(self):
            boundary()
        original(self)

    return compact
