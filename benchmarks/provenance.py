"""How many bytes of the database know what was trained: `python benchmarks/provenance.py [RECORDS]`.

A corpus of 20,000 records under a plan of 8 shards with 4 slices each, as rows of a real SQLite workspace without any
model. Measured after VACUUM, per record: the placement (once per plan), and one more training in which the content of a
record of every slice has changed, so that every manifest and every state is written anew. The bar for that is 64 B.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from measuring import write_result
from sqlmodel import Session, select

from lineage import builds, manifests, plans
from lineage.builds import StateFacts
from lineage.plans import Member, Placed
from lineage.tables import AdmissionRow, IngestRow, RecordRow
from lineage.workspace import Workspace, create_workspace, open_workspace

RECORDS, SHARDS, SLICES = 20_000, 8, 4
BAR_B = 64
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLAN = hashlib.sha256(b"plan").hexdigest()


def digest(*parts: object) -> str:
    """A digest as long and as random as the real ones."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def ingest(session: Session, records: int) -> None:
    """Admitted records; their texts do not matter here."""
    session.add(IngestRow(id="ingest", source="tickets", generation=0, status="finished", requested_at=NOW))
    session.flush()
    ids = [digest("record", number) for number in range(records)]
    session.add_all(_record(record_id) for record_id in ids)
    session.flush()
    session.add_all(_admission(record_id) for record_id in ids)


def _record(record_id: str) -> RecordRow:
    return RecordRow(
        id=record_id, ingest_id="ingest", source="tickets", generation=0, purpose="support", lawful_basis="contract",
        language="en", primary_subject=None, content_hmac=digest(record_id, 0), given_hmac=digest(record_id, 0),
        id_hmac=digest(record_id), status="admitted",
    )  # fmt: skip


def _admission(record_id: str) -> AdmissionRow:
    return AdmissionRow(record_id=record_id, policy_digest=PLAN, scanner_digest=PLAN, verdict="allow", admitted_at=NOW)


def place(session: Session) -> None:
    """Every record in a slice of a shard, by its own id."""
    plans.freeze_plan(session, adapter="support", digest=PLAN, body="{}", now=NOW)
    draws = ((record_id, int(record_id[:8], 16)) for record_id in session.exec(select(RecordRow.id)).all())
    placed = [Placed(record_id, "shard", draw % SHARDS, draw // SHARDS % SLICES) for record_id, draw in draws]
    plans.place_records(session, PLAN, placed)


def train(session: Session, number: int) -> None:
    """What the `number`-th training leaves: a manifest and a state for every slice."""
    for shard in range(SHARDS):
        parent = None
        for index, live in plans.live_members(session, PLAN, shard).items():
            changed = (Member(live[0].record_id, digest(live[0].record_id, number)), *live[1:])
            manifest = digest("manifest", shard, index, number)
            manifests.save_manifest(
                session, digest=manifest, adapter="support", plan_digest=PLAN, place=(shard, index), members=changed
            )
            recipe, state = digest("recipe", manifest), digest("state", manifest)
            builds.save_state(
                session,
                StateFacts(recipe, state, "support", PLAN, shard, index, parent, manifest, PLAN, 64, 10_000, 1.5),
                NOW,
            )
            parent = recipe


def size_of(workspace: Workspace) -> int:
    """Bytes of the application database after VACUUM."""
    workspace.database.compact()
    return Path(workspace.settings.database().removeprefix("sqlite:///")).stat().st_size


def main() -> int:
    """Print the table and keep it; 1 if one more training costs more than the bar."""
    records = int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS
    steps = {
        "ingest": lambda session: ingest(session, records), "placement": place,
        "first training": lambda session: train(session, 1), "one more training": lambda session: train(session, 2),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        workspace = _workspace(Path(folder))
        before, bytes_per_record = size_of(workspace), {}
        for name, step in steps.items():
            with workspace.database.transaction() as session:
                step(session)
            after = size_of(workspace)
            bytes_per_record[name] = round((after - before) / records, 1)
            before = after
    print(f"{records} records, S={SHARDS}, R={SLICES}")
    for name in ("placement", "first training", "one more training"):
        print(f"{name:20} {bytes_per_record[name]:7.1f} B per record")
    met = bytes_per_record["one more training"] <= BAR_B
    print(f"bar: {BAR_B} B; {'met' if met else 'NOT met'}")
    figures = {
        "records": records,
        "shards": SHARDS,
        "slices": SLICES,
        "bytes_per_record": bytes_per_record,
        "bar": BAR_B,
    }
    print(write_result("provenance", figures))
    return 0 if met else 1


def _workspace(folder: Path) -> Workspace:
    create_workspace(folder, controller="bench")
    return open_workspace(folder)


if __name__ == "__main__":
    sys.exit(main())
