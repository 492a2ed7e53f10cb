"""What the judge reads of synthetic people: planted ones in the shards of a case, and held-out twins."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sqlmodel import col, select

from lineage.catalog import contents_of
from lineage.forms import canonical_identifier
from lineage.planted import CANARY_PURPOSE
from lineage.records import TrainingRecord
from lineage.tables import PlacementRow, RecordRow
from pipelines.planting import twins_through_the_gate
from pipelines.states import Atelier

if TYPE_CHECKING:
    from probes.dossier import CanaryRecord

__all__ = ["canaries_of"]


def canaries_of(atelier: Atelier, handle: str, shards: tuple[int, ...]) -> tuple[CanaryRecord, ...]:
    """Planted people whose home is one of the shards, Lethe's and the corpus' own, and the plan's twins.

    They show that the probe works on these very files. A dose is the number of records that are still learnt from.
    """
    return (*_planted(atelier, handle, shards), *_twins(atelier, handle))


def _planted(atelier: Atelier, handle: str, shards: tuple[int, ...]) -> tuple[CanaryRecord, ...]:
    from probes.dossier import CanaryRecord

    workspace = atelier.workspace
    query = (
        select(RecordRow.id, RecordRow.primary_subject, PlacementRow.shard)
        .join(PlacementRow, col(PlacementRow.record_id) == col(RecordRow.id))
        .where(RecordRow.purpose == CANARY_PURPOSE, PlacementRow.plan_digest == atelier.plan.digest)
        .where(RecordRow.status == "admitted")
        .where(col(PlacementRow.shard).in_(shards), col(RecordRow.restricted_by).is_(None))
    )
    with workspace.database.reader() as session:
        rows = session.exec(query.order_by(col(RecordRow.id))).all()
        found = contents_of(session, [row[0] for row in rows], keystore=workspace.keystore)
    doses = Counter(subject for _, subject, _ in rows)
    records = {record.record_id: record for record in found}
    return tuple(
        CanaryRecord(workspace.keyring.handle(handle, subject or ""), shard, doses[subject], records[record_id])
        for record_id, subject, shard in rows
    )


def _twins(atelier: Atelier, handle: str) -> tuple[CanaryRecord, ...]:
    """Made again from the plan for this reading; each has as many records as the planted person of its dose."""
    from probes.dossier import CanaryRecord

    keyring = atelier.workspace.keyring
    found = []
    for twin, contents in twins_through_the_gate(atelier.workspace, atelier.plan):
        own = keyring.handle(handle, keyring.subject_key(canonical_identifier(twin.identifier)))
        found += [CanaryRecord(own, None, 0, TrainingRecord(f"{own}/{i}", c)) for i, c in enumerate(contents)]
    return tuple(found)
