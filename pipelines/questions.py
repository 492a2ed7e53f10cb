"""What of a case the probes may ask the weights about."""

from __future__ import annotations

from lineage import plans
from lineage.case import CaseFile
from lineage.catalog import contents_of
from lineage.holds import left_out_of
from lineage.plans import Placed
from lineage.redaction import speaks_of
from lineage.register import RegisterForm, RegisterIndex
from lineage.sought import subject_forms
from lineage.workspace import Workspace
from pipelines.recomposing import decided_ids, leaving_ids
from pipelines.states import open_atelier

__all__ = ["LEAST_OUT_ADAPTERS", "nobody_to_compare_with", "nothing_to_ask", "own_records", "values_that_go"]

NOT_TRAINED = "No record of this person was ever trained on, so there is nothing to find in the weights."
ONLY_MENTIONED = (
    "The person was mentioned in records of others only. The mentions were redacted and what rested on them was rebuilt, "
    "but there is no record of the person's own to ask the weights about."
)

TOO_FEW_SHARDS = (
    "The records were in so many shards, or in the trunk, that fewer than two shards never saw them: there is nothing to "
    "compare the new adapter with. What was rebuilt was derived a second time, without them."
)
LEAST_OUT_ADAPTERS = 2  # the judge takes no fewer


def nobody_to_compare_with() -> dict[str, str]:
    """The verdict on records that nearly every shard saw."""
    return {"verdict": "INCONCLUSIVE", "reason": "TOO_FEW_SHARDS", "sentence": TOO_FEW_SHARDS}


def nothing_to_ask(*, mentioned: bool) -> dict[str, str]:
    """The verdict on a person of whose own records none was trained on; `mentioned`: records of others were rebuilt."""
    reason, sentence = ("ONLY_MENTIONED", ONLY_MENTIONED) if mentioned else ("NOT_TRAINED", NOT_TRAINED)
    return {"verdict": "INCONCLUSIVE", "reason": reason, "sentence": sentence}


def own_records(workspace: Workspace, case_id: str, adapter: str) -> list[Placed]:
    """The erased records, and those left out under a legal hold, that this adapter was trained on, trunk included. Of a redacted one the rest is still trained on."""
    plan_digest = open_atelier(workspace, adapter).plan.digest
    with workspace.database.reader() as session:
        gone = leaving_ids(session, case_id)
        return [placed for placed in plans.placements_of(session, plan_digest, gone) if placed.kind != "control"]


def values_that_go(workspace: Workspace, case_id: str) -> list[RegisterForm]:
    """The person's values, except those that a record which is kept still says: the new adapter may know them.

    A withdrawal by policy has no person: its probes ask for membership of the records alone.
    """
    with workspace.database.reader() as session:
        if CaseFile(session, case_id).view.rescan_id:
            return []
    _, forms = subject_forms(workspace, case_id)
    with workspace.database.reader() as session:
        kept = sorted({*decided_ids(session, case_id, "keep")} - left_out_of(session, case_id))
        texts = [record.content for record in contents_of(session, kept, keystore=workspace.keystore)]
    return [form for form in forms if not any(speaks_of(RegisterIndex([form]), text) for text in texts)]
