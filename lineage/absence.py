"""Proofs that no ancestor of what is in service holds an erased record, nor what a redacted one said before.

An *ancestor* is a state in the chain that ends in a shard of the release; it learnt the records of one slice manifest. The
leaves of a manifest's Merkle tree are its entries (`lineage.manifests`), so what must be absent is a key that no leaf begins
with:

* of an erased record the first half of its id, 16 bytes: absent whatever its content was;
* of a redacted record the whole entry with the old content, 32 bytes: the record itself is there, with another one.

Leaves are sorted, so the leaves with a key at their beginning stand together, and two neighbours with the key strictly
between them leave no room for one, provided that the larger one does not begin with it itself.

Paths of one tree share most of their hashes: an ancestor lists each `node` and each neighbouring leaf once, and paths and
proofs name them by place. A root that cannot be rebuilt from what the manifest still holds gets no proof, and says so.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from sqlmodel import Session

from lineage import builds, manifests, merkle
from lineage.builds import StateFacts
from lineage.errors import NotAcceptable
from lineage.facts import Ancestor, CertificateFacts, NonInclusion, ProofLeaf
from lineage.plans import TRUNK, Member

__all__ = [
    "FORGOTTEN",
    "UNPROVEN",
    "Absent",
    "ancestors_without",
    "content_key",
    "contradictions",
    "prove",
    "record_key",
]

UNPROVEN = (
    "The Merkle root of a slice was written by an early version and cannot be rebuilt: that this slice holds none of the "
    "records is told, not proved."
)
FORGOTTEN = (
    "What a redacted record said before was forgotten with the purge of another case: that no ancestor learnt it is told, "
    "not proved."
)


@dataclass(frozen=True, slots=True)
class Absent:
    """What no leaf may begin with, and the record it stands for, by its handle in the case."""

    record: str
    key: bytes


def record_key(record_id: str) -> bytes:
    """A record, whatever it says."""
    return bytes.fromhex(record_id[: 2 * manifests.HALF])


def content_key(record_id: str, content_hmac: str) -> bytes:
    """A record with one content."""
    return manifests.entry(Member(record_id, content_hmac))


def ancestors_without(
    session: Session, adapter: str, recipes: Iterable[str | None], absent: Collection[Absent]
) -> tuple[Ancestor, ...]:
    """Every state that the shards with these recipes descend from, once, with its proofs.

    Raises:
        NotAcceptable: one of them holds what must be absent, or a state or manifest is not in the tables.
    """
    found: dict[str, Ancestor] = {}
    for recipe in recipes:
        lineage = builds.ancestors(session, recipe)
        if recipe and (not lineage or lineage[0].parent_recipe):
            raise NotAcceptable("A state in service descends from one that is not in the tables.")
        parent = None
        for state in lineage:
            if state.recipe_digest not in found:
                found[state.recipe_digest] = _ancestor(session, adapter, state, parent, absent)
            parent = state.state_digest
    return tuple(sorted(found.values(), key=_place))


def _place(ancestor: Ancestor) -> tuple[int, int, str]:
    return TRUNK if ancestor.shard is None else ancestor.shard, ancestor.slice, ancestor.state


def _ancestor(
    session: Session, adapter: str, state: StateFacts, parent: str | None, absent: Collection[Absent]
) -> Ancestor:
    records, root = manifests.manifest_facts(session, state.manifest_digest)
    leaves = sorted(set(manifests.leaves_of(session, state.manifest_digest)))
    nodes, ends, proofs = prove(leaves, absent)
    unproven = None
    if len(leaves) != records or merkle.root(leaves).hex() != root:
        nodes, ends, proofs, unproven = (), (), (), UNPROVEN
    return Ancestor(
        adapter=adapter, shard=None if state.shard == TRUNK else state.shard, slice=state.slice, state=state.state_digest,
        parent=parent, records=records, root=root, nodes=nodes, leaves=ends, proofs=proofs, unproven=unproven,
    )  # fmt: skip


def prove(
    leaves: Iterable[bytes], absent: Collection[Absent]
) -> tuple[tuple[str, ...], tuple[ProofLeaf, ...], tuple[NonInclusion, ...]]:
    """Nodes, neighbouring leaves and proofs of one tree.

    Raises:
        NotAcceptable: a leaf begins with a key; nothing false can be proved.
    """
    ordered = sorted(set(leaves))
    places = {item: bisect_left(ordered, item.key) for item in absent}
    if held := sum(_begins(ordered, at, item.key) for item, at in places.items()):
        raise NotAcceptable(f"An ancestor of the release holds {held} entries of the case's records.")
    wanted = sorted({end for at in places.values() for end in (at - 1, at) if 0 <= end < len(ordered)})
    ends = merkle.inclusion_proofs(ordered, wanted)
    nodes = {node: number for number, node in enumerate(dict.fromkeys(chain(*(end.path for end in ends))))}
    number = {end: place for place, end in enumerate(wanted)}
    return (
        tuple(node.hex() for node in nodes),
        tuple(ProofLeaf(leaf=e.leaf.hex(), index=e.index, path=tuple(nodes[node] for node in e.path)) for e in ends),
        tuple(
            NonInclusion(record=item.record, absent=item.key.hex(), left=number.get(at - 1), right=number.get(at))
            for item, at in sorted(places.items(), key=lambda pair: (pair[0].record, pair[0].key))
        ),
    )


def _begins(ordered: Sequence[bytes], at: int, key: bytes) -> bool:
    return at < len(ordered) and ordered[at].startswith(key)


# --- what cannot be true together; the verifier asks the same in code of its own ---------------------------------------


def contradictions(facts: CertificateFacts) -> Iterator[str]:
    """A sentence for each thing in the section that cannot be, or is not, as the rest of the certificate has it."""
    proven = [ancestor for ancestor in facts.ancestors if ancestor.unproven is None]
    for ancestor in facts.ancestors:
        if ancestor.unproven is not None and (ancestor.proofs or ancestor.unproven not in facts.limits):
            yield "An ancestor without proofs carries one, or the limits do not say why there is none."
    if not all(_holds(ancestor, proof) for ancestor in proven for proof in ancestor.proofs):
        yield "A proof of non-inclusion does not hold."
    claims = [sorted((proof.record, proof.absent) for proof in ancestor.proofs) for ancestor in proven]
    if any(claim != claims[0] for claim in claims) or (claims and not _covers(facts, claims[0])):
        yield "Some ancestor lacks the proof of an erased or redacted record, or has one of another record."
    yield from _gaps(facts)


def _covers(facts: CertificateFacts, claim: Sequence[tuple[str, str]]) -> bool:
    """Every erased record has one key, every redacted one at least one or the limit that says why not; others have none."""
    if len({absent for _, absent in claim}) != len(claim):
        return False
    decided = {one.record: one.decision for one in facts.decisions}
    keys: dict[str, list[int]] = {}
    for record, absent in claim:
        keys.setdefault(record, []).append(len(absent) // 2)
    if any(decided.get(record) not in ("erase", "redact") for record in keys):
        return False
    for record, decision in decided.items():
        found = keys.get(record, [])
        if decision == "erase" and found != [manifests.HALF]:
            return False
        if decision == "redact" and not found and FORGOTTEN not in facts.limits:
            return False
    return {length for lengths in keys.values() for length in lengths} <= {manifests.HALF, manifests.ENTRY}


def _gaps(facts: CertificateFacts) -> Iterator[str]:
    states = {(ancestor.adapter, ancestor.state) for ancestor in facts.ancestors}
    needed = {(one.adapter, one.parent) for one in facts.ancestors if one.parent is not None}
    for adapter in facts.adapters:
        starts = [shard.start_digest for shard in adapter.shards]
        ends = [shard.final_state_digest for shard in adapter.shards]
        ends += [shard.final_state_digest for shard in adapter.neighbours]
        needed |= {(adapter.adapter, state) for state in (*starts, *ends) if state != merkle.EMPTY_ROOT.hex()}
        for shard in adapter.shards:
            slices = [a for a in facts.ancestors if (a.adapter, a.shard) == (adapter.adapter, shard.shard)]
            if len(slices) < shard.slices_rebuilt:
                yield "A rebuilt slice is not among the ancestors."
    if not needed <= states:
        yield "An ancestor of a shard is not listed."
    roots = {(one.adapter, one.shard, one.slice, one.records, one.root) for one in facts.ancestors}
    for change in facts.slices:
        after = change.records_after, change.root_after
        empty = after == (0, merkle.EMPTY_ROOT.hex())
        if not empty and (change.adapter, change.shard, change.slice, *after) not in roots:
            yield "A changed slice does not stand among the ancestors as it was afterwards."


def _holds(ancestor: Ancestor, proof: NonInclusion) -> bool:
    key = bytes.fromhex(proof.absent)
    try:
        left, right = (None if end is None else _end(ancestor, end) for end in (proof.left, proof.right))
    except IndexError:
        return False
    if right is not None and right.leaf.startswith(key):
        return False
    if any(len(end.leaf) != manifests.ENTRY for end in (left, right) if end is not None):
        return False
    return merkle.verify_non_inclusion(merkle.NonInclusionProof(left, right), key, bytes.fromhex(ancestor.root))


def _end(ancestor: Ancestor, place: int) -> merkle.InclusionProof:
    leaf = ancestor.leaves[place]
    path = tuple(bytes.fromhex(ancestor.nodes[node]) for node in leaf.path)
    return merkle.InclusionProof(bytes.fromhex(leaf.leaf), leaf.index, ancestor.records, path)
