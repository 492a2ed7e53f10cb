"""A derived file on the road of a case: deleted by the purge and nowhere after it, or told as not reached, with the reason."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import lethe_here
from crashes import Killed, let_die
from exported import NAME, allow, copy_world, exported, exports_of
from small_world import values_of
from whole_road import (
    CASE,
    DANA,
    MAX,
    NOW,
    WHO,
    asked,
    case_at,
    certificate_of,
    make_small_world,
    standing_still,
    walk,
)

from lineage import derived_place, desk, inventory, purge, tombstones
from lineage.bytescan import scan_bytes
from lineage.case import CaseFile
from lineage.derived import seal_place
from lineage.errors import RefusedByRule
from lineage.evidence import evidence
from lineage.located import WHAT_BYTES
from lineage.stages import Stage
from lineage.tables import DerivedFileRow
from lineage.workspace import open_workspace

VALUES = values_of([WHO])


@pytest.fixture(scope="module")
def approved(template: Path) -> Iterator[Path]:
    """Its purge is approved; the file that the purge is to delete lies beside it."""
    with standing_still():
        folder = make_small_world(template, template.parent / "world")
        walk(folder, until=Stage.PURGE_APPROVED)
        yield folder


@pytest.fixture
def folder(approved: Path, tmp_path: Path) -> Path:
    return copy_world(approved, tmp_path / "ws")


def certified(folder: Path) -> list[dict[str, str]]:
    half = json.loads(certificate_of(folder, "certificate.half.json").read_bytes())
    return json.loads(base64.b64decode(half["payload"]))["predicate"]["derived_files"]


def destroyed(folder: Path) -> list[dict[str, str]]:
    with open_workspace(folder).database.reader() as session:
        return evidence(session, CASE, "destruction")["derived_files"]


def purged(folder: Path) -> None:
    walk(folder, until=Stage.PURGED)


def test_after_the_purge_no_byte_of_the_person_is_left_where_the_file_lay(folder: Path) -> None:
    """The byte scan's law, further out: what Lethe keeps, and everything under the folder in which a purge may delete."""
    before = scan_bytes(exports_of(folder), VALUES)
    assert before.hits == (f"{NAME}/sub/note.txt", f"{NAME}/weights.safetensors"), "the control"
    purged(folder)
    assert scan_bytes(exports_of(folder), VALUES).hits == ()
    assert scan_bytes(folder / ".lethe", VALUES).hits == ()
    assert [path.name for path in exports_of(folder).rglob("*")] == ["another"], "LAW nothing else"
    assert certified(folder) == [{"file": NAME, "kind": "merged", "result": "deleted"}]
    assert destroyed(folder) == [{"file": NAME, "result": "deleted"}]
    assert asked(folder, "SELECT result, location, ended_at IS NULL FROM derived_file") == [("deleted", None, 0)]
    assert asked(folder, "SELECT name FROM data_key WHERE name LIKE 'derived:%'", "keys.db") == []
    told = lethe_here("erase", "show", CASE, workspace=folder).out
    assert "inventory.retired" in told
    assert "not reached" not in told


def weights_changed(folder: Path) -> None:
    (exported(folder) / "weights.safetensors").write_bytes(b"of another training")


def moved_away(folder: Path) -> None:
    exported(folder).rename(folder.parent / "elsewhere")


def linked_twice(folder: Path) -> None:
    os.link(exported(folder) / "sub" / "note.txt", folder.parent / "kept")


def by_a_link(folder: Path) -> None:
    """To the same bytes."""
    exported(folder).rename(folder.parent / "elsewhere")
    exported(folder).symlink_to(folder.parent / "elsewhere")


def no_root_any_more(folder: Path) -> None:
    allow(folder, folder.parent / "another-root")


def another_file_registered(folder: Path) -> None:
    """After the approval somebody says that it lies where something else does."""
    other, workspace = exports_of(folder) / "another", open_workspace(folder)
    location = seal_place(workspace, NAME, other)
    with workspace.database.transaction() as session:
        file = next(one for one in inventory.everything(session).files if one.name == NAME)
        inventory.put_file(session, file, actor=MAX, now=NOW, location=location)


def halves_joined(folder: Path) -> None:
    """In the table: what was approved, with the place of another file that was registered under the same name."""
    workspace = open_workspace(folder)
    with workspace.database.transaction() as session:
        row = session.get_one(DerivedFileRow, NAME)
        row.location = (
            row.location[:WHAT_BYTES] + seal_place(workspace, NAME, exports_of(folder) / "another")[WHAT_BYTES:]
        )


def no_place_any_more(folder: Path) -> None:
    workspace = open_workspace(folder)
    with workspace.database.transaction() as session:
        file = next(one for one in inventory.everything(session).files if one.name == NAME)
        inventory.put_file(session, file, actor=DANA, now=NOW, location=b"")


def key_lost(folder: Path) -> None:
    open_workspace(folder).keystore.shred([f"derived:{NAME}"])


CHANGES: list[tuple[Callable[[Path], None], str, str]] = [
    (weights_changed, "changed", "not what was registered"), (moved_away, "missing", "nothing stands there"),
    (linked_twice, "linked", "second name"), (by_a_link, "link", "symbolic link"),
    (no_root_any_more, "outside", "derived_roots"), (another_file_registered, "changed", "not what was registered"),
    (no_place_any_more, "changed", "not what was registered"), (halves_joined, "changed", "not what was registered"),
    (key_lost, "unreadable", "the key is gone"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "reason", "words"), CHANGES)
def test_a_file_that_cannot_be_deleted_is_told_and_stops_nothing(folder: Path, change, reason, words) -> None:
    """LAW no quiet success: the certificate lists it as not reached, and it waits in the inventory for somebody."""
    change(folder)
    beside = snapshot(folder.parent, but=folder)
    purged(folder)
    assert snapshot(folder.parent, but=folder) == beside, "LAW not a byte is touched"
    assert certified(folder) == [{"file": NAME, "kind": "merged", "result": "not_reached"}]
    assert destroyed(folder) == [{"file": NAME, "result": "not_reached", "reason": reason}]
    assert f"{NAME} was not reached: " in (told := lethe_here("erase", "show", CASE, workspace=folder).out)
    assert words in told
    assert "NOT REACHED" in lethe_here("inventory", "list", workspace=folder).out
    lethe_here("inventory", "retire", "file", NAME, "--result", "deleted", "--as", "max", workspace=folder)
    assert asked(folder, "SELECT result, location FROM derived_file") == [("deleted", None)]


def snapshot(parent: Path, *, but: Path) -> dict[str, object]:
    paths = [path for path in parent.rglob("*") if not path.is_relative_to(but)]
    return {str(path): path.read_bytes() if path.is_file() else path.is_symlink() for path in paths}


def test_a_hold_that_comes_after_the_weights_keeps_the_file(folder: Path, monkeypatch) -> None:
    destroy = purge.destroy_weights

    def then_a_hold(*arguments: object) -> object:
        done = destroy(*arguments)
        desk.hold(open_workspace(folder), CASE, actor=DANA, reason="court", now=NOW)
        return done

    monkeypatch.setattr(purge, "destroy_weights", then_a_hold)
    with pytest.raises(RefusedByRule, match="legal hold"):
        purged(folder)
    assert exported(folder).exists(), "LAW a hold wins at any time before destruction"
    monkeypatch.undo()
    with open_workspace(folder).database.transaction() as session:
        CaseFile(session, CASE).hold(actor=DANA, reason="", now=NOW)
    purged(folder)
    assert not exported(folder).exists()


def test_whoever_moves_a_file_that_a_purge_could_not_delete_has_not_deleted_it(folder: Path, monkeypatch) -> None:
    """An attempt that failed is taken back: what is gone at the next try was not deleted by the purge."""

    def refuse(*_: object) -> None:
        raise PermissionError

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(derived_place, "_unlink", refuse)
        patch.setattr(tombstones, "bury", die)
        with pytest.raises(Killed):
            purged(folder)
    moved_away(folder)
    let_die(open_workspace(folder))
    purged(folder)
    assert destroyed(folder) == [{"file": NAME, "result": "not_reached", "reason": "missing"}]


def test_what_somebody_withdrew_before_the_purge_is_told_as_they_said_it(folder: Path) -> None:
    shutil.rmtree(exported(folder))
    lethe_here("inventory", "retire", "file", NAME, "--result", "withdrawn", "--as", "max", workspace=folder)
    purged(folder)
    assert certified(folder) == [{"file": NAME, "kind": "merged", "result": "withdrawn"}]
    assert case_at(open_workspace(folder)).stage == Stage.PURGED


def test_by_command_a_file_gets_a_place_and_loses_it_again(folder: Path) -> None:
    """And the path stands on no screen."""
    place = exports_of(folder) / "another"
    said = ("inventory", "file", "merged-2", "--kind", "merged")
    refused = lethe_here(*said, "--location", place, "--as", "dana", workspace=folder, code=3)
    assert "say where a file lies" in refused.err
    both = lethe_here(*said, "--location", place, "--no-location", "--as", "max", workspace=folder, code=2)
    assert "Give either" in both.err
    told = lethe_here(*said, "--location", "-", "--as", "max", workspace=folder, given=f"{place}\n").out
    assert "A purge deletes it." in told
    listed = lethe_here("inventory", "list", workspace=folder)
    assert "merged, made from records, a purge deletes it" in listed.out
    assert str(place) not in told + listed.out + listed.err
    lethe_here(*said, "--no-location", "--as", "dana", workspace=folder)
    assert asked(folder, "SELECT location FROM derived_file WHERE name = 'merged-2'") == [(None,)]
    assert asked(folder, "SELECT name FROM data_key WHERE name = 'derived:merged-2'", "keys.db") == []
