"""A file on its way through the gate: read, scan, judge, encrypt, record. One streaming pass; nothing rests in between.

The request holds the path, encrypted, because Dagster keeps run config for ever: jobs receive request ids only. A batch
is one transaction, so a crash loses at most the batch it was in, and the same file ingested again goes on behind it:
records that are held already are recognised by their keyed ids.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlmodel import Session, col, select

from lineage import ledger
from lineage.admit import Gate
from lineage.catalog import STATUS, GateStamp
from lineage.corpus import Corpus, Reject, RejectReason, RowDefaults, open_corpus, write_rejects
from lineage.errors import LetheError, WrongUsage
from lineage.labels import names_somebody
from lineage.languages import Scanners
from lineage.lease import held
from lineage.planted import CANARY_SOURCE, is_reserved
from lineage.policy import load_gate_policy, load_policy
from lineage.register import RegisterForm, RegisterIndex
from lineage.scanned import remember, scanner_of
from lineage.settings import Settings
from lineage.steady import SteadyScanner
from lineage.subjects import load_forms, load_suppression
from lineage.tables import IngestRow
from lineage.workspace import Workspace
from pipelines.intake import Intake, Taken, take_in
from pipelines.progress import bar
from pipelines.superseding import shred_old_texts

__all__ = [
    "INGEST_LEASE",
    "IngestReport",
    "oldest_pending",
    "open_gate",
    "report_of",
    "request_ingest",
    "run_ingest",
    "utc_now",
]

INGEST_LEASE = "ingest"
"""Held by whatever judges records and writes them down later, and by what must not come between: a rescan, a purge."""

KEPT_OUT = (RejectReason.ERASED, RejectReason.NEAR_ERASED)


@dataclass(frozen=True)
class _Location:
    """What the encrypted part of a request says."""

    path: str
    subject_column: str


@dataclass(frozen=True)
class IngestReport:
    """Counts of one ingest, and which tier scanned. `held` were there before; of the `rejected`, a tombstone kept `erased` out."""

    ingest_id: str
    source: str
    generation: int
    rows: int
    counts: dict[str, int]
    reasons: dict[str, int]
    rejects_file: str | None
    tier: str
    blind_spots: str


def utc_now() -> datetime:
    """The shell's clock; deciding code gets its value as an argument."""
    return datetime.now(UTC)


def request_ingest(
    workspace: Workspace, path: Path, *, source: str, subject_column: str | None = None, generation: int | None = None,
    rectify: bool = False,
) -> str:  # fmt: skip
    """Write down that a file is to be ingested and return the request's id. An unfinished one is taken up again.

    With `rectify` every row names a record that is held, and replaces its content (Art. 16 GDPR).

    Raises:
        WrongUsage: the file cannot be read, is empty, or has unknown columns; the policy cannot be read; or the source
            is Lethe's own, or named after a person: it stands in notices and certificates, and would outlive an erasure.
    """
    if is_reserved(source):
        raise WrongUsage("That source is reserved for Lethe's own canaries.", hint="Give another name with --source.")
    with workspace.database.reader() as session:
        if names_somebody(session, workspace)(source):
            raise WrongUsage("A source cannot be named after a person.", hint="Give another name with --source.")
    column = subject_column or workspace.settings.rows.subject_column
    place = _Location(str(path.resolve()), column)
    location = json.dumps(asdict(place))
    # refuse a bad file or policy before anything is written
    _open(workspace.settings, source, place)
    load_gate_policy(workspace.settings)
    if unfinished := _unfinished(workspace, source, location, rectify):
        return unfinished
    ingest_id = f"ing-{secrets.token_hex(4)}"
    sealed = workspace.keystore.seal([(f"ingest:{ingest_id}", location.encode())])[0]
    with workspace.database.transaction() as session:
        number = _next_generation(session) if generation is None else generation
        session.add(
            IngestRow(id=ingest_id, source=source, generation=number, rectify=rectify, status="requested",
                      location=sealed, requested_at=utc_now())
        )  # fmt: skip
    return ingest_id


def oldest_pending(workspace: Workspace) -> str:
    """The oldest request that is not finished, for a run started without a request id.

    Raises:
        WrongUsage: there is none.
    """
    with workspace.database.reader() as session:
        unfinished = (col(IngestRow.status) != "finished", IngestRow.source != CANARY_SOURCE)
        query = select(IngestRow.id).where(*unfinished)
        found = session.exec(query.order_by(col(IngestRow.requested_at))).first()
    if found is None:
        raise WrongUsage("No ingest was requested.", hint="Ask for one: lethe ingest FILE --source NAME")
    return found


def run_ingest(workspace: Workspace, ingest_id: str) -> IngestReport:
    """Take a requested file through the gate. Safe to repeat after any crash.

    What fails before the first row leaves the request as it was. Nothing came in, so the records that are held may
    still be learnt from.

    Raises:
        WrongUsage: no such request, or it is finished.
        GateClosed: the scanner's self-test failed, or the policy asks for a tier that is not installed.
    """
    with held(workspace.database, INGEST_LEASE, utc_now):
        row = _requested(workspace, ingest_id)
        location = _Location(**json.loads(workspace.keystore.open([(f"ingest:{row.id}", row.location or b"")])[0]))
        corpus = _open(workspace.settings, row.source, location)
        gate, stamp = open_gate(workspace, by=row.id, generation=row.generation)
        _start(workspace, ingest_id)
        try:
            return _ingest(workspace, row, corpus, Intake(workspace, gate, stamp, utc_now, rectify=row.rectify))
        except LetheError:
            _end(workspace, ingest_id)
            raise


def _ingest(workspace: Workspace, row: IngestRow, corpus: Corpus, intake: Intake) -> IngestReport:
    stamp = intake.stamp
    shred_old_texts(workspace)  # what a crash left of an earlier rectification
    with bar(f"Scanning {row.source}", corpus.total_rows, unit="rows") as progress:
        taken = take_in(intake, corpus, progress)
    shred_old_texts(workspace)
    _write_rejects(workspace, row.id, taken.rejects)
    _end(workspace, row.id, taken, policy=stamp.policy_digest, scanner=stamp.scanner_digest)
    return report_of(workspace, row.id)


def _counts(row: IngestRow, taken: Taken) -> dict[str, int]:
    """What an ingest writes down; the reasons for stopping records as `why/<reason>`.

    The gate's verdicts were counted with the records. What an earlier run of this ingest stored was held for the last one.
    """
    before = sum(row.counts.get(verdict, 0) - taken.counts[verdict] for verdict in STATUS)
    counts = {
        "rows": taken.counts["rows"],
        "held": max(0, taken.counts["held"] - before),
        "rejected": len(taken.rejects),
    }
    counts["erased"] = sum(reject.reason in KEPT_OUT for reject in taken.rejects)
    if row.rectify:
        counts["rectified"] = sum(row.counts.get(verdict, 0) for verdict in STATUS)
    return row.counts | counts


def report_of(workspace: Workspace, ingest_id: str) -> IngestReport:
    """What a finished ingest wrote down."""
    with workspace.database.reader() as session:
        row = session.get_one(IngestRow, ingest_id)
        scanner = scanner_of(session, row.scanner_digest)
    rejects = _rejects_file(workspace, ingest_id)
    return IngestReport(
        ingest_id=ingest_id, source=row.source, generation=row.generation, rows=row.counts.get("rows", 0),
        counts={name: count for name, count in row.counts.items() if not name.startswith("why/")},
        reasons={name.removeprefix("why/"): n for name, n in row.counts.items() if name.startswith("why/")},
        rejects_file=str(rejects) if rejects.exists() else None, tier=scanner.tier, blind_spots=scanner.blind_spots,
    )  # fmt: skip


def open_gate(
    workspace: Workspace, *, by: str, generation: int = 0, known: Sequence[RegisterForm] = ()
) -> tuple[Gate, GateStamp]:
    """The gate as it stands, its scanners tested, and the stamp of what is judged by it now. `by` is an ingest or a case.

    `known` are forms beside the register: those of planted canaries, where their records may be judged again.

    Raises:
        GateClosed: the scanner's self-test failed, or the policy asks for a tier that is not installed.
    """
    policy = load_gate_policy(workspace.settings)
    scanners = Scanners(policy)
    scanners.self_test()
    with workspace.database.transaction() as session:
        scanner_digest = remember(session, scanners)
    with workspace.database.reader() as session:
        register = RegisterIndex([*load_forms(session, workspace.keystore), *known])
        suppression = load_suppression(session, workspace.keyring)
    gate = Gate(
        SteadyScanner(scanners.main), register, suppression, policy, load_policy("strict"),
        {code: SteadyScanner(scanner) for code, scanner in scanners.others.items()},
        pseudonym=workspace.keyring.pseudonym_mac(),
    )  # fmt: skip
    return gate, GateStamp(
        by, generation, policy.digest, scanner_digest, utc_now(), scanners.tier, scanners.blind_spots
    )


def _open(settings: Settings, source: str, location: _Location) -> Corpus:
    rows = settings.rows
    defaults = RowDefaults(purpose=rows.purpose, lawful_basis=rows.lawful_basis, language=rows.language)
    return open_corpus(Path(location.path), source=source, defaults=defaults, subject_column=location.subject_column)


def _unfinished(workspace: Workspace, source: str, location: str, rectify: bool) -> str | None:
    query = select(IngestRow).where(col(IngestRow.status) != "finished", IngestRow.source == source)
    with workspace.database.reader() as session:
        rows = session.exec(query.where(col(IngestRow.rectify).is_(rectify))).all()
    for row in rows:
        if row.location and workspace.keystore.open([(f"ingest:{row.id}", row.location)])[0].decode() == location:
            return row.id
    return None


def _next_generation(session: Session) -> int:
    """One more than the highest generation that ever admitted or quarantined a record of the controller."""
    own = (col(IngestRow.rectify).is_(False), IngestRow.source != CANARY_SOURCE)
    rows = session.exec(select(IngestRow.generation, IngestRow.counts).where(*own)).all()
    used = [number for number, counts in rows if any(counts.get(k) for k in ("allow", "redact", "quarantine"))]
    return max(used, default=-1) + 1


def _requested(workspace: Workspace, ingest_id: str) -> IngestRow:
    with workspace.database.reader() as session:
        row = session.get(IngestRow, ingest_id)
        if row is None or row.status == "finished":
            raise WrongUsage("There is no open ingest request of that id.", hint="Ask for one: lethe ingest FILE")
        return row


def _start(workspace: Workspace, ingest_id: str) -> None:
    with workspace.database.transaction() as session:
        session.get_one(IngestRow, ingest_id).status = "running"


def _end(
    workspace: Workspace, ingest_id: str, taken: Taken | None = None, *, policy: str = "", scanner: str = ""
) -> None:
    """Finished with what was taken, or failed."""
    now, status = utc_now(), "failed" if taken is None else "finished"
    with workspace.database.transaction() as session:
        row = session.get(IngestRow, ingest_id)
        if row is None:
            return
        row.status, row.ended_at, row.policy_digest, row.scanner_digest = status, now, policy, scanner
        if taken is not None:
            row.counts, row.location = _counts(row, taken), None
        payload = {"ingest": ingest_id, "generation": row.generation, "counts": dict(row.counts), "policy": policy}
        ledger.append(session, at=now, kind=f"ingest.{status}", payload=payload)
    if taken is not None:
        workspace.keystore.shred([f"ingest:{ingest_id}"])


def _write_rejects(workspace: Workspace, ingest_id: str, rejects: Sequence[Reject]) -> None:
    if rejects:
        path = _rejects_file(workspace, ingest_id)
        path.parent.mkdir(exist_ok=True, mode=0o700)
        write_rejects(path, sorted(rejects, key=lambda reject: reject.line))


def _rejects_file(workspace: Workspace, ingest_id: str) -> Path:
    return workspace.home / "rejects" / f"{ingest_id}.jsonl"
