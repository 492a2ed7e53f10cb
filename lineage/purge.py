"""Destroy: what is left of a person after the DPO approved it on the evidence.

Order, each step safe to repeat: journal (outside the database) -> tombstones and suppression list -> weights (states,
shard adapters, composed adapters that hold a record of the closure) -> rows -> keys -> compaction. The tombstone and
the suppression list with its cues are all that stays about the person: keyed digests, themselves personal data, kept
under Art. 17(3)(b) and 6(1)(c) GDPR until `RETENTION_YEARS` have passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlmodel import Session, SQLModel, col, delete, select

from lineage.cues import cues_of
from lineage.database import in_chunks
from lineage.forms import normal_forms
from lineage.keyring import Keyring
from lineage.manifests import forget_members, manifests_holding, manifests_holding_content
from lineage.register import RegisterForm
from lineage.store import Store
from lineage.tables import (
    AdmissionRow,
    CaseRecordRow,
    CaseRow,
    ComposedAdapterRow,
    ComposedPartRow,
    CueRow,
    FindingRow,
    FindingSubjectRow,
    ParentRow,
    PlacementRow,
    QuarantineRow,
    RecordRow,
    RecordSubjectRow,
    RegisterRow,
    ReleaseRow,
    RescanRecordRow,
    ShardAdapterRow,
    StateRow,
    SubjectRow,
    SupersededRow,
    SuppressionRow,
    TombstoneRow,
    VaultRow,
)

__all__ = ["Tainted", "bury", "destroy_weights", "forget_rows", "tainted"]

RETENTION_YEARS = 5


@dataclass(frozen=True, slots=True)
class Tainted:
    """Everything in the store that descends from a record of a closure, by digest."""

    states: tuple[str, ...]
    shard_adapters: tuple[str, ...]
    composed_adapters: tuple[str, ...]


def tainted_recipes(
    session: Session, record_ids: Sequence[str], *, superseded: Sequence[tuple[str, str]] = ()
) -> set[str]:
    """Recipes of all states with one of the records among their ancestors' members.

    `superseded` are pairs (record id, content digest) of records that stay, but no longer with that content.
    """
    manifests = manifests_holding(session, record_ids) | manifests_holding_content(session, superseded)
    recipes = set(
        session.exec(select(StateRow.recipe_digest).where(col(StateRow.manifest_digest).in_(manifests))).all()
    )
    frontier = set(recipes)
    while frontier:
        query = select(StateRow.recipe_digest).where(col(StateRow.parent_recipe).in_(frontier))
        frontier = set(session.exec(query).all()) - recipes
        recipes |= frontier
    return recipes


def tainted(session: Session, record_ids: Sequence[str], *, superseded: Sequence[tuple[str, str]] = ()) -> Tainted:
    """What an erasure of these records, or of these superseded contents, must destroy.

    A state shared with a clean recipe is not tainted.
    """
    recipes = tainted_recipes(session, record_ids, superseded=superseded)
    live = session.exec(select(StateRow).where(col(StateRow.destroyed_at).is_(None))).all()
    clean = {row.state_digest for row in live if row.recipe_digest not in recipes}
    states = {row.state_digest for row in live if row.recipe_digest in recipes} - clean
    shards = session.exec(select(ShardAdapterRow).where(col(ShardAdapterRow.recipe_digest).in_(recipes))).all()
    parts = select(ComposedPartRow.composed_digest).where(col(ComposedPartRow.recipe_digest).in_(recipes)).distinct()
    return Tainted(
        states=tuple(sorted(states)),
        shard_adapters=tuple(sorted(row.digest for row in shards if row.destroyed_at is None)),
        composed_adapters=tuple(sorted(session.exec(parts).all())),
    )


def destroy_weights(store: Store, doomed: Tainted) -> dict[str, int]:
    """Delete tainted entries of the store; returns how many of each kind were there."""
    return {
        "states": sum(store.destroy("states", digest) for digest in doomed.states),
        "shard_adapters": sum(store.destroy("adapters", digest) for digest in doomed.shard_adapters),
        "composed_adapters": sum(store.destroy("adapters", digest) for digest in doomed.composed_adapters),
    }


def mark_destroyed(
    session: Session,
    doomed: Tainted,
    record_ids: Sequence[str],
    now: datetime,
    *,
    superseded: Sequence[tuple[str, str]] = (),
) -> None:
    """Remember that the weights are gone, and withdraw releases of them."""
    recipes = tainted_recipes(session, record_ids, superseded=superseded)
    for row in session.exec(select(StateRow).where(col(StateRow.recipe_digest).in_(recipes))).all():
        row.destroyed_at = row.destroyed_at or now
    for shard in session.exec(
        select(ShardAdapterRow).where(col(ShardAdapterRow.digest).in_(doomed.shard_adapters))
    ).all():
        shard.destroyed_at = shard.destroyed_at or now
    composed = col(ComposedAdapterRow.digest).in_(doomed.composed_adapters)
    for adapter in session.exec(select(ComposedAdapterRow).where(composed)).all():
        adapter.destroyed_at = adapter.destroyed_at or now
    released = col(ReleaseRow.composed_digest).in_(doomed.composed_adapters)
    for release in session.exec(select(ReleaseRow).where(released)).all():
        release.withdrawn_at = release.withdrawn_at or now
    session.flush()


def bury(
    session: Session,
    *,
    case_id: str,
    record_ids: Sequence[str],
    forms: Iterable[RegisterForm],
    keyring: Keyring,
    on: date,
) -> dict[str, int]:
    """Write tombstones for the records and the suppression list for the person's forms; returns how many are new."""
    until = _until(on)
    graves: set[tuple[str, str]] = set()
    for chunk in in_chunks(record_ids):
        for row in session.exec(select(RecordRow).where(col(RecordRow.id).in_(chunk))).all():
            graves |= {("content", row.given_hmac), ("given_id", row.id_hmac)}
    graves -= set(session.exec(select(TombstoneRow.kind, TombstoneRow.hmac)).all())
    session.add_all(TombstoneRow(kind=k, hmac=mac, case_id=case_id, keep_until=until) for k, mac in sorted(graves))
    suppressed = _suppress(session, forms, case_id=case_id, keyring=keyring, until=until)
    session.flush()
    return {"tombstones": len(graves), "suppressed_forms": suppressed}


def _suppress(session: Session, forms: Iterable[RegisterForm], *, case_id: str, keyring: Keyring, until: date) -> int:
    """Put forms on the suppression list; returns how many are new. One that stood there without its cue gets it now."""
    canonical = {(form.kind, normal) for form in forms for normal in normal_forms(form.kind, form.value)}
    digests: dict[tuple[str, str], frozenset[str]] = {
        (kind, keyring.form(kind, normal)): cues_of(kind, normal, keyring.cue_mac()) for kind, normal in canonical
    }
    known = {(row.kind, row.hmac): row for row in _suppressed(session, sorted(mac for _, mac in digests))}
    new = sorted(digests.keys() - known.keys())
    session.add_all(SuppressionRow(kind=k, hmac=mac, case_id=case_id, keep_until=until, cued=True) for k, mac in new)
    uncued = {place: row for place, row in known.items() if not row.cued}
    for row in uncued.values():
        row.cued = True
    _keep_cues(session, {cue for place in (*new, *uncued) for cue in digests[place]}, until)
    return len(new)


def _suppressed(session: Session, hmacs: Sequence[str]) -> Iterator[SuppressionRow]:
    for chunk in in_chunks(hmacs):
        yield from session.exec(select(SuppressionRow).where(col(SuppressionRow.hmac).in_(chunk))).all()


def _keep_cues(session: Session, tags: set[str], until: date) -> None:
    """A cue that others share is kept as long as the last of them."""
    for tag in sorted(tags):
        row = session.get(CueRow, tag)
        if row is None:
            session.add(CueRow(tag=tag, keep_until=until))
        else:
            row.keep_until = max(row.keep_until, until)


def bury_contents(session: Session, given_hmacs: Iterable[str], *, case_id: str, on: date) -> int:
    """Write tombstones for texts whose records stay, without the person; returns how many are new."""
    known = set(session.exec(select(TombstoneRow.hmac).where(TombstoneRow.kind == "content")).all())
    new = sorted(set(given_hmacs) - known)
    session.add_all(TombstoneRow(kind="content", hmac=mac, case_id=case_id, keep_until=_until(on)) for mac in new)
    session.flush()
    return len(new)


def _until(on: date) -> date:
    return on.replace(year=on.year + RETENTION_YEARS, day=min(on.day, 28))


def forget_rows(
    session: Session, *, case_id: str, subject_key: str | None, record_ids: Sequence[str]
) -> dict[str, int]:
    """Delete the rows of the records and of the person (None: who stays known); returns counts by table."""
    counts = {"slice_manifest": forget_members(session, record_ids)}  # first: the placements say where to look

    def drop(table: type[SQLModel], column: str, values: Sequence[object]) -> None:
        for chunk in in_chunks(values):
            result = session.connection().execute(delete(table).where(getattr(table, column).in_(chunk)))
            counts[table.__tablename__] = counts.get(str(table.__tablename__), 0) + result.rowcount  # type: ignore[index]

    findings: list[int | None] = []
    for chunk in in_chunks(record_ids):
        findings += session.exec(select(FindingRow.id).where(col(FindingRow.record_id).in_(chunk))).all()
    if subject_key is not None:
        _forget_in_other_records(session, subject_key)
        drop(FindingSubjectRow, "subject_key", [subject_key])
    drop(FindingSubjectRow, "finding_id", findings)
    children = (
        FindingRow,
        ParentRow,
        RecordSubjectRow,
        QuarantineRow,
        AdmissionRow,
        PlacementRow,
        RescanRecordRow,
        SupersededRow,
        VaultRow,
    )
    for table in children:
        drop(table, "record_id", record_ids)
    drop(RecordRow, "id", record_ids)
    if subject_key is not None:
        drop(RecordSubjectRow, "subject_key", [subject_key])
        drop(RegisterRow, "subject_key", [subject_key])
        drop(SubjectRow, "key", [subject_key])
    _forget_in_cases(session, case_id, subject_key, record_ids)
    return counts


def earlier_cases(session: Session, case_id: str, subject_key: str | None) -> list[str]:
    """Other cases of the same person (refused ones, say), whose sealed identifiers go with this purge."""
    if subject_key is None:
        return []
    query = select(CaseRow.id).where(CaseRow.subject_key == subject_key, CaseRow.id != case_id)
    return sorted(session.exec(query).all())


def _forget_in_cases(session: Session, case_id: str, subject_key: str | None, record_ids: Sequence[str]) -> None:
    """Every case keeps its handles only: this one, others that list a record, and what an earlier one knew of the person.

    This case itself forgets the person last, in `CaseFile.purged`.
    """
    listed = list(session.exec(select(CaseRecordRow).where(CaseRecordRow.case_id == case_id)).all())
    for chunk in in_chunks(record_ids):
        listed += session.exec(select(CaseRecordRow).where(col(CaseRecordRow.record_id).in_(chunk))).all()
    for row in listed:
        row.record_id = None
    earlier = select(CaseRow).where(CaseRow.subject_key == subject_key, CaseRow.id != case_id)
    for case in session.exec(earlier).all() if subject_key is not None else ():
        case.subject_key, case.supplied = None, None
    session.flush()


def _forget_in_other_records(session: Session, subject_key: str) -> None:
    """Findings of the person in records of others keep their place and type; the keyed digest of the value goes."""
    linked = select(FindingSubjectRow.finding_id).where(FindingSubjectRow.subject_key == subject_key)
    for row in session.exec(select(FindingRow).where(col(FindingRow.id).in_(linked))).all():
        row.value_hmac = ""
    session.flush()
