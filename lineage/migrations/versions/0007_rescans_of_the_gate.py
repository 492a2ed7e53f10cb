"""Comparisons of a changed policy, and cases that withdraw records by policy"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rescan",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("policy_digest", sa.String(), nullable=False),
        sa.Column("scanner_digest", sa.String(), nullable=False),
        sa.Column("register_digest", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("approved_by", sa.String(), nullable=False),
        sa.Column("case_id", sa.String(), nullable=False),
        sa.Column("requested_at", sa.DateTime(), nullable=False),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_rescan_status"), "rescan", ["status"], unique=False)
    op.create_table(
        "rescan_record",
        sa.Column("rescan_id", sa.String(), nullable=False),
        sa.Column("record_id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("was", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("content_before", sa.String(), nullable=False),
        sa.Column("content_after", sa.String(), nullable=False),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["record_id"], ["record.id"]),
        sa.ForeignKeyConstraint(["rescan_id"], ["rescan.id"]),
        sa.PrimaryKeyConstraint("rescan_id", "record_id"),
    )
    op.create_index(op.f("ix_rescan_record_outcome"), "rescan_record", ["outcome"], unique=False)
    op.add_column("erasure_case", sa.Column("rescan_id", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("erasure_case", "rescan_id")
    op.drop_table("rescan_record")
    op.drop_table("rescan")
