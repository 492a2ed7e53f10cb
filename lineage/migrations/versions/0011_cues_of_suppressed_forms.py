"""Cues of suppressed forms: where a text is looked at more closely"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Forms that are suppressed already stay without: what they were is not known any more.
    op.add_column("suppression", sa.Column("cued", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "suppression_cue",
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("keep_until", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("tag"),
    )


def downgrade() -> None:
    op.drop_table("suppression_cue")
    op.drop_column("suppression", "cued")
