"""Nothing reachable is ever removed; everything unreachable and old enough is; doing it again does nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from lineage_world import (
    ANN,
    BOB,
    INES,
    NOW,
    World,
    after,
    composed,
    digest,
    filing_dates,
    recipe,
    record_training,
    row,
    state,
)

from lineage import garbage
from lineage.case import CaseFile, Filing, file_request
from lineage.evidence import add_evidence
from lineage.garbage import Holding, KeptAdapter, KeptState, Roots, doomed_entries, garbage_in
from lineage.plans import TRUNK
from lineage.tables import ComposedAdapterRow, ShardAdapterRow, StateRow

DAY = timedelta(days=1)


@st.composite
def holdings(draw: st.DrawFn) -> tuple[Holding, Roots]:
    """Any forest of up to ten states, some destroyed, some young; adapters of any of them; any of it a root."""
    count = draw(st.integers(0, 10))
    parents = {f"r{i}": draw(st.sampled_from([None, *(f"r{j}" for j in range(i))])) for i in range(count)}
    ages = st.sampled_from([NOW - DAY, NOW + DAY])
    there = draw(st.sets(st.sampled_from(sorted(parents)))) if parents else set()
    states = tuple(KeptState(name, f"s{name}", parents[name], draw(ages)) for name in sorted(there))
    some = st.lists(st.sampled_from(sorted(parents)), max_size=3).map(tuple) if parents else st.just(())
    adapters = tuple(
        KeptAdapter(f"a{i % 4}", found if whole else found[:1], whole, draw(ages))
        for i, (found, whole) in enumerate(draw(st.lists(st.tuples(some, st.booleans()), max_size=6)))
        if found or whole
    )
    recipes = draw(st.sets(st.sampled_from(sorted(parents)))) if parents else set()
    digests = draw(st.sets(st.sampled_from([a.digest for a in adapters]))) if adapters else set()
    return Holding(states, adapters, parents), Roots(frozenset(recipes), frozenset(digests))


def descends(holding: Holding, recipe_: str, ancestor: str) -> bool:
    """Written the other way round than the code: from below upwards, one pair at a time."""
    parent = holding.parents.get(recipe_)
    return recipe_ == ancestor or (parent is not None and descends(holding, parent, ancestor))


@given(holdings())
def test_exactly_what_is_unreachable_and_old_goes(given_: tuple[Holding, Roots]) -> None:
    holding, roots = given_
    found = garbage_in(holding, roots, older_than=NOW)
    rooted = [a for a in holding.adapters if a.digest in roots.adapters or a.built_at >= NOW]
    tips = {
        *roots.recipes,
        *(s.recipe for s in holding.states if s.built_at >= NOW),
        *(r for a in rooted for r in a.recipes),
    }
    for kept in holding.states:
        reachable = any(descends(holding, tip, kept.recipe) for tip in tips)
        assert (kept.recipe in found.recipes) != reachable
    for digest_ in {adapter.digest for adapter in holding.adapters}:
        same = [adapter for adapter in holding.adapters if adapter.digest == digest_]
        stands = [
            a for a in same if not a.composed and all(any(descends(holding, t, r) for t in tips) for r in a.recipes)
        ]
        assert (digest_ in found.adapters) != bool(stands or [a for a in same if a in rooted])


@given(holdings())
def test_collecting_again_finds_nothing(given_: tuple[Holding, Roots]) -> None:
    holding, roots = given_
    found = garbage_in(holding, roots, older_than=NOW)
    left = replace(
        holding,
        states=tuple(s for s in holding.states if s.recipe not in found.recipes),
        adapters=tuple(a for a in holding.adapters if a.digest not in found.adapters),
    )
    assert garbage_in(left, roots, older_than=NOW) == garbage.Garbage(frozenset(), frozenset())


@given(holdings(), st.sets(st.sampled_from([f"r{i}" for i in range(10)])))
def test_more_roots_never_remove_more(given_: tuple[Holding, Roots], more: set[str]) -> None:
    holding, roots = given_
    fewer = garbage_in(holding, roots, older_than=NOW)
    assert garbage_in(holding, roots | Roots(frozenset(more)), older_than=NOW).recipes <= fewer.recipes


def test_entries_go_with_their_promise_or_when_nobody_promised_them_and_they_are_old() -> None:
    old, young = NOW - DAY, NOW + DAY
    stored = {"states": {"live": old, "garbage": young, "orphan": old, "arriving": young}, "adapters": {}}
    promised = {"states": {"live", "garbage", "lost"}, "adapters": set()}
    kept = {"states": {"live"}, "adapters": set()}
    found = doomed_entries(stored, promised=promised, kept=kept, older_than=NOW)
    assert found == [("states", "garbage"), ("states", "orphan")]


# --- what the tables say ----------------------------------------------------------------------------------------------------


def trained(world: World) -> None:
    world.register(ANN, BOB)
    ids = world.ingest(
        row("Open at nine.", given_id="1"), row("My lamp.", ANN, given_id="2"), row("A day.", BOB, given_id="3")
    )
    record_training(world, {(TRUNK, 0): [ids[0]], (0, 0): [ids[1]], (0, 1): [], (1, 0): [ids[2]]})


def found_in(world: World, **withdrawn: bool) -> garbage.Garbage:
    with world.database.transaction() as session:
        if withdrawn.get("withdrawn"):
            from lineage import builds

            builds.withdraw(session, adapter="support", now=NOW)
            session.get_one(ComposedAdapterRow, composed()).kind = "contained"  # else it is the newest full one
        roots = garbage.needed_by_releases(session) | garbage.needed_by_cases(session)
        return garbage_in(garbage.held_by_tables(session), roots, older_than=after(days=2))


def test_what_is_in_service_keeps_its_whole_chain(world: World) -> None:
    trained(world)
    assert found_in(world) == garbage.Garbage(frozenset(), frozenset())


def test_what_was_withdrawn_goes_unless_an_open_case_needs_it(world: World) -> None:
    trained(world)
    everything = found_in(world, withdrawn=True)
    assert everything.recipes == {recipe(TRUNK, 0), recipe(0, 0), recipe(0, 1), recipe(1, 0)}
    assert everything.adapters == {composed(), digest("adapter 0"), digest("adapter 1")}
    before = {"before": "", "parts": {"0": recipe(0, 0), "1": ""}, "shard_adapters": {"1": digest("adapter 1")}}
    with world.database.transaction() as session:
        filing = Filing("case-00000001", world.key(ANN), b"sealed", "b", "portal", **filing_dates())
        file_request(session, filing, actor=INES, now=NOW)
        add_evidence(session, "case-00000001", "before", {"adapters": {"support": before}}, now=NOW)
    assert found_in(world) == garbage.Garbage(frozenset({recipe(0, 1)}), frozenset({composed(), digest("adapter 0")}))
    with world.database.transaction() as session:
        from lineage_world import DANA

        CaseFile(session, "case-00000001").refuse(actor=DANA, reason="not theirs", now=NOW)
    assert found_in(world) == everything, "a case that has ended needs nothing"


def test_marking_ends_the_promise_and_spares_equal_bytes_of_another_recipe(world: World) -> None:
    trained(world)
    everything = found_in(world, withdrawn=True)
    with world.database.transaction() as session:
        session.get_one(StateRow, recipe(1, 0)).state_digest = state(0, 0)
    spared = replace(everything, recipes=everything.recipes - {recipe(1, 0)})
    expected = {"states": {state(0, 0)}, "adapters": set()}
    with world.database.transaction() as session:
        assert garbage.promises(garbage.held_by_tables(session), without=spared) == expected
        garbage.mark_collected(session, spared, NOW)
        assert garbage.promises(garbage.held_by_tables(session)) == expected
    assert {s.shard for s in world.rows(ShardAdapterRow) if s.destroyed_at} == {0, 1}


def test_an_adapter_that_nobody_names_any_more_is_left_alone(world: World) -> None:
    trained(world)
    found_in(world, withdrawn=True)
    with world.database.reader() as session:
        assert garbage.known_adapters(session) == {"support"}
        roots = garbage.of_adapter(session, "support")
        found = garbage_in(garbage.held_by_tables(session), roots, older_than=after(days=2))
    assert found == garbage.Garbage(frozenset(), frozenset())
