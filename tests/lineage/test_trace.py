"""Lineage in both directions: what a person's records fed, and what an adapter was fed with."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from lineage_world import ANN, BOB, FORMS, PLAN, World, after, composed, digest, record_training, row, state

from lineage import builds
from lineage.builds import ComposedFacts
from lineage.errors import WrongUsage
from lineage.plans import TRUNK
from lineage.tables import RecordRow, StateRow, SubjectRow
from lineage.trace import Node, trace_adapter, trace_record, trace_release, trace_subject


@pytest.fixture
def fed(world: World) -> dict[str, str]:
    """Trunk <- open; shard 0: bob, ann; shard 1: both. Names of records to their ids."""
    world.register(ANN, BOB)
    names = ("open", "bob", "ann", "both")
    ids = world.ingest(
        row("The shop opens at nine.", given_id="1"), row("A quiet day.", BOB, given_id="2"),
        row("My lamp is broken.", ANN, given_id="3"), row(f"I met {FORMS[ANN]['name']}.", BOB, given_id="4"),
    )  # fmt: skip
    made = dict(zip(names, ids, strict=True))
    record_training(
        world, {(TRUNK, 0): [made["open"]], (0, 0): [made["bob"]], (0, 1): [made["ann"]], (1, 0): [made["both"]]}
    )
    return made


def read(world: World, trace: Callable[..., Node], *arguments: str) -> Node:
    with world.database.reader() as session:
        return trace(session, *arguments)


def below(node: Node, kind: str) -> Iterator[Node]:
    for child in node.children:
        if child.kind == kind:
            yield child
        yield from below(child, kind)


def ids_below(node: Node, kind: str) -> set[str]:
    return {found.id for found in below(node, kind)}


def test_from_a_person_down_to_the_release(world: World, fed: dict[str, str]) -> None:
    tree = read(world, trace_subject, world.key(ANN))
    assert {n.id: dict(n.facts)["relation"] for n in tree.children} == {
        fed["ann"]: "declared",
        fed["both"]: "mentioned",
    }
    assert ids_below(tree, "state") == {state(0, 1), state(1, 0)}
    assert {(n.id, dict(n.facts)["release"]) for n in below(tree, "composed adapter")} == {(composed(), "in service")}


def test_a_record_fed_its_state_and_every_later_one(world: World, fed: dict[str, str]) -> None:
    assert ids_below(read(world, trace_record, fed["open"]), "state") == {
        state(*p) for p in ((TRUNK, 0), (0, 0), (0, 1), (1, 0))
    }
    assert ids_below(read(world, trace_record, fed["bob"]), "state") == {state(0, 0), state(0, 1)}
    assert ids_below(read(world, trace_record, fed["ann"]), "state") == {state(0, 1)}


def test_an_adapter_was_fed_with_exactly_its_records(world: World, fed: dict[str, str]) -> None:
    tree = read(world, trace_adapter, "support")
    assert tree == read(world, trace_adapter, composed()) == read(world, trace_adapter, composed()[:8])
    assert ids_below(tree, "record") == set(fed.values())
    by_shard = {n.id: [c.id for c in n.children] for n in tree.children}
    assert by_shard == {"0": [state(TRUNK, 0), state(0, 0), state(0, 1)], "1": [state(TRUNK, 0), state(1, 0)]}


def test_both_directions_agree(world: World, fed: dict[str, str]) -> None:
    """A record is below an adapter if and only if the adapter is below the record."""
    contained = ComposedFacts(composed("contained"), "support", PLAN, "contained", {0: builds_recipe(0, 0), 1: None})
    with world.database.transaction() as session:
        builds.save_composed(session, contained, after(hours=1))
    for adapter in (composed(), contained.digest):
        down = ids_below(read(world, trace_adapter, adapter), "record")
        for record_id in fed.values():
            tree = read(world, trace_record, record_id)
            # Downwards a composed adapter hangs on the one state that stands for a shard; its ancestors carry it.
            assert (adapter in ids_below(tree, "composed adapter")) == (record_id in down)


def builds_recipe(shard: int, index: int) -> str:
    from lineage_world import recipe

    return recipe(shard, index)


def test_releases_newest_first(world: World, fed: dict[str, str]) -> None:
    contained = ComposedFacts(composed("contained"), "support", PLAN, "contained", {0: None, 1: None})
    with world.database.transaction() as session:
        builds.save_composed(session, contained, after(hours=1))
        builds.release(
            session, adapter="support", composed_digest=contained.digest, reason="contained", now=after(hours=1)
        )
    tree = read(world, trace_release, "support")
    told = [(dict(n.facts)["reason"], dict(n.facts)["until"], n.children[0].id) for n in tree.children]
    assert told == [
        ("contained", "in service", contained.digest), ("train", after(hours=1).isoformat(timespec="seconds"), composed()),
    ]  # fmt: skip
    standing = {n.id: dict(n.facts)["release"] for n in below(tree, "composed adapter")}
    assert standing == {contained.digest: "in service", composed(): "withdrawn"}
    assert read(world, trace_adapter, "support").id == contained.digest


def test_what_was_destroyed_or_restricted_says_so(world: World, fed: dict[str, str]) -> None:
    with world.database.transaction() as session:
        session.get_one(StateRow, builds_recipe(0, 1)).destroyed_at = after(hours=2)
        session.get_one(RecordRow, fed["ann"]).restricted_by = "case-1"
    tree = read(world, trace_record, fed["ann"])
    assert dict(tree.facts)["restricted_by"] == "case-1"
    assert [dict(n.facts)["destroyed"] for n in below(tree, "state")] == [after(hours=2).isoformat(timespec="seconds")]


def test_a_unique_beginning_is_enough_and_nothing_else_is(world: World, fed: dict[str, str]) -> None:
    assert read(world, trace_record, fed["ann"][:12]).id == fed["ann"]
    for wrong in ("", "%", "_" * 64, "no such", fed["ann"] + "0", fed["ann"][:-1] + "_"):
        with pytest.raises(WrongUsage, match="record that begins with"):
            read(world, trace_record, wrong)
    with world.database.transaction() as session:
        builds.save_composed(session, ComposedFacts(composed()[:-1] + "!", "support", PLAN, "full", {}), after(hours=1))
    with pytest.raises(WrongUsage, match="more than one"):
        read(world, trace_adapter, composed()[:9])


def test_a_person_is_meant_by_the_beginning_of_a_key_and_by_nothing_that_may_be_a_name(
    world: World, fed: dict[str, str]
) -> None:
    """A cut key is what a tree shows; it must never pass for a person without records."""
    key = world.key(ANN)
    assert read(world, trace_subject, key[:16]) == read(world, trace_subject, key)
    twin = key[:20] + ("0" * 44 if key[20:] != "0" * 44 else "1" * 44)
    with world.database.transaction() as session:
        session.add(SubjectRow(key=twin, since=after(hours=1)))
    with pytest.raises(WrongUsage, match="More than one person's"):
        read(world, trace_subject, key[:20])
    with pytest.raises(WrongUsage, match="Nobody's"):
        read(world, trace_subject, digest("nobody")[:30])
    for wrong in ("", ANN, FORMS[ANN]["name"], "%", key + "0", key[:-1] + "_", key[:16] + "\n"):
        with pytest.raises(WrongUsage) as refusal:
            read(world, trace_subject, wrong)
        assert not wrong.strip() or wrong.strip() not in f"{refusal.value} {refusal.value.hint}"


def test_what_is_not_there(world: World, fed: dict[str, str]) -> None:
    assert read(world, trace_subject, digest("nobody")).children == ()
    with pytest.raises(WrongUsage, match="no adapter"):
        read(world, trace_adapter, "sales")
    with pytest.raises(WrongUsage, match="no release") as refusal:
        read(world, trace_release, "sales")
    assert "lethe train sales" in refusal.value.hint


def test_the_json_is_the_tree_without_a_value(world: World, fed: dict[str, str]) -> None:
    tree = read(world, trace_subject, world.key(ANN))
    plain = tree.as_json()
    assert plain["kind"] == "subject"
    assert [child["id"] for child in plain["children"]] == [child.id for child in tree.children]
    for value in (*FORMS[ANN].values(), ANN, "lamp"):
        assert value not in str(plain)
