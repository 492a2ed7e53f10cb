"""Find, then forget: every record an erasure must reach.

The vault is searched afresh with the person's register forms and the identifiers they supplied, because links stored at
ingest miss people who were registered later. A record is in the closure because it *declares* the person, is an exact
*duplicate* of such a record, was *derived* from one that goes (`parents`, followed to the end), or *mentions* them.

What only mentions the person is somebody else's record: it stays with its mention as a constant (`redact`, docs/adr/0010)
if the gate would admit it so, and goes whole (`erase`) if not. What was derived from a record that is redacted, and
mentions nobody itself, stays. A mention that became a constant at ingest is listed as `already_redacted` and needs no
rebuild.

What says nearly the same as a declared record (`lineage.nearness`) is a *near_duplicate*. It goes if it speaks of the person
and declares nobody else. If not it is a `candidate`, which a DPO must erase or call `unrelated`: templates look alike.

Planted canaries are nobody's records and in no closure (docs/adr/0026).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from lineage.admit import Gate
from lineage.catalog import contents_of
from lineage.database import in_chunks
from lineage.errors import WrongUsage
from lineage.forms import FormKind, normalise
from lineage.nearness import Found, Near, Words
from lineage.plans import without_planted
from lineage.planted import CANARY_SOURCE
from lineage.records import TrainingRecord
from lineage.redaction import Freed, speaks_of, without_person
from lineage.register import RegisterForm, RegisterIndex
from lineage.tables import ParentRow, PlacementRow, RecordRow, RecordSubjectRow, VaultRow
from lineage.vault import KeyStore

__all__ = [
    "CHANGING", "LEFT_OUT", "STORES", "Closure", "ClosureRecord", "Reach", "counted", "find_closure", "freed_contents", "stores_of",
    "supplied_forms", "with_derived",
]  # fmt: skip

CHANGING = ("erase", "redact")
LEFT_OUT = "legal hold, restricted until it is lifted, Art. 17(3)(e) GDPR"
"""Begins the ground of a record under a legal hold that is left out of its case's purge."""
STORES = ("admitted", "trunk", "quarantined", "blocked")
"""Where a record is held. What a trunk was trained on is counted there and not with the other admitted records."""
CONSENT = "consent"  # what a row's `lawful_basis` says when it rests on Art. 6(1)(a)


@dataclass(frozen=True, slots=True)
class ClosureRecord:
    """One record of a closure: why it is in it, and what happens to it."""

    record_id: str
    relation: str  # declared | mentioned | duplicate | near_duplicate | derived
    decision: str  # erase | redact | already_redacted | keep | candidate | unrelated
    ground: str = ""  # why a record is kept


@dataclass(frozen=True, slots=True)
class Closure:
    """All records of a closure, sorted by record id; by store (`STORES`, zeros included) how many were searched and found.

    `decisions` is the digest of the DPO's decisions that were laid over it (`lineage.holds.decisions_digest`); `near` is what
    the search saw of near copies, None if it did not look for any.
    """

    records: tuple[ClosureRecord, ...]
    searched: dict[str, int] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)
    decisions: str = ""
    near: Found | None = None

    @property
    def erased_ids(self) -> tuple[str, ...]:
        """The records that go."""
        return tuple(record.record_id for record in self.records if record.decision == "erase")

    @property
    def leaving_ids(self) -> tuple[str, ...]:
        """As `changed_ids`, and the records under a legal hold that are left out of the purge: nothing may learn from them."""
        out = (r.record_id for r in self.records if r.decision == "keep" and r.ground.startswith(LEFT_OUT))
        return tuple(sorted({*self.changed_ids, *out}))

    @property
    def changed_ids(self) -> tuple[str, ...]:
        """The records that go or get another content: what was trained on them must be built again."""
        return tuple(record.record_id for record in self.records if record.decision in CHANGING)


@dataclass(frozen=True, slots=True)
class Reach:
    """How far an erasure goes.

    `gate` is opened only if there is a mention to redact; without it every record that mentions the person is erased.
    `redacted` are records that the case has freed of their mentions already; one that speaks of the person all the same, by a
    form that was not known then, is erased. Of those to `free`, which a DPO would rather redact, the gate has the last word,
    and what the person declares is not freed but erased. `near` is how near copies are looked for; without it none are. Those
    that are `unrelated`, as a DPO found, are decided as if they were none. With `only_consent` (Art. 7(3) GDPR) the
    closure is what the person declares on the basis of consent, with copies and derived records; all else is kept.
    """

    gate: Callable[[], Gate] | None = None
    redacted: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset()
    only_consent: bool = False
    near: Near | None = None
    unrelated: frozenset[str] = frozenset()


EVERYTHING = Reach()


def supplied_forms(subject_key: str, supplied: Iterable[str]) -> list[RegisterForm]:
    """Identifiers the person wrote in their request, as forms to search for. What cannot be a form is passed over."""
    return [
        RegisterForm(subject_key, kind, value)
        for value in supplied
        for kind in _possible_kinds(value)
        if _can_be(kind, value)
    ]


def _possible_kinds(value: str) -> tuple[FormKind, ...]:
    """Digits alone do not tell a telephone from an account, so they are searched as both."""
    if "@" in value:
        return ("email",)
    return ("phone", "account") if any(c.isdecimal() for c in value) else ("name",)


def _can_be(kind: FormKind, value: str) -> bool:
    try:
        normalise(kind, value)
    except WrongUsage:
        return False
    return True


def find_closure(
    session: Session, subject_key: str, forms: Sequence[RegisterForm], *, keystore: KeyStore, reach: Reach = EVERYTHING
) -> Closure:
    """The closure of one person over every store. Quarantined and restricted records are searched too; of blocked ones,
    which have no text, the declared subjects and links are known."""
    everything = stores_of(session, col(RecordRow.source) != CANARY_SOURCE)
    stored = _stored_relations(session, subject_key)
    index = RegisterIndex(forms)
    declared = {r for r, kind in stored.items() if kind == "declared"}
    kept = _resting_elsewhere(session, declared) if reach.only_consent else {}
    declared -= kept.keys()
    copies = _duplicates(session, declared) - kept.keys()
    spoken, words = _read(session, list(everything), index, keystore, reach.near)
    speaking, freed = spoken | reach.redacted, reach.redacted - spoken
    near = words.around(declared) if words else None
    alike = (near.record_ids if near else set()) - declared - copies - kept.keys()
    own = (alike & (speaking | stored.keys())) - _declaring_somebody(session, alike)
    erased = with_derived(session, declared | copies | own)
    wanted = (reach.free & erased & speaking) - declared - copies - own
    others, saved = speaking - (erased - wanted) - kept.keys(), set[str]()
    if reach.only_consent:
        kept |= dict.fromkeys(others, "a record of somebody else")
    else:
        saved = others & freed | _redactable(session, others - reach.redacted, index, keystore, reach.gate)
        erased = with_derived(session, erased | (others - saved)) - (saved & wanted)
    candidates, unrelated = alike - erased - reach.unrelated, alike & reach.unrelated
    relations = dict.fromkeys(unrelated, "near_duplicate") | dict.fromkeys(erased, "derived")
    relations |= dict.fromkeys(copies, "duplicate") | dict.fromkeys(speaking - copies, "mentioned") | stored
    relations |= dict.fromkeys(own | candidates, "near_duplicate")
    decisions = dict.fromkeys(relations, "already_redacted") | dict.fromkeys(kept, "keep")
    decisions |= dict.fromkeys(unrelated - speaking - stored.keys(), "unrelated") | dict.fromkeys(saved, "redact")
    decisions |= dict.fromkeys(erased, "erase") | dict.fromkeys(candidates, "candidate")
    grounds = {r: ground for r, ground in kept.items() if decisions[r] == "keep"}
    records = tuple(ClosureRecord(r, relations[r], decisions[r], grounds.get(r, "")) for r in sorted(relations))
    return replace(counted(session, records, everything), near=near)


def stores_of(session: Session, *which: ColumnElement[bool]) -> dict[str, str]:
    """The store that each record (or each of `which`) is in, by record id."""
    stores = dict(session.exec(select(RecordRow.id, RecordRow.status).where(*which)).all())
    in_trunk = set(session.exec(select(PlacementRow.record_id).where(PlacementRow.kind == "trunk")).all())
    return {r: "trunk" if store == "admitted" and r in in_trunk else store for r, store in stores.items()}


def counted(session: Session, records: tuple[ClosureRecord, ...], stores: Mapping[str, str]) -> Closure:
    """A closure with its counts. Searched is what has a text, which a blocked record has not; found by links it may be."""
    read = stores.keys() & set(session.exec(select(VaultRow.record_id)).all())
    searched, found = Counter(stores[r] for r in read), Counter(stores[record.record_id] for record in records)
    return Closure(records, {s: searched[s] for s in STORES}, {s: found[s] for s in STORES})


def _resting_elsewhere(session: Session, record_ids: Collection[str]) -> dict[str, str]:
    """The records that do not rest on consent, with the ground on which they are kept."""
    found: dict[str, str] = {}
    for chunk in in_chunks(sorted(record_ids)):
        query = select(RecordRow.id, RecordRow.lawful_basis).where(col(RecordRow.id).in_(chunk))
        rows = session.exec(query.where(RecordRow.lawful_basis != CONSENT)).all()
        found |= {record_id: f"other lawful basis: {basis}" for record_id, basis in rows}
    return found


def _redactable(
    session: Session, record_ids: Collection[str], index: RegisterIndex, keystore: KeyStore,
    gate: Callable[[], Gate] | None,
) -> set[str]:  # fmt: skip
    """Records of others that the gate would admit without the person. What waits in quarantine nobody has admitted."""
    if gate is None or not record_ids:
        return set()
    opened = gate()
    return {r.record_id for r, freed in freed_contents(session, sorted(record_ids), index, opened, keystore) if freed}


def freed_contents(
    session: Session, record_ids: Sequence[str], index: RegisterIndex, gate: Gate, keystore: KeyStore
) -> Iterator[tuple[TrainingRecord, Freed | None]]:
    """Each admitted record of the given ones as it is, and as it would be without the person."""
    for chunk in in_chunks(record_ids):
        rows = {row.id: row for row in session.exec(select(RecordRow).where(col(RecordRow.id).in_(chunk))).all()}
        own = select(RecordSubjectRow).where(col(RecordSubjectRow.record_id).in_(chunk))
        people = [p for p in session.exec(own).all() if p.relation == "declared"]
        for record in contents_of(session, chunk, keystore=keystore):
            row = rows[record.record_id]
            declared = {p.subject_key for p in people if p.record_id == row.id}
            if row.status == "admitted":
                yield record, without_person(gate, index, record.content, declared=declared, language=row.language)


def _stored_relations(session: Session, subject_key: str) -> dict[str, str]:
    rows = session.exec(select(RecordSubjectRow).where(RecordSubjectRow.subject_key == subject_key)).all()
    ours = without_planted(session, [row.record_id for row in rows])
    relations = {row.record_id: row.relation for row in rows if row.relation == "mentioned"}
    relations |= {row.record_id: row.relation for row in rows if row.relation == "declared"}
    return {record_id: relation for record_id, relation in relations.items() if record_id in ours}


def _read(
    session: Session, record_ids: Sequence[str], index: RegisterIndex, keystore: KeyStore, near: Near | None
) -> tuple[set[str], Words | None]:
    """Records whose text, as it is kept and trained on, holds a form of the person; and the words of all, if asked for."""
    words, speaking = near.reader() if near else None, set[str]()
    for chunk in in_chunks(record_ids):
        for record in contents_of(session, chunk, keystore=keystore):
            if speaks_of(index, record.content):
                speaking.add(record.record_id)
            if words:
                words.read(record.record_id, record.content)
    return speaking, words


def _declaring_somebody(session: Session, record_ids: Collection[str]) -> set[str]:
    found: set[str] = set()
    for chunk in in_chunks(sorted(record_ids)):
        query = select(RecordSubjectRow.record_id).where(col(RecordSubjectRow.record_id).in_(chunk))
        found |= set(session.exec(query.where(RecordSubjectRow.relation == "declared")).all())
    return found


def _duplicates(session: Session, record_ids: set[str]) -> set[str]:
    """Records with exactly the same content, whoever declares them."""
    digests: set[str] = set()
    for chunk in in_chunks(sorted(record_ids)):
        digests |= set(session.exec(select(RecordRow.given_hmac).where(col(RecordRow.id).in_(chunk))).all())
    found: set[str] = set()
    for chunk in in_chunks(sorted(digests)):
        found |= set(session.exec(select(RecordRow.id).where(col(RecordRow.given_hmac).in_(chunk))).all())
    return without_planted(session, found - record_ids)


def with_derived(session: Session, record_ids: set[str]) -> set[str]:
    """These records and their children, and children's children, by declared parents."""
    found = set(record_ids)
    frontier = set(record_ids)
    while frontier:
        names: set[str] = set()
        for chunk in in_chunks(sorted(frontier)):
            names |= set(session.exec(select(RecordRow.id_hmac).where(col(RecordRow.id).in_(chunk))).all())
        children: set[str] = set()
        for chunk in in_chunks(sorted(names)):
            children |= set(
                session.exec(select(ParentRow.record_id).where(col(ParentRow.parent_id_hmac).in_(chunk))).all()
            )
        frontier = without_planted(session, children - found)
        found |= frontier
    return found
