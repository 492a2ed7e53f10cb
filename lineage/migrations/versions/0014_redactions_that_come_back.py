"""Redactions that a case takes back: what followed from the old content"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Redactions of before keep none, and cannot be taken back."""
    op.add_column("superseded", sa.Column("aftermath", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("superseded", "aftermath")
