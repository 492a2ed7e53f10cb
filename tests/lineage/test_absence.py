"""No record in a tree gets an accepted proof that it is absent; what writer and verifier both refuse in the section."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import rfc8785
from certificate_world import AFTER, ANCESTORS, CHANGE, FACTS, GONE, SLICE, SUBJECT_FILES, ancestor, digest
from hypothesis import given
from hypothesis import strategies as st
from lineage_world import NOW, PLAN, World, members
from lineage_world import digest as digest_of

from lineage import absence, builds, manifests, merkle
from lineage import facts as f
from lineage.absence import FORGOTTEN, UNPROVEN, Absent, ancestors_without, content_key, prove, record_key
from lineage.attested_absence import Absence, _all_hold, absence_of
from lineage.builds import StateFacts
from lineage.certificate import build_statement, read_statement
from lineage.errors import NotAcceptable, WrongUsage
from lineage.in_toto import _to_json
from lineage.plans import TRUNK
from lineage.tables import SliceManifestRow

HALVES = st.binary(min_size=2, max_size=2).map(lambda two: two * 8)
ENTRIES = st.dictionaries(HALVES, HALVES, max_size=30).map(lambda held: [one + said for one, said in held.items()])


def holds(section: f.Ancestor) -> bool:
    """What writer and verifier think of the proofs of one ancestor, which they must think alike."""
    independent = _all_hold(_to_json(section))
    assert independent == all(absence._holds(section, proof) for proof in section.proofs)
    return independent


# --- laws of the proofs -------------------------------------------------------------------------------------------------


@given(ENTRIES, HALVES, HALVES)
def test_whatever_is_absent_is_proved_and_whatever_is_there_is_not(
    leaves: list[bytes], one: bytes, said: bytes
) -> None:
    for key in (one, one + said):
        others = [leaf for leaf in leaves if not leaf.startswith(key)]
        section = ancestor(others, "trunk", place=(None, 0), absent=[Absent("r-1", key)])
        assert holds(section)
        held = [*others, (key + said)[:32]]
        with pytest.raises(NotAcceptable, match="holds 1 entries"):
            prove(held, [Absent("r-1", key)])
        assert not holds(replace(section, root=merkle.root(held).hex()))
        assert not holds(replace(section, root=merkle.root(held).hex(), records=len(held)))


@given(ENTRIES.filter(bool), st.data())
def test_a_record_in_the_tree_never_gets_an_accepted_proof(leaves: list[bytes], data: st.DataObject) -> None:
    """All true inclusion proofs of the tree, in every pair: no two of them pass for the absence of one that is there."""
    ordered = sorted(leaves)
    ends = merkle.inclusion_proofs(ordered, range(len(ordered)))
    nodes = sorted({node for end in ends for node in end.path})
    places = tuple(
        f.ProofLeaf(leaf=end.leaf.hex(), index=end.index, path=tuple(nodes.index(node) for node in end.path)) for end in ends
    )  # fmt: skip
    there = data.draw(st.sampled_from(ordered))
    sides = st.none() | st.integers(0, len(ordered) - 1)
    left, right = data.draw(sides), data.draw(sides)
    for key in (there[:16], there):
        claim = f.NonInclusion(record="r-1", absent=key.hex(), left=left, right=right)
        section = replace(
            ANCESTORS[0], records=len(ordered), root=merkle.root(ordered).hex(), nodes=tuple(n.hex() for n in nodes),
            leaves=places, proofs=(claim,),
        )  # fmt: skip
        assert not holds(section)


def test_a_neighbour_that_begins_with_the_absent_id_is_refused() -> None:
    """The id half of a record that is there lies strictly between its own leaf and the one before."""
    leaves = [bytes([7]) * 32, bytes([8]) * 32]
    ends = merkle.inclusion_proofs(leaves, (0, 1))
    proof = merkle.non_inclusion_proof(leaves, leaves[1][:16])
    assert merkle.verify_non_inclusion(proof, leaves[1][:16], merkle.root(leaves)), "true of whole leaves"
    nodes = tuple(end.path[0].hex() for end in ends)
    places = tuple(f.ProofLeaf(leaf=end.leaf.hex(), index=end.index, path=(end.index,)) for end in ends)
    claim = f.NonInclusion(record="r-1", absent=leaves[1][:16].hex(), left=0, right=1)
    section = replace(
        ANCESTORS[0], records=2, root=merkle.root(leaves).hex(), nodes=nodes, leaves=places, proofs=(claim,)
    )
    assert not holds(section)


def test_an_ancestor_lists_each_hash_once_and_a_certificate_of_many_stays_small() -> None:
    """20 records under 17 ancestors of 4,096 records each."""
    leaves = [merkle.root([number.to_bytes(2)]) for number in range(4096)]
    gone = [Absent(f"r-{number}", merkle.root([b"gone", bytes([number])])[:16]) for number in range(20)]
    section = ancestor(leaves, "trunk", place=(None, 0), absent=gone)
    assert holds(section)
    assert len(set(section.nodes)) == len(section.nodes)
    assert len(section.leaves) <= 2 * len(gone)
    assert 17 * len(rfc8785.dumps(_to_json(section))) < 2**19


# --- the section, as writer and verifier read it ------------------------------------------------------------------------


def changed(place: int, **fields: Any) -> f.CertificateFacts:
    ancestors = [*ANCESTORS]
    ancestors[place] = replace(ancestors[place], **fields)
    return replace(FACTS, ancestors=tuple(ancestors))


REDACTED = replace(
    FACTS, decisions=(FACTS.decisions[0], replace(FACTS.decisions[1], decision="redact")),
)  # fmt: skip
OLD = Absent("r-2", AFTER[0][:16] + bytes(16))  # the record is there, with another content


def redacted(absent: tuple[Absent, ...], **fields: Any) -> f.CertificateFacts:
    trunk, neighbour, final = (
        ancestor(leaves, state, place=place, parent=None if state == "trunk" else "trunk", absent=absent)
        for leaves, state, place in (
            ([bytes([9]) * 32], "trunk", (None, 0)), ([], "neighbour", (1, 0)), (AFTER, "final", (3, 1)),
        )
    )  # fmt: skip
    return replace(REDACTED, ancestors=(trunk, neighbour, final), **fields)


PROOFS = ANCESTORS[2].proofs
BARE = {"nodes": (), "leaves": (), "proofs": ()}
TOLD = replace(changed(0, **BARE, unproven=UNPROVEN), limits=(*FACTS.limits, UNPROVEN))
WRONG = {
    "another root": changed(2, root=digest("another root")),
    "another size": changed(2, records=3),
    "neighbours exchanged": changed(2, proofs=(replace(PROOFS[0], left=1, right=0), PROOFS[1])),
    "a neighbour that is not there": changed(2, proofs=(replace(PROOFS[0], right=7), PROOFS[1])),
    "a hash that is not there": changed(2, nodes=()),
    "a neighbour missing": changed(2, proofs=(PROOFS[0], replace(PROOFS[1], right=None))),
    "an erased record without a proof in one ancestor": changed(2, proofs=PROOFS[:1]),
    "an erased record without a proof in any": replace(
        FACTS, ancestors=tuple(replace(one, proofs=one.proofs[:1]) for one in ANCESTORS)
    ),
    "no proof at all": replace(FACTS, ancestors=tuple(replace(one, **BARE) for one in ANCESTORS)),
    "one key for two records": replace(
        FACTS,
        ancestors=tuple(
            replace(one, proofs=(one.proofs[0], replace(one.proofs[0], record="r-2"))) for one in ANCESTORS
        ),
    ),
    "other keys in one ancestor": replace(
        FACTS, ancestors=(*ANCESTORS[:2], ancestor(AFTER, "final", place=(3, 1), absent=[GONE[0], Absent("r-2", bytes(16))]))
    ),
    "a proof of a record that was kept": replace(
        FACTS, decisions=(FACTS.decisions[0], replace(FACTS.decisions[1], decision="keep"))
    ),
    "a proof of nobody's record": replace(FACTS, decisions=FACTS.decisions[:1]),
    "an erased record absent with one content only": redacted((GONE[0], OLD), decisions=FACTS.decisions),
    "a redacted record without a proof": redacted(GONE[:1]),
    "an erased record by a key too short": replace(
        FACTS, decisions=FACTS.decisions[:1],
        ancestors=tuple(
            ancestor(leaves, state, place=place, parent=None if state == "trunk" else "trunk", absent=[Absent("r-1", b"\1")])
            for leaves, state, place in (
                ([bytes([9]) * 32], "trunk", (None, 0)), ([], "neighbour", (1, 0)), (AFTER, "final", (3, 1)),
            )
        ),
    ),
    "leaves that are no entries": replace(
        FACTS, ancestors=(ancestor([bytes([9]) * 33], "trunk", place=(None, 0), parent=None), *ANCESTORS[1:])
    ),
    "the trunk is missing": replace(FACTS, ancestors=ANCESTORS[1:]),
    "a neighbouring shard is missing": replace(FACTS, ancestors=(ANCESTORS[0], ANCESTORS[2])),
    "the rebuilt shard is missing": replace(FACTS, ancestors=ANCESTORS[:2]),
    "no ancestors": replace(FACTS, ancestors=()),
    "a parent is missing": changed(2, parent=digest("an earlier slice")),
    "fewer slices than were rebuilt": replace(
        FACTS, adapters=(replace(CHANGE, shards=(replace(CHANGE.shards[0], slices_rebuilt=2),)),)
    ),
    "a changed slice with another root": replace(FACTS, slices=(replace(SLICE, root_after=digest("another root")),)),
    "a changed slice elsewhere": replace(FACTS, slices=(replace(SLICE, slice=0),)),
    "a changed slice with another number": replace(FACTS, slices=(replace(SLICE, records_after=3),)),
    "told, and the limits do not say it": replace(TOLD, limits=FACTS.limits),
    "told and proved": replace(TOLD, ancestors=(replace(ANCESTORS[0], unproven=UNPROVEN), *ANCESTORS[1:])),
}  # fmt: skip


def verifier_says(facts: f.CertificateFacts) -> str:
    """The predicate as an unsound writer would spell it, past our own writer."""
    return absence_of(_to_json(facts)).wrong


@pytest.mark.parametrize("facts", WRONG.values(), ids=WRONG)
def test_it_is_neither_written_nor_accepted(facts: f.CertificateFacts) -> None:
    assert verifier_says(facts)
    with pytest.raises(WrongUsage):
        build_statement(facts, SUBJECT_FILES)


RIGHT = {
    "as it is": FACTS,
    "told, and said so": TOLD,
    "a redacted record by its old content": redacted((GONE[0], OLD)),
    "a redacted record by two": redacted((GONE[0], OLD, Absent("r-2", AFTER[0][:16] + bytes([1]) * 16))),
    "a redacted record that is gone altogether": redacted(GONE),
    "a redacted record that was forgotten": redacted(GONE[:1], limits=(*FACTS.limits, FORGOTTEN)),
    "an emptied slice": replace(
        FACTS, slices=(replace(SLICE, slice=0, records_after=0, root_after=merkle.EMPTY_ROOT.hex()),)
    ),
    "nothing in service": replace(FACTS, adapters=(), ancestors=(), slices=()),
}


@pytest.mark.parametrize("facts", RIGHT.values(), ids=RIGHT)
def test_it_is_written_read_and_accepted(facts: f.CertificateFacts) -> None:
    assert verifier_says(facts) == ""
    assert read_statement(build_statement(facts, SUBJECT_FILES))[0] == facts


def test_what_is_told_is_counted_as_told_and_never_as_proved() -> None:
    assert counted(FACTS).sentence == "6 Merkle proofs of non-inclusion hold, under 3 of 3 ancestors."
    assert counted(TOLD).sentence == (
        "4 Merkle proofs of non-inclusion hold, under 2 of 3 ancestors. Of 1 ancestors it is told, not proved."
    )
    forgotten = counted(RIGHT["a redacted record that was forgotten"]).sentence
    assert forgotten.endswith("Of 1 redacted records it is told, not proved.")
    bare = tuple(replace(one, **BARE, unproven=UNPROVEN) for one in ANCESTORS)
    nothing = replace(FACTS, ancestors=bare, limits=(*FACTS.limits, UNPROVEN))
    assert counted(nothing).sentence.startswith("It carries no Merkle proofs, for 3 ancestors. Of 3 ancestors")


def counted(facts: f.CertificateFacts) -> Absence:
    return absence_of(json.loads(build_statement(facts, SUBJECT_FILES))["predicate"])


# --- from the tables ----------------------------------------------------------------------------------------------------


def train(world: World, *, old_root: bool = False) -> None:
    """A trunk with records a and b, and a slice with c and d."""
    with world.database.transaction() as session:
        for number, (name, place, parent) in enumerate(
            (("ab", (TRUNK, 0), None), ("cd", (0, 0), digest_of("recipe0")))
        ):
            manifests.save_manifest(
                session,
                digest=digest_of(name),
                adapter="support",
                plan_digest=PLAN,
                place=place,
                members=members(*name),
            )
            facts = StateFacts(
                recipe_digest=digest_of(f"recipe{number}"), state_digest=digest_of(f"state{number}"), adapter="support",
                plan_digest=PLAN, shard=place[0], slice=place[1], parent_recipe=parent, manifest_digest=digest_of(name),
                fingerprint_digest=digest_of("f"), steps=1, tokens=1, seconds=1.0,
            )  # fmt: skip
            builds.save_state(session, facts, NOW)
        if old_root:
            session.get_one(SliceManifestRow, digest_of("cd")).merkle_root = "0" * 64


def key(name: str) -> Absent:
    return Absent(name, record_key(members(name)[0].record_id))


def test_every_ancestor_is_listed_with_its_parent_and_proofs_of_what_it_does_not_hold(world: World) -> None:
    train(world)
    old = members("c", content="before")[0]
    absent = [key("x"), Absent("c", content_key(old.record_id, old.content_hmac))]
    with world.database.reader() as session:
        trunk, slice_ = ancestors_without(session, "support", [digest_of("recipe1"), None], absent)
        both = ancestors_without(session, "support", [digest_of("recipe0"), digest_of("recipe1")], absent)
    assert both == (trunk, slice_), "each once"
    assert (trunk.shard, trunk.parent, slice_.shard, slice_.parent) == (None, None, 0, trunk.state)
    assert (trunk.root, trunk.records) == (manifests.merkle_root(members("a", "b")), 2)
    assert holds(trunk)
    assert holds(slice_)
    assert [proof.record for proof in slice_.proofs] == ["c", "x"]


def test_an_ancestor_that_holds_the_record_or_its_old_content_stops_it(world: World) -> None:
    train(world)
    now = members("d")[0]
    with world.database.reader() as session:
        for absent in (key("a"), key("d"), Absent("d", content_key(now.record_id, now.content_hmac))):
            with pytest.raises(NotAcceptable, match="holds 1 entries"):
                ancestors_without(session, "support", [digest_of("recipe1")], [key("x"), absent])
        with pytest.raises(NotAcceptable, match="not in the tables"):
            ancestors_without(session, "support", [digest_of("nobody knows it")], [])


def test_a_root_that_cannot_be_rebuilt_gets_no_proof_but_is_still_searched(world: World) -> None:
    train(world, old_root=True)
    with world.database.reader() as session:
        trunk, slice_ = ancestors_without(session, "support", [digest_of("recipe1")], [key("x")])
        with pytest.raises(NotAcceptable):
            ancestors_without(session, "support", [digest_of("recipe1")], [key("c")])
    assert trunk.unproven is None
    assert (slice_.unproven, slice_.proofs, slice_.leaves, slice_.nodes) == (UNPROVEN, (), (), ())
