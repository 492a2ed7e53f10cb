"""A workspace with staff, one registered person, and somebody who plays the jobs; also used for screenshots."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from command_line import PASSPHRASE
from sqlmodel import Session
from starlette.testclient import TestClient

from console.app import create_app
from lineage import access, evidence, merkle, sought
from lineage import facts as f
from lineage.absence import Absent, prove
from lineage.access import Actor, Role
from lineage.case import CaseFile
from lineage.certificate import build_statement, sign_first
from lineage.closure import counted, stores_of, supplied_forms
from lineage.dpo_key import make_dpo_key
from lineage.keys import load_private_key
from lineage.search_report import search_report
from lineage.stages import Stage
from lineage.subjects import SubjectEntry, add_forms
from lineage.tables import CaseRunRow
from lineage.workspace import Workspace, create_workspace, open_workspace

PERSON = ("Wilma Quendolin", "wilma@quendolin.example", "ACC-7741-2290")
OTHER = ("Bert Ostrander", "bert@ostrander.example")
STAFF = {"root": Role.ADMIN, "ines": Role.INTAKE, "dana": Role.DPO, "milo": Role.ML, "axel": Role.AUDITOR}
NOW = datetime(2026, 2, 20, 9, 30, tzinfo=UTC)
RECEIVED = date(2026, 1, 31)  # due 2 March 2026, see lineage.clock


def digest(name: str) -> str:
    return sha256(name.encode()).hexdigest()


CONTRACT = {
    "records": [{"handle": digest(f"record {i}")[:32], "relation": "declared" if i < 4 else "mentioned", "decision": "erase"} for i in range(5)]
    + [{"handle": digest(f"redacted {i}")[:32], "relation": "mentioned", "decision": "already_redacted"} for i in range(2)],
    "plans": {"support": digest("plan")},
    "sources_to_be_told": ["tickets"],
    "not_erased": {"already_redacted": 2, "kept": ["ledger", "tombstone", "suppression list"]},
}  # fmt: skip
FORECAST = {
    "adapters": {
        "support": {
            "affected": [{"shard": 2, "first_slice": 1}, {"shard": 5, "first_slice": 0}], "trunk_hit": False,
            "steps": 120, "full_steps": 1280, "fraction": 0.09375, "seconds_estimate": 41.5,
        }
    },
    "searched": {"admitted": 392, "trunk": 150, "quarantined": 9, "blocked": 0},
    "found": {"admitted": 6, "trunk": 0, "quarantined": 1, "blocked": 0}, "tier": "patterns and register",
    "blind_spots": ["names that nobody registered", "nicknames"], "releases": [],
}  # fmt: skip
SHARD_MAP = {
    "shards": list(range(8)), "known": [2, 5], "before": [2, 5], "after": [], "missed": [], "p_before": 0.0001, "p_after": 0.62,
    "rank": 31, "rank_of": 41,
    "sentences": [
        "Before the erasure shards 2 and 5 of 8 stand out (p = 0.0001).",
        "Now none of 8 shards stands out (p = 0.62); one of 9 standard deviations of the others would be seen with 80% probability.",
        "Among the maps of 40 people nobody trained on, this one stands out as number 31 of 41.",
    ],
}  # fmt: skip
EVIDENCE: dict[str, dict[str, Any]] = {
    "containment": {"adapters": {"support": {"before": digest("old"), "after": digest("contained")}}, "seconds": "1.4"},
    "rebuild": {
        "adapters": {
            "support": {"composed": digest("new"), "steps": 120, "full_steps": 1280, "shards": {"2": {}, "5": {}}},
        },
        "seconds": "39.2",
    },
    "rederivation": {"adapters": {"support": {"equal": True, "states": 3, "grade": "A"}}},
    "probe": {
        "verdict": "PASS", "sentence": "The old adapter knew this person; the new one cannot be told from seven that never saw them.",
        "reason": "No test found the person, and the positive control did.", "protocol_digest": digest("protocol"),
        "report_digest": digest("report"), "n_records": 5, "controls": 40, "K": 7, "p_pre": {"membership": 0.00004},
        "p_post": {"membership": 0.41}, "rho_upper": 0.2, "detectable_effect": 3.1,
        "extraction": {"pre_2": {"account": "2/2", "phone": "1/1"}, "post_2": {"account": "0/2", "phone": "0/1"}},
        "exposure": {"pre_2": {"account": 1}, "post_2": {"account": 311}},
        "adapters": {"support": {"shard_map": SHARD_MAP}},
    },
}  # fmt: skip
DESTRUCTION = {
    "states": [digest("s")] * 4, "shard_adapters": [digest("a")] * 2, "composed_adapters": [digest("c")] * 2,
    "rows": {"record": 5, "finding": 56}, "keys": 6, "tombstones": 10,
    "suppressed_forms": 4, "byte_scan": {"forms": 24, "files": 183, "hits": 0},
}  # fmt: skip


@dataclass
class Clock:
    """The time, which moves by itself a little and when told."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@dataclass
class World:
    folder: Path
    workspace: Workspace
    app: Any
    clock: Clock = field(default_factory=Clock)

    def link(self, name: str) -> str:
        with self.workspace.database.transaction() as session:
            return access.issue_link(session, access.find_actor(session, name), self.clock())

    def browser(self, name: str | None = None) -> Desk:
        client = TestClient(self.app, follow_redirects=False)
        if name:
            assert client.post(f"/login/{self.link(name)}").status_code == 303
        return Desk(client)

    @contextmanager
    def case_file(self, case_id: str) -> Iterator[tuple[Session, CaseFile]]:
        with self.workspace.database.transaction() as session:
            yield session, CaseFile(session, case_id)

    def play_search(self, case_id: str) -> None:
        """The preview job, for somebody whom neither register nor records know."""
        forms = supplied_forms("k", sought.open_supplied(self.workspace, case_id))
        with self.case_file(case_id) as (session, case):
            body = search_report(session, counted(session, (), stores_of(session)), forms)
            case.searched(
                evidence.add_evidence(session, case_id, "search_report", body, now=self.clock()), now=self.clock()
            )

    def play_preview(self, case_id: str, contract: dict[str, Any] = CONTRACT) -> None:
        with self.case_file(case_id) as (session, case):
            bound = evidence.add_evidence(session, case_id, "contract", contract, now=self.clock())
            evidence.add_evidence(session, case_id, "forecast", FORECAST, now=self.clock())
            session.merge(CaseRunRow(case_id=case_id, run_id="1f0e-preview", job="preview", at=self.clock()))
            case.preview_ready(bound, now=self.clock())

    def play_erasure(self, case_id: str, until: Stage = Stage.EVIDENCE_READY) -> None:
        for stage in (Stage.CONTAINED, Stage.EXECUTING, Stage.VERIFYING):
            with self.case_file(case_id) as (_, case):
                case.advance(stage, now=self.clock())
            if stage == until:
                return
        folder = self.workspace.case_directory(case_id)
        folder.mkdir(parents=True)
        (folder / "report.html").write_text(
            "<!doctype html><title>Probe report</title><style>p{color:red}</style><p>PASS"
        )
        with self.case_file(case_id) as (session, case):
            for kind, body in EVIDENCE.items():
                evidence.add_evidence(session, case_id, kind, body, now=self.clock())
            case.evidence_ready(evidence.evidence_digest(session, case_id), now=self.clock())

    def play_purge(self, case_id: str) -> None:
        secrets = self.workspace.home / "secrets"
        statement = build_statement(certificate_facts(case_id), {"adapter_model.safetensors": digest("new")})
        half_signed = sign_first(statement, load_private_key(secrets / "pipeline.pem"))
        (self.workspace.case_directory(case_id) / "certificate.half.json").write_bytes(half_signed)
        with self.case_file(case_id) as (session, case):
            evidence.add_evidence(session, case_id, "destruction", DESTRUCTION, now=self.clock())
            case.purged(now=self.clock(), keys=6)


@dataclass
class Desk:
    """A browser that takes the form token from the page before it posts, as a person's browser does."""

    client: TestClient

    def get(self, path: str) -> Any:
        return self.client.get(path)

    def post(self, path: str, **fields: str) -> Any:
        found = re.search(r'name="form_token" value="([^"]+)"', self.client.get("/").text)
        return self.client.post(path, data={"form_token": found.group(1) if found else "", **fields})

    def file(self, *identifiers: str, **fields: str) -> Any:
        form = {
            "identifiers": "\n".join(identifiers),
            "ground": "b",
            "identity_method": "Code sent to the address on file",
        }
        return self.post("/file", **{**form, "received_on": RECEIVED.isoformat(), **fields})

    def filed(self, *identifiers: str) -> str:
        response = self.file(*identifiers)
        assert response.status_code == 303, response.text
        return str(response.headers["location"].removeprefix("/cases/"))

    def hidden_digest(self, case_id: str) -> str:
        found = re.search(r'name="digest" value="([0-9a-f]{64})"', self.get(f"/cases/{case_id}").text)
        assert found
        return found.group(1)


def make_world(folder: Path) -> World:
    clock = Clock()
    create_workspace(folder, controller="Example Support Ltd")
    workspace = open_workspace(folder)
    with workspace.database.transaction() as session:
        for name, role in STAFF.items():
            access.add_staff(session, name=name, role=role, actor=Actor("root", Role.ADMIN), now=NOW)
        forms = [SubjectEntry("cust-1", "name", PERSON[0]), SubjectEntry("cust-1", "email", PERSON[1])]
        forms += [SubjectEntry("cust-1", "account", PERSON[2]), SubjectEntry("cust-2", "name", OTHER[0])]
        forms += [SubjectEntry("cust-2", "email", OTHER[1]), SubjectEntry("cust-3", "name", OTHER[0])]
        add_forms(session, forms, keyring=workspace.keyring, keystore=workspace.keystore, now=NOW)
    make_dpo_key(workspace, actor=Actor("dana", Role.DPO), passphrase=PASSPHRASE, now=NOW)
    return World(folder, workspace, create_app(folder, dagster_url="http://127.0.0.1:3321/", clock=clock), clock)


def certificate_facts(case_id: str) -> f.CertificateFacts:
    """The least that a certificate must say."""
    request = f.Request(
        case=case_id, received=RECEIVED, due=date(2026, 3, 2), basis="one calendar month", identity_method="by code",
        ground="b",
    )  # fmt: skip
    shard = f.ShardRebuild(
        shard=2, start_point="the state after slice 0", start_digest=digest("start"), slices_rebuilt=1,
        code_fingerprint=digest("code"), environment_fingerprint=digest("env"), final_state_digest=digest("s21"),
    )  # fmt: skip
    change = f.AdapterChange(
        adapter="support", old_digest=digest("old"), new_digest=digest("new"), base_digest=digest("base"),
        plan_digest=digest("plan"), shards=(shard,), released_at=NOW,
        rederivation=f.Rederivation(grade="A", states_compared=3, states_equal=3, result="every byte equal"),
    )  # fmt: skip
    scanner = f.Scanner(fingerprint=digest("scanner"), tier="patterns", cannot_see=("nicknames",))
    approval = f.Approval(digest=digest("approved"), approved_by="dpo:1", at=NOW)
    return f.CertificateFacts(
        certificate=f"cert-{case_id}", issued=NOW, controller="Example Support Ltd", request=request,
        search=f.Search(stores=(f.StoreSearched(store="vault", items_searched=392, records_found=5),), scanner=scanner),
        decisions=(f.RecordDecision(record="r-1", decision="erase", ground="Art. 17(1)(b)"),),
        preview=approval, purge=approval, slices=(), neighbours_unchanged=378, adapters=(change,), ancestors=ancestors(),
        destroyed=(f.Destroyed(kind="record_key", count=5),), derived_files=(), probes=(), backups=(), to_be_told=(),
        kept=(f.Kept(what="tombstone", legal_basis="Art. 17(3)(b) GDPR", retention="five years"),),
        limits=("Says nothing about copies outside the listed stores.",),
        ledger=f.LedgerHead(digest=digest("head"), length=12),
    )  # fmt: skip


def ancestors() -> tuple[f.Ancestor, ...]:
    """The trunk and the two states of the rebuilt shard, in none of which the erased record is."""
    chain = (("trunk", None, None, 0), ("start", "trunk", 2, 0), ("s21", "start", 2, 1))
    leaves = [sha256(number.to_bytes()).digest() for number in range(4)]
    nodes, ends, proofs = prove(leaves, (Absent("r-1", sha256(b"the erased record").digest()[:16]),))
    return tuple(
        f.Ancestor(
            adapter="support", shard=shard, slice=part, state=digest(state), parent=digest(parent) if parent else None,
            records=len(leaves), root=merkle.root(leaves).hex(), nodes=nodes, leaves=ends, proofs=proofs,
        )
        for state, parent, shard, part in chain
    )  # fmt: skip
