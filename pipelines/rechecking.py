"""Find, once more, right before a purge: what came in since the approval must not survive a signed certificate.

Between containment and purge days may pass. An ingest, a release from quarantine or a new entry of the register may have
brought records of the person that no approval covers. They are not destroyed on the sly, nor left behind: the case goes
back to its search (`lineage.reopening`), and the DPO decides on a preview that names them.

The caller holds the ingest's lease (`pipelines.ingest.INGEST_LEASE`), so that no ingest comes in between this and the purge.

The judge asks before that (`copies_in`): what an adapter was trained on may hold the person where no approval knows of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from sqlmodel import Session

from lineage import builds
from lineage.dossier import case_row
from lineage.errors import RefusedByRule
from lineage.evidence import contract, evidence, has_evidence
from lineage.manifests import manifests_holding
from lineage.reopening import reopen
from lineage.workspace import Workspace
from pipelines.ingest import utc_now
from pipelines.previewing import search_closure

__all__ = ["copies_in", "require_nothing_new"]

REACH = {"already_redacted": 0, "unrelated": 0, "keep": 1, "redact": 2, "erase": 3}
"""How far a decision goes. A mention that became a constant at ingest holds nothing of the person, so a further one of
these needs no further round."""
BEYOND = len(REACH)  # a decision that must be made yet, such as about a candidate

Line = Mapping[str, str]


def require_nothing_new(workspace: Workspace, case_id: str) -> None:
    """Search again, and reopen the case if a record must go further than the approved contract says, or if the search
    knows by now who in the register is meant: nobody has approved that this person's entry goes.

    Not asked again once rows are destroyed, which is when that is filed as evidence.

    Raises:
        RefusedByRule: there was such a record, or such a person. Nothing is destroyed; the case is at ASSESSMENT.
    """
    with workspace.database.reader() as session:
        if has_evidence(session, case_id, "destroyed"):
            return
        approved: list[Line] = evidence(session, case_id, "contract")["records"]  # type: ignore[assignment]
        person = case_row(session, case_id).subject_key
    closure = search_closure(workspace, case_id)
    with workspace.database.reader() as session:
        recognised = case_row(session, case_id).subject_key != person
        body = contract(session, case_id, closure, workspace.keyring)
    found = further(approved, body["records"])  # type: ignore[arg-type]
    if found or recognised:
        records = f"{len(found)} record{'' if len(found) == 1 else 's'}"
        reason = (
            "The person was registered after the preview was approved." if recognised
            else f"{records} came in or came to light after the preview was approved."
        )  # fmt: skip
        with workspace.database.transaction() as session:
            reopen(session, case_id, reason, found=found, now=utc_now())
        raise RefusedByRule(
            f"{reason} Nothing was destroyed; the case was reopened.",
            hint=f"Read and approve the new preview: lethe erase preview {case_id}",
        )


def copies_in(workspace: Workspace, case_id: str, composed: Collection[str]) -> dict[str, int]:
    """How many records each of these composed adapters (by digest) was trained on in which the search finds the person
    beyond what is approved: a mention, a record of their own, or a likely copy that nobody decided about."""
    if not composed:
        return {}
    closure = search_closure(workspace, case_id)
    with workspace.database.reader() as session:
        approved: list[Line] = evidence(session, case_id, "contract")["records"]  # type: ignore[assignment]
        body = contract(session, case_id, closure, workspace.keyring)
        beyond = {line["handle"] for line in further(approved, body["records"])}  # type: ignore[arg-type]
        ids = [r.record_id for r in closure.records if workspace.keyring.handle(case_id, r.record_id) in beyond]
        holding = [manifests_holding(session, [record_id]) for record_id in ids]
        return {digest: sum(map(bool, (held & _learnt(session, digest) for held in holding))) for digest in composed}


def _learnt(session: Session, composed: str) -> set[str]:
    """The manifests of every state that a composed adapter descends from."""
    recipes = builds.parts_of(session, composed).values()
    return {state.manifest_digest for recipe in recipes for state in builds.ancestors(session, recipe)}


def further(approved: Iterable[Line], found: Iterable[Line]) -> list[Line]:
    """The records that must go further now than was approved; one that was not listed counts as one without the person."""
    agreed = {line["handle"]: REACH.get(line["decision"], BEYOND) for line in approved}
    return [line for line in found if REACH.get(line["decision"], BEYOND) > agreed.get(line["handle"], 0)]
