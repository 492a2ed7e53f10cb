"""What a search that found nothing of a person has to say: where it looked, with what, and what it cannot see. No value.

A person who is in no register is searched for all the same, by the identifiers they gave. If no record holds any of them,
this report is what a DPO reads before deciding that nothing is held (`CaseFile.not_found`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, get_args

from sqlmodel import Session, col

from lineage.closure import STORES, Closure, counted, stores_of
from lineage.errors import RefusedByRule
from lineage.evidence import evidence
from lineage.forms import FormKind
from lineage.planted import CANARY_SOURCE
from lineage.register import RegisterForm
from lineage.scanned import scanned_by, summary
from lineage.sought import open_supplied, person_named
from lineage.tables import RecordRow
from lineage.workspace import Workspace

__all__ = ["require_still_true", "search_report"]


def search_report(session: Session, closure: Closure, forms: Sequence[RegisterForm]) -> dict[str, object]:
    """The counts of the search by store, the scanners behind what is held, and how many forms of each kind were looked for."""
    scanners = scanned_by(session)
    kinds = Counter(form.kind for form in forms)
    return {
        "stores": [{"store": s, "searched": closure.searched[s], "found": closure.found[s]} for s in STORES],
        "scanners": [scanner.tier for scanner in scanners],
        "blind_spots": summary(scanners)[1],
        "forms": {kind: kinds[kind] for kind in get_args(FormKind)},
    }


def require_still_true(session: Session, workspace: Workspace, case_id: str) -> None:
    """Refuse to decide on a report that the workspace has outgrown, or that looked for nothing.

    Raises:
        RefusedByRule: records came or went since, the person is registered by now, or no identifier could be searched for.
    """
    report: Any = evidence(session, case_id, "search_report")
    if not sum(report["forms"].values()):
        raise RefusedByRule(
            "None of the identifiers could be searched for.", hint="Ask for another one and file again, or refuse."
        )
    now = counted(session, (), stores_of(session, col(RecordRow.source) != CANARY_SOURCE)).searched
    if now != {one["store"]: one["searched"] for one in report["stores"]}:
        raise RefusedByRule(
            "Records came or went since the search.", hint=f"Search again: lethe erase preview {case_id}"
        )
    if person_named(session, open_supplied(workspace, case_id), workspace):
        raise RefusedByRule(
            "Somebody is registered under these identifiers by now.",
            hint=f"Search again: lethe erase preview {case_id}",
        )
