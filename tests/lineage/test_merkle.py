"""Everything true can be proved, nothing false can."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage.attested import proof_holds
from lineage.errors import RefusedByRule
from lineage.merkle import (
    EMPTY_ROOT,
    InclusionProof,
    NonInclusionProof,
    inclusion_proof,
    inclusion_proofs,
    non_inclusion_proof,
    root,
    verify_inclusion,
    verify_non_inclusion,
)

LEAVES = st.sets(st.binary(min_size=1, max_size=3), max_size=40)


def rfc_6962(leaves: list[bytes]) -> bytes:
    """The definition of RFC 6962, section 2.1, as it stands there."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + rfc_6962(leaves[:k]) + rfc_6962(leaves[k:])).digest()


@given(LEAVES)
def test_the_root_is_that_of_rfc_6962_over_sorted_leaves(leaves: set[bytes]) -> None:
    assert root(leaves) == rfc_6962(sorted(leaves))
    assert root([*sorted(leaves, reverse=True), *leaves]) == root(leaves)


def test_known_root() -> None:
    """The empty tree and the tree of one empty leaf, from the test vectors of Certificate Transparency."""
    assert root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert root([b""]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


@given(LEAVES, st.binary(min_size=1, max_size=3))
def test_exactly_one_of_presence_and_absence_can_be_proved(leaves: set[bytes], leaf: bytes) -> None:
    top = root(leaves)
    if leaf in leaves:
        assert verify_inclusion(inclusion_proof(leaves, leaf), top)
        with pytest.raises(RefusedByRule):
            non_inclusion_proof(leaves, leaf)
    else:
        assert verify_non_inclusion(non_inclusion_proof(leaves, leaf), leaf, top)
        with pytest.raises(RefusedByRule):
            inclusion_proof(leaves, leaf)


def as_certified(absent: bytes, proof: NonInclusionProof) -> dict[str, object]:
    """The proof as the independent verifier meets it, in the JSON of a certificate."""
    ends: dict[str, object] = {"absent": absent.hex()}
    for name, end in (("left", proof.left), ("right", proof.right)):
        if end:
            path = [node.hex() for node in end.path]
            ends[name] = {"leaf": end.leaf.hex(), "index": end.index, "size": end.size, "path": path}
    return ends


@given(LEAVES, st.binary(min_size=1, max_size=3))
def test_the_independent_verifier_accepts_every_true_absence(leaves: set[bytes], beginning: bytes) -> None:
    """It asks for more than a leaf: none may begin with what is absent."""
    others = {leaf for leaf in leaves if not leaf.startswith(beginning)}
    proof = as_certified(beginning, non_inclusion_proof(others, beginning))
    assert proof_holds(proof, root(others).hex())
    assert not proof_holds(proof, root(others | {beginning}).hex())


@given(LEAVES, st.binary(min_size=1, max_size=2), st.binary(min_size=1, max_size=2))
def test_the_independent_verifier_refuses_a_neighbour_that_begins_with_the_absent(
    leaves: set[bytes], beginning: bytes, rest: bytes
) -> None:
    """As a proof about whole leaves it is true, and would hide the record whose leaf begins so."""
    holding = (leaves - {beginning}) | {beginning + rest}
    proof, top = non_inclusion_proof(holding, beginning), root(holding)
    assert verify_non_inclusion(proof, beginning, top)
    assert not proof_holds(as_certified(beginning, proof), top.hex())


def test_no_combination_of_true_and_resized_proofs_hides_a_leaf() -> None:
    """All pairs of leaves, claimed at all positions of trees of all sizes: absence of a present leaf is never accepted."""
    for size in range(1, 9):
        leaves = [bytes([10 * n]) for n in range(1, size + 1)]
        top = root(leaves)
        honest = [inclusion_proof(leaves, leaf) for leaf in leaves]
        claims: list[InclusionProof | None] = [None]
        for proof, index, claimed in product(honest, range(size + 2), range(size + 3)):
            forged = replace(proof, index=index, size=claimed)
            if verify_inclusion(forged, top):
                claims.append(forged)
        for left, right, present in product(claims, claims, leaves):
            forged_pair = NonInclusionProof(left, right)
            assert not verify_non_inclusion(forged_pair, present, top)
            assert not proof_holds(as_certified(present, forged_pair), top.hex()), "the independent verifier agrees"


@given(LEAVES.filter(bool), st.data())
def test_many_proofs_at_once_are_the_proofs_one_by_one(leaves: set[bytes], data: st.DataObject) -> None:
    ordered = sorted(leaves)
    asked = data.draw(st.lists(st.integers(0, len(ordered) - 1), max_size=5))
    assert inclusion_proofs(leaves, asked) == [inclusion_proof(leaves, ordered[index]) for index in asked]


@given(LEAVES.filter(bool), st.data())
def test_a_changed_proof_fails(leaves: set[bytes], data: st.DataObject) -> None:
    leaf = data.draw(st.sampled_from(sorted(leaves)))
    proof, top = inclusion_proof(leaves, leaf), root(leaves)
    assert not verify_inclusion(replace(proof, leaf=leaf + b"x"), top)
    assert not verify_inclusion(proof, sha256(top).digest())
    assert not verify_inclusion(replace(proof, path=(*proof.path, top)), top)
    assert not verify_inclusion(replace(proof, index=proof.size), top)
    assert not verify_inclusion(replace(proof, index=-1), top)
    if proof.path:
        assert not verify_inclusion(replace(proof, path=proof.path[:-1]), top)
        assert not verify_inclusion(replace(proof, path=(top, *proof.path[1:])), top)


def test_the_empty_tree_holds_nothing() -> None:
    assert verify_non_inclusion(non_inclusion_proof([], b"a"), b"a", EMPTY_ROOT)
    assert not verify_non_inclusion(NonInclusionProof(None, None), b"a", root([b"b"]))


def test_an_inner_node_cannot_pose_as_a_leaf() -> None:
    left, right = (sha256(b"\x00" + leaf).digest() for leaf in (b"a", b"b"))
    assert root([left + right]) != root([b"a", b"b"])
