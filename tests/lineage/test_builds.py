"""Plans, placements, states, compositions and releases: each kept once, each found again."""

from __future__ import annotations

import pytest
from lineage_world import (
    ANN,
    NOW,
    PLAN,
    Scans,
    World,
    after,
    composed,
    digest,
    recipe,
    record_training,
    row,
)
from sqlmodel import select

from lineage import builds, plans
from lineage.builds import ComposedFacts, StateFacts
from lineage.errors import NotAcceptable, RefusedByRule
from lineage.plans import TRUNK, Placed
from lineage.tables import RecordRow


def restrict(world: World, record_id: str, by: str | None) -> None:
    with world.database.transaction() as session:
        session.get_one(RecordRow, record_id).restricted_by = by


def test_one_plan_is_frozen_per_adapter(world: World) -> None:
    with world.database.transaction() as session:
        assert plans.current_plan(session, "support") is None
        for _ in range(2):
            plans.freeze_plan(session, adapter="support", digest=PLAN, body="{}", now=NOW)
        with pytest.raises(RefusedByRule, match="frozen"):
            plans.freeze_plan(session, adapter="support", digest=digest("other"), body="{}", now=NOW)
        assert plans.current_plan(session, "support") == (PLAN, "{}")
        assert plans.current_plan(session, "sales") is None


def test_each_record_is_placed_once_and_only_if_admitted(world: World) -> None:
    ids = world.ingest(*(row(f"Lamp {i}.", ANN, given_id=str(i)) for i in range(3)), row("A quagga."), scanner=Scans({"quagga": "ODD"}))  # fmt: skip
    with world.database.transaction() as session:
        plans.freeze_plan(session, adapter="support", digest=PLAN, body="{}", now=NOW)
        free = plans.unplaced(session, PLAN, ())
        assert [p.record_id for p in free] == sorted(ids[:3])
        assert plans.unplaced(session, PLAN, ["chats"]) == []
        places = [
            Placed(ids[0], "trunk", None, 0),
            Placed(ids[1], "shard", 0, 1),
            Placed(ids[2], "control", None, None),
        ]
        plans.place_records(session, PLAN, places)
        assert plans.unplaced(session, PLAN, ()) == []
        assert plans.placements_of(session, PLAN, [*ids, "x"]) == sorted(places, key=lambda p: p.record_id)
        assert plans.placement_counts(session, PLAN) == {"trunk": 1, "shard": 1, "control": 1}
        assert plans.slice_count(session, PLAN) == 2
        assert plans.control_ids(session, PLAN) == [(ids[2], world.key(ANN))]
    with pytest.raises(Exception, match="UNIQUE"), world.database.transaction() as session:
        plans.place_records(session, PLAN, [Placed(ids[0], "shard", 1, 0)])


def test_live_members_are_the_admitted_unrestricted_ones_in_order(world: World) -> None:
    ids = world.ingest(*(row(f"Lamp {i}.", ANN, given_id=str(i)) for i in range(4)))
    with world.database.transaction() as session:
        plans.freeze_plan(session, adapter="support", digest=PLAN, body="{}", now=NOW)
        plans.place_records(
            session,
            PLAN,
            [Placed(ids[0], "trunk", None, 0), *(Placed(i, "shard", 0, n % 2) for n, i in enumerate(ids[1:]))],
        )

    def live(shard: int, **more: bool) -> dict[int, list[str]]:
        with world.database.reader() as session:
            found = plans.live_members(session, PLAN, shard, **more)
        return {index: [m.record_id for m in part] for index, part in found.items()}

    assert live(TRUNK) == {0: [ids[0]]}
    assert live(0) == {0: sorted([ids[1], ids[3]]), 1: [ids[2]]}
    restrict(world, ids[2], "case-1")
    assert live(0) == {0: sorted([ids[1], ids[3]])}
    assert live(0, restricted_too=True) == {0: sorted([ids[1], ids[3]]), 1: [ids[2]]}
    assert live(1) == {}


def test_a_recipe_that_gives_other_bytes_is_an_alarm(world: World) -> None:
    facts = StateFacts(recipe(0, 0), digest("s"), "support", PLAN, 0, 0, None, digest("m"), digest("f"), 1, 1, 0.1)
    with world.database.transaction() as session:
        assert builds.find_state(session, facts.recipe_digest) is None
        for _ in range(2):
            builds.save_state(session, facts, NOW)
        assert builds.find_state(session, facts.recipe_digest) == facts
        other = StateFacts(
            **{**{n: getattr(facts, n) for n in StateFacts.__dataclass_fields__}, "state_digest": digest("t")}
        )
        with pytest.raises(NotAcceptable, match="deterministically"):
            builds.save_state(session, other, NOW)


def test_one_release_is_in_service_and_releasing_it_again_changes_nothing(world: World) -> None:
    record_training(world, {(TRUNK, 0): [], (0, 0): []})
    contained = ComposedFacts(composed("contained"), "support", PLAN, "contained", {0: None})
    with world.database.transaction() as session:
        builds.save_composed(session, contained, after(hours=1))
        assert builds.parts_of(session, contained.digest) == {0: None}
        put = {"adapter": "support", "composed_digest": contained.digest, "reason": "contained", "now": after(hours=1)}
        assert builds.current_release(session, "support") == composed()
        assert [builds.release(session, **put), builds.release(session, **put)] == [True, False]
        assert builds.current_release(session, "support") == contained.digest
        assert builds.newest_composed(session, "support") == composed()
        assert builds.withdraw(session, adapter="support", now=after(hours=2))
        assert not builds.withdraw(session, adapter="support", now=after(hours=2))
        assert builds.current_release(session, "support") is None


def test_a_composition_that_began_as_a_containment_is_found_when_it_is_the_whole(world: World) -> None:
    """When an erased person was alone in the last slice, what stands meanwhile is also the end. If it stayed a containment
    in the books, the next training would put the composition before it into service, and the person with it."""
    record_training(world, {(TRUNK, 0): [], (0, 0): [], (0, 1): []})
    same = composed("without")
    with world.database.transaction() as session:
        for hours, kind, part in ((1, "contained", recipe(0, 0)), (2, "full", None), (3, "contained", recipe(0, 0))):
            facts = ComposedFacts(same, "support", PLAN, kind, {0: part})
            builds.save_composed(session, facts, after(hours=hours))
            assert builds.newest_composed(session, "support") == (composed() if hours == 1 else same)
            assert builds.parts_of(session, same) == {0: part}


def test_the_chain_of_a_state_goes_back_to_the_trunk(world: World) -> None:
    record_training(world, {(TRUNK, 0): [], (0, 0): [], (0, 1): [], (1, 0): []})
    with world.database.reader() as session:
        chain = builds.ancestors(session, recipe(0, 1))
        assert [(s.shard, s.slice) for s in chain] == [(TRUNK, 0), (0, 0), (0, 1)]
        assert builds.ancestors(session, None) == []
        child = {"plan_digest": PLAN, "place": 0, "parent_recipe": recipe(0, 0)}
        assert builds.child_state(session, manifest_digest=digest("manifest 0/1"), **child) == chain[-1]
        assert builds.child_state(session, manifest_digest=digest("manifest 1/0"), **child) is None
        assert builds.shard_adapters(session, "support") == {0: digest("adapter 0"), 1: digest("adapter 1")}
        assert builds.build_pace(session, PLAN) == (2.0, 16)
        assert builds.build_pace(session, digest("other")) == (0.0, 0)
        assert session.exec(select(RecordRow)).all() == []
