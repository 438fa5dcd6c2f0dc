"""The schema's history, one file a step, and the function that brings a database to its end."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from milepost.sql.engine import DatabaseError, described, reading, writing

__all__ = ["check_schema", "migrate"]

# Any number that no other program uses with this database: serialises ledgers that start at the same moment.
_LOCK = 0x6D696C65706F7374


def migrate(engine: Engine) -> None:
    """Bring the database to the schema of this release, in one transaction; does nothing where it already is.

    Raises `UnavailableError` when the database is away, `DatabaseError` when a newer release has already migrated it.
    """
    config = _config()
    script = ScriptDirectory.from_config(config)
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        found = MigrationContext.configure(connection).get_current_revision()
        if found == script.get_current_head():
            return
        if found is not None and found not in {step.revision for step in script.walk_revisions()}:
            raise DatabaseError(
                f"{described(engine)} has schema revision {found!r}, which this release does not know: a newer release "
                "migrated it. Start that release, or name another database in MILEPOST_DATABASE_URL"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def check_schema(engine: Engine) -> None:
    """Look that the database is there and has this release's schema. Raises `UnavailableError`, `DatabaseError`."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    with reading(engine) as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found != head:
        raise DatabaseError(f"{described(engine)} has schema revision {found!r}, this release needs {head!r}")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config
