"""Near copies: records that say nearly the same as one of a person, found by MinHash (Broder 1997) over their words.

Two records are near when the estimated Jaccard similarity of their words reaches the policy's `threshold`, *and* they share
what is not template. Support records are written after templates, so records of two customers share most of their words and
are copies of nothing: a word that stands in records of `template_people` people is *template*, the others are *specific*. Of
the record with fewer specific words half must stand in the other, and it must have `min_words` of them.

Laws. Symmetric: a is near to b as b is near to a. One hop: a search looks around the records that *declare* the person and
goes no further. So the order of two requests does not matter: no erasure makes a record near to another. For that, what
was template once stays so (`TemplateWordRow`), or everybody who goes would make words of those who stay specific. A pair
that was found once stays one too, until one of the two goes or gets another text, or the policy asks for more: what a DPO
decided about it must not vanish because later records made its words template.

Keyed: a word is 32 bits of a BLAKE2b digest (RFC 7693) under a key of the workspace, so a table of words tells nothing
without the workspace secret, and two workspaces share no number. Texts are in memory only, and only as such numbers.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from sqlmodel import Session, col, delete, or_, select

from lineage.database import in_chunks
from lineage.folding import folded_text
from lineage.tables import NearEdgeRow, RecordRow, TemplateWordRow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lineage.keyring import Keyring
    from lineage.policy import NearRule
    from lineage.records import Content

__all__ = [
    "PERMUTATIONS", "SHARED", "Edge", "Found", "Near", "Tags", "Words", "edges_of", "known_template", "minhash", "save_found",
    "word_tags",
]  # fmt: skip

PERMUTATIONS = 128
"""Standard error of a similarity s: sqrt(s * (1 - s) / 128), at most 0.044."""
SHARED = 0.5
TAG_BYTES = 4
Tags: TypeAlias = frozenset[int]
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Edge:
    """Two records that say nearly the same, `a` before `b`; `similarity` is the estimate, in [0, 1]."""

    a: str
    b: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Found:
    """What a search saw of near copies: the pairs around the person's own records, and every word that is template now."""

    edges: tuple[Edge, ...] = ()
    template: Tags = field(default=frozenset(), repr=False)

    @property
    def record_ids(self) -> set[str]:
        """Both ends of every pair."""
        return {record_id for edge in self.edges for record_id in (edge.a, edge.b)}


@dataclass(frozen=True)
class Near:
    """How a search looks for near copies: by this key and rule; what was template before; who each record is about; and the
    pairs that were found before."""

    key: bytes = field(repr=False)
    rule: NearRule
    template: Tags = field(repr=False)
    people: dict[str, str] = field(repr=False)
    known: tuple[Edge, ...] = ()

    @classmethod
    def of(cls, session: Session, keyring: Keyring, rule: NearRule) -> Near:
        """As the workspace stands. A record that declares nobody is about "nobody", all of them together."""
        people = dict(session.exec(select(RecordRow.id, RecordRow.primary_subject)).all())
        whose = {record_id: person or "" for record_id, person in people.items()}
        known = tuple(Edge(row.a, row.b, row.similarity) for row in session.exec(select(NearEdgeRow)).all())
        return cls(keyring.derive("near"), rule, known_template(session), whose, known)

    def reader(self) -> Words:
        """An empty book of words, for one pass over the vault."""
        return Words(self)


@dataclass
class Words:
    """The words of every record that a search has decrypted; filled by `read`, asked by `around`."""

    near: Near
    _tags: dict[str, Tags] = field(default_factory=dict, repr=False)
    _users: dict[int, set[str]] = field(default_factory=dict, repr=False)
    _known: dict[str, int] = field(default_factory=dict, repr=False)
    _sketches: dict[str, _Sketch] = field(default_factory=dict, repr=False)

    def read(self, record_id: str, content: Content) -> None:
        """Take in one record."""
        tags = self._tags[record_id] = word_tags(content, self.near.key, known=self._known)
        person = self.near.people[record_id]
        for tag in tags:
            users = self._users.setdefault(tag, set())
            if len(users) < self.near.rule.template_people:
                users.add(person)

    @cached_property
    def template(self) -> Tags:
        """Every word that so many people use, or used once."""
        many = self.near.rule.template_people
        return self.near.template | {tag for tag, users in self._users.items() if len(users) >= many}

    def around(self, record_ids: Collection[str]) -> Found:
        """The near pairs of these records with all others that were read."""
        holders: dict[int, list[str]] = {}
        own = {record_id: self._specific[record_id] for record_id in sorted(record_ids) if record_id in self._specific}
        for record_id, tags in own.items():
            for tag in tags:
                holders.setdefault(tag, []).append(record_id)
        pairs = {(edge.a, edge.b): edge for edge in self.near.known if self._still_near(edge, record_ids)}
        for other in sorted(self._specific.keys() - set(record_ids)) if holders else ():
            pairs |= {(edge.a, edge.b): edge for edge in self._pairs(other, own, holders)}
        return Found(tuple(pairs[place] for place in sorted(pairs)), self.template)

    def _still_near(self, edge: Edge, record_ids: Collection[str]) -> bool:
        both_read = edge.a in self._tags and edge.b in self._tags
        return (
            both_read
            and (edge.a in record_ids) != (edge.b in record_ids)
            and edge.similarity >= self.near.rule.threshold
        )

    def _pairs(self, other: str, own: Mapping[str, Tags], holders: Mapping[int, Sequence[str]]) -> Iterator[Edge]:
        tags = self._specific[other]
        shared = Counter(record_id for tag in tags for record_id in holders.get(tag, ()))
        for record_id, count in sorted(shared.items()):
            if count >= SHARED * min(len(tags), len(own[record_id])):
                similarity = float((self._sketch(record_id) == self._sketch(other)).mean())
                if similarity >= self.near.rule.threshold:
                    yield Edge(min(record_id, other), max(record_id, other), similarity)

    def _sketch(self, record_id: str) -> _Sketch:
        if record_id not in self._sketches:
            self._sketches[record_id] = minhash(self._tags[record_id])
        return self._sketches[record_id]

    @cached_property
    def _specific(self) -> dict[str, Tags]:
        """The specific words of each record that has enough of them to be told from others."""
        specific = ((record_id, tags - self.template) for record_id, tags in self._tags.items())
        return {record_id: tags for record_id, tags in specific if len(tags) >= self.near.rule.min_words}


def word_tags(content: Content, key: bytes, *, known: dict[str, int] | None = None) -> Tags:
    """The different words of a content, folded like identifiers are, as keyed numbers. `known` spares hashing one twice."""
    memory = {} if known is None else known
    words = {word for segment in content.segments() for word in _WORD.findall(folded_text(segment))}
    return frozenset(memory[word] if word in memory else memory.setdefault(word, _tag(word, key)) for word in words)


def _tag(word: str, key: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), key=key, digest_size=TAG_BYTES).digest(), "big")


_Sketch: TypeAlias = "NDArray[np.uint32]"


def minhash(tags: Tags) -> _Sketch:
    """The MinHash of keyed numbers. The seed is fixed: the key is in the numbers."""
    from datasketch import MinHash

    sketch = MinHash(num_perm=PERMUTATIONS, seed=1, hashfunc=int, scheme="affine32")
    sketch.update_batch(sorted(tags))
    found: _Sketch = sketch.hashvalues
    return found


# --- kept ----------------------------------------------------------------------------------------------------------------


def known_template(session: Session) -> Tags:
    """Every word that was template in some search."""
    return frozenset(session.exec(select(TemplateWordRow.tag)).all())


def save_found(session: Session, found: Found, record_ids: Iterable[str]) -> None:
    """Write down what a search found around these records, in place of what earlier ones did; template words only add up."""
    for chunk in in_chunks(sorted(record_ids)):
        either = or_(col(NearEdgeRow.a).in_(chunk), col(NearEdgeRow.b).in_(chunk))
        session.connection().execute(delete(NearEdgeRow).where(either))
    session.add_all(NearEdgeRow(a=edge.a, b=edge.b, similarity=edge.similarity) for edge in found.edges)
    session.add_all(TemplateWordRow(tag=tag) for tag in sorted(found.template - known_template(session)))
    session.flush()


def edges_of(session: Session, record_ids: Collection[str]) -> list[Edge]:
    """The near pairs that searches wrote down about these records, the nearest first."""
    rows: dict[tuple[str, str], NearEdgeRow] = {}
    for chunk in in_chunks(sorted(record_ids)):
        either = or_(col(NearEdgeRow.a).in_(chunk), col(NearEdgeRow.b).in_(chunk))
        rows |= {(row.a, row.b): row for row in session.exec(select(NearEdgeRow).where(either)).all()}
    return sorted((Edge(r.a, r.b, r.similarity) for r in rows.values()), key=lambda e: (-e.similarity, e.a, e.b))
