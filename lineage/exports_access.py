"""The answer to "was I in training, and where did it go": the right of access, Art. 15 GDPR, over what Lethe holds.

The vault is searched afresh, as an erasure would search it, but for near copies of other people's that only a DPO can judge.
What a case of the person has redacted is told as long as its old text is sealed with the case. Told are counts by source,
purpose, legal basis, state and reason, what the records were learnt into, and who got it. No text is given out: texts speak of
other people too, and a copy of the data (Art. 15(3)) is for a human to make (docs/limits.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime

from sqlmodel import Session, col, func, select

from lineage import inventory
from lineage.closure import Closure, ClosureRecord, Reach, find_closure, supplied_forms
from lineage.database import in_chunks
from lineage.errors import WrongUsage
from lineage.labels import Labels, labels_of
from lineage.manifests import manifests_holding, members_of
from lineage.plans import planted_subjects
from lineage.pseudonyms import forms_of
from lineage.register import RegisterForm
from lineage.sought import person_named
from lineage.subjects import load_forms
from lineage.tables import (
    CaseRow,
    ComposedAdapterRow,
    ComposedPartRow,
    FindingRow,
    FindingSubjectRow,
    IngestRow,
    PartyRow,
    RecordRow,
    RegisterRow,
    ReleaseRow,
    StateRow,
    SubjectRow,
    SupersededRow,
)
from lineage.trace import descending_states
from lineage.workspace import Workspace

__all__ = ["Access", "Fed", "Held", "Person", "Received", "Version", "read_access"]


@dataclass(frozen=True)
class Person:
    """Who asks: by subject key, or by identifiers that are used for the search and dropped."""

    key: str = ""
    identifiers: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, order=True)
class Held:
    """Records that are alike. `status`: admitted | restricted | quarantined | blocked; `relation`: declared | mentioned |
    replaced (the mention became a constant before anything learnt it) | freed (a case took it out, what learnt it or its sealed
    text may be there yet) | duplicate | derived."""

    source: str
    purpose: str
    lawful_basis: str
    status: str
    relation: str
    records: int = 0


@dataclass(frozen=True, slots=True)
class Version:
    """One composed adapter that descends from a record, with its time in service (None: never, or still)."""

    digest: str
    released_at: datetime | None
    withdrawn_at: datetime | None
    destroyed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Fed:
    """One adapter that learnt from the records: from how many, since when, and in which versions that shows."""

    adapter: str
    records: int
    since: datetime
    versions: tuple[Version, ...]


@dataclass(frozen=True, slots=True, order=True)
class Received:
    """Who got an adapter's releases, or from whose system a source came (Art. 15(1)(c) and (g))."""

    kind: str
    whom: str
    scope: str


@dataclass(frozen=True, slots=True)
class Access:
    """The whole answer. `held_since`: when the oldest of the records came in; `register` and `categories`: how many
    identifiers are registered and how many places in texts were found to be the person's, by kind."""

    answered_on: date
    controller: str
    held: tuple[Held, ...]
    held_since: datetime | None
    register: Mapping[str, int]
    categories: Mapping[str, int]
    fed: tuple[Fed, ...]
    parties: tuple[Received, ...]
    files: Mapping[str, int]
    backups_end: date | None
    backups: int
    retention: str
    transfers: str

    @property
    def records(self) -> int:
        """How many records there are in all."""
        return sum(line.records for line in self.held)

    def as_json(self) -> dict[str, object]:
        """Plain values; times in ISO 8601."""
        plain: dict[str, object] = asdict(self, dict_factory=lambda pairs: {k: _plain(v) for k, v in pairs})
        return {"article": "15 GDPR", "records": self.records, **plain}


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value


def read_access(workspace: Workspace, person: Person, *, now: datetime) -> Access:
    """Search every store for a person, and follow what is found.

    Raises:
        WrongUsage: nobody is known by that key or those identifiers.
        NotAcceptable: the identifiers mean several people.
    """
    settings, today = workspace.settings, workspace.settings.day(now)
    with workspace.database.reader() as session:
        key, forms = _who(session, workspace, person)
        reach = Reach(redacted=_freed(session, key))
        closure = find_closure(session, key, forms, keystore=workspace.keystore, reach=reach)
        ids, labels = [record.record_id for record in closure.records], labels_of(session, workspace)
        rows, fed, outside = _rows(session, ids), _fed(session, ids), inventory.everything(session)
        held_since = _since(session, rows.values())
        reached = {version.digest for f in fed for version in f.versions}
        ends = [backup.gone_after(today) for backup in outside.backups]
        return Access(
            answered_on=today,
            controller=settings.controller,
            held=_held(closure, rows, labels),
            held_since=held_since,
            register=_register(session, key),
            categories=_categories(session, key, ids),
            fed=fed,
            parties=_parties(session, fed, {row.source for row in rows.values()}, held_since=held_since, labels=labels),
            files=_counted(f.kind for f in outside.files if ids and f.composed_digest in {None, *reached}),
            backups=len(ends),
            backups_end=max((end for end in ends if end), default=None) if all(ends) else None,
            retention=settings.processing.retention.strip(),
            transfers=settings.processing.transfers.strip(),
        )


def _who(session: Session, workspace: Workspace, person: Person) -> tuple[str, list[RegisterForm]]:
    """The key, and every form to search for: registered, given now, and what redacted texts call the person."""
    key = person.key or person_named(session, person.identifiers, workspace)
    if not key or session.get(SubjectRow, key) is None or key in planted_subjects(session):
        raise WrongUsage(
            "Nobody in this workspace is known by that.",
            hint="They are owed an answer all the same. To search every text: lethe register add, then ask again.",
        )
    forms = load_forms(session, workspace.keystore, key) + supplied_forms(key, person.identifiers)
    return key, forms + forms_of(key, workspace.keyring.pseudonym)


def _freed(session: Session, key: str) -> frozenset[str]:
    """What cases of the person have redacted while its old text is still sealed: no search of today's texts finds it."""
    query = select(SupersededRow.record_id).join(CaseRow, col(CaseRow.id) == col(SupersededRow.by))
    return frozenset(session.exec(query.where(CaseRow.subject_key == key, SupersededRow.reason == "redacted")).all())


def _rows(session: Session, ids: Sequence[str]) -> dict[str, RecordRow]:
    found: dict[str, RecordRow] = {}
    for chunk in in_chunks(ids):
        found |= {row.id: row for row in session.exec(select(RecordRow).where(col(RecordRow.id).in_(chunk))).all()}
    return found


def _held(closure: Closure, rows: Mapping[str, RecordRow], labels: Labels) -> tuple[Held, ...]:
    counts: Counter[Held] = Counter()
    for record in closure.records:
        row = rows[record.record_id]
        status = "restricted" if row.restricted_by else row.status
        counts[Held(labels(row.source), labels(row.purpose), labels(row.lawful_basis), status, _relation(record))] += 1
    lines = (Held(h.source, h.purpose, h.lawful_basis, h.status, h.relation, n) for h, n in counts.items())
    return tuple(sorted(lines))


def _relation(record: ClosureRecord) -> str:
    """Without a gate a search redacts nothing that no case has redacted before."""
    return {"already_redacted": "replaced", "redact": "freed"}.get(record.decision, record.relation)


def _since(session: Session, rows: Collection[RecordRow]) -> datetime | None:
    ingests = {row.ingest_id for row in rows}
    query = select(IngestRow.id, IngestRow.requested_at)
    return min((at for ingest, at in session.exec(query).all() if ingest in ingests), default=None)


def _register(session: Session, key: str) -> dict[str, int]:
    query = select(RegisterRow.kind, func.count()).where(RegisterRow.subject_key == key).group_by(RegisterRow.kind)
    return dict(sorted(session.exec(query).all()))


def _categories(session: Session, key: str, ids: Sequence[str]) -> dict[str, int]:
    """Kinds of the findings that are linked to the person."""
    kinds: list[str] = []
    for chunk in in_chunks(ids):
        query = (
            select(FindingRow.entity_type)
            .join(FindingSubjectRow, col(FindingSubjectRow.finding_id) == col(FindingRow.id))
            .where(FindingSubjectRow.subject_key == key, col(FindingRow.record_id).in_(chunk))
        )
        kinds += session.exec(query).all()
    return _counted(kinds)


def _counted(kinds: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(kinds).items()))


def _parties(
    session: Session, fed: Sequence[Fed], sources: Collection[str], *, held_since: datetime | None, labels: Labels
) -> tuple[Received, ...]:
    """Who got a model that learnt from the records, or gave them. One that was retired since is named too: to it the data
    *have been* disclosed (Art. 15(1)(c))."""
    began: dict[tuple[str, str], datetime | None] = {("recipient", f.adapter): f.since for f in fed}
    began |= {("recipient", ""): min(f.since for f in fed)} if fed else {}
    began |= {("upstream", source): held_since for source in ("", *sources)} if sources else {}
    found = []
    for row in session.exec(select(PartyRow)).all():
        place = (row.kind, row.scope)
        if place in began and (row.removed_at is None or row.removed_at > (began[place] or row.since)):
            found.append(Received(row.kind, labels(row.whom), labels(row.scope)))
    return tuple(sorted(found))


# --- where it went --------------------------------------------------------------------------------------------------------


def _fed(session: Session, ids: Sequence[str]) -> tuple[Fed, ...]:
    """Every adapter with a state that was trained on one of the records; destroyed ones too: that is history."""
    manifests = sorted(manifests_holding(session, ids)) if ids else []
    states = descending_states(session, manifests)
    trained = [state for state in states if state.manifest_digest in set(manifests)]
    learnt: dict[str, set[str]] = {}
    for adapter, manifest in sorted({(state.adapter, state.manifest_digest) for state in trained}):
        learnt.setdefault(adapter, set()).update(members_of(session, manifest).keys() & set(ids))
    return tuple(
        Fed(
            adapter, len(learnt[adapter]), min(s.built_at for s in trained if s.adapter == adapter),
            _versions(session, [state for state in states if state.adapter == adapter]),
        )
        for adapter in sorted(learnt)
    )  # fmt: skip


def _versions(session: Session, states: Sequence[StateRow]) -> tuple[Version, ...]:
    digests: set[str] = set()
    for chunk in in_chunks(sorted(state.recipe_digest for state in states)):
        parts = select(ComposedPartRow.composed_digest).where(col(ComposedPartRow.recipe_digest).in_(chunk))
        digests |= set(session.exec(parts).all())
    found = [version for digest in sorted(digests) for version in _times(session, digest)]
    return tuple(
        sorted(found, key=lambda v: (v.released_at is None, v.released_at and v.released_at.timestamp(), v.digest))
    )


def _times(session: Session, digest: str) -> list[Version]:
    row = session.get_one(ComposedAdapterRow, digest)
    query = select(ReleaseRow).where(ReleaseRow.composed_digest == digest).order_by(col(ReleaseRow.id))
    releases = session.exec(query).all()
    if not releases:
        return [Version(digest, None, None, row.destroyed_at)]
    return [Version(digest, release.at, release.withdrawn_at, row.destroyed_at) for release in releases]
