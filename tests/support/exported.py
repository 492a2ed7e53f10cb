"""A derived file beside a world: an adapter that left the house, at a place that the purge is to empty.

A place is an absolute path, so a world is copied with its file, and the copy is told where its own lies (`copy_world`).
"""

from __future__ import annotations

import re
import shutil
from datetime import datetime
from pathlib import Path

from sqlmodel import col, select

from lineage import inventory
from lineage.access import Actor
from lineage.derived import seal_place
from lineage.tables import DerivedFileRow
from lineage.workspace import open_workspace

NAME = "phone"


def exports_of(folder: Path) -> Path:
    """The folder in which a world's purge may delete."""
    return folder.with_name(f"{folder.name}-exports")


def exported(folder: Path) -> Path:
    """Where the derived file lies: a folder with weights and a note."""
    return exports_of(folder) / NAME


def allow(folder: Path, root: Path) -> None:
    """Write into lethe.toml in which folder a purge may delete."""
    file = folder / "lethe.toml"
    others = re.sub(r"\n\[purge\]\n.*\n", "", file.read_text())
    file.write_text(f'{others}\n[purge]\nderived_roots = ["{root}"]\n')


def export(folder: Path, said: bytes, *, actor: Actor, now: datetime, composed: str | None = None) -> Path:
    """Lay a derived file with these bytes beside a world and name it in the inventory; returns where it lies."""
    place = exported(folder)
    (place / "sub").mkdir(parents=True)
    (place / "weights.safetensors").write_bytes(said)
    (place / "sub" / "note.txt").write_bytes(said)
    (exports_of(folder) / "another").write_bytes(b"of somebody else")
    allow(folder, exports_of(folder))
    workspace = open_workspace(folder)
    location = seal_place(workspace, NAME, place)
    with workspace.database.transaction() as session:
        file = inventory.DerivedFile(NAME, "merged", composed)
        inventory.put_file(session, file, actor=actor, now=now, location=location)
    return place


def copy_as_it_is(source: Path, target: Path) -> Path:
    """A world and what lies beside it; the copy still speaks of the first one's file until it is settled."""
    shutil.copytree(exports_of(source), exports_of(target))
    return Path(shutil.copytree(source, target))


def settle(folder: Path) -> Path:
    """Say where the file of this copy lies. It is the same content, so a contract goes on to bind it."""
    allow(folder, exports_of(folder))
    workspace = open_workspace(folder, even_restored=True)
    with workspace.database.reader() as session:
        waits = session.exec(select(DerivedFileRow).where(col(DerivedFileRow.location).is_not(None))).all()
    for row in waits:
        location = seal_place(workspace, row.name, exported(folder))
        with workspace.database.transaction() as session:
            session.get_one(DerivedFileRow, row.name).location = location
    return folder


def copy_world(source: Path, target: Path) -> Path:
    """A world of its own."""
    return settle(copy_as_it_is(source, target))
