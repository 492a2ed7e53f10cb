"""Compact manifests: a manifest's members in 32 bytes each, with the content they were trained on (docs/adr/0011)

Until now the content of a record could not change, so what a manifest was trained on is what its records hold today.
Merkle roots stay as they were written: over the full digests in older manifests, over their first halves from here on.
There is no way back: half a digest does not say what the other half was.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

HALF = 32  # hex digits


def upgrade() -> None:
    """Add the column, fill it from the rows of `slice_member`, drop that table."""
    with op.batch_alter_table("slice_manifest") as batch_op:
        batch_op.add_column(sa.Column("members", sa.LargeBinary(), nullable=True))
    connection = op.get_bind()
    manifest = sa.table("slice_manifest", sa.column("digest"), sa.column("members"))
    for digest in connection.execute(sa.select(manifest.c.digest)).scalars().all():
        members = _members(connection, digest)
        connection.execute(sa.update(manifest).where(manifest.c.digest == digest).values(members=members))
    with op.batch_alter_table("slice_member") as batch_op:
        batch_op.drop_index("ix_slice_member_record")
    op.drop_table("slice_member")
    with op.batch_alter_table("slice_manifest") as batch_op:
        batch_op.alter_column("members", existing_type=sa.LargeBinary(), nullable=False)


def _members(connection: sa.Connection, digest: str) -> bytes:
    member = sa.table("slice_member", sa.column("manifest_digest"), sa.column("record_id"))
    record = sa.table("record", sa.column("id"), sa.column("content_hmac"))
    query = (
        sa.select(record.c.id, record.c.content_hmac)
        .join(member, member.c.record_id == record.c.id)
        .where(member.c.manifest_digest == digest)
    )
    rows = connection.execute(query).all()
    return b"".join(sorted(bytes.fromhex(record_id[:HALF] + content[:HALF]) for record_id, content in rows))


def downgrade() -> None:
    """Refused."""
    raise NotImplementedError("Schema 0002 cannot be taken back: restore the backup from before the upgrade.")
