"""A small trained workspace made through the public commands, and `lethe up` as a real process over it."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from command_line import people_of_tests

from pipelines.demo_corpus import make_corpus, write_jsonl

LETHE = Path(sys.executable).with_name("lethe")
TRAINING = (
    "\nshards = 4\nslices = 2\nepochs = 1\ntrunk_epochs = 1\nbatch = 8\nlora_r = 4\nlora_alpha = 8\nmax_length = 128\n"
)
SECRET, NONCE = bytes(range(32)).hex() + "\n", "00" * 16  # fixed, so that placement and verdict are the same every time
PEOPLE, TRUNK_ROWS = 12, 10
STAFF = {"ines": "intake", "dana": "dpo", "max": "ml"}


# Fixed, with secret and nonce: on three out-adapters an honest erasure fails its probes by chance now and then (the
# error budget, docs/limits.md), and who is erased here must not depend on the order of a set.
PERSON = "C-1023"


@dataclass
class SmallWorld:
    """`person` is somebody with several records who was trained on, `values` what is known of them."""

    folder: Path
    workspace: Path
    person: str = ""
    values: tuple[str, ...] = field(default=(), repr=False)

    def lethe(self, *arguments: str, given: str = "", timeout_s: float = 120, expect: int = 0) -> str:
        """Run a command; standard output and error together."""
        environment = {
            **os.environ, **people_of_tests(), "LETHE_WORKSPACE": str(self.workspace), "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        done = subprocess.run(
            [LETHE, *arguments], input=given, text=True, env=environment, cwd=self.folder, timeout=timeout_s,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        assert done.returncode == expect, f"lethe {' '.join(arguments)}: exit {done.returncode}\n{done.stdout[-3000:]}"
        return done.stdout


def make_small_world(folder: Path, *, trained: bool) -> SmallWorld:
    """About 12 people with 2 to 4 records each and 10 rows about nobody."""
    corpus = make_corpus(7)
    people = [p for p in corpus.people if p.purpose == "customer" and 2 <= len(corpus.rows_of(p.customer_id)) <= 4]
    chosen = {p.customer_id for p in people[:PEOPLE]}
    rows = [r for r in corpus.rows if r.subjects and set(r.subjects) <= chosen and not r.parents]
    rows += [r for r in corpus.rows if not r.subjects and not r.parents][:TRUNK_ROWS]
    write_jsonl(rows, folder / "corpus.jsonl")
    with (folder / "people.csv").open("w", newline="") as file:
        register = csv.writer(file)
        register.writerow(["subject", "kind", "value"])
        register.writerows((r.subject, r.kind, r.value) for r in corpus.register_rows() if r.subject in chosen)
    world = SmallWorld(folder, folder / "ws")
    secret = folder / "workspace.key"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    world.lethe("init", str(world.workspace), "--controller", "Small GmbH", "--workspace-secret", str(secret))
    with (world.workspace / "lethe.toml").open("a") as settings:
        settings.write(TRAINING)
    world.lethe("staff", "add", "root", "--role", "admin")
    for name, role in STAFF.items():
        world.lethe("staff", "add", name, "--role", role, "--as", "root")
    world.lethe("keys", "dpo", "--as", "dana")
    if trained:
        world.lethe("register", "add", "--from-file", str(folder / "people.csv"))
        world.lethe("ingest", str(folder / "corpus.jsonl"), "--source", "tickets")
        train(world)
        known = {p.customer_id: [r.value for r in corpus.register_rows() if r.subject == p.customer_id] for p in people}
        assert "placement shard" in world.lethe("lineage", "subject", given=PERSON), "nothing was trained on the person"
        world.person = PERSON
        world.values = tuple(known[world.person])
    return world


def train(world: SmallWorld) -> None:
    """Under a plan whose nonce is ours."""
    plan = world.folder / "plan.json"
    world.lethe("plan", "support", "--export", str(plan))
    plan.write_text(json.dumps({**json.loads(plan.read_text()), "nonce": NONCE}))
    world.lethe("train", "support", "--plan", str(plan), timeout_s=300)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Up:
    """A running `lethe up`."""

    world: SmallWorld
    process: subprocess.Popen[str]
    port: int
    dagster_port: int
    output: Path

    @property
    def console(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def dagster(self) -> str:
        return f"http://127.0.0.1:{self.dagster_port}"

    def said(self) -> str:
        return self.output.read_text()

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def tails(self) -> str:
        """The end of everything that was printed and logged, for a failure's message."""
        logs = sorted((self.world.workspace / ".lethe" / "logs").glob("*.log"))
        return "\n".join(f"--- {path.name}\n{path.read_text()[-2500:]}" for path in [self.output, *logs])


@contextmanager
def running(world: SmallWorld, *, timeout_s: float = 120) -> Iterator[Up]:
    """`lethe up` on free ports, started as a script would start it: no terminal, SIGINT ignored."""
    port, dagster_port, output = free_port(), free_port(), world.folder / "up.txt"
    with output.open("w") as file:
        process = subprocess.Popen(
            [LETHE, "up", "--workspace", str(world.workspace), "--port", str(port), "--dagster-port", str(dagster_port)],
            stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"}, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # noqa: PLW1509
        )  # fmt: skip
    up = Up(world, process, port, dagster_port, output)
    try:
        wait_for(lambda: "Ctrl-C stops" in up.said() or process.poll() is not None, timeout_s, up.tails)
        assert process.poll() is None, up.tails()
        yield up
    finally:
        end(up)


def end(up: Up) -> None:
    """Whatever happened in a test, leave no process."""
    if up.process.poll() is None:
        left = up.descendants()
        up.process.terminate()
        try:
            up.process.wait(30)
        except subprocess.TimeoutExpired:
            up.process.kill()
        for process in psutil.wait_procs(left, timeout=10)[1]:
            process.kill()


def wait_for(met: Callable[[], object], timeout_s: float, explain: Callable[[], str]) -> None:
    """Wait until a condition holds; fail with an explanation."""
    deadline = time.monotonic() + timeout_s
    while not met():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s\n{explain()}"
        time.sleep(0.5)
