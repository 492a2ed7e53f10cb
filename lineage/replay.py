"""What a restored backup has brought back: the append-only journal against the database and the key store.

The journal is not restored with them. It says of each purge when its rows were destroyed; a database in which that purge
has not happened is a backup of before it, and a key store with one of its keys is one too. Until everything is carried out
again (`lethe replay`), nothing of the workspace is opened for anything else.

Law: after the replay the workspace is as the purge had left it, and no record of the person is in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sqlmodel import Session, col, select

from lineage import journal, ledger
from lineage.database import in_chunks
from lineage.errors import RefusedByRule
from lineage.evidence import has_evidence
from lineage.renewal import keys_left, old_keys
from lineage.stages import DESTROYED, Stage
from lineage.tables import CaseRow, RecordRow, RecordSubjectRow, SubjectRow
from lineage.tombstones import Marks
from lineage.vault import KeyStore

if TYPE_CHECKING:
    from lineage.workspace import Workspace

__all__ = ["REPLAYED", "Erasure", "Pending", "Reached", "erasures", "pending", "reach_of", "require_replayed"]

REPLAYED = "erasure.replayed"
"""The ledger event of a replay. A database that has it has seen it, whatever it knows of the case."""


@dataclass(frozen=True)
class Erasure:
    """One purge, as all lines of the journal about it tell it together."""

    case_id: str
    purge_digest: str
    at: str
    record_ids: tuple[str, ...]
    redacted_ids: tuple[str, ...]
    kept_ids: tuple[str, ...]
    subject_key: str
    marks: Marks
    kinds: frozenset[str]


@dataclass(frozen=True)
class Pending:
    """An erasure that a backup has undone: its rows are there again, or only keys of it (`names`)."""

    erasure: Erasure
    what: Literal["rows", "keys"]
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reached:
    """The records that a replay destroys, and those of others that it frees of the person."""

    erased: tuple[str, ...]
    redacted: tuple[str, ...]


def require_replayed(workspace: Workspace) -> None:
    """Refuse to open a workspace for anything while a backup in it has undone an erasure.

    Raises:
        RefusedByRule: it has; nothing may be read, learnt from or served until the replay.
        NotAcceptable: a line of the journal does not parse.
    """
    if not workspace.journal.exists():
        return
    with workspace.database.reader() as session:
        found = pending(workspace.journal, session, keystore=workspace.keystore)
    if found:
        count = "an erasure that was" if len(found) == 1 else f"{len(found)} erasures that were"
        raise RefusedByRule(
            f"A restored backup has undone {count} carried out; nothing here is read, learnt from or served.",
            hint="Carry out again what the journal says: lethe replay",
        )


def pending(path: Path, session: Session, *, keystore: KeyStore | None = None) -> list[Pending]:
    """The erasures of a journal that this database, or this key store, has not seen; oldest first, those of rows before keys."""
    told = erasures(path)
    cases = _cases(session, {erasure.case_id for erasure in told})
    done = [erasure for erasure in told if _is_done(session, erasure, cases.get(erasure.case_id))]
    undone = [e for e in told if e not in done and _is_undone(e, cases.get(e.case_id))]
    back = _keys_back(session, keystore, done, cases) if keystore else []
    return [*(Pending(erasure, "rows") for erasure in undone), *back]


def _keys_back(
    session: Session, keystore: KeyStore, done: Sequence[Erasure], cases: Mapping[str, CaseRow]
) -> list[Pending]:
    """The finished erasures of which the key store has a key again."""
    over = [
        e for e in done if e.case_id not in cases or cases[e.case_id].stage in DESTROYED
    ]  # the purge is not at work
    records = keystore.of_records({record_id for erasure in over for record_id in erasure.record_ids})
    others = keystore.holding({name for erasure in over for name in _own_names(erasure)})
    found = []
    for erasure in over:
        ids, own = set(erasure.record_ids), others & _own_names(erasure)
        of_it = {name for name in records if _record_of(name) in ids}
        back = _dead(session, erasure, cases.get(erasure.case_id), of_it | own) if of_it | own else set()
        if erasure.redacted_ids:
            back |= keystore.holding(old_keys(session, erasure.redacted_ids) - set(keys_left(session)))
        found += [Pending(erasure, "keys", tuple(sorted(back)))] if back else []
    return found


def _record_of(name: str) -> str:
    """The record that a key's name is about, whichever version."""
    return name.removeprefix("record:").partition("/")[0]


def _own_names(erasure: Erasure) -> set[str]:
    """The keys of the person and of the case."""
    return {f"case:{erasure.case_id}"} | ({f"subject:{erasure.subject_key}"} if erasure.subject_key else set())


def erasures(path: Path) -> list[Erasure]:
    """The purges of a journal. One that never came to destroy rows is left out when its case came to it later."""
    lines: dict[tuple[str, str], list[journal.Entry]] = defaultdict(list)
    for entry in journal.entries(path):
        lines[entry.case_id, entry.purge_digest].append(entry)
    last = dict(lines.keys())
    return [
        _together(those)
        for (case_id, digest), those in lines.items()
        if last[case_id] == digest or any(entry.kind == journal.DESTROYED for entry in those)
    ]


def _together(lines: Sequence[journal.Entry]) -> Erasure:
    def all_of(field: str) -> tuple[Any, ...]:
        return tuple(sorted({value for line in lines for value in getattr(line, field)}))

    kinds = frozenset(line.kind for line in lines)
    marks = Marks() if journal.LIFTED in kinds else Marks(**{field.name: all_of(field.name) for field in fields(Marks)})
    return Erasure(
        lines[0].case_id, lines[0].purge_digest, lines[-1].at, all_of("record_ids"), all_of("redacted_ids"),
        all_of("kept_ids"), max(line.subject_key for line in lines), marks, kinds,
    )  # fmt: skip


def _cases(session: Session, case_ids: Collection[str]) -> dict[str, CaseRow]:
    found: dict[str, CaseRow] = {}
    for chunk in in_chunks(sorted(case_ids)):
        found |= {row.id: row for row in session.exec(select(CaseRow).where(col(CaseRow.id).in_(chunk))).all()}
    return found


def _is_done(session: Session, erasure: Erasure, case: CaseRow | None) -> bool:
    """Whether this database has seen the purge, or its replay."""
    if case is not None and (case.stage in DESTROYED or has_evidence(session, case.id, "destroyed")):
        return True
    events = ledger.events_of_case(session, erasure.case_id)
    return any(event.kind == REPLAYED and event.payload["purge"] == erasure.purge_digest for event in events)


def _is_undone(erasure: Erasure, case: CaseRow | None) -> bool:
    """Whether a purge that this database has not seen had come to its rows, as far as the journal can say.

    A purge that only began and whose case stands here goes on by itself: it crashed, or is held, or its case was reopened.
    """
    if case is None or journal.DESTROYED in erasure.kinds:
        return True
    at_work = case.stage in (Stage.PURGE_APPROVED, Stage.FAILED) and case.purge_digest == erasure.purge_digest
    return "" in erasure.kinds and not at_work and not case.reopen_reason


def _dead(session: Session, erasure: Erasure, case: CaseRow | None, held: Collection[str]) -> set[str]:
    """Those of the keys that nothing needs now. Who came back as a new matter, under the same id, has one again.

    A case that is not signed yet may have its own: a crash came before the purge's last step, and signing is the next.
    """
    alive = {f"case:{erasure.case_id}"} if case is not None and case.stage == Stage.PURGED else set()
    if erasure.subject_key and session.get(SubjectRow, erasure.subject_key) is not None:
        alive.add(f"subject:{erasure.subject_key}")
    back: set[str] = set()
    for chunk in in_chunks(erasure.record_ids):
        back |= set(session.exec(select(RecordRow.id).where(col(RecordRow.id).in_(chunk))).all())
    return {name for name in held if name not in alive and _record_of(name) not in back}


def reach_of(session: Session, erasure: Erasure) -> Reached:
    """The records of this database that a replay must reach: those of the journal, and whatever else is the person's here.

    A backup may hold what was theirs then and had gone by another way before the purge. What the DPO kept is kept.
    """
    query = select(RecordSubjectRow).where(RecordSubjectRow.subject_key == erasure.subject_key)
    links = session.exec(query).all() if erasure.subject_key else ()
    declared = {link.record_id for link in links if link.relation == "declared"} - set(erasure.kept_ids)
    erased = {*erasure.record_ids, *declared}
    mentioned = {link.record_id for link in links} - set(erasure.kept_ids)
    return Reached(tuple(sorted(erased)), tuple(sorted({*erasure.redacted_ids, *mentioned} - erased)))
