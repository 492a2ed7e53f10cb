"""Contents that changed: rectification and redaction of mentions"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Columns are added in place: to make these tables anew would delete what refers to their rows."""
    op.add_column("ingest", sa.Column("rectify", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("record", sa.Column("version", sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "superseded",
        sa.Column("record_id", sa.String(), nullable=False),
        sa.Column("content_hmac", sa.String(), nullable=False),
        sa.Column("given_hmac", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=True),
        sa.Column("key_shredded", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["record_id"], ["record.id"]),
        sa.PrimaryKeyConstraint("record_id", "content_hmac"),
    )
    with op.batch_alter_table("superseded", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_superseded_reason"), ["reason"], unique=False)
        batch_op.create_index(batch_op.f("ix_superseded_by"), ["by"], unique=False)


def downgrade() -> None:
    op.drop_table("superseded")
    op.drop_column("record", "version")
    op.drop_column("ingest", "rectify")
