"""Numbered database migrations (Alembic). `lineage.database.HEAD` names the newest."""
