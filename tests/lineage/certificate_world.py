"""A tiny finished case: two records of four erased from one slice, with real proofs, real keys and an adapter directory."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lineage import facts as f
from lineage import merkle
from lineage.absence import Absent, prove

PIPELINE = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
DPO = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
STRANGER = Ed25519PrivateKey.from_private_bytes(b"\x03" * 32)
ADAPTER = {"adapter_config.json": b'{"r":16}', "adapter_model.safetensors": b"\x08\x00\x00\x00weights"}
SUBJECT_FILES = {name: sha256(content).hexdigest() for name, content in ADAPTER.items()}
BEFORE = [bytes([number]) * 32 for number in (1, 2, 3, 4)]
AFTER = [BEFORE[1], BEFORE[3]]
GONE = tuple(Absent(f"r-{number}", leaf[:16]) for number, leaf in ((1, BEFORE[0]), (2, BEFORE[2])))


def digest(name: str) -> str:
    return sha256(name.encode()).hexdigest()


def at(hour: int) -> datetime:
    return datetime(2026, 2, 20, hour, 30, tzinfo=UTC)


def write_keys(folder: Path) -> Path:
    for name, key in (("pipeline", PIPELINE), ("dpo", DPO)):
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / f"{name}.pub").write_bytes(pem)
    return folder


def write_adapter(folder: Path) -> Path:
    folder.mkdir()
    for name, content in ADAPTER.items():
        (folder / name).write_bytes(content)
    return folder


REQUEST = f.Request(
    case="case-7f3a",
    received=date(2026, 1, 31),
    due=date(2026, 3, 2),
    basis="one calendar month from receipt on 2026-01-31 (GDPR Art. 12(3))",
    identity_method="code sent to the e-mail address on file",
    ground="Art. 17(1)(b) GDPR: consent withdrawn",
)
SEARCH = f.Search(
    stores=(
        f.StoreSearched(store="admitted", items_searched=230, records_found=2),
        f.StoreSearched(store="trunk", items_searched=150, records_found=0),
        f.StoreSearched(store="quarantined", items_searched=9, records_found=0),
        f.StoreSearched(store="blocked", items_searched=0, records_found=0),
    ),
    scanner=f.Scanner(
        fingerprint=digest("scanner"),
        tier="patterns+register",
        cannot_see=("names that nobody registered",),
        records=340,
    ),
    further_scanners=(
        f.Scanner(fingerprint=digest("model"), tier="patterns+register+spacy", cannot_see=("rare names",), records=40),
    ),
)
SLICE = f.SliceChange(
    adapter="support",
    shard=3,
    slice=1,
    records_before=4,
    records_after=2,
    root_before=merkle.root(BEFORE).hex(),
    root_after=merkle.root(AFTER).hex(),
)


def ancestor(
    leaves: Collection[bytes], state: str, *, place: tuple[int | None, int], parent: str | None = "trunk",
    absent: Collection[Absent] = GONE,
) -> f.Ancestor:  # fmt: skip
    nodes, ends, proofs = prove(leaves, absent)
    return f.Ancestor(
        adapter="support", shard=place[0], slice=place[1], state=digest(state), parent=digest(parent) if parent else None,
        records=len(leaves), root=merkle.root(leaves).hex(), nodes=nodes, leaves=ends, proofs=proofs,
    )  # fmt: skip


ANCESTORS = (
    ancestor([bytes([9]) * 32], "trunk", place=(None, 0), parent=None),
    ancestor([], "neighbour", place=(1, 0)),
    ancestor(AFTER, "final", place=(3, 1)),
)
CHANGE = f.AdapterChange(
    adapter="support",
    old_digest=digest("old"),
    new_digest=digest("new"),
    base_digest=digest("base"),
    plan_digest=digest("plan"),
    shards=(
        f.ShardRebuild(
            shard=3,
            start_point="the trunk",
            start_digest=digest("trunk"),
            slices_rebuilt=1,
            code_fingerprint=digest("code"),
            environment_fingerprint=digest("environment"),
            final_state_digest=digest("final"),
        ),
    ),
    neighbours=(
        f.NeighbourShard(shard=1, environment_fingerprint=digest("older"), final_state_digest=digest("neighbour")),
    ),
    rederivation=f.Rederivation(grade="A", states_compared=1, states_equal=1, result="every byte equal"),
    contained_at=at(9),
    released_at=at(11),
)
SHARD_MAP = f.ShardMap(
    known=(3,),
    lit_before=(3,),
    lit_after=(),
    p_before=Decimal("0.0001"),
    p_after=Decimal("0.62"),
    rank=31,
    rank_of=41,
    result="Before the erasure shard 3 of 8 stands out (p = 0.0001). Now none of 8 shards stands out (p = 0.62).",
)
PROBE = f.Probe(
    protocol_digest=digest("protocol"),
    judged_by="probes:cpu",
    at=at(12),
    level="shard 3",
    records=2,
    controls=40,
    out_adapters=7,
    thresholds="alpha 0.05, Holm over three tests; upper bound of the residual ratio below 0.5",
    positive_control="the person was found in the old adapter, p = 0.00004",
    p_value=Decimal("0.41"),
    interval="residual ratio between -0.1 and 0.2 (95%)",
    detectable_effect="3.1 standard deviations of the out-adapters with power 0.8",
    verdict="PASS",
    reason="no test found the person, and the control was found",
    report_digest=digest("report"),
    shard_map=SHARD_MAP,
)
FACTS = f.CertificateFacts(
    certificate="cert-01",
    issued=at(15),
    controller="Example Support Ltd",
    request=REQUEST,
    search=SEARCH,
    decisions=(
        f.RecordDecision(record="r-1", decision="erase", ground="Art. 17(1)(b)"),
        f.RecordDecision(record="r-2", decision="erase", ground="Art. 17(1)(b)"),
    ),
    preview=f.Approval(digest=digest("preview"), approved_by="dpo:1", at=at(8)),
    purge=f.Approval(digest=digest("evidence"), approved_by="dpo:1", at=at(13)),
    slices=(SLICE,),
    neighbours_unchanged=378,
    adapters=(CHANGE,),
    ancestors=ANCESTORS,
    destroyed=(
        f.Destroyed(kind="state", count=1, digests=(digest("old state"),)),
        f.Destroyed(kind="record_key", count=2),
    ),
    derived_files=(f.DerivedFile(file="export-1", kind="merged model", result="deleted"),),
    probes=(PROBE,),
    backups=(f.Backup(store="nightly copy of the key store", holds="record keys", expires=date(2026, 3, 22)),),
    to_be_told=(f.ToBeTold(kind="upstream", whom="the ticket system's export"),),
    kept=(f.Kept(what="tombstone", legal_basis="Art. 17(3)(b), Art. 6(1)(c) GDPR", retention="three years"),),
    limits=("Says nothing about copies outside the listed stores.",),
    ledger=f.LedgerHead(digest=digest("head"), length=42),
)
