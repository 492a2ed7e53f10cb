"""A plan's synthetic people: decided when the plan is proposed, taken through the gate when it is frozen, once.

Whether there are any, in which style and in which generation stands in the plan, and everything else follows from the plan
and the workspace's secret. So a workspace that never held a person, given the same plan, plants the same canaries, and
no erasure has to look after them (docs/adr/0026).

They are judged by the real gate with the policy in force, but with nobody in its register except themselves: a verdict on
a canary that depended on a registered person would be a trace of that person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from sqlmodel import Session, col, func, select

from lineage import ledger, plans
from lineage.admit import Links, examine
from lineage.keyring import Keyring
from lineage.lease import held
from lineage.planted import CANARY_SOURCE, planting_id
from lineage.records import Chat, Completion, Content
from lineage.register import RegisterForm, RegisterIndex
from lineage.subjects import load_forms, load_suppression
from lineage.tables import IngestRow, PlanRow, RecordRow
from lineage.workspace import Workspace
from pipelines.canary_people import Canary, canary_people, canary_twins, forms_of, rows_of
from pipelines.ingest import INGEST_LEASE, open_gate, utc_now
from pipelines.intake import Intake, take_in
from pipelines.progress import bar
from unlearn.plan import Plan

__all__ = ["canary_note", "plan_nonce", "plant", "planted_forms", "twins_through_the_gate", "with_canaries"]

DRAWS = 20
STYLES: dict[type[Content], str] = {Chat: "chat", Completion: "completion"}


def plan_nonce(keyring: Keyring, adapter: str, attempt: int = 0) -> str:
    """From the secret, so that the plan that is shown is the plan that is frozen; a further draw is another plan."""
    return keyring.mac("plan-nonce", adapter, *([str(attempt)] if attempt else []))[:32]


def with_canaries(workspace: Workspace, plan: Plan, contents: Sequence[Content], *, generation: int) -> Plan:
    """The plan with canaries in the corpus' usual style, if they would be few enough of it.

    If one of them would say what a registered or erased person is called, all are drawn again: under another nonce.
    """
    doses = tuple(workspace.settings.adapter(plan.adapter).probes.canary_doses)
    if not doses or _too_many(workspace, plan, len(contents)):
        return plan
    style = Counter(STYLES.get(type(content), "text") for content in contents).most_common(1)[0][0]
    wish = replace(plan, canary_doses=doses, canary_style=style, canary_generation=generation)
    with workspace.database.reader() as session:
        register = RegisterIndex(load_forms(session, workspace.keystore))
        suppression = load_suppression(session, workspace.keyring)
    for attempt in range(DRAWS):
        drawn = replace(wish, nonce=plan_nonce(workspace.keyring, plan.adapter, attempt))
        if _name_nobody(drawn, workspace.keyring, (register, suppression)):
            return drawn
    return plan


def _too_many(workspace: Workspace, plan: Plan, admitted: int) -> bool:
    probes = workspace.settings.adapter(plan.adapter).probes
    return plan.shards * sum(probes.canary_doses) > probes.canary_share * admitted


def _name_nobody(plan: Plan, keyring: Keyring, known: Sequence[Links]) -> bool:
    everybody = (*canary_people(plan, keyring), *canary_twins(plan, keyring))
    texts = (text for canary in everybody for content in canary.contents for text in content.segments())
    return not any(links.link(text) for text in texts for links in known)


def plant(workspace: Workspace, plan: Plan) -> None:
    """Take a frozen plan's canaries through the gate. What a crash stopped goes on; what is planted stays as it is."""
    planting = planting_id(plan.digest)
    if not plan.canary_doses or _finished(workspace, planting):
        return
    with held(workspace.database, INGEST_LEASE, utc_now):  # a purge or a rescan would come between
        people = canary_people(plan, workspace.keyring)
        gate, stamp = open_gate(workspace, by=planting, generation=plan.canary_generation)
        own = RegisterIndex([form for canary in people for form in forms_of(canary, workspace.keyring)])
        alone = replace(gate, register=own, suppression=RegisterIndex([]))
        _announce(workspace, planting, plan)
        rows = [row for canary in people for row in rows_of(canary, plan, language=gate.policy.language)]
        with bar("Planting canaries", len(rows), unit="records") as progress:
            take_in(Intake(workspace, alone, stamp, utc_now), rows, progress)
        _end(workspace, planting, plan, policy=stamp.policy_digest, scanner=stamp.scanner_digest)


def _finished(workspace: Workspace, planting: str) -> bool:
    with workspace.database.reader() as session:
        row = session.get(IngestRow, planting)
        return row is not None and row.status == "finished"


def _announce(workspace: Workspace, planting: str, plan: Plan) -> None:
    """The ingest that the records belong to. Its status closes no gate: `lethe train` itself goes on with it."""
    with workspace.database.transaction() as session:
        if session.get(IngestRow, planting) is None:
            row = IngestRow(
                id=planting, source=CANARY_SOURCE, generation=plan.canary_generation, status="planting",
                requested_at=utc_now(),
            )  # fmt: skip
            session.add(row)


def _end(workspace: Workspace, planting: str, plan: Plan, *, policy: str, scanner: str) -> None:
    now = utc_now()
    with workspace.database.transaction() as session:
        row = session.get_one(IngestRow, planting)
        row.counts = _statuses(session, planting)  # counted, because a crash may have stored some of them before
        row.status, row.ended_at, row.policy_digest, row.scanner_digest = "finished", now, policy, scanner
        payload = {
            "adapter": plan.adapter, "plan": plan.digest, "people": plan.shards * len(plan.canary_doses),
            "records": dict(row.counts),
        }  # fmt: skip
        ledger.append(session, at=now, kind="plan.planted", payload=payload)


def _statuses(session: Session, planting: str) -> dict[str, int]:
    query = select(RecordRow.status, func.count()).where(RecordRow.ingest_id == planting)
    return dict(session.exec(query.group_by(col(RecordRow.status))).all())


def planted_forms(workspace: Workspace) -> list[RegisterForm]:
    """What the planted people of all frozen plans are called, for a gate that judges their records again."""
    with workspace.database.reader() as session:
        bodies = session.exec(select(PlanRow.body)).all()
    people = (canary for body in bodies for canary in canary_people(Plan.from_json(body), workspace.keyring))
    return [form for canary in people for form in forms_of(canary, workspace.keyring)]


def twins_through_the_gate(workspace: Workspace, plan: Plan) -> Iterator[tuple[Canary, tuple[Content, ...]]]:
    """The held-out twins, with the texts that the gate would have let through; nothing of them is kept."""
    twins = canary_twins(plan, workspace.keyring)
    if not twins:
        return
    gate, _ = open_gate(workspace, by="twins")
    for twin in twins:
        forms = forms_of(twin, workspace.keyring)
        alone = replace(gate, register=RegisterIndex(forms), suppression=RegisterIndex([]))
        judged = [examine(alone, content, declared=[forms[0].subject_key]) for content in twin.contents]
        yield twin, tuple(decision.content for decision in judged if decision.verdict in ("allow", "redact"))


def canary_note(workspace: Workspace, adapter: str, plan: Plan) -> str:
    """How many canaries a plan has, or why it has none, in one sentence."""
    probes = workspace.settings.adapter(plan.adapter).probes
    people, wanted = plan.shards * len(plan.canary_doses), plan.shards * sum(probes.canary_doses)
    with workspace.database.reader() as session:
        admitted = plans.admitted_count(session, workspace.settings.adapter(adapter).sources)
    if people:
        records = plan.shards * sum(plan.canary_doses)
        return f"Canaries: {people} synthetic people with {records} records, {len(plan.canary_doses)} in each shard."
    if not probes.canary_doses:
        return "No canaries: canary_doses is empty."
    if _too_many(workspace, plan, admitted):
        limit = f"{probes.canary_share:.0%} of the {admitted} admitted ones"
        return f"No canaries: they would be {wanted} records, more than {limit}."
    return "No canaries: the plan was frozen without them."
