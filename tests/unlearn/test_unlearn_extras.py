"""Extra out-adapters: drawn anew from what survives, by the same recipe, and the same bytes every time."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from unlearn_world import SECRET, MemoryStore, build, people, plan

from lineage.records import canonical_bytes
from unlearn.extras import draw_extra, train_extra
from unlearn.plan import plan_key
from unlearn.states import SliceInput
from unlearn.study import StudyMember, arrange
from unlearn.train import build_chain, slice_manifest

PLAN = plan(shards=3)
KEY = plan_key(SECRET, PLAN)
ROWS = people(30)
MEMBERS = [
    StudyMember(
        row.record.record_id, hashlib.sha256(canonical_bytes(row.record.content)).hexdigest(), row.subject, row.generation, False
    )
    for row in ROWS
    if row.subject
]  # fmt: skip


def drawn(salt: str = "case/2", *, count: int = 6, members=MEMBERS):
    return [draw_extra(PLAN, KEY, members, salt=salt, number=number) for number in range(count)]


def learnt(extra) -> Counter:
    return Counter(member.record_id for found in extra.members.values() for member in found)


def homes(extras) -> dict[str, int]:
    return {record_id: extra.shard for extra in extras for record_id in learnt(extra)}


def test_each_draw_parts_everybody_among_as_many_extras_as_there_are_shards() -> None:
    extras = drawn()
    everybody = Counter(member.record_id for member in MEMBERS)
    assert learnt(extras[0]) + learnt(extras[1]) + learnt(extras[2]) == everybody
    assert learnt(extras[3]) + learnt(extras[4]) + learnt(extras[5]) == everybody


def test_a_person_s_records_stay_together_in_every_draw() -> None:
    for extra in drawn():
        subjects = {member.subject for found in extra.members.values() for member in found}
        assert learnt(extra) == Counter(m.record_id for m in MEMBERS if m.subject in subjects)


def test_draws_differ_from_the_plan_s_own_and_from_each_other() -> None:
    arranged = arrange(PLAN, KEY, MEMBERS)
    own = {member.record_id: shard for (shard, _), found in arranged.items() for member in found}
    found = drawn()
    placements = [own, homes(found[:3]), homes(found[3:]), homes(drawn("case/1")[:3]), homes(drawn("other/2")[:3])]
    assert all(a != b for i, a in enumerate(placements) for b in placements[:i])
    assert len({extra.key for extra in (*found, *drawn("case/1"))}) == 4, "a key a draw"


def test_nobody_else_moves_when_somebody_is_left_out() -> None:
    gone = MEMBERS[0].subject
    left = [member for member in MEMBERS if member.subject != gone]
    before, after = homes(drawn(count=3)), homes(drawn(count=3, members=left))
    assert after == {member.record_id: before[member.record_id] for member in left}


def test_a_control_of_the_new_draw_does_not_exist() -> None:
    strict = plan(shards=3, controls=0.5)
    extras = [draw_extra(strict, KEY, MEMBERS, salt="case/2", number=number) for number in range(3)]
    assert sum(map(learnt, extras), Counter()) == Counter(member.record_id for member in MEMBERS)


@pytest.fixture(scope="module")
def trained(small_base):
    """Two extras of the same shard of two draws, and the trunk they grew from."""
    store = MemoryStore()
    build(small_base, PLAN, ROWS, store)
    trunk = next(built for built in store.published if built.shard is None)
    return trunk, [train(small_base, extra, trunk) for extra in (drawn()[0], drawn()[3])]


def train(base, extra, trunk):
    texts = {row.record.record_id: row.record for row in ROWS}
    return train_extra(base, PLAN, extra, load=lambda found: [texts[m.record_id] for m in found], trunk=trunk)


def test_training_one_again_gives_the_same_bytes(small_base, trained) -> None:
    trunk, (first, other) = trained
    assert train(small_base, drawn()[0], trunk).digest == first.digest != other.digest


def test_the_seed_is_new_even_where_the_records_are_the_same(small_base, trained) -> None:
    trunk, (first, _) = trained
    extra = drawn()[0]
    texts = {row.record.record_id: row.record for row in ROWS}
    slices = [
        SliceInput(index, slice_manifest([(m.record_id, m.content_hmac) for m in found]), lambda f=found: [texts[m.record_id] for m in f])
        for index, found in extra.members.items()
    ]  # fmt: skip
    same = build_chain(small_base, PLAN, KEY, shard=extra.shard, slices=slices, store=MemoryStore(), start=trunk)
    assert same[-1].state.digest != first.digest


def test_an_extra_without_records_is_what_a_shard_without_records_is(small_base, trained) -> None:
    trunk, _ = trained
    nobody = draw_extra(PLAN, KEY, [], salt="case/2", number=0)
    assert train(small_base, nobody, trunk).digest == trunk.state.digest
    assert train(small_base, nobody, None).digest != trunk.state.digest
