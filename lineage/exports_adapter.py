"""An adapter leaves the house: a copy of the release in service with its model card, named in the inventory.

The card is written into the copy and never into the store: a README.md in a store entry would change its digest. The copy is
written aside first, then the inventory names it, then it gets its name: whatever crashes, no finished copy is unknown to a
later erasure.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlmodel import Session

from lineage import builds
from lineage.access import Actor
from lineage.durable import write_synced
from lineage.errors import Fault, RefusedByRule, WrongUsage
from lineage.exports_card import model_card
from lineage.exports_release import read_release
from lineage.inventory import KEEPERS, DerivedFile, put_file
from lineage.tables import DerivedFileRow
from lineage.workspace import Workspace

__all__ = ["Exported", "export_adapter"]

CARD = "README.md"


@dataclass(frozen=True, slots=True)
class Exported:
    """Under which name the inventory knows the copy, and what it is a copy of."""

    name: str
    digest: str
    files: int


def export_adapter(
    workspace: Workspace, adapter: str, target: Path, *, actor: Actor, now: datetime, name: str = ""
) -> Exported:
    """Copy the release in service to a folder that is not there yet, and name it in the inventory.

    Raises:
        RefusedByRule: the actor may not keep the inventory, or the release was switched meanwhile.
        WrongUsage: no such adapter or release; the folder is there, or inside the workspace; a malformed or used name.
        NotAcceptable: the store's entry is missing or damaged.
        Fault: the disk refused; nothing finished is left.
    """
    actor.require(*KEEPERS, to="export an adapter")
    target = target.expanduser().absolute()
    if target.resolve().is_relative_to(workspace.settings.workspace.resolve()):
        raise WrongUsage("An export lies outside the workspace.", hint="Name another folder.")
    if os.path.lexists(target):
        raise WrongUsage("There is something of that name already; an export never overwrites.")
    facts = read_release(workspace, adapter)
    files = {**facts.files, CARD: model_card(facts).encode()}
    partial = target.with_name(f".{target.name}.partial-{uuid.uuid4().hex}")
    try:
        _write(partial, files)
        with workspace.database.transaction() as session:
            known = _register(session, DerivedFile(name, "export", facts.digest), adapter, actor=actor, now=now)
        partial.rename(target)
    except OSError as error:
        raise Fault(
            f"The adapter could not be written ({type(error).__name__}).", hint="Make room, or name another folder."
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Exported(known, facts.digest, len(files))


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_synced(folder / name, content)


def _register(session: Session, file: DerivedFile, adapter: str, *, actor: Actor, now: datetime) -> str:
    """Name the copy in the inventory; without a name the next free one."""
    if builds.current_release(session, adapter) != file.composed_digest:
        raise RefusedByRule(f"The release of {adapter} was switched meanwhile.", hint="Export it again.")
    if file.name and session.get(DerivedFileRow, file.name) is not None:
        raise WrongUsage(f"The inventory has a file {file.name} already; each copy has a name of its own.")
    stem = f"export-{adapter}-{(file.composed_digest or '')[:12]}"
    taken, number = stem, 1
    while session.get(DerivedFileRow, taken):
        number += 1
        taken = f"{stem}-{number}"
    known = DerivedFile(file.name or taken, file.kind, file.composed_digest)
    put_file(session, known, actor=actor, now=now)
    return known.name
