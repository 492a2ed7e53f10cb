"""Near tombstones: keyed sketches of erased records, which keep nearly the same text from coming in again.

At a purge a sketch is made of each record that goes, by the rule of `lineage.nearness`; one with too few words of its own
gets none, because nothing would tell it from others on its template. At an ingest a record is a near copy when half of the
erased record's specific words stand in it (whatever else it says, so its own template does not matter) *and* the words of
both are similar enough. The first alone would stop whatever the person says later, because names and numbers are specific.

A near copy that declares the same subject is refused, as the record itself would be; one of anybody else waits in quarantine
for a human (`near_erased`), because two people may have written the same.

A sketch is personal data, kept and lifted like the other tombstones (`lineage.tombstones`). Its bytes: the version, 1; how
many words follow; 24 bits of each word's keyed number, smallest first, `MOST_WORDS` at most; the low byte of each of the 128
numbers of the MinHash (b-bit minwise hashing, Li and Koenig 2010). Nothing in it is a word, but who has the workspace
secret can ask it whether a word stood there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

from sqlmodel import Session, select

from lineage.admit import UNREAD, Decision
from lineage.catalog import Judged, contents_of
from lineage.database import in_chunks
from lineage.errors import NotAcceptable
from lineage.journal import NearMark
from lineage.nearness import PERMUTATIONS, SHARED, Near, Tags, minhash, word_tags
from lineage.policy import NearRule, load_gate_policy
from lineage.tables import NearTombstoneRow

if TYPE_CHECKING:
    from lineage.keyring import Keyring
    from lineage.workspace import Workspace

__all__ = ["NearGuard", "held_back", "lay_near", "near_marks"]

VERSION, TAG_BYTES, MOST_WORDS = 1, 3, 64
BY_CHANCE = 1 / 256  # two low bytes of different numbers agree
Whose: TypeAlias = Literal["own", "other"]


def near_marks(workspace: Workspace, session: Session, case_id: str, record_ids: Sequence[str]) -> tuple[NearMark, ...]:
    """The near tombstones of records that are about to be destroyed. A record whose text is gone has none."""
    near = Near.of(session, workspace.keyring, load_gate_policy(workspace.settings).near)
    marks: list[NearMark] = []
    for chunk in in_chunks(record_ids):
        for record in contents_of(session, chunk, keystore=workspace.keystore):
            tags = word_tags(record.content, near.key)
            specific = tags - near.template
            if len(specific) >= near.rule.min_words:
                handle = workspace.keyring.handle(case_id, record.record_id)
                whose = _subject(workspace.keyring, near.people[record.record_id])
                marks.append((handle, whose, len(specific), _sketch(specific, tags).hex()))
    return tuple(sorted(marks))


def lay_near(session: Session, marks: Iterable[NearMark], *, case_id: str, until: date) -> int:
    """Write near tombstones; returns how many are new. Safe to repeat."""
    known = set(session.exec(select(NearTombstoneRow.handle).where(NearTombstoneRow.case_id == case_id)).all())
    new = {handle: (whose, words, sketch) for handle, whose, words, sketch in marks if handle not in known}
    session.add_all(
        NearTombstoneRow(
            case_id=case_id, handle=handle, subject_hmac=whose, words=words, sketch=bytes.fromhex(sketch), keep_until=until
        )
        for handle, (whose, words, sketch) in new.items()
    )  # fmt: skip
    session.flush()
    return len(new)


@dataclass(frozen=True)
class NearGuard:
    """Every near tombstone, ready to be asked by an ingest."""

    keyring: Keyring
    rule: NearRule
    graves: tuple[_Grave, ...] = field(repr=False)

    @classmethod
    def of(cls, session: Session, keyring: Keyring, rule: NearRule) -> NearGuard:
        """As the workspace stands.

        Raises:
            NotAcceptable: a sketch was written by a later version of Lethe, or is damaged.
        """
        rows = session.exec(select(NearTombstoneRow.subject_hmac, NearTombstoneRow.sketch)).all()
        return cls(keyring, rule, tuple(_Grave.read(whose, sketch) for whose, sketch in rows))

    def sift(self, batch: Sequence[Judged]) -> tuple[list[Judged], list[Judged]]:
        """What goes on, near copies of others' among it as quarantined; and what is refused."""
        if not self.graves:
            return list(batch), []
        whose = [self.whose(judged) for judged in batch]
        waiting = [
            replace(judged, decision=held_back(judged.decision)) if near else judged
            for judged, near in zip(batch, whose, strict=True)
        ]
        going = [judged for judged, near in zip(waiting, whose, strict=True) if near != "own"]
        return going, [judged for judged, near in zip(batch, whose, strict=True) if near == "own"]

    def whose(self, judged: Judged) -> Whose | None:
        """Whether a record is a near copy of an erased one, of a subject that it declares or of another.

        Both the text as it came and as the gate would keep it count: the person's names may be constants in the one.
        """
        texts = judged.raw.content, judged.decision.content
        each = [word_tags(text, self._key, known=self._known) for text in dict.fromkeys(texts)]
        hits: Counter[int] = Counter()
        for short in {tag >> 8 for tag in frozenset().union(*each)}:
            hits.update(self._holders.get(short, ()))
        near = [self.graves[at] for at, count in hits.items() if count >= SHARED * len(self.graves[at].words)]
        if not near:
            return None
        sketches = [minhash(tags) & 255 for tags in each if tags]
        near = [grave for grave in near if max(grave.similarity(s) for s in sketches) >= self.rule.threshold]
        declared = {_subject(self.keyring, key) for key in judged.identity.declared}
        return ("own" if any(grave.whose in declared for grave in near) else "other") if near else None

    @cached_property
    def _key(self) -> bytes:
        return self.keyring.derive("near")

    @cached_property
    def _known(self) -> dict[str, int]:
        return {}

    @cached_property
    def _holders(self) -> Mapping[int, Sequence[int]]:
        found: dict[int, list[int]] = defaultdict(list)
        for at, grave in enumerate(self.graves):
            for tag in grave.words:
                found[tag].append(at)
        return found


@dataclass(frozen=True, slots=True)
class _Grave:
    """One near tombstone, read."""

    whose: str
    words: frozenset[int]
    low: bytes

    @classmethod
    def read(cls, whose: str, sketch: bytes) -> _Grave:
        count = sketch[1] if len(sketch) > 1 else 0
        if sketch[:1] != bytes([VERSION]) or len(sketch) != 2 + count * TAG_BYTES + PERMUTATIONS:
            raise NotAcceptable("A near tombstone cannot be read.", hint="Use the version of Lethe that wrote it.")
        tags = (sketch[2 + at * TAG_BYTES : 2 + (at + 1) * TAG_BYTES] for at in range(count))
        return cls(whose, frozenset(int.from_bytes(tag, "big") for tag in tags), sketch[-PERMUTATIONS:])

    def similarity(self, low: Iterable[int]) -> float:
        """The estimated Jaccard similarity of all words, without what low bytes share by chance."""
        alike = sum(one == other for one, other in zip(self.low, low, strict=True)) / PERMUTATIONS
        return (alike - BY_CHANCE) / (1 - BY_CHANCE)


def _sketch(specific: Tags, tags: Tags) -> bytes:
    words = sorted({tag >> 8 for tag in specific})[:MOST_WORDS]
    low = bytes(int(number) & 255 for number in minhash(tags))
    return bytes([VERSION, len(words)]) + b"".join(word.to_bytes(TAG_BYTES, "big") for word in words) + low


def _subject(keyring: Keyring, subject_key: str) -> str:
    return keyring.mac("near-subject", subject_key) if subject_key else ""


def held_back(decision: Decision) -> Decision:
    """For a human to look at; what nobody can read, or what is blocked already, stays so for that reason."""
    if decision.verdict == "block" or decision.reason in UNREAD:
        return decision
    return replace(decision, verdict="quarantine", reason="near_erased")
