"""A process that publishes entries: `python publisher.py URL CACHE MODE NAME...`. It waits for a line, so that two start at once.

Modes: `publish` does it fifty times over in turn with its peers; `die N` is killed when it is about to make its N-th write.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from pathlib import Path

import fsspec

import lineage.store
from lineage.store import Store


def entry(name: str) -> tuple[str, dict[str, bytes]]:
    """Digest and files of an entry, the same in every process."""
    body = hashlib.shake_256(name.encode()).digest(20_000)
    files = {"weights.safetensors": body, "optimizer.safetensors": body[::-1]}
    return hashlib.sha256(name.encode()).hexdigest(), files


def die_at(write: int) -> None:
    """Kill this process at its `write`-th write (from 1), locally half-way through the file."""
    done = {"writes": 0}
    really = lineage.store.write_synced

    def counted(path: Path, content: bytes) -> None:
        done["writes"] += 1
        if done["writes"] == write:
            path.write_bytes(content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        really(path, content)

    lineage.store.write_synced = counted
    remote = fsspec.get_filesystem_class("s3")
    pipe = remote.pipe_file

    def counted_remote(self: object, path: str, value: bytes, **more: object) -> None:
        done["writes"] += 1
        if done["writes"] == write:
            os.kill(os.getpid(), signal.SIGKILL)
        pipe(self, path, value, **more)

    remote.pipe_file = counted_remote


def main() -> None:
    """Publish what the arguments say."""
    url, cache, mode, *names = sys.argv[1:]
    if mode == "die":
        die_at(int(names.pop(0)))
    store = Store(url, Path(cache))
    store.holds("states", "warm-up")
    print("ready", flush=True)
    sys.stdin.readline()
    for name in names:
        digest, files = entry(name)
        store.publish("states", digest, files)
        if store.read("states", digest) != files:
            sys.exit("a published entry was not there")


if __name__ == "__main__":
    main()
