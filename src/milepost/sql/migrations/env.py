"""Alembic's environment: the connection and its transaction are the caller's (`milepost.sql.migrations.migrate`)."""

from alembic import context

from milepost.sql import gateway_tables  # noqa: F401 (its tables are in the metadata once it is imported)
from milepost.sql.tables import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("run migrations through milepost.sql.migrations.migrate, which holds the lock they need")
context.configure(connection=connection, target_metadata=metadata, compare_type=True)
context.run_migrations()
