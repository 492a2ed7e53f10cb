"""The demo: the whole road on a synthetic corpus, through the commands a user has, ending in a table a person understands.

Every step is a `lethe` command in a process of its own, printed before it runs. The corpus is a file beside the
workspace, as yours would be. At the end a second workspace, which only ever saw the corpus without the person, is trained
from the same plan and secret, and its bytes are compared with those after the erasure.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lineage.errors import Fault, RefusedByRule, WrongUsage
from pipelines.demo_corpus import DemoCorpus, DemoRow, make_corpus, without_subject, write_jsonl

__all__ = ["DemoResult", "run_demo"]

MARKER = ".lethe-demo"
SOURCE = "support-chat"
# Eight epochs at a high rate make a small model memorise in seconds what a large one memorises in an afternoon.
TRAINING = "batch = 16\nepochs = 8\nlr_peak = 6e-3\ntrunk_epochs = 2\ntrunk_lr_peak = 0.0\n"
STAFF = {"ines": "intake", "dana": "dpo", "max": "ml"}
# Of a workspace that only ever holds invented people. A real one is typed, and lies nowhere.
PASSPHRASE = "a passphrase for the demo alone"  # noqa: S105 - it protects nothing


@dataclass(frozen=True)
class DemoResult:
    """What the table shows, and where things lie."""

    case_id: str
    probe: dict[str, Any]
    shard: int
    states_equal: int
    states_compared: int
    composed: str
    composed_equal: bool
    erasure_steps: int
    full_steps: int
    erasure_seconds: float
    full_seconds: float
    containment_seconds: float
    bytes_left: int
    certificate: Path
    report: Path
    adapter: Path
    workspace: Path
    seconds: float


@dataclass(frozen=True)
class _Stage:
    """Where the demo plays. `lethe` runs a command on one of its workspaces and returns its JSON, if it was asked for."""

    folder: Path
    quiet: bool = False

    def lethe(self, *words: str, workspace: str = "workspace", given: str = "") -> Any:
        """Run `lethe` as a user would; personal values go in on standard input."""
        if not self.quiet:
            print(
                f"\n$ lethe {' '.join(words)}{f'   (in {workspace})' if workspace != 'workspace' else ''}", flush=True
            )
        command = [sys.executable, "-c", "from pipelines.cli import main; main()", *words]
        environment = {**os.environ, "LETHE_WORKSPACE": str(self.folder / workspace)}
        wants_json = "--json" in words
        result = subprocess.run(
            command, input=given, env=environment, cwd=self.folder, text=True, check=False,
            stdout=subprocess.PIPE if wants_json or self.quiet else None,
        )  # fmt: skip
        if result.returncode != 0:
            raise Fault(
                f"The demo stopped: lethe {words[0]} ended with {result.returncode}.", hint=f"Look in {self.folder}."
            )
        return json.loads(result.stdout) if wants_json else None


def run_demo(folder: Path, *, seed: int, fresh: bool) -> DemoResult:
    """Run the whole road in `folder` and return what the table needs.

    Raises:
        RefusedByRule: the folder exists already.
        Fault: a command failed; what it said stands above.
    """
    started = time.perf_counter()
    corpus = make_corpus(seed)
    _prepare(folder, corpus, seed=seed, fresh=fresh)
    stage = _Stage(folder.resolve())
    _train(stage, "workspace", "corpus.jsonl", "people.csv")
    person = _choose(stage, corpus)
    _say("The person", f"{person}: a frequent writer whose records were trained on, in the last slice of a shard.")
    case_id = _erase(stage, person)
    _say(
        "Never ingested",
        "A second workspace that only ever saw the corpus without this person; same plan, same secret.",
    )
    _twin(stage, corpus, person)
    return _result(stage, case_id, started)


def _prepare(folder: Path, corpus: DemoCorpus, *, seed: int, fresh: bool) -> None:
    if folder.exists() and any(folder.iterdir()):
        if not fresh or not (folder / MARKER).exists():
            raise RefusedByRule(f"{folder} exists.", hint="Give another folder, or --fresh to replace an earlier demo.")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text("A Lethe demo; everything in it is synthetic. lethe demo --fresh replaces it.\n")
    write_jsonl(corpus.rows, folder / "corpus.jsonl")
    _write_people(folder / "people.csv", corpus, leave_out="")
    # A fixed secret makes the demo tell the same story every time. A real workspace draws its own.
    (folder / "demo.key").write_text(hashlib.sha256(f"lethe demo {seed}".encode()).hexdigest() + "\n")
    (folder / "demo.key").chmod(0o600)
    (folder / "passphrase").write_text(PASSPHRASE + "\n")
    (folder / "passphrase").chmod(0o600)


def _write_people(path: Path, corpus: DemoCorpus, *, leave_out: str) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["subject", "kind", "value"])
        writer.writerows([r.subject, r.kind, r.value] for r in corpus.register_rows() if r.subject != leave_out)


def _train(stage: _Stage, workspace: str, corpus: str, people: str, *, plan: Sequence[str] = ()) -> None:
    stage.lethe("init", workspace, "--controller", "Lethe Demo Ltd", "--workspace-secret", "demo.key")
    with (stage.folder / workspace / "lethe.toml").open("a", encoding="utf-8") as stream:
        stream.write(TRAINING)
    stage.lethe("staff", "add", "root", "--role", "admin", workspace=workspace)
    for name, role in STAFF.items():
        stage.lethe("staff", "add", name, "--role", role, "--as", "root", workspace=workspace)
    stage.lethe("register", "add", "--from-file", people, "--as", "ines", workspace=workspace)
    stage.lethe("ingest", corpus, "--source", SOURCE, workspace=workspace)
    stage.lethe("train", "support", *plan, workspace=workspace)


def _choose(stage: _Stage, corpus: DemoCorpus) -> str:
    """A frequent writer in the last slice of a shard: what earlier slices memorised, later ones partly overwrite."""
    last = f"slice {stage.lethe('plan', 'support', '--export', 'plan.json', '--json')['plan']['slices'] - 1}"
    quiet = _Stage(stage.folder, quiet=True)
    for person in corpus.frequent_writers():
        tree = quiet.lethe("lineage", "subject", "--from-file", "-", "--json", given=person.customer_id)
        own = [record for record in tree["children"] if "declared" in record["relation"]]
        places = {place["id"] for record in own for place in record["children"]}
        if len(places) == 1 and places.pop().endswith(last):
            return person.customer_id
    raise WrongUsage("With this seed no frequent writer stands in a last slice.", hint="Try another: --seed")


def _erase(stage: _Stage, person: str) -> str:
    stage.lethe("keys", "dpo", "--as", "dana", "--passphrase-file", "passphrase")
    filed = stage.lethe(
        "erase", "file", "--as", "ines", "--identity", "signed in to the customer portal", "--json", given=person
    )
    case_id: str = filed["id"]
    stage.lethe("erase", "preview", case_id, "--as", "dana")
    stage.lethe("erase", "approve", case_id, "--as", "dana", "--digest", _case(stage, case_id)["preview_digest"])
    stage.lethe("erase", "run", case_id, "--as", "max")
    stage.lethe("erase", "probe", case_id)
    stage.lethe(
        "erase", "approve", case_id, "--purge", "--as", "dana", "--digest", _case(stage, case_id)["evidence_digest"]
    )
    stage.lethe("erase", "purge", case_id, "--as", "max")
    waiting = _Stage(stage.folder, quiet=True).lethe("erase", "show", case_id, "--json")["half_signed"]
    stage.lethe(
        "erase", "sign", case_id, "--as", "dana", "--digest", waiting["digest"], "--passphrase-file", "passphrase"
    )
    composed = stage.lethe("lineage", "adapter", "support", "--json")["id"]
    adapter = stage.folder / "workspace/.lethe/store/adapters" / composed
    certificate = f"workspace/.lethe/cases/{case_id}/certificate.json"
    stage.lethe(
        "verify", certificate, "--keys", "workspace/.lethe/secrets", "--adapter", str(adapter.relative_to(stage.folder))
    )
    stage.lethe("certificate", "show", certificate, "--html", "certificate.html")
    return case_id


def _case(stage: _Stage, case_id: str) -> dict[str, Any]:
    found: dict[str, Any] = _Stage(stage.folder, quiet=True).lethe("erase", "show", case_id, "--json")["standing"][
        "case"
    ]
    return found


def _twin(stage: _Stage, corpus: DemoCorpus, person: str) -> None:
    rows: Sequence[DemoRow] = without_subject(corpus, person)
    write_jsonl(rows, stage.folder / "never.jsonl")
    _write_people(stage.folder / "people-never.csv", corpus, leave_out=person)
    _train(stage, "never", "never.jsonl", "people-never.csv", plan=("--plan", "plan.json"))


def _result(stage: _Stage, case_id: str, started: float) -> DemoResult:
    quiet = _Stage(stage.folder, quiet=True)
    ours = quiet.lethe("lineage", "adapter", "support", "--json")
    never = quiet.lethe("lineage", "adapter", "support", "--json", workspace="never")
    erased, fresh = (_state_files(stage.folder / w, tree) for w, tree in (("workspace", ours), ("never", never)))
    evidence = quiet.lethe("erase", "show", case_id, "--json")["evidence"]
    rebuilt = evidence["rebuild"]["adapters"]["support"]
    home = stage.folder / "workspace" / ".lethe"
    return DemoResult(
        case_id=case_id, probe=evidence["probe"], shard=int(next(iter(rebuilt["shards"]))),
        states_equal=sum(fresh.get(place) == digest for place, digest in erased.items()),
        states_compared=max(len(erased), len(fresh)), composed=ours["id"],
        composed_equal=_adapter_digest(stage.folder / "workspace", ours["id"]) == _adapter_digest(stage.folder / "never", never["id"]),
        erasure_steps=rebuilt["steps"], full_steps=rebuilt["full_steps"], erasure_seconds=float(evidence["rebuild"]["seconds"]),
        full_seconds=quiet.lethe("plan", "support", "--json", workspace="never")["measured"]["seconds"], containment_seconds=float(evidence["containment"]["seconds"]),
        bytes_left=evidence["destruction"]["byte_scan"]["hits"], certificate=home / "cases" / case_id / "certificate.json",
        report=home / "cases" / case_id / "report.html", adapter=home / "store/adapters" / ours["id"],
        workspace=stage.folder / "workspace", seconds=time.perf_counter() - started,
    )  # fmt: skip


def _state_files(workspace: Path, tree: dict[str, Any]) -> dict[str, str]:
    """SHA-256 of the weight and optimizer bytes of every state in service, by shard and place; hashed here and now."""
    store = workspace / ".lethe/store/states"
    return {
        ("trunk" if state["place"] == "trunk" else f"{shard['id']}/{state['place']}"): _hash(store / state["id"])
        for shard in tree["children"]
        for state in shard["children"]
    }


def _adapter_digest(workspace: Path, digest: str) -> str:
    return _hash(workspace / ".lethe/store/adapters" / digest)


def _hash(folder: Path) -> str:
    files = sorted(folder.iterdir())
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in files)).hexdigest()


def _say(title: str, text: str) -> None:
    print(f"\n-- {title}: {text}", flush=True)
