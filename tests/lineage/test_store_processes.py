"""Real processes: two that publish at once, one that is killed in the middle; in a folder, and on S3 in the slow suite."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import publisher
import pytest
from publisher import entry

from lineage.errors import Fault, NotAcceptable
from lineage.store import Store

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.getfixturevalue("s3_url") if request.param == "s3" else str(tmp_path / "store")


def started(url: str, cache: Path, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, publisher.__file__, url, cache, *arguments]
    process = subprocess.Popen(
        list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment()
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}


def let_go(processes: Sequence[subprocess.Popen[str]]) -> list[int]:
    """Say go to all of them; returns how each ended."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=120)
    return [process.returncode for process in processes]


def test_two_processes_publish_the_same_and_different_entries_at_once(url: str, tmp_path: Path) -> None:
    """Both walk the shared names in the same order, so they meet at many of them; each reads back what it published."""
    shared, mine = [f"shared {i}" for i in range(25)], [[f"{who} {i}" for i in range(5)] for who in ("one", "two")]
    ends = let_go([started(url, tmp_path / f"cache{i}", "publish", *shared, *own) for i, own in enumerate(mine)])
    assert ends == [0, 0]
    store = Store(url, tmp_path / "cache")
    made = dict(entry(name) for name in (*shared, *mine[0], *mine[1]))
    assert store.digests("states") == set(made)
    assert all(store.read("states", digest) == files for digest, files in made.items())
    assert store.leftovers(datetime.now(UTC) + timedelta(days=1)) == 0


@pytest.mark.parametrize("write", [1, 2, 3])
def test_killed_in_the_middle_of_publishing_nothing_is_there_and_the_next_try_succeeds(
    url: str, tmp_path: Path, write: int
) -> None:
    """At the first file, at the second, at the manifest. The manifest is written last, so there is none."""
    digest, files = entry("victim")
    assert let_go([started(url, tmp_path / "cache", "die", write, "victim")]) == [-signal.SIGKILL]
    store = Store(url, tmp_path / "cache")
    assert not store.holds("states", digest)
    with pytest.raises(NotAcceptable, match="no complete entry"):
        store.read("states", digest)
    store.publish("states", digest, files)
    assert store.read("states", digest) == files
    later = datetime.now(UTC) + timedelta(days=1)
    store.sweep(later)
    assert store.leftovers(later) == 0
    assert store.digests("states") == {digest}


@pytest.mark.slow
def test_an_object_store_out_of_reach_is_a_fault_with_a_sentence(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    store = Store(s3_url, tmp_path / "cache")
    for attempt in (lambda: store.holds("states", "x"), lambda: store.publish("states", "x", {"a": b"b"})):
        with pytest.raises(Fault, match="The store could not be"):
            attempt()
    s3fs.S3FileSystem.clear_instance_cache()
