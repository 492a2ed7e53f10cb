"""A derived file at its place: exactly what was registered is deleted, and nothing else is ever touched."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage import derived_bounds, derived_place
from lineage.derived_bounds import REASONS, Bounds, Spared
from lineage.derived_place import Place, destroy_place, look
from lineage.errors import Fault

Tree = dict[str, "bytes | Tree"]
NAMES = st.sampled_from(["a", "b.safetensors", "sub", "weights é", "-rf"])
FILES = st.binary(max_size=40)
TREES = st.recursive(
    st.dictionaries(NAMES, FILES, max_size=3), lambda below: st.dictionaries(NAMES, below | FILES, max_size=3)
)
"""Folders of files and folders, some empty."""


NOBODY = 65534


class Killed(BaseException):
    """The process is gone."""


class World:
    """`root` is where a purge may delete: the derived file `file` lies in a folder there, with neighbours. `aside` is not."""

    def __init__(self, folder: Path, what: bytes | Tree) -> None:
        self.folder, self.root, self.aside = folder, folder / "exports", folder / "aside"
        self.way = self.root / "2026" / "spring"
        self.file = self.way / "phone"
        grow(self.way, {"phone": what, "neighbour": b"another export", "others": {"phone": what}})
        grow(self.aside, {"phone": what, "notes": b"mine", "spring": {"phone": what}})
        self.bounds = Bounds((self.root,), guarded=(folder / "workspace",), homes=(folder / "exports" / "home",))
        self.began = 0

    def register(self) -> Place:
        return Place.from_bytes(look(self.file, self.bounds).to_bytes())

    def destroy(self, place: Place, *, begun: bool = False) -> None:
        destroy_place(place, self.bounds, begun=begun, begin=self._begin)

    def _begin(self) -> None:
        self.began += 1

    def standing(self, *, but: Path | None = None) -> dict[str, object]:
        """Everything there is: content of files, targets of links, and folders. `but`: without a place."""
        paths = [path for path in self.folder.rglob("*") if but is None or not path.is_relative_to(but)]
        return {str(path.relative_to(self.folder)): what_is(path) for path in paths}


def what_is(path: Path) -> object:
    if path.is_symlink():
        return path.readlink()
    return path.read_bytes() if path.is_file() else path.is_dir()


def grow(folder: Path, tree: Tree) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, what in tree.items():
        if isinstance(what, bytes):
            (folder / name).write_bytes(what)
        else:
            grow(folder / name, what)


@contextmanager
def worlds(what: bytes | Tree) -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        yield World(Path(os.path.realpath(folder)), what)


def why(action: Callable[[], object]) -> str:
    with pytest.raises(Spared) as spared:
        action()
    assert spared.value.__cause__ is None
    return spared.value.why


# --- laws -------------------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(what=FILES | TREES)
def test_what_was_registered_goes_and_nothing_else_changes(what: bytes | Tree) -> None:
    with worlds(what) as world:
        place, rest = world.register(), world.standing(but=world.file)
        world.destroy(place)
        assert not world.file.exists()
        assert world.standing() == rest
        assert world.began == 1


def a_byte(world: World) -> None:
    file = first_file(world)
    file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])


def same_size_and_time(world: World) -> None:
    file = first_file(world)
    before = file.stat()
    a_byte(world)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def more_at_the_end(world: World) -> None:
    with first_file(world).open("ab") as stream:
        stream.write(b"!")


def a_file_added(world: World) -> None:
    (world.file / "z").write_bytes(b"somebody's own")


def an_empty_folder_added(world: World) -> None:
    (world.file / "z").mkdir()


def a_file_removed(world: World) -> None:
    first_file(world).unlink()


def a_link_added(world: World) -> None:
    (world.file / "z").symlink_to(world.aside)


def a_file_by_a_link(world: World) -> None:
    """To a copy with the same bytes: whoever follows it finds what was registered."""
    file = first_file(world)
    shutil.copy(file, world.aside / "copy")
    file.unlink()
    file.symlink_to(world.aside / "copy")


def the_place_by_a_link(world: World) -> None:
    world.file.rename(world.way / "was")
    world.file.symlink_to(world.aside / "phone")


def its_folder_by_a_link(world: World) -> None:
    world.way.rename(world.way.with_name("was"))
    world.way.symlink_to(world.aside / "spring")


def a_folder_further_up_by_a_link(world: World) -> None:
    (world.aside / "2026").mkdir()
    shutil.copytree(world.way, world.aside / "2026" / "spring")
    world.way.parent.rename(world.root / "was")
    world.way.parent.symlink_to(world.aside / "2026")


def a_second_name(world: World) -> None:
    os.link(first_file(world), world.aside / "kept")


def a_pipe(world: World) -> None:
    """In the place of a file: whoever opens it waits."""
    file = first_file(world)
    file.unlink()
    os.mkfifo(file)


def a_checkout(world: World) -> None:
    (world.file / ".git").mkdir()


def it_was_moved(world: World) -> None:
    world.file.rename(world.aside / "moved")


def its_folder_was_moved(world: World) -> None:
    world.way.rename(world.aside / "moved")


def a_file_of_another_kind(world: World) -> None:
    """A folder in the place of a file, or a file in the place of a folder."""
    if world.file.is_dir():
        shutil.rmtree(world.file)
        world.file.write_bytes(b"")
    else:
        world.file.unlink()
        world.file.mkdir()


def first_file(world: World) -> Path:
    return next(path for path in (world.file, *sorted(world.file.rglob("*"))) if path.is_file() and path.stat().st_size)


ANY = {
    a_byte: "changed", same_size_and_time: "changed", more_at_the_end: "changed", the_place_by_a_link: "link",
    its_folder_by_a_link: "link", a_folder_further_up_by_a_link: "link", a_second_name: "linked", a_pipe: "special",
    it_was_moved: "missing", its_folder_was_moved: "missing", a_file_of_another_kind: "changed", a_file_by_a_link: "link",
}  # fmt: skip
FOLDERS = {
    a_file_added: "changed", an_empty_folder_added: "changed", a_file_removed: "changed", a_link_added: "link",
    a_checkout: "guarded",
}  # fmt: skip
NOT_EMPTY = st.binary(min_size=1, max_size=40)
HOLDING = st.builds(lambda tree, content: {**tree, "m": content}, TREES, NOT_EMPTY)
CASES = [(NOT_EMPTY, "file", one) for one in ANY] + [(HOLDING, "folder", one) for one in (*ANY, *FOLDERS)]


@pytest.mark.parametrize(("content", "change"), [pytest.param(c, one, id=f"{k}-{one.__name__}") for c, k, one in CASES])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_what_is_not_what_was_registered_is_left_as_it_is(content, change, data) -> None:
    """LAW whatever happened to it since, not a byte is touched, and the reason is told."""
    with worlds(data.draw(content)) as world:
        place = world.register()
        change(world)
        before = world.standing()
        assert why(lambda: world.destroy(place)) == (ANY | FOLDERS)[change]
        assert world.standing() == before
        assert world.began == 0, "nothing was written down that did not begin"


@settings(max_examples=40, deadline=None)
@given(what=FILES | TREES, data=st.data())
def test_after_a_crash_at_any_deletion_the_same_call_ends_it(what: bytes | Tree, data: st.DataObject) -> None:
    """And to somebody who does not know of the attempt, what is gone is no success and what is left is not the same."""
    with worlds(what) as world, pytest.MonkeyPatch.context() as patch:
        place, rest = world.register(), world.standing(but=world.file)
        dies_at(patch, data.draw(st.integers(1, 2 * len(place.entries))))
        with pytest.raises(Killed):
            world.destroy(place)
        patch.undo()
        standing = world.standing()
        if standing != rest | {str(p.relative_to(world.folder)): what_is(p) for p in all_of(world, place)}:
            assert why(lambda: world.destroy(place)) == ("changed" if world.file.exists() else "missing")
        assert world.standing() == standing
        world.destroy(place, begun=True)
        world.destroy(place, begun=True)
        assert world.standing() == rest


def all_of(world: World, place: Place) -> list[Path]:
    """Every path that was registered and is there."""
    paths = [world.file / entry.path.removeprefix("/") for entry in place.entries]
    return paths if all(path.exists() for path in paths) else []


def dies_at(patch: pytest.MonkeyPatch, at: int) -> None:
    """Before or after one of the deletions."""
    passed = [0]

    def between(original: Callable[[str, int], None]) -> Callable[[str, int], None]:
        def effect(name: str, folder: int) -> None:
            passed[0] += 1
            if passed[0] == at:
                raise Killed
            original(name, folder)
            passed[0] += 1
            if passed[0] == at:
                raise Killed

        return effect

    for name in ("_unlink", "_rmdir"):
        patch.setattr(derived_place, name, between(getattr(derived_place, name)))


# --- single cases ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, {"model": b"weights", "sub": {"more": b"and more"}})


def test_after_a_crash_a_file_that_another_has_taken_the_place_of_stays(world: World) -> None:
    place = world.register()
    shutil.rmtree(world.file)
    grow(world.file, {"model": b"weights", "mine": b"somebody's own"})
    before = world.standing()
    assert why(lambda: world.destroy(place, begun=True)) == "changed"
    assert world.standing() == before


def test_a_folder_that_is_gone_from_the_way_is_no_proof_that_the_file_is(world: World) -> None:
    place = world.register()
    its_folder_was_moved(world)
    assert why(lambda: world.destroy(place, begun=True)) == "missing"


def test_a_file_system_that_says_yes_and_deletes_nothing_is_not_believed(world: World, monkeypatch) -> None:
    place = world.register()
    monkeypatch.setattr(derived_place, "_unlink", lambda name, folder: None)
    assert why(lambda: world.destroy(place)) == "left"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "no"), "permission"), (OSError(30, "read-only"), "permission"), (OSError(5, "io"), "refused"),
        (OSError(16, "busy"), "mount"), (OSError(39, "not empty"), "changed"),
    ],
)  # fmt: skip
def test_what_the_file_system_refuses_is_a_reason_and_says_no_path(world: World, monkeypatch, error, reason) -> None:
    def refuse(name: str, folder: int) -> None:
        raise error

    place, before = world.register(), world.standing()
    monkeypatch.setattr(derived_place, "_unlink", refuse)
    with pytest.raises(Spared) as spared:
        world.destroy(place)
    assert spared.value.why == reason
    assert "phone" not in str(spared.value)
    assert world.standing() == before


def test_a_read_only_folder_keeps_its_file() -> None:
    """Root writes everywhere, so whoever is root becomes nobody for it."""
    with worlds(b"weights") as world:
        place, whole = world.register(), [world.folder, *world.folder.rglob("*")]
        for path in whole if os.geteuid() == 0 else ():
            os.chown(path, NOBODY, -1)
        world.way.chmod(0o500)
        with somebody():
            assert why(lambda: world.destroy(place)) == "permission"
        assert world.file.exists()
        world.way.chmod(0o700)
        with somebody():
            world.destroy(place)


@contextmanager
def somebody() -> Iterator[None]:
    """Not root."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_file_that_is_exchanged_while_the_attempt_is_filed_stays(world: World) -> None:
    """Between the look and the deletion: what is deleted is compared once more, by its numbers."""
    place = world.register()

    def exchange() -> None:
        (world.file / "sub" / "more").unlink()
        (world.file / "sub" / "more").write_bytes(b"and less")

    assert why(lambda: destroy_place(place, world.bounds, begun=False, begin=exchange)) == "changed"
    assert (world.file / "sub" / "more").read_bytes() == b"and less"


def test_an_attempt_that_cannot_be_filed_deletes_nothing(world: World) -> None:
    place, before = world.register(), world.standing()

    def refuse() -> None:
        raise Fault("The database is gone.")

    with pytest.raises(Fault):
        destroy_place(place, world.bounds, begun=False, begin=refuse)
    assert world.standing() == before


def test_a_disk_that_does_not_confirm_the_deletion_is_a_fault_and_the_next_try_ends_it(world, monkeypatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    place = world.register()
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(Fault, match="did not confirm"):
        world.destroy(place)
    monkeypatch.undo()
    world.destroy(place, begun=True)


def test_a_copy_that_was_moved_is_the_same_content_elsewhere(world: World) -> None:
    place = world.register()
    moved = look(world.way / "others" / "phone", world.bounds)
    assert moved.digest == place.digest
    assert moved.path != place.path


@pytest.mark.parametrize("limit", ["MAX_ENTRIES", "MAX_DEPTH"])
def test_a_tree_without_bounds_is_not_registered(world: World, monkeypatch, limit: str) -> None:
    monkeypatch.setattr(derived_place, limit, 1)
    assert why(world.register) == "large"


def test_nothing_of_a_place_stands_in_its_repr(world: World) -> None:
    place = world.register()
    assert not [word for word in ("phone", "model", "more", str(world.root)) if word in repr(place)]


# --- where nothing is deleted ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("exports", "outside"), ("aside/phone", "outside"), ("", "outside"), ("exports-2/phone", "outside"),
        ("exports/../aside/phone", "outside"), ("exports/home", "guarded"), ("exports/2026/.git/objects", "guarded"),
        ("exports/nothing", "missing"), ("exports/2026/spring/neighbour/x", "link"),
    ],
)  # fmt: skip
def test_a_place_that_is_never_deleted_is_not_even_registered(world: World, path: str, reason: str) -> None:
    for name in ("home", "2026/.git/objects"):
        grow(world.root / name, {"x": b"x"})
    grow(world.folder / "exports-2", {"phone": b"x"})
    assert why(lambda: look(world.folder / path, world.bounds)) == reason


@pytest.mark.parametrize("path", ["exports/2026/spring", "exports/2026/spring/phone", "exports/2026/spring/phone/sub"])
def test_neither_the_workspace_nor_what_holds_it_nor_what_it_holds(world: World, path: str) -> None:
    bounds = Bounds((world.root,), guarded=(world.file,))
    assert why(lambda: look(world.folder / path, bounds)) == "guarded"
    assert look(world.way / "neighbour", bounds).entries


def test_what_lies_in_a_home_may_go_but_not_what_holds_one(world: World) -> None:
    bounds = Bounds((world.root,), guarded=(), homes=(world.way,))
    assert look(world.file, bounds).entries
    assert why(lambda: look(world.way.parent, bounds)) == "guarded"


def test_a_place_with_a_file_system_mounted_in_it_stays(world: World, tmp_path: Path, monkeypatch) -> None:
    place, table = world.register(), tmp_path / "mountinfo"
    mounted = str(world.file / "sub").replace("s", "\\163")
    table.write_text(f"36 35 98:0 / / rw - ext4 /dev/root rw\n37 35 98:0 / {mounted} rw - ext4 /dev/root rw\n")
    monkeypatch.setattr(derived_bounds, "MOUNTS", table)
    assert why(lambda: world.destroy(place)) == "mount"
    monkeypatch.setattr(derived_bounds, "MOUNTS", tmp_path / "no such table")
    world.destroy(place)


def test_another_file_system_is_told_by_its_device_too(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(derived_bounds, "MOUNTS", tmp_path / "no such table")
    assert why(lambda: look(Path("/proc"), Bounds((Path("/"),), guarded=()))) == "mount"


def test_every_reason_has_its_words() -> None:
    assert set(REASONS) == set(derived_bounds.Why.__args__)
