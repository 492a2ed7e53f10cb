"""Why and by whom a record was let out of the quarantine or blocked; where findings stand in what is kept"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0007"
branch_labels = None
depends_on = None

# A redaction in the same segment has moved the places of records that were judged before; nobody can tell them now.
UNMOVED = """
UPDATE finding SET kept_start = span_start, kept_end_exclusive = span_end_exclusive
WHERE action <> 'redact' AND NOT EXISTS (
    SELECT 1 FROM finding AS other
    WHERE other.record_id = finding.record_id AND other.segment = finding.segment AND other.action = 'redact'
)
"""


def upgrade() -> None:
    op.add_column("finding", sa.Column("kept_start", sa.Integer(), nullable=True))
    op.add_column("finding", sa.Column("kept_end_exclusive", sa.Integer(), nullable=True))
    op.execute(sa.text(UNMOVED))
    op.add_column("admission", sa.Column("because", sa.String(), nullable=False, server_default=sa.text("''")))
    op.add_column("quarantine", sa.Column("because", sa.String(), nullable=False, server_default=sa.text("''")))
    op.add_column("quarantine", sa.Column("reviewer", sa.String(), nullable=False, server_default=sa.text("''")))
    op.add_column("quarantine", sa.Column("decided_at", sa.DateTime(), nullable=True))


def downgrade() -> None:
    for column in ("decided_at", "reviewer", "because"):
        op.drop_column("quarantine", column)
    op.drop_column("admission", "because")
    op.drop_column("finding", "kept_end_exclusive")
    op.drop_column("finding", "kept_start")
