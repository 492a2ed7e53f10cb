"""The store: an entry is whole or not there, damage is noticed, and destroying is safe to repeat, wherever it lies."""

from __future__ import annotations

import errno
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import pytest

import lineage.store
from lineage.errors import Fault, NotAcceptable
from lineage.store import Store

FILES = {"adapter_config.json": b"{}", "adapter_model.safetensors": bytes(range(256))}
DIGEST = "ab" * 32
LATER = datetime.now(UTC) + timedelta(days=1)


def _local(tmp_path: Path) -> str:
    return str(tmp_path / "store")


def _file_url(tmp_path: Path) -> str:
    return (tmp_path / "store").as_uri()


def _memory(tmp_path: Path) -> str:
    return f"memory://bucket-{uuid.uuid4().hex}/lethe/"


@pytest.fixture(params=[_local, _file_url, _memory, pytest.param("s3", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """The same laws for a folder, a file:// URL, an object store in memory, and S3 served by another process."""
    url = request.getfixturevalue("s3_url") if request.param == "s3" else request.param(tmp_path)
    return Store(url, tmp_path / "cache")


@pytest.fixture
def folder_store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"), tmp_path / "cache")


def write(store: Store, path: str, content: bytes) -> None:
    store._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    store._fs.pipe_file(path, content)


def test_what_was_published_comes_back(store: Store) -> None:
    assert not store.holds("adapters", DIGEST)
    assert store.digests("adapters") == set()
    store.publish("adapters", DIGEST, FILES)
    assert store.holds("adapters", DIGEST)
    assert store.read("adapters", DIGEST) == FILES
    assert store.digests("adapters") == {DIGEST}
    assert not store.holds("states", DIGEST)


def test_publishing_again_changes_nothing(store: Store) -> None:
    store.publish("adapters", DIGEST, FILES)
    store.publish("adapters", DIGEST, {"adapter_config.json": b"other"})
    assert store.read("adapters", DIGEST) == FILES


def test_the_directory_of_an_entry_holds_its_files_and_nothing_else(store: Store) -> None:
    store.publish("adapters", DIGEST, FILES)
    for _ in range(2):
        folder = store.directory("adapters", DIGEST)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES


def test_destroying_is_safe_to_repeat_and_leaves_nothing(store: Store, tmp_path: Path) -> None:
    store.publish("adapters", DIGEST, FILES)
    store.publish("adapters", "cd" * 32, FILES)
    store.directory("adapters", DIGEST)
    assert store.destroy("adapters", DIGEST)
    assert not store.destroy("adapters", DIGEST)
    assert not store.holds("adapters", DIGEST)
    assert store.digests("adapters") == {"cd" * 32}
    assert not [path for path in tmp_path.rglob("*") if DIGEST in str(path)]
    with pytest.raises(NotAcceptable):
        store.directory("adapters", DIGEST)
    store.publish("adapters", DIGEST, FILES)
    assert store.read("adapters", DIGEST) == FILES


def test_without_its_manifest_an_entry_is_not_there(store: Store) -> None:
    """What a crash leaves between the files and the manifest, or between the two halves of a destruction."""
    for name, content in FILES.items():
        write(store, f"{store._path('adapters', DIGEST)}/{name}", content)
    assert not store.holds("adapters", DIGEST)
    with pytest.raises(NotAcceptable, match="no complete entry"):
        store.read("adapters", DIGEST)
    assert store.digests("adapters") == {DIGEST}, "it can be found and destroyed"
    store.publish("adapters", DIGEST, {"only.json": b"1"})
    assert store.read("adapters", DIGEST) == {"only.json": b"1"}
    assert store.destroy("adapters", DIGEST)


@pytest.mark.parametrize("content", [b"", b"\x00" * 256, bytes(range(255)), bytes(range(255)) + b"\x00"])
def test_a_damaged_file_is_refused(store: Store, content: bytes) -> None:
    store.publish("adapters", DIGEST, FILES)
    write(store, f"{store._path('adapters', DIGEST)}/adapter_model.safetensors", content)
    for look in (store.read, store.directory):
        with pytest.raises(NotAcceptable, match="damaged"):
            look("adapters", DIGEST)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"null", b"3", b'["a"]', b"\xff\xfe", b'{"gone.json": "00"}', b'"text"']
)
def test_a_damaged_manifest_is_refused(store: Store, content: bytes) -> None:
    store.publish("adapters", DIGEST, FILES)
    write(store, store._manifest("adapters", DIGEST), content)
    with pytest.raises(NotAcceptable):
        store.read("adapters", DIGEST)


def test_a_missing_file_is_refused(store: Store) -> None:
    store.publish("adapters", DIGEST, FILES)
    store._fs.rm(f"{store._path('adapters', DIGEST)}/adapter_config.json")
    with pytest.raises(NotAcceptable):
        store.read("adapters", DIGEST)


# --- a disk that refuses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after_writes", [0, 1, 2])
def test_on_a_full_disk_nothing_is_visible_and_nothing_is_left(
    folder_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after_writes: int
) -> None:
    """The disk is full at the first file, at the second, and at the manifest."""
    really, written = lineage.store.write_synced, []

    def write_until_full(path: Path, content: bytes) -> None:
        if len(written) == after_writes:
            path.write_bytes(content[:1])
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        really(path, content)

    monkeypatch.setattr(lineage.store, "write_synced", write_until_full)
    with pytest.raises(Fault, match="the disk is full") as refusal:
        folder_store.publish("adapters", DIGEST, FILES)
    assert refusal.value.exit_code == 4
    assert not folder_store.holds("adapters", DIGEST)
    monkeypatch.undo()
    folder_store.sweep(LATER)
    assert not list((tmp_path / "store").rglob(".partial-*"))
    folder_store.publish("adapters", DIGEST, FILES)
    assert folder_store.read("adapters", DIGEST) == FILES


def test_an_object_store_that_refuses_leaves_nothing_visible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(_memory(tmp_path), tmp_path / "cache")
    kind = type(fsspec.filesystem("memory"))
    really = kind.pipe_file

    def refuse_manifests(self, path: str, value: bytes, **more: object) -> None:  # type: ignore[no-untyped-def]
        if str(path).endswith(f"{DIGEST}.json"):
            raise PermissionError(errno.EACCES, "denied")
        really(self, path, value, **more)

    monkeypatch.setattr(kind, "pipe_file", refuse_manifests)
    with pytest.raises(Fault, match="PermissionError"):
        store.publish("adapters", DIGEST, FILES)
    assert not store.holds("adapters", DIGEST)


class EndpointConnectionError(Exception):
    """What a client library raises that is no OSError."""


EndpointConnectionError.__module__ = "botocore.exceptions"
REFUSALS = [PermissionError(errno.EACCES, "denied for bucket/secret-name"), EndpointConnectionError("no route to host")]
ASKED = {
    "exists": [Store.destroy, Store.digests, Store.written_at, Store.holds],
    "rm": [Store.destroy], "ls": [Store.digests], "find": [Store.written_at], "modified": [Store.written_at],
}  # fmt: skip


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: type(refusal).__name__)
@pytest.mark.parametrize("method", ASKED)
def test_an_object_store_out_of_reach_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, refusal: Exception
) -> None:
    """A purge that meets one ends in a fault that names no path and can be repeated."""
    store = Store(_memory(tmp_path), tmp_path / "cache")
    store.publish("adapters", DIGEST, FILES)

    def refuse(*_: object, **__: object) -> None:
        raise refusal

    monkeypatch.setattr(type(fsspec.filesystem("memory")), method, refuse)
    for ask in ASKED[method]:
        with pytest.raises(Fault, match=f"The store could not be [a-z]+: {type(refusal).__name__}") as said:
            ask(store, "adapters", *(() if ask is Store.digests else (DIGEST,)))
        assert not str(said.value).count("secret-name")
    monkeypatch.undo()
    assert store.destroy("adapters", DIGEST)
    assert store.digests("adapters") == set()


def test_what_a_crash_left_half_written_is_invisible_and_swept(folder_store: Store, tmp_path: Path) -> None:
    folder_store.publish("adapters", DIGEST, FILES)
    kind = tmp_path / "store" / "adapters"
    (kind / ".partial-1").mkdir()
    (kind / ".partial-1" / "adapter_model.safetensors").write_bytes(b"half")
    (kind / ".partial-2").write_bytes(b"{")
    assert folder_store.digests("adapters") == {DIGEST}
    assert folder_store.sweep(datetime.now(UTC) - timedelta(days=1)) == 0, "somebody may be writing them"
    assert folder_store.leftovers(LATER) == folder_store.sweep(LATER) == 2
    assert folder_store.sweep(LATER) == 0
    assert sorted(path.name for path in kind.iterdir()) == [DIGEST, f"{DIGEST}.json"]
    assert folder_store.read("adapters", DIGEST) == FILES


def test_two_who_publish_the_same_at_once_both_succeed(folder_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one finishes while we are writing: the rename fails, and the entry is there."""
    really = Path.rename

    def late(self: Path, target: Path) -> Path:
        if target.name == DIGEST:
            monkeypatch.setattr(Path, "rename", really)
            folder_store.publish("adapters", DIGEST, FILES)
        return really(self, target)

    monkeypatch.setattr(Path, "rename", late)
    folder_store.publish("adapters", DIGEST, FILES)
    assert folder_store.read("adapters", DIGEST) == FILES
    assert folder_store.sweep(LATER) == 0


def test_an_entry_may_hold_folders(store: Store) -> None:
    """What shards served side by side are made of."""
    files = {"shards.json": b"{}"} | {f"s0{n}/{name}": content for n in (0, 2) for name, content in FILES.items()}
    store.publish("adapters", DIGEST, files)
    assert store.read("adapters", DIGEST) == files
    folder = store.directory("adapters", DIGEST)
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == files
    assert store.digests("adapters") == {DIGEST}
    assert store.destroy("adapters", DIGEST)
    assert not store.holds("adapters", DIGEST)
    assert not folder.exists()


def test_an_entry_knows_when_it_was_written(store: Store) -> None:
    """Half-written ones too: that is how the leftovers of a crash are told from what is arriving now."""
    before = datetime.now(UTC) - timedelta(seconds=2)
    store.publish("adapters", DIGEST, FILES)
    write(store, f"{store._path('adapters', 'cd' * 32)}/adapter_config.json", b"{}")
    for digest in (DIGEST, "cd" * 32):
        assert before <= store.written_at("adapters", digest) <= datetime.now(UTC) + timedelta(seconds=2)
    assert store.written_at("adapters", "ef" * 32).year == 1


def test_an_entry_that_a_crash_left_without_its_manifest_is_taken_as_it_is(folder_store: Store, tmp_path: Path) -> None:
    folder_store.publish("adapters", DIGEST, FILES)
    manifest = tmp_path / "store" / "adapters" / f"{DIGEST}.json"
    manifest.unlink()
    written = (tmp_path / "store" / "adapters" / DIGEST).stat().st_ino
    folder_store.publish("adapters", DIGEST, FILES)
    assert folder_store.read("adapters", DIGEST) == FILES
    assert (tmp_path / "store" / "adapters" / DIGEST).stat().st_ino == written, "its files were whole"
