"""The pipeline's half of a certificate: the facts of a purged case, from its evidence, signed and laid down for the DPO."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlmodel import Session

from lineage import builds, ledger, plans
from lineage import facts as f
from lineage.case import GROUND_WORDS, CaseFile
from lineage.case_view import CaseView
from lineage.certificate import build_statement, sign_first
from lineage.closure import LEFT_OUT, STORES
from lineage.dossier import HALF_SIGNED
from lineage.durable import refusals, write_whole
from lineage.evidence import digest_of, evidence
from lineage.keys import load_private_key, private_path
from lineage.languages import Scanners
from lineage.pauses import days_paused
from lineage.policy import load_gate_policy
from lineage.scanned import ScannedBy, scanned_by
from lineage.tables import CaseRow
from lineage.workspace import Workspace
from pipelines import certified_inventory as outside
from pipelines.certified_absence import certified_ancestors, limits_of
from pipelines.certified_approvals import approvals
from pipelines.certified_probes import certified_probes
from pipelines.ingest import utc_now

__all__ = ["write_half_signed"]

LIMITS = (
    "It says nothing about copies outside the listed stores, nor about what others learnt from earlier releases.",
    "The probes test for traces of the size stated; they cannot show that no trace of any size is left.",
    "Byte equality holds for the recorded environment fingerprints and rests on the recorded secrets and plan.",
    "The plan's constants were rounded from the corpus as it was when the plan was frozen.",
    "Records that do not declare the person and were found by no form, copy or derivation are outside the closure.",
)
CONSENT_LIMIT = (
    "Consent alone was withdrawn: records of the person that rest on another lawful basis are kept and learnt from."
)
KEPT_LIMIT = (
    "The request was refused in part: records are kept and learnt from under the exceptions named with them, and the person "
    "stays in the register."
)
HELD_LIMIT = (
    "Records under a legal hold were left out: they are restricted, nothing learns from them, and no weights that had learnt "
    "them are left; the person stays in the register. Their absence from the ancestors is checked and not proved here."
)
POLICY_LIMIT = (
    "Nobody asked: the controller's gate policy withdrew these records. The search was for them and not for a person."
)
REOPENED_LIMIT = (
    "The case was reopened before its purge, for records that the first approval did not know. The time of containment is "
    "that of the last round; the digests of before are those of the first, when a shard still held the person."
)
SUCCEEDED_LIMIT = (
    "What this case built was destroyed by a later erasure; the files that are certified are those of the adapter that has "
    "taken its place."
)
KEPT_BASIS = "Art. 17(3)(b), Art. 6(1)(c) GDPR"


def write_half_signed(workspace: Workspace, case_id: str, *, forbidden: Sequence[str]) -> Path:
    """Build the statement from the case's evidence, sign it with the pipeline's key, and lay it down for the DPO.

    Raises:
        RefusedByRule: an identifier of the person would stand in it.
        WrongUsage: the evidence contradicts itself.
        Fault: the disk refused.
    """
    certificate, files = _facts(workspace, case_id)
    statement = build_statement(certificate, files, forbidden=forbidden)
    key = load_private_key(private_path(workspace.home / "secrets", "pipeline"))
    with refusals("The certificate"):
        return write_whole(workspace.case_directory(case_id) / HALF_SIGNED, sign_first(statement, key))


def _facts(workspace: Workspace, case_id: str) -> tuple[f.CertificateFacts, dict[str, str]]:
    kinds = ("contract", "forecast", "containment", "rebuild", "rederivation", "probe", "destruction")
    with workspace.database.reader() as session:
        case = CaseFile(session, case_id).view
        row = session.get_one(CaseRow, case_id)
        found: dict[str, Any] = {kind: evidence(session, case_id, kind) for kind in kinds}
        preview, purge = approvals(case, ledger.events_of_case(session, case_id))
        length, head = ledger.head(session)
        extended, paused = row.extension_reason, days_paused(session, case_id, received_on=case.received_on)
        old = found["destruction"].get("old_contents", {})
        ancestors = certified_ancestors(workspace, session, case_id, found, old=old)
        built = {name: a["composed"] for name, a in found["rebuild"]["adapters"].items() if a["composed"]}
        serving = {name: _serving(workspace, session, name, digest) for name, digest in built.items()}
    succeeded = (SUCCEEDED_LIMIT,) if serving != built else ()
    facts = f.CertificateFacts(
        certificate=f"cert-{case_id.removeprefix('case-')}",
        issued=utc_now(),
        controller=workspace.settings.controller,
        request=_request(case, extended, paused),
        search=_search(workspace, found),
        decisions=_decisions(found["contract"], case),
        preview=preview,
        purge=purge,
        slices=_slices(found["rebuild"]),
        neighbours_unchanged=sum(a.get("neighbours_unchanged", 0) for a in found["rebuild"]["adapters"].values()),
        adapters=_adapters(found),
        ancestors=ancestors,
        destroyed=_destroyed(found["destruction"]),
        derived_files=outside.derived_files(workspace, found["contract"]),
        probes=certified_probes(found["probe"]),
        backups=outside.backups(workspace, workspace.settings.day(utc_now())),
        to_be_told=outside.to_be_told(found["contract"]),
        kept=_kept(found["destruction"], found["contract"]),
        limits=(*LIMITS, *_own_limits(case, found["contract"]), *succeeded, *limits_of(ancestors, found["contract"])),
        ledger=f.LedgerHead(digest=head, length=length),
    )
    return facts, _subject_files(workspace, serving) or {"contract.json": digest_of(found["contract"])}


def _own_limits(case: CaseView, contract: Mapping[str, Any]) -> tuple[str, ...]:
    """What this kind of request leaves open besides."""
    grounds = [line["ground"] for line in contract["records"] if line["decision"] == "keep" and "decided_by" in line]
    held = [ground for ground in grounds if ground.startswith(LEFT_OUT)]
    open_ends = {
        CONSENT_LIMIT: case.only_consent, KEPT_LIMIT: len(held) < len(grounds), HELD_LIMIT: held, POLICY_LIMIT: case.rescan_id, REOPENED_LIMIT: case.reopen_reason
    }  # fmt: skip
    return tuple(limit for limit, holds in open_ends.items() if holds)


def _request(case: CaseView, extension: str, paused: int) -> f.Request:
    return f.Request(
        case=case.id, received=case.received_on, due=case.due_on, basis=case.due_basis, paused_days=paused, extended=bool(extension),
        extension_reasons=extension or None, identity_method=case.identity_method, ground=GROUND_WORDS[case.ground],
    )  # fmt: skip


def _search(workspace: Workspace, found: Mapping[str, Any]) -> f.Search:
    first, *rest = _scanners(workspace)
    return f.Search(
        stores=_stores(found["forecast"], len(found["contract"]["records"])),
        scanner=first,
        further_scanners=tuple(rest) or None,
    )


def _stores(forecast: Mapping[str, Any], records: int) -> tuple[f.StoreSearched, ...]:
    """What the search counted in each store. A preview of before `found` was counted can say it of all of them only."""
    searched = forecast["searched"]
    if (counts := forecast.get("found")) is None:
        return (f.StoreSearched(store="all", items_searched=sum(searched.values()), records_found=records),)
    return tuple(f.StoreSearched(store=s, items_searched=searched[s], records_found=counts[s]) for s in STORES)


def _scanners(workspace: Workspace) -> list[f.Scanner]:
    """What scanned the records that are left; if none is left, what would scan them now."""
    with workspace.database.reader() as session:
        found = scanned_by(session)
    if not found:
        now = Scanners(load_gate_policy(workspace.settings))
        found = (ScannedBy(now.fingerprint.digest, now.tier, now.blind_spots, 0),)
    return [
        f.Scanner(fingerprint=one.digest, tier=one.tier, cannot_see=(one.blind_spots,), records=one.records)
        for one in found
    ]


def _decisions(contract: Mapping[str, Any], case: CaseView) -> tuple[f.RecordDecision, ...]:
    return tuple(
        f.RecordDecision(
            record=r["handle"],
            decision=r["decision"],
            ground=f"{r.get('ground') or GROUND_WORDS[case.ground]}; {r['relation']}",
        )
        for r in contract["records"]
    )


def _slices(rebuild: Mapping[str, Any]) -> tuple[f.SliceChange, ...]:
    empty = [0, hashlib.sha256(b"").hexdigest()]  # RFC 6962: the root of an empty tree
    return tuple(
        f.SliceChange(
            adapter=adapter, shard=int(shard), slice=int(index),
            records_before=change.get("before", empty)[0], records_after=change.get("after", empty)[0],
            root_before=change.get("before", empty)[1], root_after=change.get("after", empty)[1],
        )
        for adapter, facts in rebuild["adapters"].items()
        for shard, slices in facts.get("slices", {}).items()
        for index, change in sorted(slices.items())
    )  # fmt: skip


def _adapters(found: Mapping[str, Any]) -> tuple[f.AdapterChange, ...]:
    changes = []
    for adapter, facts in found["rebuild"]["adapters"].items():
        before = found["containment"]["adapters"][adapter]
        if not facts["shards"] or before["before"] == facts["composed"]:
            continue
        derived = found["rederivation"]["adapters"][adapter]
        changes.append(
            f.AdapterChange(
                adapter=adapter, old_digest=before["before"], new_digest=facts["composed"],
                base_digest=facts["base_digest"], plan_digest=found["contract"]["plans"][adapter],
                shards=tuple(_shard(facts, shard) for shard in sorted(facts["shards"], key=int)),
                neighbours=_neighbours(facts["neighbours"]),
                rederivation=f.Rederivation(
                    grade=derived["grade"], states_compared=derived["states"],
                    states_equal=derived["states"] if derived["equal"] else 0, result=derived["sentence"],
                ),
                contained_at=datetime.fromisoformat(before["at"]), released_at=datetime.fromisoformat(facts["released_at"]),
            )
        )  # fmt: skip
    return tuple(changes)


def _neighbours(shards: Mapping[str, Any]) -> tuple[f.NeighbourShard, ...]:
    ends = [(int(shard), facts["states"][-1]) for shard, facts in shards.items() if facts["states"]]
    return tuple(
        f.NeighbourShard(shard=shard, environment_fingerprint=end[3], final_state_digest=end[2])
        for shard, end in sorted(ends)
    )


def _shard(facts: Mapping[str, Any], shard: str) -> f.ShardRebuild:
    first = facts["first"][shard]
    chain = facts["shards"][shard]["states"]
    kept = [state for state in chain if state[0] == plans.TRUNK or state[1] < first]
    rebuilt = [state for state in chain if state not in kept]
    place = f"the state after slice {kept[-1][1]}" if kept and kept[-1][0] != plans.TRUNK else "the trunk"
    final = (rebuilt or kept or [[0, 0, hashlib.sha256(b"").hexdigest(), hashlib.sha256(b"").hexdigest()]])[-1]
    return f.ShardRebuild(
        shard=int(shard), start_point=place if kept else "the shard's initial state",
        start_digest=kept[-1][2] if kept else hashlib.sha256(b"").hexdigest(), slices_rebuilt=len(rebuilt),
        code_fingerprint=facts["code_digest"], environment_fingerprint=final[3], final_state_digest=final[2],
    )  # fmt: skip


def _destroyed(destruction: Mapping[str, Any]) -> tuple[f.Destroyed, ...]:
    weights = tuple(
        f.Destroyed(kind=kind, count=len(destruction[name]), digests=tuple(sorted(destruction[name])))
        for kind, name in (("state", "states"), ("shard_adapter", "shard_adapters"), ("composed_adapter", "composed_adapters"))
    )  # fmt: skip
    texts = destruction["rows"].get("vault", 0) + destruction.get("redacted_texts", 0)
    return (
        *weights,
        f.Destroyed(kind="record_text", count=texts),
        f.Destroyed(kind="record_key", count=destruction["keys"]),
    )


def _kept(destruction: Mapping[str, Any], contract: Mapping[str, Any]) -> tuple[f.Kept, ...]:
    def kept(what: str, count: int) -> f.Kept:
        return f.Kept(what=f"{what}: {count} keyed digests", legal_basis=KEPT_BASIS, retention="five years")

    grounds = Counter(r["ground"] for r in contract["records"] if r["decision"] == "keep")
    return (
        *(
            f.Kept(what=f"records of the person: {count}", legal_basis=ground, retention="as long as that basis holds")
            for ground, count in sorted(grounds.items())
        ),
        kept("tombstones that keep the records, and near copies of them, from coming back", destruction["tombstones"]),
        kept(
            "suppression list that lets the gate redact the person, with cues (24-bit keyed digests of first words and "
            "of some digits) beside it",
            destruction["suppressed_forms"],
        ),
        f.Kept(
            what="ledger of the procedure, pseudonymous",
            legal_basis="Art. 5(2) GDPR",
            retention="as long as the controller keeps the workspace",
        ),
        f.Kept(
            what="journal of the procedure with the same keyed digests, so that a restored backup is purged again",
            legal_basis=KEPT_BASIS,
            retention="five years",
        ),
        f.Kept(
            what="this certificate and its evidence, pseudonymous: keyed halves of the ids of these records",
            legal_basis="Art. 5(2) GDPR",
            retention="as long as the controller keeps the certificate",
        ),
    )


def _serving(workspace: Workspace, session: Session, adapter: str, built: str) -> str:
    """What a case built, or what serves instead where the purge of a later case has destroyed that."""
    return built if workspace.store.holds("adapters", built) else builds.current_release(session, adapter) or built


def _subject_files(workspace: Workspace, serving: Mapping[str, str]) -> dict[str, str]:
    """The files of the adapters, by SHA-256; none of a workspace that trained nothing."""
    files: dict[str, str] = {}
    for adapter, digest in serving.items():
        prefix = f"{adapter}/" if len(serving) > 1 else ""
        for name, content in workspace.store.read("adapters", digest).items():
            files[prefix + name] = hashlib.sha256(content).hexdigest()
    return files
