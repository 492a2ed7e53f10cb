"""Cases that have come to a stage in a workspace with a complete [contact], for letters and notices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from lineage_world import ANN, DANA, DORA, INES, World, digest, open_world

from lineage import desk
from lineage.case import CaseFile
from lineage.case_view import CaseView
from lineage.evidence import add_evidence
from lineage.stages import Stage
from lineage.tables import CaseDecisionRow

CONTACT = """
[contact]
address = "Feather Lane 1, 10115 Berlin"
dpo = "The data protection officer, privacy@quillfeather.example"
authority = \"\"\"Data Protection Authority of Berlin
Example Street 59, 10555 Berlin\"\"\"
"""
RECEIVED = date(2026, 3, 2)
KEPT = "legal obligation or task in the public interest, Art. 17(3)(b) GDPR: Tax law, six years."
STAGES = (
    Stage.ASSESSMENT, Stage.IDENTITY_CHECK, Stage.PREVIEW_READY, Stage.EVIDENCE_READY, Stage.PURGED, Stage.REFUSED,
    Stage.WITHDRAWN, Stage.SEARCHED, Stage.NOT_FOUND, Stage.SIGNED_OFF,
)  # fmt: skip


def at(day: date, hour: int = 12) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


NOW = at(RECEIVED)


def with_contact(folder: Path) -> World:
    with (folder / "lethe.toml").open("a", encoding="utf-8") as file:
        file.write(CONTACT)
    return open_world(folder)


def filed(world: World, person: str = ANN, **how) -> str:
    world.register(person)
    return desk.file_case(
        world.workspace, desk.Intake([person], "b", "a letter", RECEIVED, **how), actor=INES, now=NOW
    ).id


def step(world: World, case_id: str, name: str, *arguments: object, **named: object) -> CaseView:
    with world.database.transaction() as session:
        return getattr(CaseFile(session, case_id), name)(*arguments, **{"now": NOW, **named})


def stand(
    world: World,
    case_id: str,
    stage: Stage,
    *,
    decisions: Sequence[str] = ("erase",),
    more: Mapping[str, object] | None = None,
) -> str:
    """Bring a fresh case to a stage, with a contract of these decisions and whatever `more` it says; returns its id."""
    lines = [
        {
            "handle": digest(str(place))[:16],
            "relation": "declared",
            "decision": decision,
            **({"ground": KEPT} if decision == "keep" else {}),
        }
        for place, decision in enumerate(decisions)
    ]
    contract = {"records": lines, "sources_to_be_told": ["tickets"], **(more or {})}
    match stage:
        case Stage.IDENTITY_CHECK:
            step(world, case_id, "doubt_identity", actor=INES, asked_on=RECEIVED)
        case Stage.REFUSED:
            step(world, case_id, "refuse", actor=DANA, reason="We need it for a claim.")
        case Stage.WITHDRAWN:
            step(world, case_id, "withdraw", actor=INES, reason="Told us by phone.")
        case Stage.SEARCHED | Stage.NOT_FOUND:
            step(world, case_id, "searched", "r1")
            if stage == Stage.NOT_FOUND:
                step(world, case_id, "not_found", actor=DANA, digest="r1")
        case Stage.ASSESSMENT:
            pass
        case _:
            _walk(world, case_id, stage, contract)
    return case_id


def _walk(world: World, case_id: str, stage: Stage, contract: Mapping[str, object]) -> None:
    with world.database.transaction() as session:
        add_evidence(session, case_id, "contract", contract, now=NOW)
        add_evidence(session, case_id, "probe", {"verdict": "PASS", "adapters": {"support": {}}}, now=NOW)
        for line in contract["records"]:
            if line["decision"] == "keep":
                session.add(
                    CaseDecisionRow(
                        case_id=case_id,
                        handle=line["handle"],
                        decision="keep",
                        ground=KEPT,
                        decided_by="dana",
                        decided_at=NOW,
                    )
                )
    road = (
        ("preview_ready", ["p1"], {}), ("approve", [], {"actor": DANA, "digest": "p1"}),
        *(("advance", [s], {}) for s in (Stage.CONTAINED, Stage.EXECUTING, Stage.VERIFYING)),
        ("evidence_ready", ["e1"], {}), ("approve_purge", [], {"actor": DORA, "digest": "e1"}), ("purged", [], {}),
        ("signed_off", [], {"actor": DANA}),
    )  # fmt: skip
    for name, arguments, named in road:
        if step(world, case_id, name, *arguments, **named).stage == stage:
            return
