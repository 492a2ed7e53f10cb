"""The whole case: decisions and holds of single records, pauses, near copies, what is outside and who is told, logins"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("erasure_case", _text("reopen_reason"))
    op.add_column("staff", _text("password_hash"))
    op.add_column("staff", sa.Column("failed_logins", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("staff", sa.Column("locked_until", sa.DateTime(), nullable=True))
    _create_tables_of_a_case()
    _create_tables_of_near_copies()
    _create_tables_of_what_is_outside()
    op.create_table(
        "api_token",
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.Column("revoked_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["user"], ["staff.name"]),
        sa.PrimaryKeyConstraint("token_hash"),
    )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=False, server_default=sa.text("''"))


def _create_tables_of_a_case() -> None:
    op.create_table(
        "case_decision",
        sa.Column("case_id", sa.String(), nullable=False),
        sa.Column("handle", sa.String(), nullable=False),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("ground", sa.String(), nullable=False),
        sa.Column("hold_reason", sa.String(), nullable=False),
        sa.Column("decided_by", sa.String(), nullable=False),
        sa.Column("decided_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["erasure_case.id"]),
        sa.PrimaryKeyConstraint("case_id", "handle"),
    )
    op.create_table(
        "case_pause",
        sa.Column("case_id", sa.String(), nullable=False),
        sa.Column("asked_on", sa.Date(), nullable=False),
        sa.Column("answered_on", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["erasure_case.id"]),
        sa.PrimaryKeyConstraint("case_id", "asked_on"),
    )


def _create_tables_of_near_copies() -> None:
    op.create_table(
        "near_edge",
        sa.Column("a", sa.String(), nullable=False),
        sa.Column("b", sa.String(), nullable=False),
        sa.Column("similarity", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["a"], ["record.id"]),
        sa.ForeignKeyConstraint(["b"], ["record.id"]),
        sa.PrimaryKeyConstraint("a", "b"),
    )
    op.create_index("ix_near_edge_b", "near_edge", ["b"])
    op.create_table(
        "near_tombstone",
        sa.Column("case_id", sa.String(), nullable=False),
        sa.Column("handle", sa.String(), nullable=False),
        sa.Column("subject_hmac", sa.String(), nullable=False),
        sa.Column("words", sa.Integer(), nullable=False),
        sa.Column("sketch", sa.LargeBinary(), nullable=False),
        sa.Column("keep_until", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("case_id", "handle"),
    )
    op.create_index("ix_near_tombstone_subject_hmac", "near_tombstone", ["subject_hmac"])


def _create_tables_of_what_is_outside() -> None:
    op.create_table(
        "derived_file",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("composed_digest", sa.String(), nullable=True),
        sa.Column("location", sa.LargeBinary(), nullable=True),
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.Column("result", sa.String(), nullable=False),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["composed_digest"], ["composed_adapter.digest"]),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index("ix_derived_file_composed_digest", "derived_file", ["composed_digest"])
    op.create_table(
        "party",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("whom", sa.String(), nullable=False),
        sa.Column("endpoint", sa.LargeBinary(), nullable=True),
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.Column("removed_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    _create_notices()
    op.create_table(
        "backup",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("store", sa.String(), nullable=False),
        sa.Column("holds", sa.String(), nullable=False),
        sa.Column("expires_on", sa.Date(), nullable=True),
        sa.Column("keep_days", sa.Integer(), nullable=True),
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _create_notices() -> None:
    op.create_table(
        "notice",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("case_id", sa.String(), nullable=False),
        sa.Column("party", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.DateTime(), nullable=True),
        sa.Column("problem", sa.String(), nullable=False),
        sa.Column("waived_by", sa.String(), nullable=False),
        sa.Column("waive_reason", sa.String(), nullable=False),
        sa.Column("made_at", sa.DateTime(), nullable=False),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["erasure_case.id"]),
        sa.ForeignKeyConstraint(["party"], ["party.name"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("case_id", "party"),
    )
    for column in ("case_id", "party", "state"):
        op.create_index(f"ix_notice_{column}", "notice", [column])


def downgrade() -> None:
    tables = (
        "api_token",
        "notice",
        "party",
        "backup",
        "derived_file",
        "near_tombstone",
        "near_edge",
        "case_pause",
        "case_decision",
    )
    for table in tables:
        op.drop_table(table)
    for column in ("locked_until", "failed_logins", "password_hash"):
        op.drop_column("staff", column)
    op.drop_column("erasure_case", "reopen_reason")
