"""Fixtures that walk the road once for everybody. Tests copy a workspace (`copy_workspace`) before they change it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

ROOT = Path(__file__).parents[1]
# Modules run side by side, a process for each core: with a thread for each core in each of them, the threads of torch spend
# their time waiting for one another (two modules of probes took 2.5 times as long; they seldom meet, so the whole suite gains
# 2%). Read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# pytest puts this folder on the path, where `tests/lineage` would pass for the package `lineage`; the real one goes first.
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support"), str(ROOT / "tests" / "lineage")]


@dataclass(frozen=True)
class Stage:
    """A workspace at one point of the road, with the plan file and secret that another world can share."""

    folder: Path
    corpus: Path
    people: Path
    secret: Path
    plan: Path
    case_id: str = ""


@pytest.fixture(scope="session")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """A corpus behind the gate, nothing trained; ingested by a fresh process."""
    from command_line import lethe
    from small_world import CORPUS, telling_plan, write_corpus, write_secret
    from world_making import make_world

    from lineage.workspace import open_workspace

    root = tmp_path_factory.mktemp("ingested")
    corpus, people = write_corpus(CORPUS, root / "given")
    secret = write_secret(root / "given")
    make_world(root / "ws", corpus=corpus, people=people, secret=secret, ingest=lethe)
    plan = root / "given" / "chosen-plan.json"
    plan.write_text(telling_plan(open_workspace(root / "ws")).to_json())
    return Stage(root / "ws", corpus, people, secret, plan)


@pytest.fixture(scope="session")
def trained(ingested: Stage, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Trained and in service, by a fresh process; `plan` is what `lethe plan --export` then writes."""
    from command_line import lethe, lethe_here
    from small_world import ADAPTER, copy_workspace

    root = tmp_path_factory.mktemp("trained")
    folder = copy_workspace(ingested.folder, root / "ws")
    lethe("train", ADAPTER, "--plan", ingested.plan, workspace=folder)
    lethe_here("plan", ADAPTER, "--export", root / "plan.json", workspace=folder)
    return Stage(folder, ingested.corpus, ingested.people, ingested.secret, root / "plan.json")


@pytest.fixture(scope="session")
def erased(trained: Stage, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The planted person's case at EVIDENCE_READY, by `lethe erase run` in a fresh process."""
    from command_line import lethe
    from road import to_approved
    from small_world import PLANTED, copy_workspace

    folder = copy_workspace(trained.folder, tmp_path_factory.mktemp("erased") / "ws")
    case_id = to_approved(folder, PLANTED)
    lethe("erase", "run", case_id, workspace=folder)
    return Stage(folder, trained.corpus, trained.people, trained.secret, trained.plan, case_id)


@pytest.fixture(scope="session")
def purged(erased: Stage, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The same case after its purge, in this process."""
    from command_line import lethe_here
    from road import to_purge_approved
    from small_world import copy_workspace

    folder = copy_workspace(erased.folder, tmp_path_factory.mktemp("purged") / "ws")
    to_purge_approved(folder, erased.case_id)
    lethe_here("erase", "purge", erased.case_id, workspace=folder)
    return Stage(folder, erased.corpus, erased.people, erased.secret, erased.plan, erased.case_id)


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """A workspace with staff and a very small base, and nothing in it. In memory, where there is a place for that: a
    third of the time would go into syncing small transactions to the disk."""
    from quick_world import make_template

    memory = Path("/dev/shm")  # noqa: S108 - a fresh folder is made in it
    with TemporaryDirectory(prefix="lethe-streams-", dir=memory if memory.is_dir() else None) as folder:
        yield make_template(Path(folder))


@pytest.fixture
def one_scanner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting Presidio takes half a second, so every workspace of a test shares one that was started."""
    from quick_world import OnceProven

    from lineage import languages
    from lineage.policy import load_policy

    scanner = cache(lambda _: OnceProven(load_policy("default")))
    monkeypatch.setattr(languages, "Scanner", lambda policy: scanner(policy.digest))


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The endpoint of an S3 server in a process of its own; credentials and region as the AWS libraries read them."""
    from s3_server import serving

    with serving() as endpoint, pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", endpoint)
        environment.setenv("AWS_ACCESS_KEY_ID", "test")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield endpoint


@pytest.fixture
def s3_url(s3_server: str) -> str:
    """A bucket of its own for one test."""
    from s3_server import new_bucket

    return f"s3://{new_bucket()}/lethe"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """For tests that run jobs in this process: what they set in the environment is undone."""
    for name in ("LETHE_WORKSPACE", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return monkeypatch
