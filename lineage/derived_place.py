"""A derived file where it lies on this machine: what stands there, and deleting exactly that.

Registered is what stood at a place: every entry of it with its size and SHA-256. A purge reads the place again and deletes
it only if the same stands there, byte for byte; then it looks whether it is gone. Names, times and inode numbers would be
cheaper to compare, but a copy that was moved or restored has others and an exchanged file may have the same.

The place is reached from the root folder step by step, and no step follows a link; what is deleted is named relative to the
folder that was reached, so exchanging a folder on the way leads nowhere else. Whoever can write in that very folder can
still exchange the file between the last look and its deletion. They could have deleted it themselves.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from lineage.derived_bounds import Bounds, Spared, Why
from lineage.errors import Fault

__all__ = ["Entry", "Place", "destroy_place", "look"]

MAX_ENTRIES = 10_000
MAX_DEPTH = 32
_WALK = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # NONBLOCK: a pipe that took its place does not wait


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a place, or (without size and digest) a folder; `path` is relative to the place, "" the place itself."""

    path: str = field(repr=False)
    size_bytes: int | None
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a derived file lies, an absolute path without links, and what stood there, folders before what is in them."""

    path: str = field(repr=False)
    entries: tuple[Entry, ...] = field(repr=False)

    def to_bytes(self) -> bytes:
        """For sealing; read back by `from_bytes`."""
        return json.dumps([self.path, [[e.path, e.size_bytes, e.sha256] for e in self.entries]]).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Place:
        """What `to_bytes` wrote."""
        path, entries = json.loads(content)
        return cls(path, tuple(Entry(*entry) for entry in entries))

    @property
    def digest(self) -> str:
        """SHA-256 over what stands there, wherever that is: it may be moved and registered again."""
        return hashlib.sha256(json.dumps([[e.path, e.size_bytes, e.sha256] for e in self.entries]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Seen:
    """An entry that was read, and by which numbers it is known to be the same when it is deleted."""

    entry: Entry
    same: tuple[int, ...]


def look(path: Path, bounds: Bounds) -> Place:
    """Read a place, all of it: as long as reading that many bytes from the disk takes.

    Raises:
        Spared: it may not be registered, because a purge would not delete it.
    """
    with _refusals(), _folder_of(path, bounds) as (folder, name):
        return Place(str(path), tuple(seen.entry for seen in _read(folder, name)))


def destroy_place(place: Place, bounds: Bounds, *, begun: bool, begin: Callable[[], None]) -> None:
    """Delete what was registered at a place, and look whether it is gone.

    `begin` is called when the same was found there and nothing is deleted yet: it writes that down, or raises. With
    `begun`, somebody had written it down before: then what is gone is gone by that attempt, and what is left of a folder
    must have been registered. Without it, a place at which nothing stands is no success: what stood there is elsewhere.

    Raises:
        Spared: it was left alone, or some of it is left; and why.
        Fault: the disk did not confirm that it is gone; the same call finds out.
    """
    with _refusals(), _folder_of(Path(place.path), bounds) as (folder, name):
        if not _stands(folder, name):
            if not begun:
                raise Spared("missing")
        else:
            there = _read(folder, name)
            _require_registered([seen.entry for seen in there], place, partly=begun)
            begin()
            for seen in reversed(there):
                _delete(folder, name, seen)
        _sync(folder)


@contextmanager
def _refusals() -> Iterator[None]:
    """Every word of the file system as a reason. Its own sentence would repeat the path."""
    try:
        yield
    except FileNotFoundError:  # it was there a moment ago, or a folder on the way is not
        raise Spared("missing") from None
    except PermissionError:
        raise Spared("permission") from None
    except OSError as error:
        known: dict[int | None, Why] = {
            errno.ELOOP: "link", errno.ENOTDIR: "link", errno.EBUSY: "mount", errno.EROFS: "permission",
            errno.ENOTEMPTY: "changed", errno.EEXIST: "changed",
        }  # fmt: skip
        raise Spared(known.get(error.errno, "refused")) from None


@contextmanager
def _folder_of(path: Path, bounds: Bounds) -> Iterator[tuple[int, str]]:
    """The folder in which a place lies, opened without following a link, and the place's name in it."""
    bounds.require(path)
    *way, name = path.parts[1:]
    folder = os.open(path.anchor, _LIST)
    try:
        for step, part in enumerate(way, start=1):
            inner = os.open(part, _LIST if step == len(way) else _WALK, dir_fd=folder)
            os.close(folder)
            folder = inner
        yield folder, name
    finally:
        os.close(folder)


def _read(folder: int, name: str) -> list[_Seen]:
    """Everything at a place, folders before what is in them."""
    device = os.fstat(folder).st_dev
    there: list[_Seen] = []
    for seen in _entries(folder, name, path="", device=device):
        there.append(seen)
        if len(there) > MAX_ENTRIES:
            raise Spared("large")
    return there


def _entries(folder: int, name: str, *, path: str, device: int) -> Iterator[_Seen]:
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if stat.S_ISLNK(found.st_mode):
        raise Spared("link")
    if found.st_dev != device:
        raise Spared("mount")
    if name == ".git":
        raise Spared("guarded")
    if stat.S_ISREG(found.st_mode):
        yield _Seen(Entry(path, found.st_size, _sha256(folder, name, found)), _same(found))
        return
    if not stat.S_ISDIR(found.st_mode):
        raise Spared("special")
    if path.count("/") >= MAX_DEPTH:
        raise Spared("large")
    yield _Seen(Entry(path, None), _same(found))
    with _opened(name, _LIST, folder) as inner:
        for child in sorted(os.listdir(inner)):  # noqa: PTH208 - of a descriptor, not of a path
            yield from _entries(inner, child, path=f"{path}/{child}", device=device)


def _sha256(folder: int, name: str, found: os.stat_result) -> str:
    if found.st_nlink > 1:
        raise Spared("linked")
    with open(name, "rb", opener=lambda file, _: os.open(file, _READ, dir_fd=folder)) as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if _same(os.fstat(stream.fileno())) != _same(found):
            raise Spared("changed")  # somebody writes to it
    return digest


def _same(found: os.stat_result) -> tuple[int, ...]:
    """What must not have changed between reading and deleting; of a folder, that it is the same one."""
    if stat.S_ISDIR(found.st_mode):
        return (found.st_dev, found.st_ino)
    return (found.st_dev, found.st_ino, found.st_nlink, found.st_size, found.st_mtime_ns)


def _require_registered(there: Sequence[Entry], place: Place, *, partly: bool) -> None:
    """Nothing but what was registered; and all of it, unless some of it is gone already."""
    if not set(there) <= set(place.entries) or not (partly or len(there) == len(place.entries)):
        raise Spared("changed")


def _delete(folder: int, name: str, seen: _Seen) -> None:
    """Delete one entry, which must be the one that was read."""
    *way, last = [name, *seen.entry.path.split("/")[1:]]
    with _way(folder, way) as inner:
        if _same(os.stat(last, dir_fd=inner, follow_symlinks=False)) != seen.same:
            raise Spared("changed")
        (_rmdir if seen.entry.size_bytes is None else _unlink)(last, inner)
        _require_gone(inner, last)


@contextmanager
def _way(folder: int, way: Sequence[str]) -> Iterator[int]:
    """A folder further down, step by step without following a link."""
    current = os.dup(folder)
    try:
        for part in way:
            inner = os.open(part, _WALK, dir_fd=current)
            os.close(current)
            current = inner
        yield current
    finally:
        os.close(current)


@contextmanager
def _opened(name: str, flags: int, folder: int) -> Iterator[int]:
    opened = os.open(name, flags, dir_fd=folder)
    try:
        yield opened
    finally:
        os.close(opened)


def _unlink(name: str, folder: int) -> None:
    os.unlink(name, dir_fd=folder)


def _rmdir(name: str, folder: int) -> None:
    os.rmdir(name, dir_fd=folder)


def _require_gone(folder: int, name: str) -> None:
    """Looked up, not believed."""
    if _stands(folder, name):
        raise Spared("left")


def _stands(folder: int, name: str) -> bool:
    with suppress(FileNotFoundError):
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        return True
    return False


def _sync(folder: int) -> None:
    try:
        os.fsync(folder)
    except OSError as error:
        raise Fault(
            f"The disk did not confirm a deletion ({type(error).__name__}).", hint="Run the purge again."
        ) from None
