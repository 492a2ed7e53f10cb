"""The content-addressed store of states and adapters: a folder, or any object store fsspec knows.

An entry is a small directory `<kind>/<digest>/` and, beside it, `<kind>/<digest>.json`: the SHA-256 of each of its files,
written last, so that its existence means the entry is complete. The directory itself holds nothing of ours: an adapter's
is a plain PEFT directory, or one for each shard in folders of their own. Locally it is written aside, synced and renamed
into place, so that two processes may publish the same entry at once; an object store gets each file whole.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import fsspec

from lineage.durable import write_synced, write_whole
from lineage.errors import Fault, NotAcceptable

__all__ = ["Store"]

CLIENTS = {"aiobotocore", "aiohttp", "botocore"}  # whose errors are no OSError
BEGINNING = datetime.min.replace(tzinfo=UTC)


class Store:
    """Entries by kind ("states", "adapters") and digest."""

    def __init__(self, url: str, cache: Path) -> None:
        """`cache` is where entries of a remote store are fetched to; a local store is read in place."""
        self._fs, root = fsspec.core.url_to_fs(url, use_listings_cache=False)  # other processes write here too
        self._root = str(root).rstrip("/")
        self._local = "file" in (self._fs.protocol if isinstance(self._fs.protocol, tuple) else (self._fs.protocol,))
        self._cache = cache

    def publish(self, kind: str, digest: str, files: Mapping[str, bytes]) -> None:
        """Write an entry once; publishing it again changes nothing.

        Raises:
            Fault: the disk or the object store refused; nothing half-written is visible.
        """
        if self.holds(kind, digest):
            return
        manifest = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
        body = json.dumps(manifest, sort_keys=True, indent=1).encode()
        with _translated("written"):
            if self._local:
                self._publish_local(kind, digest, files)
                _write_whole(Path(self._manifest(kind, digest)), body)
            else:
                for name, content in files.items():
                    self._fs.pipe_file(f"{self._path(kind, digest)}/{name}", content)
                self._fs.pipe_file(self._manifest(kind, digest), body)

    def holds(self, kind: str, digest: str) -> bool:
        """Whether a complete entry is there.

        Raises:
            Fault: the object store is out of reach.
        """
        with _translated("read"):
            return bool(self._fs.exists(self._manifest(kind, digest)))

    def read(self, kind: str, digest: str) -> dict[str, bytes]:
        """The files of an entry, checked against its manifest.

        Raises:
            NotAcceptable: missing or damaged.
            Fault: the disk or the object store refused; whether the entry is there is not known.
        """
        path = self._path(kind, digest)
        with _translated("read"):
            try:
                manifest = dict(json.loads(self._fs.cat_file(self._manifest(kind, digest))))
                files = {name: self._fs.cat_file(f"{path}/{name}") for name in manifest}
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError, TypeError, ValueError):
                raise NotAcceptable(f"The store has no complete entry {kind}/{digest[:12]}.") from None
        if any(hashlib.sha256(files[name]).hexdigest() != known for name, known in manifest.items()):
            raise NotAcceptable(
                f"The store's entry {kind}/{digest[:12]} is damaged.", hint="Delete it and train again."
            )
        return files

    def directory(self, kind: str, digest: str) -> Path:
        """A local directory with the entry's files, for libraries that want a path."""
        if self._local:
            self.read(kind, digest)
            return Path(self._path(kind, digest))
        folder = self._cache / kind / digest
        for name, content in self.read(kind, digest).items():
            write_whole(folder / name, content)  # another process may be reading the same file
        return folder

    def destroy(self, kind: str, digest: str) -> bool:
        """Delete an entry, manifest first; returns whether it was there. Safe to repeat.

        Raises:
            Fault: the disk or the object store refused, or said yes and left it there; some of the entry may be left, and it
                may no longer count as one.
        """
        path, cached = self._path(kind, digest), self._cache / kind / digest
        with _translated("emptied"):
            if cached.exists():
                shutil.rmtree(cached)
            there = [path for path in (self._manifest(kind, digest), path) if self._fs.exists(path)]
            for path in there:
                self._fs.rm(path, recursive=True)
            if any(
                self._fs.exists(path) for path in there
            ):  # looked up, not believed: "yes" is no proof that it is gone
                raise Fault(
                    f"The store says that {kind}/{digest[:12]} was deleted, and it is still there.", hint="Try again."
                )
        return bool(there)

    def digests(self, kind: str) -> set[str]:
        """Every digest of a kind, of complete and of half-deleted entries.

        Raises:
            Fault: the object store is out of reach.
        """
        folder = f"{self._root}/{kind}"
        with _translated("listed"):
            paths = self._fs.ls(folder, detail=False) if self._fs.exists(folder) else []
        names = {str(path).rstrip("/").rsplit("/", 1)[-1] for path in paths}
        return {name.removesuffix(".json") for name in names if not name.startswith(".")}

    def written_at(self, kind: str, digest: str) -> datetime:
        """When the newest file of an entry was written; of a half-written or half-deleted one too.

        Raises:
            Fault: the object store is out of reach.
        """
        path, manifest = self._path(kind, digest), self._manifest(kind, digest)
        with _translated("listed"):
            files = [*self._fs.find(path), *([manifest] if self._fs.exists(manifest) else [])]
            return max((self._fs.modified(file).astimezone(UTC) for file in files), default=BEGINNING)

    def leftovers(self, older_than: datetime) -> int:
        """How many files and folders a crash left half-written before a time. Object stores have none: see `digests`."""
        return len(self._leftovers(older_than))

    def sweep(self, older_than: datetime) -> int:
        """Remove what a crash left half-written before a time; returns how many leftovers."""
        found = self._leftovers(older_than)
        for leftover in found:
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        return len(found)

    def _leftovers(self, older_than: datetime) -> list[Path]:
        found = Path(self._root).glob("*/.partial-*") if self._local else ()
        return [path for path in found if path.stat().st_mtime < older_than.timestamp()]

    def _manifest(self, kind: str, digest: str) -> str:
        return f"{self._root}/{kind}/{digest}.json"

    def _path(self, kind: str, digest: str) -> str:
        return f"{self._root}/{kind}/{digest}"

    def _publish_local(self, kind: str, digest: str, entry: Mapping[str, bytes]) -> None:
        target = Path(self._path(kind, digest))
        partial = target.parent / f".partial-{uuid.uuid4().hex}"
        partial.mkdir(parents=True)
        try:
            for name, content in entry.items():
                (partial / name).parent.mkdir(exist_ok=True)
                write_synced(partial / name, content)
            if target.exists() and not _is_exactly(target, entry):  # half-deleted by a crash: nobody counts on it
                shutil.rmtree(target)
            partial.rename(target)
        except OSError:
            shutil.rmtree(partial, ignore_errors=True)
            if not _is_exactly(target, entry):  # another process published the same bytes, now or before it crashed
                raise


def _is_exactly(folder: Path, entry: Mapping[str, bytes]) -> bool:
    """Whether a folder holds these files and no other."""
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return there == set(entry) and all((folder / name).read_bytes() == content for name, content in entry.items())


@contextmanager
def _translated(done: str) -> Iterator[None]:
    """One sentence for whatever the disk, the object store or its client library raised."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__module__.partition(".")[0] not in CLIENTS:
            raise
        full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        reason = "the disk is full" if full else type(error).__name__
        raise Fault(
            f"The store could not be {done}: {reason}.", hint="Nothing half done is visible; try again."
        ) from None


def _write_whole(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".partial-{uuid.uuid4().hex}")
    write_synced(temporary, content)
    temporary.rename(path)
