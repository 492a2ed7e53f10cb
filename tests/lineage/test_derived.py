"""Derived files in the inventory and in a contract: who may say where one lies, what an approval binds, what nobody reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from exported import allow
from lineage_world import (
    ANN,
    BOB,
    DANA,
    INES,
    MILO,
    NOW,
    PLAN,
    World,
    after,
    composed,
    open_world,
    recipe,
    record_training,
    row,
)
from sqlmodel import select

from lineage import builds, inventory
from lineage.access import Actor, Role
from lineage.builds import ComposedFacts
from lineage.closure import find_closure
from lineage.derived import forget_place, seal_place
from lineage.errors import LetheError, RefusedByRule, WrongUsage
from lineage.evidence import contract
from lineage.inventory import DerivedFile
from lineage.plans import TRUNK
from lineage.subjects import load_forms
from lineage.tables import DerivedFileRow, LedgerRow

EARLY = composed("early")
SECRET = "anneliese-token-77"
"""A word of a path that must stand nowhere."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "exports" / SECRET).mkdir(parents=True)
    (tmp_path / "exports" / SECRET / "model").write_bytes(b"weights")
    return tmp_path / "exports"


@pytest.fixture
def trained(world: World, root: Path) -> World:
    """Ann is in shard 0, Bob in shard 1, and an early adapter was made of shard 0 alone; a purge may delete under `root`."""
    world.register(ANN, BOB)
    ids = world.ingest(
        row("The lamp is broken.", ANN, given_id="1"),
        row("A quiet day.", given_id="2"),
        row("A chair.", BOB, given_id="3"),
    )
    record_training(world, {(TRUNK, 0): [ids[1]], (0, 0): [ids[0]], (1, 0): [ids[2]]})
    with world.database.transaction() as session:
        builds.save_composed(session, ComposedFacts(EARLY, "support", PLAN, "full", {0: recipe(0, 0)}), NOW)
    allow(world.settings.workspace, root)
    return open_world(world.settings.workspace)


def put(
    world: World, path: Path | None, name: str = "phone", *, of: str | None = composed(), actor: Actor = MILO
) -> None:
    location = seal_place(world.workspace, name, path) if path else None
    with world.database.transaction() as session:
        file = DerivedFile(name, "merged", of)
        inventory.put_file(session, file, actor=actor, now=NOW, location=location)


def lines(world: World, person: str = ANN, case_id: str = "case-00000001") -> list[dict]:
    with world.database.reader() as session:
        forms = load_forms(session, world.keystore, world.key(person))
        closure = find_closure(session, world.key(person), forms, keystore=world.keystore)
        return contract(session, case_id, closure, world.keyring).get("derived_files", [])


def test_a_contract_says_of_each_file_whether_the_machine_deletes_it(trained: World, root: Path) -> None:
    put(trained, root / SECRET)
    put(trained, None, "laptop")
    laptop, phone = lines(trained)
    assert laptop == {"file": "laptop", "kind": "merged"}, "old digests stay what they are"
    assert (phone["file"], phone["deleted_by_machine"]) == ("phone", True)
    assert phone["content"] != lines(trained, case_id="case-00000002")[1]["content"], "a handle of this case alone"


def test_a_file_of_an_adapter_that_never_saw_the_person_is_listed_and_not_deleted(trained: World, root: Path) -> None:
    """LAW forget is minimal. Whom a file was made of that was made from records, nobody knows."""
    for name, of in (("all", composed()), ("cache", None), ("early", EARLY)):
        put(trained, root / SECRET, name, of=of)
    deleted = {
        person: [one["file"] for one in lines(trained, person) if "deleted_by_machine" in one] for person in (ANN, BOB)
    }
    assert deleted == {ANN: ["all", "cache", "early"], BOB: ["all", "cache"]}
    assert [one["file"] for one in lines(trained, BOB)] == ["all", "cache", "early"]


def test_an_approval_binds_the_content_and_not_the_place(trained: World, root: Path) -> None:
    put(trained, root / SECRET)
    before = lines(trained)
    put(trained, root / SECRET)
    assert lines(trained) == before
    (root / SECRET).rename(root / "moved")
    put(trained, root / "moved")
    assert lines(trained) == before, "the same file elsewhere"
    (root / "moved" / "model").write_bytes(b"other weights")
    put(trained, root / "moved")
    assert lines(trained) != before, "LAW another content is another contract"


def test_said_again_without_a_place_it_stays_and_the_same_place_is_sealed_once(trained: World, root: Path) -> None:
    put(trained, root / SECRET)
    (sealed,) = [r.location for r in trained.rows(DerivedFileRow)]
    put(trained, root / SECRET)
    put(trained, None, actor=DANA)
    assert [r.location for r in trained.rows(DerivedFileRow)] == [sealed]


@pytest.mark.parametrize("actor", [DANA, INES, Actor("rex", Role.AUDITOR)], ids=lambda actor: actor.name)
def test_whoever_approves_a_deletion_does_not_say_which_file_that_is(trained: World, root: Path, actor: Actor) -> None:
    with pytest.raises(RefusedByRule):
        put(trained, root / SECRET, actor=actor)
    assert trained.rows(DerivedFileRow) == []
    put(trained, root / SECRET, actor=Actor("root", Role.ADMIN))


def test_where_a_file_lies_is_sealed_and_stands_nowhere_else(trained: World, root: Path) -> None:
    put(trained, root / SECRET)
    trained.database.compact()
    files = [path for path in trained.home.rglob("*") if path.is_file()]
    assert not [path.name for path in files if SECRET.encode() in path.read_bytes()]
    with trained.database.reader() as session:
        told = session.exec(select(LedgerRow.payload)).all()
        assert not [payload for payload in told if SECRET in payload or "weights" in payload]
        assert SECRET not in repr(inventory.everything(session))
    assert SECRET not in str(lines(trained))


def test_the_key_of_a_place_goes_with_its_entry(trained: World, root: Path) -> None:
    put(trained, root / SECRET)
    assert trained.keystore.holding(["derived:phone"])
    with trained.database.transaction() as session:
        inventory.retire(session, "file", "phone", actor=MILO, now=after(days=1), result="deleted")
    forget_place(trained.workspace, "phone")
    assert not trained.keystore.holding(["derived:phone"])
    assert [r.location for r in trained.rows(DerivedFileRow)] == [None]


@pytest.mark.parametrize(
    ("path", "error", "says"),
    [
        ("phone", WrongUsage, "absolute"), ("{root}/nothing", WrongUsage, "nothing stands there"),
        ("{root}", RefusedByRule, "derived_roots"), ("{root}/../aside", RefusedByRule, "derived_roots"),
        ("{root}/link", WrongUsage, "symbolic link"), ("{home}/lethe.db", RefusedByRule, "derived_roots"),
    ],
)  # fmt: skip
def test_a_place_that_is_not_for_deleting_is_refused_and_not_repeated(trained, root, path, error, says) -> None:
    (root / "link").symlink_to(root / SECRET)
    with pytest.raises(error, match=says) as refused:
        put(trained, Path(path.format(root=root, home=trained.home)))
    assert isinstance(refused.value, LetheError)
    assert str(root) not in str(refused.value) + refused.value.hint
    assert not trained.keystore.holding(["derived:phone"])


def test_a_root_around_the_workspace_opens_nothing_of_it(trained: World) -> None:
    folder = trained.settings.workspace
    allow(folder, folder.parent)
    wide = open_world(folder)
    for place in (wide.home / "lethe.db", wide.home / "secrets", folder / "lethe.toml", folder):
        with pytest.raises(RefusedByRule, match="never deleted"):
            put(wide, place)


def test_without_a_root_nothing_can_be_deleted(world: World, root: Path) -> None:
    with pytest.raises(RefusedByRule, match=r"\[purge\] derived_roots"):
        put(world, root / SECRET, of=None)


@pytest.mark.parametrize("value", ["/", "exports", "/srv/../etc"])
def test_a_root_is_an_absolute_folder(world: World, value: str) -> None:
    allow(world.settings.workspace, Path(value))
    with pytest.raises(WrongUsage, match="absolute path"):
        open_world(world.settings.workspace)
