"""What a certificate says of everything outside: derived files, backups with their end, who is to be told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from lineage import facts as f
from lineage import inventory
from lineage.tables import DerivedFileRow
from lineage.workspace import Workspace

__all__ = ["BACKUP_DAYS", "backups", "derived_files", "to_be_told"]

BACKUP_DAYS = 30
"""What is stated of backups while the inventory has none."""


def backups(workspace: Workspace, today: date) -> tuple[f.Backup, ...]:
    """The backups that may hold the person after the purge, each with its end; those that have ended are left out."""
    with workspace.database.reader() as session:
        known = inventory.everything(session).backups
    ends = [(backup, backup.gone_after(today)) for backup in known]
    if not known:
        unknown, until = "the operator's backups of the key store, if any are made", today + timedelta(days=BACKUP_DAYS)
        return (f.Backup(store=unknown, holds="record keys", expires=until),)
    return tuple(f.Backup(store=b.store, holds=b.holds, expires=end) for b, end in ends if end and end >= today)


def derived_files(workspace: Workspace, contract: Mapping[str, Any]) -> tuple[f.DerivedFile, ...]:
    """The files that the approved contract names, with what became of each by now."""
    with workspace.database.reader() as session:
        rows = {file["file"]: session.get(DerivedFileRow, file["file"]) for file in contract.get("derived_files", ())}
    return tuple(
        f.DerivedFile(file=name, kind=row.kind, result=row.result or "not_reached")  # type: ignore[arg-type]
        for name, row in rows.items()
        if row is not None
    )


def to_be_told(contract: Mapping[str, Any]) -> tuple[f.ToBeTold, ...]:
    """The parties that the approved contract names, and whatever is behind each source."""
    parties = contract.get("parties_to_be_told", ())
    return (
        *(f.ToBeTold(kind=party["kind"], whom=party["whom"]) for party in parties),
        *(
            f.ToBeTold(kind="upstream", whom=f"the file or system behind the source {source}")
            for source in contract["sources_to_be_told"]
        ),
    )
