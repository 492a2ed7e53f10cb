"""The whole road of one case over a base that trains in milliseconds: filed, previewed, approved, contained, rebuilt, derived
again, judged, purged, certified, signed, told to a party and to the person, and closed, by the functions and under the leases
that commands and jobs use.

Whoever walks it goes by where the case stands, as a user or a sensor does, so a road that was cut off is walked on by the
same `walk`. Clock and ids stand still (`standing_still`), so two walks differ by what happened to them alone. Three
things are left out: the judge, whose verdict moves no weight; the second process of the re-derivation, which works in this
one; and the wire to the party (`party`).
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command_line import PASSPHRASE
from exported import export, exported
from party import Party
from quick_world import PLANS, OnceProven
from small_world import ADAPTER, Bytes, bytes_in_service, values_of
from stream_books import POOL, register, row_about, row_about_nobody, take_in, train, write_rows
from thief import every_key, opens

from lineage import builds, desk, inventory, journal, languages, signing
from lineage.access import Actor, Role
from lineage.case import CaseFile
from lineage.case_view import CaseView
from lineage.closing import Telling, tell_person
from lineage.dossier import HALF_SIGNED
from lineage.endpoints import seal_endpoint
from lineage.lease import held
from lineage.letters import Kind
from lineage.notices import notices
from lineage.policy import load_policy
from lineage.stages import ROAD, Stage
from lineage.verify import load_trusted_keys, verify_file
from lineage.workspace import Workspace, open_workspace
from pipelines import containing, deriving, erasure, ingest, judging, notifying, previewing, purging
from pipelines.jobs import working
from pipelines.rederive import rederive
from pipelines.resources import WindowResource
from pipelines.states import open_atelier

NOW = datetime(2026, 2, 2, 9, tzinfo=UTC)
NONCE = "0a1b2c3d"
CASE = f"case-{NONCE}"
WHO, OTHER, *REST = POOL[:7]
INES, DANA, MAX = Actor("ines", Role.INTAKE), Actor("dana", Role.DPO), Actor("max", Role.ML)
EXECUTION = (Stage.APPROVED, Stage.CONTAINED, Stage.EXECUTING, Stage.VERIFYING)


@contextmanager
def standing_still() -> Iterator[None]:
    """One time, one case id, no measured seconds; a scanner that is started once, the re-derivation in this process, no judge."""
    now = ingest.utc_now
    with pytest.MonkeyPatch.context() as patch:
        for module in [m for name, m in sys.modules.items() if name.startswith("pipelines.")]:
            if getattr(module, "utc_now", None) is now:
                patch.setattr(module, "utc_now", lambda: NOW)
        for timed in (containing, erasure):
            patch.setattr(timed, "time", SimpleNamespace(perf_counter=lambda: 0.0))
        patch.setattr(desk, "secrets", SimpleNamespace(token_hex=lambda _: NONCE))
        patch.setattr(deriving, "_second_process", _in_this_process)
        scanner = cache(lambda _: OnceProven(load_policy("default")))
        patch.setattr(languages, "Scanner", lambda policy: scanner(policy.digest))
        patch.setattr(judging, "_probe_adapter", lambda *_: None)
        yield


def _in_this_process(workspace: Workspace, adapter: str, first: dict[int, int]) -> dict[int, dict[int, str]]:
    atelier = open_atelier(workspace, adapter)
    return {shard: rederive(atelier, shard, index) for shard, index in first.items()}


def make_small_world(template: Path, folder: Path) -> Path:
    """A trained workspace: one person with rows of their own, a row of another that names them, and one derived from theirs.
    Beside it lies a file that was made from its adapter, with a value of the person in it (`exported`)."""
    shutil.copytree(template, folder)
    workspace, rng = open_workspace(folder), random.Random(11)
    register(workspace, [WHO, OTHER, *REST])
    own = [row_about(WHO, rng) for _ in range(2)]
    others = [row_about(OTHER, rng, other=WHO), row_about(OTHER, rng, parent=own[0].row_id)]
    rows = [*own, *others, *(row_about(person, rng) for person in REST), *(row_about_nobody(rng) for _ in range(2))]
    take_in(workspace, write_rows(workspace, rows))
    train(workspace, PLANS[0])
    endpoint = seal_endpoint(workspace, "shop", "https://shop.example/erasures")
    with workspace.database.transaction() as session:
        shop = inventory.Party("shop", "recipient", "Example Shop Ltd")
        inventory.put_party(session, shop, actor=DANA, now=NOW, endpoint=endpoint)
        composed = builds.current_release(session, ADAPTER)
    export(folder, values_of([WHO])[0].encode(), actor=MAX, now=NOW, composed=composed)
    return folder


# --- walking -----------------------------------------------------------------------------------------------------------------


def case_at(workspace: Workspace) -> CaseView | None:
    """The one case of the road, if it was filed."""
    with workspace.database.reader() as session:
        found = session.connection().exec_driver_sql("SELECT count(*) FROM erasure_case").scalar()
        return CaseFile(session, CASE).view if found else None


def walk(folder: Path, *, until: Stage = Stage.CLOSED, before_step: Callable[[], object] = lambda: None) -> None:
    """Take one step after the other until everybody was told. A step that fails raises what it raises."""
    workspace = open_workspace(folder)
    taken: Counter[str] = Counter()
    while (case := case_at(workspace)) is None or case.stage != until:
        stage = case.stage if case else "nothing"
        taken[stage] += 1
        if taken[stage] > (3 if stage == Stage.NOTIFYING else 2):  # a try, another one, and the person
            raise AssertionError(f"the road does not go on from {stage}")
        before_step()
        _step(workspace, case)


def _step(workspace: Workspace, case: CaseView | None) -> None:
    opened = SimpleNamespace(open=lambda: workspace)
    match case.stage if case else None:
        case None:
            intake = desk.Intake([WHO.customer_id], "b", "portal", date(2026, 1, 31))
            desk.file_case(workspace, intake, actor=INES, now=NOW)
        case Stage.ASSESSMENT:
            with working(opened, CASE):
                previewing.make_preview(workspace, CASE)
        case Stage.PREVIEW_READY:
            desk.approve(workspace, CASE, actor=DANA, digest=case.preview_digest, now=NOW)
        case stage if stage in EXECUTION:
            _execute(workspace)
        case Stage.EVIDENCE_READY:
            desk.approve_purge(workspace, CASE, actor=DANA, digest=case.evidence_digest, now=NOW)
        case Stage.PURGE_APPROVED:
            with held(workspace.database, ingest.INGEST_LEASE, lambda: NOW), working(opened, CASE):
                purging.purge_case(workspace, CASE)
        case Stage.PURGED:
            read = hashlib.sha256((workspace.case_directory(CASE) / HALF_SIGNED).read_bytes()).hexdigest()
            signing.sign(workspace, CASE, digest=read, actor=DANA, now=NOW, passphrase=PASSPHRASE)
        case Stage.NOTIFYING:
            _tell(workspace)
        case Stage.FAILED:
            desk.retry(workspace, CASE, actor=MAX, now=NOW)


def _execute(workspace: Workspace) -> None:
    """What the ops of the erasure job do, one after the other; each opens the workspace again."""
    resource = WindowResource(folder=str(workspace.settings.workspace))
    with resource.yield_for_execution(None) as window:
        for verb in (erasure.contain, erasure.rebuild, deriving.rederive, judging.probe_window):
            cases = window.hold([CASE])
            verb(window.open(), *cases)


def _tell(workspace: Workspace) -> None:
    """The party first, a day after each try that failed; then the person."""
    with workspace.database.reader() as session:
        (shop,) = notices(session, CASE)
    if shop.next_try_at is None:
        telling = Telling(Kind.GRANTED, NOW.date(), own=True)
        tell_person(workspace, CASE, telling, actor=INES, now=NOW)
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notifying, "deliver", Party(workspace.settings.workspace).deliver)
        notifying.send_due(workspace, clock=lambda: NOW + timedelta(days=shop.tries))


# --- what is so, by bytes and rows and without asking the case ----------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What a walk has left. `certified` is the certificate without the two digests that also bind how often somebody had to
    try: of the ledger, and of the evidence, which counts the steps of the run that ended the rebuild."""

    certified: str
    events: tuple[str, ...]
    service: Bytes
    states: frozenset[str]
    adapters: frozenset[str]
    releases: tuple[str, ...]
    keeping_out: tuple[tuple[str, ...], ...]
    evidence: frozenset[str]
    exports: frozenset[str]
    journal: tuple[tuple[str, ...], ...]
    rows: tuple[tuple[str, int], ...]

    def differs(self, other: Outcome) -> set[str]:
        """The names of what is not the same."""
        return {f.name for f in fields(self) if getattr(self, f.name) != getattr(other, f.name)}


def outcome(folder: Path) -> Outcome:
    """Everything that stays behind of a road that was walked to its end."""
    workspace, lines = open_workspace(folder), list(journal.entries(folder / ".lethe" / "journal.jsonl"))
    keeping_out = "SELECT kind, hmac FROM tombstone UNION ALL SELECT kind, hmac FROM suppression ORDER BY 1, 2"
    counted = [name for name in _tables(folder) if name not in ("ledger", "evidence")]
    return Outcome(
        certified=json.dumps(_certified(folder), sort_keys=True),
        events=tuple(_without_failures(kind for (kind,) in asked(folder, "SELECT kind FROM ledger ORDER BY seq"))),
        service=bytes_in_service(folder),
        states=frozenset(workspace.store.digests("states")),
        adapters=frozenset(workspace.store.digests("adapters")),
        releases=tuple(reason for (reason,) in asked(folder, "SELECT reason FROM release ORDER BY id")),
        keeping_out=tuple(asked(folder, keeping_out)),
        evidence=frozenset(kind for (kind,) in asked(folder, "SELECT kind FROM evidence")),
        exports=frozenset(
            str(path.relative_to(exported(folder).parent)) for path in exported(folder).parent.rglob("*")
        ),
        journal=tuple(dict.fromkeys((line.kind, line.case_id, *line.record_ids) for line in lines)),
        rows=tuple((name, asked(folder, f"SELECT count(*) FROM {name}")[0][0]) for name in counted),  # noqa: S608
    )


def _certified(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(base64.b64decode(json.loads(certificate_of(folder).read_bytes())["payload"]))
    del facts["predicate"]["ledger"], facts["predicate"]["purge"]["digest"]
    return facts


def _without_failures(kinds: Iterable[str]) -> Iterator[str]:
    """Without each failure and the retry that follows it, and without the tries of a notice."""
    after_failure = False
    for kind in kinds:
        if kind not in ("case.failed", "notice.sent", "notice.failed") and not after_failure:
            yield kind
        after_failure = kind == "case.failed"


def certificate_of(folder: Path, name: str = "certificate.json") -> Path:
    """Where the case's certificate lies."""
    return folder / ".lethe" / "cases" / CASE / name


def asked(folder: Path, question: str, file: str = "lethe.db") -> list[tuple[Any, ...]]:
    """What a database says, from outside."""
    with closing(sqlite3.connect(folder / ".lethe" / file)) as connection:
        return connection.execute(question).fetchall()


def _tables(folder: Path) -> list[str]:
    return [name for (name,) in asked(folder, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")]


@dataclass(frozen=True)
class Truth:
    """What must be so, from the world before and an undisturbed walk: `sealed` is every ciphertext about the person, taken
    before; `doomed` what of the store descends from their records."""

    sealed: dict[str, bytes]
    doomed: dict[str, frozenset[str]]
    erased: frozenset[str]
    contained: str
    rebuilt: str


def truth_of(before: Path, after: Path) -> Truth:
    """By comparing the world before with what an undisturbed walk has left."""
    records = [{r for (r,) in asked(folder, "SELECT id FROM record")} for folder in (before, after)]
    erased = records[0] - records[1]
    vault = dict(asked(before, "SELECT record_id, ciphertext FROM vault"))
    forms = asked(before, "SELECT subject_key, id, ciphertext FROM register_form")
    known = {key for (key,) in asked(after, "SELECT DISTINCT subject_key FROM register_form")}
    stores = [open_workspace(folder).store for folder in (before, after)]
    kinds = ("states", "adapters")
    (_, contained, rebuilt) = asked(after, "SELECT composed_digest FROM release ORDER BY id")
    return Truth(
        sealed={f"record:{r}": vault[r] for r in erased}
        | {f"subject:{key}#{number}": sealed for key, number, sealed in forms if key not in known},
        doomed={kind: frozenset(stores[0].digests(kind) - stores[1].digests(kind)) for kind in kinds},
        erased=frozenset(erased),
        contained=contained[0],
        rebuilt=rebuilt[0],
    )


def lies(folder: Path, truth: Truth) -> list[str]:
    """Everything that a workspace says and that is not so; also what was destroyed before anybody wrote down that it goes."""
    claimed = _claimed(folder)
    reached = [stage for stage in ROAD if ROAD.index(stage) <= ROAD.index(claimed)] if claimed else []
    serving = asked(folder, "SELECT composed_digest FROM release WHERE withdrawn_at IS NULL")
    left, gone = _left(folder, truth), _gone(folder, truth)
    half, whole = certificate_of(folder, "certificate.half.json").exists(), certificate_of(folder).exists()
    begun = any(entry.kind == journal.BEGUN for entry in journal.entries(folder / ".lethe" / "journal.jsonl"))
    kinds = {kind for (kind,) in asked(folder, "SELECT kind FROM evidence")}
    claims = {
        "contained": Stage.CONTAINED not in reached or serving in ([(truth.contained,)], [(truth.rebuilt,)]),
        "rebuilt": Stage.VERIFYING not in reached or (serving == [(truth.rebuilt,)] and "rebuild" in kinds),
        "judged": Stage.EVIDENCE_READY not in reached or kinds >= {"rederivation", "probe"},
        "purged": Stage.PURGED not in reached or not left - {f"case:{CASE}"},
        "file deleted": not exported(folder).exists() or "deleted" not in _said_of_files(folder),
        "half certified": not half or not left - {f"case:{CASE}"},
        "certified": not whole or not left,
        "signed": Stage.SIGNED_OFF not in reached or (whole and is_valid(folder)),
        "acknowledged": _acknowledged(folder) <= Party(folder).acknowledged,
        "closed": Stage.CLOSED not in reached or (_acknowledged(folder) and "letter:granted" in kinds),
        "destroyed in secret": not gone or (begun and Stage.PURGE_APPROVED in reached),
    }
    return [claim for claim, so in claims.items() if not so]


def _said_of_files(folder: Path) -> set[str]:
    """What became of the derived file, as the inventory and the certificate have it."""
    half = certificate_of(folder, "certificate.half.json")
    certified = (
        json.loads(base64.b64decode(json.loads(half.read_bytes())["payload"]))["predicate"] if half.exists() else {}
    )
    known = {result for (result,) in asked(folder, "SELECT result FROM derived_file")}
    return known | {one["result"] for one in certified.get("derived_files", ())}


def _acknowledged(folder: Path) -> set[str]:
    """The notices that are said to be acknowledged."""
    return {name for (name,) in asked(folder, "SELECT id FROM notice WHERE state = 'acknowledged'")}


def is_valid(folder: Path) -> bool:
    """Whether the certificate stands before a stranger with the two public keys."""
    trusted = load_trusted_keys(keys=folder / ".lethe" / "secrets")
    return verify_file(certificate_of(folder), trusted=trusted, expect_case=CASE).exit_code == 0


def _claimed(folder: Path) -> Stage | None:
    """The stage at which the case says it stands, or at which it failed."""
    found = asked(folder, "SELECT stage, resume_stage FROM erasure_case")
    if not found:
        return None
    ((stage, resumes),) = found
    return Stage(resumes if stage == Stage.FAILED else stage)


def _left(folder: Path, truth: Truth) -> set[str]:
    """What of the person is there, in any form: weights, rows, ciphertexts that a key opens, the case's key, plain bytes."""
    home, there = folder / ".lethe", _in_store(folder)
    weights = {digest for kind, digests in truth.doomed.items() for digest in digests & there[kind]}
    rows = truth.erased & {r for (r,) in asked(folder, "SELECT id FROM record UNION SELECT record_id FROM vault")}
    case = {name for (name,) in asked(folder, "SELECT name FROM data_key", "keys.db") if name == f"case:{CASE}"}
    values = [value.encode() for value in values_of([WHO])]
    told = "not_reached" in _said_of_files(folder)
    files = {"the derived file"} if exported(folder).exists() and not told else set()
    plain = {str(p) for p in home.rglob("*") if p.is_file() and any(value in p.read_bytes() for value in values)}
    return weights | rows | case | plain | files | opens(truth.sealed, every_key(home))


def _gone(folder: Path, truth: Truth) -> set[str]:
    """What of that is not there any more."""
    there = _in_store(folder)
    rows = {r for (r,) in asked(folder, "SELECT id FROM record")}
    weights = {digest for kind, digests in truth.doomed.items() for digest in digests - there[kind]}
    files = set() if exported(folder).exists() else {"the derived file"}
    return (
        weights
        | files
        | (truth.erased - rows)
        | (truth.sealed.keys() - opens(truth.sealed, every_key(folder / ".lethe")))
    )


def _in_store(folder: Path) -> dict[str, set[str]]:
    kinds = ("states", "adapters")
    return {k: {p.name.removesuffix(".json") for p in (folder / ".lethe" / "store" / k).iterdir()} for k in kinds}
