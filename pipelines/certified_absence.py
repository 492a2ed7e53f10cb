"""The ancestors of what is in service, for the certificate: none holds an erased record, nor what a redacted one said before.

Asked twice: before anything is destroyed, because a release that still descends from the person must stop the purge, and
when the certificate is written. By then the rows are gone: ids come from the journal, and old contents from the evidence
of the destruction, where the first asking leaves them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlmodel import Session

from lineage import builds, journal
from lineage.absence import FORGOTTEN, UNPROVEN, Absent, ancestors_without, content_key, record_key
from lineage.facts import Ancestor
from lineage.workspace import Workspace

__all__ = ["certified_ancestors", "limits_of", "old_contents"]


def old_contents(workspace: Workspace, case_id: str, pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """What redacted records said before, for the evidence: by handle, as the entries that no ancestor may hold.

    `pairs` are record ids and content digests.
    """
    found: dict[str, list[str]] = {}
    for record_id, content_hmac in sorted(pairs):
        handle = workspace.keyring.handle(case_id, record_id)
        found.setdefault(handle, []).append(content_key(record_id, content_hmac).hex())
    return found


def certified_ancestors(
    workspace: Workspace, session: Session, case_id: str, found: Mapping[str, Any], *, old: Mapping[str, Sequence[str]]
) -> tuple[Ancestor, ...]:
    """Every ancestor of what the case built and of what serves now, with proofs; `found` has the contract and the rebuild.

    Raises:
        NotAcceptable: an ancestor holds what is to be absent.
    """
    absent = _absent(workspace, case_id, found["contract"], old)
    rebuilt = found["rebuild"]["adapters"]
    ancestors: list[Ancestor] = []
    for adapter in sorted({*rebuilt, *builds.adapters_in_use(session)}):
        facts, serving = rebuilt.get(adapter, {}), builds.current_release(session, adapter) or ""
        composed = facts.get("composed") or ""
        parts = facts.get("parts") or builds.parts_of(session, composed)  # the same bytes may have other parts since
        recipes = {*parts.values(), *builds.parts_of(session, serving).values()} - {None}
        ancestors += ancestors_without(session, adapter, sorted(recipes), absent)
    return tuple(ancestors)


def limits_of(ancestors: Sequence[Ancestor], contract: Mapping[str, Any]) -> tuple[str, ...]:
    """What is only told, in sentences that the verifier asks for."""
    proven = [ancestor for ancestor in ancestors if ancestor.unproven is None]
    proved = {proof.record for ancestor in proven[:1] for proof in ancestor.proofs}
    redacted = {record["handle"] for record in contract["records"] if record["decision"] == "redact"}
    open_ends = {UNPROVEN: len(proven) < len(ancestors), FORGOTTEN: bool(proven and redacted - proved)}
    return tuple(limit for limit, holds in open_ends.items() if holds)


def _absent(
    workspace: Workspace, case_id: str, contract: Mapping[str, Any], old: Mapping[str, Sequence[str]]
) -> list[Absent]:
    """The keys of every record that was decided to go. One that another case erased meanwhile is absent altogether."""
    lines = list(journal.entries(workspace.journal))
    over = {(line.case_id, line.purge_digest) for line in lines if line.kind != journal.BEGUN}
    erased: dict[str, bytes] = {}
    begun: dict[str, bytes] = {}
    for line in lines:
        keys = {workspace.keyring.handle(case_id, record_id): record_key(record_id) for record_id in line.record_ids}
        begun |= keys
        erased |= keys if (line.case_id, line.purge_digest) in over else {}
    found: list[Absent] = []
    for record in contract["records"]:
        handle, decision = record["handle"], record["decision"]
        if decision == "redact" and handle in old:
            found += [Absent(handle, bytes.fromhex(entry)) for entry in old[handle]]
        elif key := {"erase": begun, "redact": erased}.get(decision, {}).get(handle):
            found.append(Absent(handle, key))
    return found
