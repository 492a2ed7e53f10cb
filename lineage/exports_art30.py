"""The register of processing activities, Art. 30(1) GDPR, as far as a workspace knows it: counts and kinds, nobody.

One activity for each purpose and legal basis that records stand under; and what Lethe itself keeps about people, which is
processing too: the register of identifiers, requests, and what keeps erased people out. What only the controller knows comes
from `[contact]` and `[processing]`; what is not said there is named as missing and never filled in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime

from sqlmodel import Session, SQLModel, col, func, select

from lineage import builds, inventory, ledger
from lineage.exports_page import Table
from lineage.forgetting import COMPLAINT_DAYS
from lineage.labels import Labels, base_label, labels_of
from lineage.plans import planted_subjects
from lineage.planted import CANARY_SOURCE
from lineage.policy import load_gate_policy
from lineage.scanned import scanned_by
from lineage.settings import Settings
from lineage.tables import (
    ApiTokenRow,
    CaseRow,
    CueRow,
    FindingRow,
    NearTombstoneRow,
    PartyRow,
    RecordRow,
    RecordSubjectRow,
    RegisterRow,
    SuppressionRow,
    TombstoneRow,
    UserRow,
)
from lineage.tombstones import RETENTION_YEARS
from lineage.workspace import Workspace

__all__ = ["TITLE", "Activity", "Register", "read_register", "register_tables", "register_text"]

TITLE = "Register of processing activities, Art. 30(1) GDPR"
OWN_MEASURES = (
    "Texts and identifiers are encrypted at rest, each record under its own key; the keys are in another database.",
    "Nothing is learnt from a record that a gate has not admitted; every reader of training text checks the admission.",
    "Decisions need a role, and whoever filed a request may not decide on it.",
    "What happened is in an append-only, hash-chained ledger. It is pseudonymous: without names, identifiers or texts of the "
    "people whom records are about; staff stand in it by handle.",
    "An erasure rebuilds what had learnt from the records, destroys old weights and keys, and searches the bytes of the workspace.",
)
TO_BE_SAID, NOT_SAID = "(for the controller to say)", "(not said in lethe.toml)"


@dataclass(frozen=True, slots=True)
class Activity:
    """One processing: `persons` and `data` are categories with counts (of people; of records), `stands` records by status."""

    name: str
    purpose: str
    lawful_basis: str
    persons: Mapping[str, int]
    data: Mapping[str, int]
    sources: tuple[str, ...]
    stands: Mapping[str, int]
    retention: str


@dataclass(frozen=True, slots=True)
class Register:
    """The whole register. `missing` names the settings that the controller has not filled in."""

    made_on: date
    controller: str
    address: str
    dpo: str
    activities: tuple[Activity, ...]
    recipients: tuple[tuple[str, str, str], ...]  # kind, whom, scope
    transfers: str
    backups: tuple[tuple[str, str, str], ...]  # store, what it holds, until when
    adapters: tuple[tuple[str, str], ...]  # name, base model
    measures: tuple[str, ...]
    missing: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return {"article": "30(1) GDPR", **asdict(self), "made_on": self.made_on.isoformat()}


def read_register(workspace: Workspace, *, now: datetime) -> Register:
    """The register as the workspace stands now."""
    settings = workspace.settings
    contact, processing = settings.contact, settings.processing
    with workspace.database.reader() as session:
        labels, backups = labels_of(session, workspace), inventory.everything(session).backups
        return Register(
            made_on=settings.day(now),
            controller=settings.controller,
            address=contact.address.strip(),
            dpo=contact.dpo.strip(),
            activities=(*_learning(session, labels, processing.retention.strip()), *_own(session)),
            recipients=_recipients(session, settings, labels),
            transfers=processing.transfers.strip(),
            backups=tuple((labels(b.store), labels(b.holds), _ends(b)) for b in backups),
            adapters=tuple(
                (name, _base(settings, name)) for name in sorted({*settings.adapters, *builds.adapters_in_use(session)})
            ),
            measures=(*OWN_MEASURES, *_gate(session, settings), *processing.measures),
            missing=_missing(settings),
        )


def _recipients(session: Session, settings: Settings, labels: Labels) -> tuple[tuple[str, str, str], ...]:
    """Whoever got the data or gave them; those who were retired too, to whom they *have been* disclosed (Art. 30(1)(d))."""
    return tuple(
        sorted(
            (row.kind, labels(row.whom), (labels(row.scope) or "all") + (f", until {settings.day(row.removed_at)}" if row.removed_at else ""))
            for row in session.exec(select(PartyRow)).all()
        )
    )  # fmt: skip


def _missing(settings: Settings) -> tuple[str, ...]:
    said = {
        "contact.address": settings.contact.address, "contact.dpo": settings.contact.dpo,
        "processing.retention": settings.processing.retention, "processing.transfers": settings.processing.transfers,
    }  # fmt: skip
    return tuple(name for name, value in said.items() if not value.strip())


def _base(settings: Settings, adapter: str) -> str:
    known = settings.adapters.get(adapter)
    return base_label(known.base_model) if known else "not in lethe.toml"


def _ends(backup: inventory.Backup) -> str:
    kept = "" if backup.keep_days is None else f"each copy {backup.keep_days} days"
    return (
        ", ".join(part for part in (f"until {backup.expires_on}" if backup.expires_on else "", kept) if part)
        or "not said"
    )


def _gate(session: Session, settings: Settings) -> tuple[str, ...]:
    policy = load_gate_policy(settings)
    scanners = "; ".join(f"{found.tier} ({found.records} records)" for found in scanned_by(session)) or "none yet"
    length, _ = ledger.head(session)
    return (
        f"Gate policy {policy.name!r}, digest {policy.digest[:16]}; scanners of what is admitted: {scanners}.",
        f"The ledger has {length} events.",
    )


# --- the activities -------------------------------------------------------------------------------------------------------


def _learning(session: Session, labels: Labels, retention: str) -> tuple[Activity, ...]:
    """One for each purpose and basis of the corpus; planted canaries are nobody's data."""
    real = col(RecordRow.source) != CANARY_SOURCE
    grounds = select(RecordRow.purpose, RecordRow.lawful_basis).where(real).distinct()
    found = []
    for purpose, basis in sorted(session.exec(grounds).all()):
        own = (real, RecordRow.purpose == purpose, RecordRow.lawful_basis == basis)
        sources = session.exec(select(RecordRow.source).where(*own).distinct()).all()
        stands = select(RecordRow.status, func.count()).where(*own).group_by(RecordRow.status)
        found.append(
            Activity(
                name="Training of language models", purpose=labels(purpose), lawful_basis=labels(basis),
                persons=_persons(session, own), data=_data(session, own), sources=tuple(sorted(set(map(labels, sources)))),
                stands=dict(sorted(session.exec(stands).all())), retention=retention,
            )
        )  # fmt: skip
    return tuple(found)


def _persons(session: Session, own: tuple[object, ...]) -> dict[str, int]:
    words = {"declared": "people whom records are about", "mentioned": "people whom records mention"}
    query = (
        select(RecordSubjectRow.relation, func.count(func.distinct(RecordSubjectRow.subject_key)))
        .join(RecordRow, col(RecordRow.id) == col(RecordSubjectRow.record_id))
        .where(*own)  # type: ignore[arg-type]
        .group_by(RecordSubjectRow.relation)
    )
    return {words[relation]: count for relation, count in sorted(session.exec(query).all())}


def _data(session: Session, own: tuple[object, ...]) -> dict[str, int]:
    """Types of what the gate found, with the number of records, whether it was kept or replaced by a constant."""
    query = (
        select(FindingRow.entity_type, func.count(func.distinct(FindingRow.record_id)))
        .join(RecordRow, col(RecordRow.id) == col(FindingRow.record_id))
        .where(*own)  # type: ignore[arg-type]
        .group_by(FindingRow.entity_type)
    )
    return {"free text": _count(session, RecordRow, *own), **dict(sorted(session.exec(query).all()))}


def _own(session: Session) -> tuple[Activity, ...]:
    """What Lethe keeps about people beside the records."""
    kinds = session.exec(select(RegisterRow.kind, RegisterRow.subject_key)).all()
    planted = planted_subjects(session)
    asked = _count(session, CaseRow, col(CaseRow.rescan_id).is_(None))  # nobody asked for a withdrawal by policy
    secrets = {
        "password, hashed": _count(session, UserRow, UserRow.password_hash != ""), "API token, hashed": _count(session, ApiTokenRow),
    }  # fmt: skip
    marks = {
        "keyed digests": _count(session, TombstoneRow) + _count(session, SuppressionRow),
        "keyed sketches of erased texts": _count(session, NearTombstoneRow),
        "cues, 24 bits of a keyed digest": _count(session, CueRow),
    }
    return (
        Activity("Register of identifiers", "finding people in texts and answering their requests",
                 TO_BE_SAID, {"people whom records are about or mention": len({k for _, k in kinds} - planted)},
                 dict(sorted(Counter(kind for kind, key in kinds if key not in planted).items())), (), {},
                 "until they are taken out or the person is erased"),
        Activity("Requests for erasure", "carrying out requests and proving it", "Art. 6(1)(c), 5(2) GDPR",
                 {"people who asked, one for each case": asked}, {"cases": asked}, (), {},
                 f"identifiers of the request until the purge, or {COMPLAINT_DAYS} days after an end without one, or longer "
                 "under a legal hold; decisions and certificates as proof, as long as the workspace"),
        Activity("Keeping erased people out", "stopping erased records and people from coming in again",
                 "Art. 17(3)(b), 6(1)(c) GDPR", {"people who were erased": _erased(session)}, marks,
                 (), {}, f"{RETENTION_YEARS} years"),
        Activity("Staff", "roles, logins and who decided what", TO_BE_SAID, {"members of staff": _count(session, UserRow)},
                 {"handle and role": _count(session, UserRow), **secrets}, (), {}, "as long as the workspace"),
    )  # fmt: skip


def _erased(session: Session) -> int:
    """By their cases; a withdrawal by policy leaves tombstones of records and is about nobody."""
    tables = (SuppressionRow, TombstoneRow, NearTombstoneRow)
    cases = {case_id for table in tables for case_id in session.exec(select(table.case_id).distinct()).all()}
    return len(cases - set(session.exec(select(CaseRow.id).where(col(CaseRow.rescan_id).is_not(None))).all()))


def _count(session: Session, table: type[SQLModel], *where: object) -> int:
    return session.exec(select(func.count()).select_from(table).where(*where)).one()  # type: ignore[arg-type]


# --- as tables ------------------------------------------------------------------------------------------------------------


def register_tables(register: Register) -> tuple[Table, ...]:
    """The register in sections; a setting that is missing says so where it belongs."""
    general = (
        ("Controller", register.controller), ("Address", register.address), ("Data protection officer", register.dpo),
        ("Transfers to third countries", register.transfers), ("Made on", register.made_on.isoformat()),
    )  # fmt: skip
    columns = (
        "activity",
        "purpose",
        "legal basis",
        "categories of people",
        "categories of data",
        "sources",
        "records",
        "time limit",
    )
    rows = tuple(
        (a.name, a.purpose, a.lawful_basis, _said(a.persons), _said(a.data), ", ".join(a.sources), _said(a.stands), a.retention or NOT_SAID)
        for a in register.activities
    )  # fmt: skip
    return (
        Table("Controller", ("what", "value"), tuple((what, value or NOT_SAID) for what, value in general)),
        Table("Activities", columns, rows),
        Table("Models", ("adapter", "base model"), register.adapters),
        Table("Recipients and origins", ("kind", "who", "scope"), register.recipients),
        Table("Backups", ("copy of", "holds", "kept"), register.backups),
        Table("Security measures", ("measure",), tuple((measure,) for measure in register.measures)),
        Table("Missing", ("setting of lethe.toml",), tuple((name,) for name in register.missing)),
    )


def _said(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items())


def register_text(register: Register) -> str:
    """The register for a terminal."""
    lines = [TITLE]
    for table in register_tables(register):
        lines += ["", table.heading]
        for row in table.rows:
            if len(row) <= 3:
                lines.append("  " + ", ".join(row))
            else:
                lines += [
                    f"  {column + ':':24} {cell}" for column, cell in zip(table.columns, row, strict=True) if cell
                ]
                lines.append("")
    return "\n".join(lines).rstrip() + "\n"
