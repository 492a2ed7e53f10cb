"""A manifest says which records and which contents a slice was trained on, in 32 bytes each, and forgets the erased."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lineage_world import ANN, BOB, NOW, PLAN, World, digest, members, record_training, row
from sqlmodel import Session, SQLModel, col, create_engine, delete, select

from lineage import manifests, plans
from lineage.errors import NotAcceptable
from lineage.merkle import root
from lineage.plans import TRUNK, Member, Placed
from lineage.tables import PlacementRow, RecordRow, SliceManifestRow

NAMES = "abcdefg"


@pytest.fixture
def two_records(world: World) -> list[str]:
    world.register(ANN, BOB)
    return world.ingest(row("My lamp is broken.", ANN, given_id="1"), row("A quiet day.", BOB, given_id="2"))


def save(
    session: Session, name: str, held: Iterable[Member], place: tuple[int, int] = (0, 0), plan: str = PLAN
) -> None:
    manifests.save_manifest(
        session, digest=digest(name), adapter="support", plan_digest=plan, place=place, members=tuple(held)
    )


def test_a_manifest_binds_its_members_and_is_written_once(world: World) -> None:
    with world.database.transaction() as session:
        for held in (members("a", "b"), members("c")):
            save(session, "m", held)
        assert manifests.manifest_facts(session, digest("m")) == (2, manifests.merkle_root(members("a", "b")))
        with pytest.raises(NotAcceptable, match="not in the tables"):
            manifests.manifest_facts(session, digest("n"))
    sets = members("a", "b"), members("a"), members("b", "a"), members("a", "c"), members("a", "b", content="2"), ()
    assert len({manifests.merkle_root(held) for held in sets}) == 5, "order alone does not matter, content does"


def test_the_merkle_tree_can_be_rebuilt_from_what_is_kept(world: World) -> None:
    with world.database.transaction() as session:
        save(session, "m", members(*NAMES))
    (kept,) = world.rows(SliceManifestRow)
    assert len(kept.members) == 32 * len(NAMES)
    assert root(kept.members[at : at + 32] for at in range(0, len(kept.members), 32)).hex() == kept.merkle_root


@settings(max_examples=100, deadline=None)
@given(
    held=st.lists(st.dictionaries(st.sampled_from(NAMES), st.sampled_from("12"), max_size=7), max_size=6),
    places=st.lists(st.sampled_from([(TRUNK, 0), (0, 0), (0, 1), (1, 0)]), min_size=6, max_size=6),
    asked=st.sets(st.tuples(st.sampled_from(NAMES), st.sampled_from("12"))),
    settled=st.booleans(),
)
def test_a_manifest_is_found_if_and_only_if_it_holds_the_record(
    held: list[dict[str, str]], places: list[tuple[int, int]], asked: set[tuple[str, str]], settled: bool
) -> None:
    """Any records in any manifests, under any content; placed where their shards' manifests are, or nowhere (taken out)."""
    engine, home = create_engine("sqlite://"), {}
    SQLModel.metadata.create_all(engine, tables=[SQLModel.metadata.tables[t] for t in ("slice_manifest", "placement")])
    with Session(engine) as session:
        for i, contents in enumerate(held):
            for name in list(contents):  # a record is in the trunk and in one slice of one shard at most
                if places[i][0] != TRUNK and settled and home.setdefault(name, places[i]) != places[i]:
                    del contents[name]
            found = [member for name, content in contents.items() for member in members(name, content=content)]
            save(session, f"m{i}", found, places[i])
        rows = [Placed(digest(name), "shard", *place) for name, place in home.items()]
        plans.place_records(session, PLAN, rows)
        by_record = manifests.manifests_holding(session, {digest(name) for name, _ in asked})
        by_content = manifests.manifests_holding_content(
            session, {(digest(name), digest(name + content)) for name, content in asked}
        )
    engine.dispose()
    names = {name for name, _ in asked}
    assert by_record == {digest(f"m{i}") for i, contents in enumerate(held) if names & set(contents)}
    assert by_content == {digest(f"m{i}") for i, contents in enumerate(held) if asked & set(contents.items())}


def test_a_placed_record_is_looked_for_in_its_own_slice_and_in_the_trunk_only(
    world: World, two_records: list[str]
) -> None:
    """These manifests hold both records everywhere; that the others are not found shows that they were not read."""
    with world.database.transaction() as session:
        plans.freeze_plan(session, adapter="support", digest=PLAN, body="{}", now=NOW)
        plans.place_records(
            session, PLAN, [Placed(two_records[0], "shard", 0, 0), Placed(two_records[1], "control", None, None)]
        )
        for place in ((TRUNK, 0), (0, 0), (0, 1), (1, 0)):
            save(session, f"m{place}", [Member(r, digest(r)) for r in two_records], place)
        assert manifests.manifests_holding(session, two_records[:1]) == {digest(f"m{p}") for p in ((TRUNK, 0), (0, 0))}
        assert manifests.manifests_holding(session, two_records[1:]) == {digest(f"m{(TRUNK, 0)}")}


def test_the_records_of_a_manifest_come_back_with_their_full_ids(world: World, two_records: list[str]) -> None:
    ann, bob = two_records
    record_training(world, {(TRUNK, 0): [], (0, 0): [ann], (1, 0): [bob]})
    with world.database.transaction() as session:
        contents = {r.id: r.content_hmac[:32] for r in session.exec(select(RecordRow)).all()}
        assert manifests.members_of(session, digest("manifest 0/0")) == {ann: contents[ann]}
        session.exec(delete(PlacementRow).where(col(PlacementRow.record_id) == ann))  # moved since, or taken out
        assert manifests.members_of(session, digest("manifest 0/0")) == {ann: contents[ann]}
        assert manifests.members_of(session, digest("no such")) == {}


def test_an_erased_record_leaves_every_manifest_and_history_stays(world: World, two_records: list[str]) -> None:
    ann, bob = two_records
    with world.database.transaction() as session:
        save(session, "both", [Member(r, digest(r)) for r in two_records])
        save(session, "before", [Member(ann, digest("older words"))])
        facts = manifests.manifest_facts(session, digest("both"))
        assert manifests.forget_members(session, [ann]) == 2
        assert manifests.forget_members(session, [ann]) == 0
        assert manifests.manifests_holding(session, [ann]) == set()
        assert manifests.manifests_holding(session, [bob]) == {digest("both")}
        assert manifests.manifest_facts(session, digest("both")) == facts
