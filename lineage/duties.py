"""Separation of duties over the jobs of a case and the register: who may start what, decided here and nowhere else.

::

    duty       who                      besides
    preview    DPO, ML, system
    erase      ML, DPO, system          the system: somebody who did not file approved exactly the preview that stands
    purge      ML, DPO, system          the system: and exactly the evidence that stands
    register   intake, DPO, ML

What is a person's decision (file, approve, approve the purge, sign) is guarded by `lineage.case`: intake files, a DPO
decides, and never one and the same in a case. The system is the sensors and whatever else starts without a name, such as
a run from Dagster's own page; it never decides, it carries out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from lineage import ledger
from lineage.access import SYSTEM_NAME, Actor, Role
from lineage.case import CaseFile
from lineage.case_view import CaseView
from lineage.errors import RefusedByRule
from lineage.stages import RUNNING, Stage
from lineage.workspace import Workspace

__all__ = ["MAY", "SYSTEM", "Duty", "begin", "require_duty", "require_may_start"]


class Duty(StrEnum):
    """Something that is done to cases or to the register and is not itself a decision."""

    PREVIEW = "preview"
    ERASE = "erase"
    PURGE = "purge"
    REGISTER = "register"


EXECUTION = RUNNING - {Stage.ASSESSMENT, Stage.PURGE_APPROVED}
SYSTEM = Actor(SYSTEM_NAME, Role.SYSTEM)
MAY = {
    Duty.PREVIEW: (Role.DPO, Role.ML, Role.SYSTEM),
    Duty.ERASE: (Role.ML, Role.DPO, Role.SYSTEM),
    Duty.PURGE: (Role.ML, Role.DPO, Role.SYSTEM),
    Duty.REGISTER: (Role.INTAKE, Role.DPO, Role.ML),
}
WORDS = {
    Duty.PREVIEW: "have a preview made",
    Duty.ERASE: "carry out an erasure",
    Duty.PURGE: "carry out a purge",
    Duty.REGISTER: "change the register",
}


def require_duty(duty: Duty, actor: Actor) -> None:
    """Refuse whose role does not have this duty.

    Raises:
        RefusedByRule: another role is needed; the sentence says which.
    """
    named = tuple(role for role in MAY[duty] if role is not Role.SYSTEM)
    if actor.role not in MAY[duty]:
        actor.require(*named, to=WORDS[duty])


def require_may_start(case: CaseView, duty: Duty, actor: Actor) -> None:
    """Refuse a job of a case; whether its stage is the right one is for the job to say.

    Raises:
        RefusedByRule: the role does not have this duty, or the system would act on what nobody approved.
    """
    require_duty(duty, actor)
    if actor.role is not Role.SYSTEM:
        return
    if duty is Duty.ERASE and case.stage in EXECUTION:
        _require_approved(case, "preview", digests=(case.approved_digest, case.preview_digest), by=case.approved_by)
    if duty is Duty.PURGE and case.stage == Stage.PURGE_APPROVED:
        _require_approved(
            case, "evidence", digests=(case.purge_digest, case.evidence_digest), by=case.purge_approved_by
        )


def _require_approved(case: CaseView, what: str, *, digests: tuple[str, str], by: str) -> None:
    approved, standing = digests
    if not approved or approved != standing or by in ("", case.filed_by):
        raise RefusedByRule(
            f"The {what} of case {case.id} is not approved as it stands by somebody who did not file it."
        )


def begin(workspace: Workspace, duty: Duty, case_ids: Sequence[str], *, actor: Actor, now: datetime) -> None:
    """A person starts a job of these cases: all may be started by them, and the ledger says who did.

    Raises:
        RefusedByRule: as `require_may_start`; then nothing is written.
        WrongUsage: no such case.
    """
    require_duty(duty, actor)
    with workspace.database.transaction() as session:
        for case_id in case_ids:
            require_may_start(CaseFile(session, case_id).view, duty, actor)
            payload = {"duty": duty.value, "by": actor.name}
            ledger.append(session, at=now, kind="case.started", payload=payload, case_id=case_id)
