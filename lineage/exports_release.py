"""What can be said of the release in service of an adapter: what it is made of, under which rules, and what was erased from it.

Frozen values for the model card and the ML-BOM. Counts, digests and labels; no record, nobody.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlmodel import Session, col, select

from lineage import builds, ledger, plans
from lineage.certificate import read_statement
from lineage.errors import WrongUsage
from lineage.labels import Labels, base_label, labels_of
from lineage.manifests import manifest_facts
from lineage.planted import CANARY_SOURCE
from lineage.rendering import signed_statement
from lineage.scanned import scanned_by, summary
from lineage.stages import CERTIFIED
from lineage.tables import (
    AdmissionRow,
    CaseRow,
    ComposedAdapterRow,
    PlacementRow,
    PlanRow,
    RecordRow,
    ReleaseRow,
)
from lineage.trusted import load_trusted_keys
from lineage.workspace import Workspace

__all__ = ["Certified", "Corpus", "ReleaseFacts", "read_release"]

CONFIG_FILE = "adapter_config.json"


@dataclass(frozen=True, slots=True)
class Certified:
    """A signed certificate of an erasure that changed this adapter."""

    id: str
    issued: datetime
    new_digest: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """What the release has learnt from. `records` counts them as they were trained on, the `planted` canaries included."""

    records: int
    planted: int
    sources: tuple[str, ...]
    purposes: tuple[str, ...]
    languages: tuple[str, ...]
    policies: tuple[str, ...]  # digests
    tier: str
    blind_spots: str


@dataclass(frozen=True, slots=True)
class ReleaseFacts:
    """One adapter as it is in service. `plan` holds the plan's numbers; `parts` of its `shards` have a state in it."""

    adapter: str
    controller: str
    digest: str
    kind: str  # full | contained
    released_at: datetime
    base_model: str
    revision: str
    plan_digest: str
    plan: Mapping[str, object]
    parts: int
    shards: int
    corpus: Corpus
    certificates: tuple[Certified, ...]
    ledger_length: int
    ledger_head: str
    files: Mapping[str, bytes] = field(repr=False)

    @property
    def file_digests(self) -> dict[str, str]:
        """SHA-256 of each file, by name."""
        return {name: hashlib.sha256(content).hexdigest() for name, content in sorted(self.files.items())}


def read_release(workspace: Workspace, adapter: str) -> ReleaseFacts:
    """The release in service, its files checked against the store's manifest.

    Raises:
        WrongUsage: lethe.toml names no such adapter, or it has no release in service.
        NotAcceptable: the store's entry is missing or damaged, or a certificate does not verify.
        Fault: the store is out of reach.
    """
    settings = workspace.settings.adapter(adapter)
    with workspace.database.reader() as session:
        release = _in_service(session, adapter)
        row = session.get_one(ComposedAdapterRow, release.composed_digest)
        files = workspace.store.read("adapters", row.digest)
        config = _config(files)
        parts = builds.parts_of(session, row.digest)
        length, head = ledger.head(session)
        plan = session.get_one(PlanRow, row.plan_digest)
        return ReleaseFacts(
            adapter=adapter,
            controller=workspace.settings.controller,
            digest=row.digest,
            kind=row.kind,
            released_at=release.at,
            base_model=str(config.get("base_model_name_or_path") or base_label(settings.base_model)),
            revision=str(config.get("revision") or settings.revision),
            plan_digest=row.plan_digest,
            plan=json.loads(plan.body),
            parts=sum(recipe is not None for recipe in parts.values()),
            shards=len(parts),
            corpus=_corpus(session, row.plan_digest, list(parts.values()), labels_of(session, workspace)),
            certificates=_certificates(session, workspace, adapter),
            ledger_length=length,
            ledger_head=head,
            files=files,
        )


def _in_service(session: Session, adapter: str) -> ReleaseRow:
    query = select(ReleaseRow).where(ReleaseRow.adapter == adapter, col(ReleaseRow.withdrawn_at).is_(None))
    if (row := session.exec(query.order_by(col(ReleaseRow.id).desc())).first()) is None:
        raise WrongUsage(f"The adapter {adapter!r} has no release in service.", hint=f"Train it: lethe train {adapter}")
    return row


def _config(files: Mapping[str, bytes]) -> dict[str, object]:
    """PEFT's configuration; of shards side by side that of the first."""
    found = next((files[name] for name in sorted(files) if name.rpartition("/")[2] == CONFIG_FILE), b"{}")
    return dict(json.loads(found))


def _corpus(session: Session, plan_digest: str, recipes: Sequence[str | None], labels: Labels) -> Corpus:
    manifests = {state.manifest_digest for recipe in recipes for state in builds.ancestors(session, recipe)}
    placed = select(PlacementRow.record_id).where(
        PlacementRow.plan_digest == plan_digest, col(PlacementRow.kind).in_(("trunk", "shard"))
    )
    own = (col(RecordRow.id).in_(placed), col(RecordRow.source) != CANARY_SOURCE)

    def every(column: str) -> tuple[str, ...]:
        values = session.exec(select(col(column)).where(*own).distinct()).all()
        return tuple(sorted(set(map(labels, values))))  # what is withheld is one

    admitted = select(AdmissionRow.policy_digest).where(col(AdmissionRow.record_id).in_(placed)).distinct()
    tier, blind_spots = summary(scanned_by(session)) if manifests else ("", "")
    return Corpus(
        records=sum(manifest_facts(session, digest)[0] for digest in manifests),
        planted=plans.planted_count(session, plan_digest),
        sources=every(RecordRow.source),
        purposes=every(RecordRow.purpose),
        languages=every(RecordRow.language),
        policies=tuple(sorted(session.exec(admitted).all())),
        tier=tier,
        blind_spots=blind_spots,
    )


def _certificates(session: Session, workspace: Workspace, adapter: str) -> tuple[Certified, ...]:
    """The certificates that lie in the workspace and name the adapter, oldest first; each was verified here and now."""
    cases = session.exec(select(CaseRow.id).where(col(CaseRow.stage).in_(CERTIFIED)).order_by(col(CaseRow.id))).all()
    found = []
    for case_id in cases:
        path = workspace.case_directory(case_id) / "certificate.json"
        if not path.is_file():
            continue
        trusted = load_trusted_keys(keys=workspace.home / "secrets")
        facts, _ = read_statement(signed_statement(path.read_bytes(), trusted=trusted))
        found += [
            Certified(facts.certificate, facts.issued, a.new_digest) for a in facts.adapters if a.adapter == adapter
        ]
    return tuple(sorted(found, key=lambda certified: (certified.issued, certified.id)))
