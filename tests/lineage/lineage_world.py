"""A tiny workspace of the real parts: real register, gate, vault and tables; only the scanner is a fake.

Three invented people: Ann (declared by the rows about her), Bob, Cleo. Models are never trained here: `record_training`
writes the rows and store entries that a training would leave.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from sqlalchemy import func
from sqlmodel import Session, SQLModel, select

from lineage import builds, manifests, plans
from lineage.access import Actor, Role
from lineage.admit import Gate, examine
from lineage.builds import ComposedFacts, StateFacts
from lineage.catalog import GateStamp, Judged, store_judged
from lineage.forms import FormKind, canonical_identifier
from lineage.identity import held_already, identify
from lineage.plans import TRUNK, Member, Placed
from lineage.policy import Policy, load_policy
from lineage.records import PlainText, RawRecord
from lineage.register import RegisterIndex
from lineage.scan import Span
from lineage.subjects import SubjectEntry, add_forms, load_forms, load_suppression
from lineage.tables import IngestRow
from lineage.workspace import Workspace, open_workspace

NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
ANN, BOB, CLEO = "C-1001", "C-1002", "C-1003"
FORMS: dict[str, dict[FormKind, str]] = {
    ANN: {"name": "Anneliese Quistgaard", "email": "anneliese@quistgaard.example", "account": "ACC-7741-2290"},
    BOB: {"name": "Bertram Ostrander", "email": "bertram@ostrander.example", "phone": "+44 20 7946 0731"},
    CLEO: {"name": "Cleophea Nordqvist", "email": "cleophea@nordqvist.example"},
}
INES, DANA, DORA, MILO = (
    Actor("ines", Role.INTAKE), Actor("dana", Role.DPO), Actor("dora", Role.DPO), Actor("milo", Role.ML)
)  # fmt: skip
DEFAULT, STRICT = load_policy("default"), load_policy("strict")


def after(**units: float) -> datetime:
    return NOW + timedelta(**units)


def digest(name: str) -> str:
    return sha256(name.encode()).hexdigest()


def row(text: str, *subjects: str, given_id: str | None = None, parents: Sequence[str] = (), source: str = "tickets") -> RawRecord:  # fmt: skip
    """One row as a corpus file gives it."""
    return RawRecord(
        line=1, content=PlainText(text), given_id=given_id, subjects=subjects, source=source, purpose="support",
        lawful_basis="contract", language="en", parents=tuple(parents),
    )  # fmt: skip


class Scans:
    """A scanner that finds the words it was told, with a type each; or fails as it was told."""

    def __init__(self, words: Mapping[str, str] | None = None, failure: Exception | None = None) -> None:
        self.words, self.failure = words or {}, failure

    def scan(self, text: str) -> tuple[Span, ...]:
        if self.failure:
            raise self.failure
        places = ((word, text.find(word), kind) for word, kind in self.words.items())
        return tuple(Span(kind, at, at + len(word), 1.0, "fake") for word, at, kind in places if at >= 0)


@dataclass(frozen=True)
class World:
    """A workspace of its own for one test."""

    workspace: Workspace

    def __getattr__(self, name: str):  # database, keystore, keyring, store, home, journal
        return getattr(self.workspace, name)

    def key(self, person: str) -> str:
        return self.keyring.subject_key(canonical_identifier(person))

    def register(self, *people: str) -> int:
        entries = [SubjectEntry(person, kind, value) for person in people for kind, value in FORMS[person].items()]
        with self.database.transaction() as session:
            return add_forms(session, entries, keyring=self.keyring, keystore=self.keystore, now=NOW)

    def ingest(
        self, *rows: RawRecord, scanner: Scans | None = None, name: str = "", policy: Policy = DEFAULT
    ) -> list[str]:
        """Through the gate; returns the id of every row, in order. What is held already is not stored again."""
        ids, _ = self.ingest_reporting(*rows, scanner=scanner, name=name, policy=policy)
        return ids

    def ingest_reporting(
        self, *rows: RawRecord, scanner: Scans | None = None, name: str = "", policy: Policy = DEFAULT
    ) -> tuple[list[str], dict[str, str]]:
        with self.database.transaction() as session:
            number = session.exec(select(func.count()).select_from(IngestRow)).one()
            stamp = GateStamp(name or f"ingest-{number}", number, policy.digest, digest("scanner"), NOW)
            session.add(
                IngestRow(id=stamp.ingest_id, source="tickets", generation=number, status="finished", requested_at=NOW)
            )
            session.flush()
            gate = Gate(
                scanner or Scans(), RegisterIndex(load_forms(session, self.keystore)),
                load_suppression(session, self.keyring), policy, STRICT,
                pseudonym=self.keyring.pseudonym,
            )  # fmt: skip
            identities = [identify(raw, self.keyring) for raw in rows]
            held = {identity.record_id: why for identity, why in held_already(session, identities).items()}
            batch = [
                Judged(raw, identity, examine(gate, raw.content, declared=identity.declared))
                for raw, identity in zip(rows, identities, strict=True)
                if identity.record_id not in held
            ]
            store_judged(session, batch, stamp=stamp, keyring=self.keyring, keystore=self.keystore)
        return [identity.record_id for identity in identities], held

    def rows(self, table: type[SQLModel]) -> list:
        with self.database.reader() as session:
            return list(session.exec(select(table)).all())


def open_world(folder: Path) -> World:
    return World(open_workspace(folder))


# --- what a training leaves ---------------------------------------------------------------------------------------------

PLAN = digest("plan")


def recipe(shard: int, index: int) -> str:
    return digest(f"recipe {shard}/{index}")


def state(shard: int, index: int) -> str:
    return digest(f"state {shard}/{index}")


def composed(kind: str = "full") -> str:
    return digest(f"composed {kind}")


def record_training(world: World, slices: Mapping[tuple[int, int], Sequence[str]]) -> None:
    """Shards grow from the trunk, slice by slice; `slices` maps (shard, slice) to record ids, `TRUNK` included."""
    with world.database.transaction() as session:
        plans.freeze_plan(session, adapter="support", digest=PLAN, body="{}", now=NOW)
        places = [
            Placed(r, "trunk" if shard == TRUNK else "shard", None if shard == TRUNK else shard, index)
            for (shard, index), members in slices.items()
            for r in members
        ]
        plans.place_records(session, PLAN, places)
        for (shard, index), members in sorted(slices.items()):
            _record_slice(session, world, (shard, index), members)
        last = {shard: max(i for s, i in slices if s == shard) for shard, _ in slices if shard != TRUNK}
        for shard, index in last.items():
            builds.save_shard_adapter(
                session, digest=digest(f"adapter {shard}"), adapter="support", shard=shard,
                recipe_digest=recipe(shard, index), now=NOW,
            )  # fmt: skip
            world.store.publish("adapters", digest(f"adapter {shard}"), {"adapter_config.json": b"{}"})
        parts = {shard: recipe(shard, index) for shard, index in last.items()}
        builds.save_composed(session, ComposedFacts(composed(), "support", PLAN, "full", parts), NOW)
        world.store.publish("adapters", composed(), {"adapter_config.json": b"{}"})
        builds.release(session, adapter="support", composed_digest=composed(), reason="train", now=NOW)


def _record_slice(session: Session, world: World, place: tuple[int, int], members: Sequence[str]) -> None:
    shard, index = place
    manifest = digest(f"manifest {shard}/{index}")
    live = plans.live_members(session, PLAN, shard).get(index, ())
    assert {m.record_id for m in live} == set(members)
    manifests.save_manifest(session, digest=manifest, adapter="support", plan_digest=PLAN, place=place, members=live)
    parent = recipe(shard, index - 1) if index else None if shard == TRUNK else recipe(TRUNK, 0)
    facts = StateFacts(
        recipe(shard, index), state(shard, index), "support", PLAN, shard, index, parent, manifest, digest("machine"),
        4, 100, 0.5,
    )  # fmt: skip
    builds.save_state(session, facts, NOW)
    world.store.publish("states", state(shard, index), {"weights.safetensors": f"{shard}/{index}".encode()})


def members(*names: str, content: str = "") -> tuple[Member, ...]:
    """Records of these names, each with a content of its own; `content` tells two versions of them apart."""
    return tuple(Member(digest(name), digest(f"{name}{content}")) for name in names)


def filing_dates() -> dict[str, object]:
    return {"received_on": date(2026, 1, 31), "due_on": date(2026, 3, 2), "due_basis": "Art. 12(3)"}
