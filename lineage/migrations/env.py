"""Alembic's entry: runs the numbered migrations on the connection that `lineage.database.migrate` hands over."""

from alembic import context
from sqlmodel import SQLModel

import lineage.tables  # noqa: F401  (fills SQLModel.metadata)

context.configure(
    connection=context.config.attributes["connection"], target_metadata=SQLModel.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
