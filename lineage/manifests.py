"""Slice manifests: which records a slice was trained on, and with which content, in 32 bytes a record.

A manifest's members are one sorted run of entries of fixed width: the first half of the record's id, then the first half
of its content's digest. Both are HMAC-SHA256 values; half of one is what RFC 2104, section 5, allows to keep. Sorted by
record, so one bisection answers both questions: was this record in it, and was it in it with this content.

An erased record's entry is taken out of every manifest; the number of records and the Merkle root stay, as history.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from sqlmodel import Session, col, select

from lineage import merkle
from lineage.database import in_chunks
from lineage.errors import NotAcceptable
from lineage.plans import TRUNK, Member
from lineage.tables import PlacementRow, RecordRow, SliceManifestRow

__all__ = [
    "ever_learnt", "forget_members", "leaves_of", "manifest_facts", "manifests_holding", "manifests_holding_content", "members_of",
    "merkle_root", "save_manifest",
]  # fmt: skip

HALF = 16
ENTRY = 2 * HALF

Place = tuple[int, int]
"""Shard and slice."""


def save_manifest(
    session: Session, *, digest: str, adapter: str, plan_digest: str, place: Place, members: Sequence[Member]
) -> None:
    """Write a slice manifest once."""
    known = select(SliceManifestRow.digest).where(SliceManifestRow.digest == digest)
    if session.exec(known).first():
        return
    session.add(
        SliceManifestRow(
            digest=digest, adapter=adapter, plan_digest=plan_digest, shard=place[0], slice=place[1],
            records=len(members), merkle_root=merkle_root(members), members=packed(members),
        )
    )  # fmt: skip
    session.flush()


def manifest_facts(session: Session, digest: str) -> tuple[int, str]:
    """Number of records and Merkle root of a manifest, as it was trained on.

    Raises:
        NotAcceptable: the manifest is not in the tables.
    """
    query = select(SliceManifestRow.records, SliceManifestRow.merkle_root).where(SliceManifestRow.digest == digest)
    row = session.exec(query).first()
    if row is None:
        raise NotAcceptable("A state refers to a manifest that is not in the tables.")
    return row


def leaves_of(session: Session, digest: str) -> list[bytes]:
    """The entries of a manifest that are still held, sorted: the leaves of its Merkle tree, if none was taken out since."""
    row = session.get(SliceManifestRow, digest)
    return [] if row is None else list(_entries(row.members))


def members_of(session: Session, digest: str) -> dict[str, str]:
    """The records of a manifest that are still held, by full id, with the first half of their content's digest then."""
    row = session.get(SliceManifestRow, digest)
    if row is None:
        return {}
    contents = {entry[:HALF].hex(): entry[HALF:].hex() for entry in _entries(row.members)}
    ids = _full_ids(session, row, list(contents))
    return {record_id: contents[record_id[: 2 * HALF]] for record_id in sorted(ids)}


def merkle_root(members: Iterable[Member]) -> str:
    """RFC 6962 root over the entries of the members: what proofs of absence are made against."""
    return merkle.root(entry(member) for member in members).hex()


def entry(member: Member) -> bytes:
    """What a manifest keeps of a member, and its leaf in the Merkle tree."""
    return _half(member.record_id) + _half(member.content_hmac)


def packed(members: Iterable[Member]) -> bytes:
    """All entries, sorted."""
    return b"".join(sorted(entry(member) for member in members))


def manifests_holding(session: Session, record_ids: Iterable[str]) -> set[str]:
    """Manifests with one of the records, whatever its content was."""
    return _holding(session, {record_id: [_half(record_id)] for record_id in record_ids})


def ever_learnt(session: Session, record_ids: Collection[str]) -> set[str]:
    """Those of the records that a manifest holds, whatever their content was. Reads every manifest, if asked about any."""
    if not record_ids:
        return set()
    halves: set[str] = set()
    for members in session.exec(select(SliceManifestRow.members)):
        halves |= {entry[:HALF].hex() for entry in _entries(members)}
    return {record_id for record_id in record_ids if record_id[: 2 * HALF] in halves}


def manifests_holding_content(session: Session, pairs: Iterable[tuple[str, str]]) -> set[str]:
    """Manifests with one of the records and exactly this content; a pair is (record id, content digest)."""
    keys: dict[str, list[bytes]] = {}
    for record_id, content_hmac in pairs:
        keys.setdefault(record_id, []).append(entry(Member(record_id, content_hmac)))
    return _holding(session, keys)


def forget_members(session: Session, record_ids: Sequence[str]) -> int:
    """Take the entries of erased records out of every manifest; returns how many manifests held one.

    To be called while their placements still say where to look.
    """
    gone = {_half(record_id) for record_id in record_ids}
    holding = sorted(manifests_holding(session, record_ids))
    for digest in holding:
        row = session.get_one(SliceManifestRow, digest)
        row.members = b"".join(kept for kept in _entries(row.members) if kept[:HALF] not in gone)
    session.flush()
    return len(holding)


def _holding(session: Session, keys: Mapping[str, Sequence[bytes]]) -> set[str]:
    """Manifests with an entry that begins with a key. Only members of manifests that may hold one are read."""
    suspects = _Suspects(session, keys)
    query = select(
        SliceManifestRow.digest, SliceManifestRow.plan_digest, SliceManifestRow.shard, SliceManifestRow.slice
    )
    found = set()
    for digest, plan_digest, shard, index in session.exec(query).all():
        if wanted := suspects.at(plan_digest, (shard, index)):
            members = session.exec(select(SliceManifestRow.members).where(SliceManifestRow.digest == digest)).one()
            if any(_begins(members, key) for key in wanted):
                found.add(digest)
    return found


class _Suspects:
    """Which keys a manifest may hold, by its place.

    A record that a plan put into a slice was only ever trained there or, before it was rectified, in the trunk. One that
    is in the trunk now, or nowhere (it may have been taken out), may have been anywhere under the plan.
    """

    def __init__(self, session: Session, keys: Mapping[str, Sequence[bytes]]) -> None:
        self._keys = keys
        self._settled: dict[str, dict[str, Place | None]] = {}
        for row in _placements(session, list(keys)):
            if row.kind != "trunk":
                place = None if row.shard is None or row.slice is None else (row.shard, row.slice)
                self._settled.setdefault(row.plan_digest, {})[row.record_id] = place

    def at(self, plan_digest: str, place: Place) -> list[bytes]:
        """The keys to look for in a manifest of this plan and place."""
        settled = self._settled.get(plan_digest, {})
        return [
            key
            for record_id, own in self._keys.items()
            if place[0] == TRUNK or settled.get(record_id, place) == place
            for key in own
        ]


def _placements(session: Session, record_ids: Sequence[str]) -> Iterator[PlacementRow]:
    for chunk in in_chunks(record_ids):
        yield from session.exec(select(PlacementRow).where(col(PlacementRow.record_id).in_(chunk))).all()


def _full_ids(session: Session, row: SliceManifestRow, halves: Sequence[str]) -> set[str]:
    """The ids that begin with the halves: of records placed where the manifest is, and of those that moved since."""
    here = select(PlacementRow.record_id).where(
        PlacementRow.plan_digest == row.plan_digest, PlacementRow.slice == row.slice,
        col(PlacementRow.shard).is_(None) if row.shard == TRUNK else PlacementRow.shard == row.shard,
    )  # fmt: skip
    wanted = set(halves)
    ids = {record_id for record_id in session.exec(here).all() if record_id[: 2 * HALF] in wanted}
    for half in wanted - {record_id[: 2 * HALF] for record_id in ids}:
        ids.update(session.exec(select(RecordRow.id).where(RecordRow.id >= half, RecordRow.id < half + "g")).all())
    return ids


def _half(hex_digest: str) -> bytes:
    return bytes.fromhex(hex_digest[: 2 * HALF])


def _entries(members: bytes) -> Iterator[bytes]:
    return (members[at : at + ENTRY] for at in range(0, len(members), ENTRY))


def _begins(members: bytes, key: bytes) -> bool:
    """Whether one of the sorted entries begins with the key."""

    def beginning(index: int) -> bytes:
        return members[ENTRY * index : ENTRY * index + len(key)]

    count = len(members) // ENTRY
    index = bisect_left(range(count), key, key=beginning)
    return index < count and beginning(index) == key
