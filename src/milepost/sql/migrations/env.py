"""Alembic's environment: the connection and its transaction are the caller's (`milepost.sql.migrations.migrate`)."""

from alembic import context

# Their tables are in the metadata once they are imported.
from milepost.sql import gateway_tables, notice_tables, webhook_tables  # noqa: F401
from milepost.sql.tables import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("run migrations through milepost.sql.migrations.migrate, which holds the lock they need")
context.configure(connection=connection, target_metadata=metadata, compare_type=True)
context.run_migrations()
