"""Merkle trees over sorted leaves, with proofs that a leaf is in the tree and proofs that it is not.

Shape and hashing are RFC 6962, section 2.1, where the prefix keeps a leaf from ever posing as an inner node::

    H(leaf) = SHA-256(0x00 || leaf)      H(left, right) = SHA-256(0x01 || left || right)      H() = SHA-256("")

and the left half is the largest power of two below the number of leaves. Because leaves are sorted and distinct, absence
has a short proof: two neighbours, one smaller and one larger, with nothing between them. At the ends one neighbour is
enough: the first leaf when the absent one is smaller than all, the last when it is larger. Which way a path turns at each
node is fixed by the root's hashes, so a false tree size cannot make two distant leaves look like neighbours.

A proof shows absence from a tree whose leaves *are* sorted; that they were is what re-derivation from the vault shows.
Proofs contain the neighbouring leaves. Leaves must therefore be opaque: keyed handles of records, never hashes of text.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from lineage.errors import RefusedByRule

__all__ = [
    "EMPTY_ROOT",
    "InclusionProof",
    "NonInclusionProof",
    "inclusion_proof",
    "inclusion_proofs",
    "non_inclusion_proof",
    "root",
    "verify_inclusion",
    "verify_non_inclusion",
]

EMPTY_ROOT = sha256(b"").digest()


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """The leaf at `index` (from 0) of `size` sorted leaves; `path` holds the sibling hashes from the leaf up."""

    leaf: bytes
    index: int
    size: int
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class NonInclusionProof:
    """The neighbours between which an absent leaf would stand; None where it would stand at that end of the tree."""

    left: InclusionProof | None
    right: InclusionProof | None


def root(leaves: Iterable[bytes]) -> bytes:
    """The root hash (32 bytes) of a set of leaves; their order and repetition do not matter."""
    return _root_of([_leaf_hash(leaf) for leaf in sorted(set(leaves))])


def inclusion_proof(leaves: Iterable[bytes], leaf: bytes) -> InclusionProof:
    """Prove that `leaf` is one of `leaves`.

    Raises:
        RefusedByRule: it is not; nothing false can be proved.
    """
    ordered = sorted(set(leaves))
    index = bisect_left(ordered, leaf)
    if index == len(ordered) or ordered[index] != leaf:
        raise RefusedByRule("This leaf is not in the tree, so its presence cannot be proved.")
    return _proof_at(_levels(ordered), ordered, index)


def inclusion_proofs(leaves: Iterable[bytes], indices: Iterable[int]) -> list[InclusionProof]:
    """Proofs that the leaves at these places of the sorted tree are in it; the tree is hashed once for all of them."""
    ordered = sorted(set(leaves))
    levels = _levels(ordered)
    return [_proof_at(levels, ordered, index) for index in indices]


def non_inclusion_proof(leaves: Iterable[bytes], absent: bytes) -> NonInclusionProof:
    """Prove that `absent` is none of `leaves`.

    Raises:
        RefusedByRule: it is one of them.
    """
    ordered = sorted(set(leaves))
    index = bisect_left(ordered, absent)
    if index < len(ordered) and ordered[index] == absent:
        raise RefusedByRule("This leaf is in the tree, so its absence cannot be proved.")
    levels = _levels(ordered)
    left = _proof_at(levels, ordered, index - 1) if index > 0 else None
    right = _proof_at(levels, ordered, index) if index < len(ordered) else None
    return NonInclusionProof(left, right)


def verify_inclusion(proof: InclusionProof, root_hash: bytes) -> bool:
    """Does the path lead from the leaf to this root? (RFC 9162, section 2.1.3.2.)"""
    if not 0 <= proof.index < proof.size:
        return False
    node, index, last = _leaf_hash(proof.leaf), proof.index, proof.size - 1
    for sibling in proof.path:
        if last == 0:
            return False
        if index % 2 == 1 or index == last:
            node = _node_hash(sibling, node)
            while index % 2 == 0 and index != 0:
                index, last = index >> 1, last >> 1
        else:
            node = _node_hash(node, sibling)
        index, last = index >> 1, last >> 1
    return last == 0 and node == root_hash


def verify_non_inclusion(proof: NonInclusionProof, absent: bytes, root_hash: bytes) -> bool:
    """Do both neighbours belong to this root, enclose `absent`, and leave no room between them?"""
    if not all(verify_inclusion(end, root_hash) for end in (proof.left, proof.right) if end is not None):
        return False
    match (proof.left, proof.right):
        case (None, None):
            return root_hash == EMPTY_ROOT
        case (None, InclusionProof() as right):
            return right.index == 0 and absent < right.leaf
        case (InclusionProof() as left, None):
            return left.index == left.size - 1 and left.leaf < absent
        case (InclusionProof() as left, InclusionProof() as right):
            return left.size == right.size and left.index + 1 == right.index and left.leaf < absent < right.leaf
        case _:
            return False


def _leaf_hash(leaf: bytes) -> bytes:
    return sha256(b"\x00" + leaf).digest()


def _node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def _root_of(level: Sequence[bytes]) -> bytes:
    """Hash pairs level by level, an odd last node moves up unchanged: the same tree as RFC 6962's recursion."""
    if not level:
        return EMPTY_ROOT
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def _parents(level: Sequence[bytes]) -> list[bytes]:
    pairs = [_node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    return pairs + list(level[len(pairs) * 2 :])


def _levels(ordered: Sequence[bytes]) -> list[Sequence[bytes]]:
    """The hashes of the tree level by level, leaves first; the root's own level is left out."""
    levels: list[Sequence[bytes]] = []
    level: Sequence[bytes] = [_leaf_hash(leaf) for leaf in ordered]
    while len(level) > 1:
        levels.append(level)
        level = _parents(level)
    return levels


def _proof_at(levels: Sequence[Sequence[bytes]], ordered: Sequence[bytes], index: int) -> InclusionProof:
    siblings = ((level, (index >> height) ^ 1) for height, level in enumerate(levels))
    path = tuple(level[sibling] for level, sibling in siblings if sibling < len(level))
    return InclusionProof(ordered[index], index, len(ordered), path)
