"""The road of a case, by commands (`file`, `to_evidence`, `to_purge`), or by the functions the jobs call (`rebuilt_case`)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path

from command_line import PASSPHRASE, Said, lethe_here
from small_world import ADAPTER

from lineage import desk, signing
from lineage.access import find_actor
from lineage.case import CaseFile
from lineage.desk import Intake
from lineage.dossier import HALF_SIGNED, read_case
from lineage.evidence import add_evidence, evidence_digest
from lineage.stages import Stage
from lineage.workspace import Workspace
from pipelines import erasure, previewing
from pipelines.demo_rows import Person

Command = Callable[..., Said]
STAFF = {"ines": "intake", "dana": "dpo", "max": "ml"}


def hire(folder: Path) -> None:
    """Three people, one role each, whom an administrator adds; the DPO makes their key."""
    lethe_here("staff", "add", "root", "--role", "admin", workspace=folder)
    for name, role in STAFF.items():
        lethe_here("staff", "add", name, "--role", role, "--as", "root", workspace=folder)
    lethe_here("keys", "dpo", "--as", "dana", workspace=folder)


def case_of(folder: Path, case_id: str) -> dict:
    """The case as `lethe erase show --json` tells it."""
    return lethe_here("erase", "show", case_id, "--json", workspace=folder).json()["standing"]["case"]


def to_approved(folder: Path, person: Person, *, unrelated: int = 0) -> str:
    """File, preview, approve; returns the case. So many near copies are there, which the DPO takes for none."""
    filed = lethe_here(
        "erase",
        "file",
        "--as",
        "ines",
        "--identity",
        "portal",
        "--json",
        workspace=folder,
        given=person.customer_id + "\n",
    )
    case_id = filed.json()["id"]
    previewed = lethe_here("erase", "preview", case_id, "--json", workspace=folder).json()
    copies = [one["handle"] for one in previewed["contract"]["records"] if one["decision"] == "candidate"]
    assert len(copies) == unrelated
    for handle in copies:
        lethe_here("erase", "decide", case_id, handle, "unrelated", "--as", "dana", workspace=folder)
    if copies:
        previewed = lethe_here("erase", "preview", case_id, "--json", workspace=folder).json()
    lethe_here("erase", "approve", case_id, "--as", "dana", "--digest", previewed["digest"], workspace=folder)
    return case_id


def to_purge_approved(folder: Path, case_id: str) -> None:
    """The DPO approves the destruction on the evidence as it stands."""
    digest = case_of(folder, case_id)["evidence_digest"]
    lethe_here("erase", "approve", case_id, "--as", "dana", "--purge", "--digest", digest, workspace=folder)


def sign(folder: Path, case_id: str, *, code: int | None = 0) -> Said:
    """The DPO signs the certificate that waits, as it lies there."""
    half_signed = folder / ".lethe" / "cases" / case_id / HALF_SIGNED
    digest = sha256(half_signed.read_bytes()).hexdigest()
    return lethe_here("erase", "sign", case_id, "--as", "dana", "--digest", digest, workspace=folder, code=code)


def signed(workspace: Workspace, case_id: str) -> Path:
    """The same through the function that the console and the command call; returns where the certificate lies."""
    with workspace.database.reader() as session:
        dana = find_actor(session, "dana")
    now = datetime.now(UTC)
    waiting = read_case(workspace, case_id, now=now).half_signed
    assert waiting is not None
    return signing.sign(workspace, case_id, digest=waiting.digest, actor=dana, now=now, passphrase=PASSPHRASE)


def approved_case(workspace: Workspace, person: Person) -> str:
    """File, preview, approve through the desk and the function the preview job calls."""
    now = datetime.now(UTC)
    with workspace.database.reader() as session:
        ines = find_actor(session, "ines")
    intake = Intake([person.customer_id], "b", "portal", date(2026, 1, 31))
    case_id = desk.file_case(workspace, intake, actor=ines, now=now).id
    approve_anew(workspace, case_id)
    return case_id


def approve_anew(workspace: Workspace, case_id: str) -> None:
    """Preview a case and approve what the preview says."""
    with workspace.database.reader() as session:
        dana = find_actor(session, "dana")
    digest = previewing.make_preview(workspace, case_id)
    desk.approve(workspace, case_id, actor=dana, digest=digest, now=datetime.now(UTC))


def rebuilt_case(workspace: Workspace, person: Person) -> str:
    """Contain and rebuild in this process, by the functions the erasure job calls; no re-derivation, no probes."""
    case_id = approved_case(workspace, person)
    erasure.contain(workspace, case_id)
    erasure.rebuild(workspace, case_id)
    return case_id


def judged_case(workspace: Workspace, case_id: str) -> None:
    """A rebuilt case to PURGE_APPROVED, with the evidence that the second process and the judge would have filed."""
    facts = {"equal": True, "states": 0, "grade": "B", "sentence": "Left out."}
    verdict = {"verdict": "INCONCLUSIVE", "reason": "NOT_TRAINED", "sentence": "Left out.", "adapters": {}}
    with workspace.database.transaction() as session:
        now = datetime.now(UTC)
        CaseFile(session, case_id).advance(Stage.VERIFYING, now=now)
        add_evidence(session, case_id, "rederivation", {"adapters": {ADAPTER: facts}}, now=now)
        add_evidence(session, case_id, "probe", verdict, now=now)
        digest = evidence_digest(session, case_id)
        CaseFile(session, case_id).evidence_ready(digest, now=now)
        dana = find_actor(session, "dana")
    desk.approve_purge(workspace, case_id, actor=dana, digest=digest, now=datetime.now(UTC))
