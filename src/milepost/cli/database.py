"""The database, opened for a command."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from milepost import settings
from milepost.sql.engine import DatabaseError, Engine, UnavailableError, connect
from milepost.sql.migrations import migrate
from milepost.sql.reading import LedgerReading

__all__ = ["migrated_database", "now_us", "reading_engine", "reading_ledger"]


def now_us() -> int:
    """This machine's time, microseconds since 1970."""
    return time.time_ns() // 1_000


@contextmanager
def reading_engine() -> Iterator[Engine]:
    """The database that MILEPOST_DATABASE_URL names; ends the command with status 2 where it cannot be read."""
    try:
        engine = connect(settings.load().database_url.get_secret_value())
        # SQLite would make the file and then miss its tables.
        if engine.url.get_backend_name() == "sqlite" and not Path(engine.url.database or "").is_file():
            raise DatabaseError(
                f"MILEPOST_DATABASE_URL names {engine.url.database}, which is not a file yet; "
                "`milepost run ledger` makes it"
            )
        try:
            yield engine
        finally:
            engine.dispose()
    except (settings.SettingsError, DatabaseError, UnavailableError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


@contextmanager
def reading_ledger() -> Iterator[LedgerReading]:
    """The ledger in that database; ends the command as `reading_engine` does."""
    with reading_engine() as engine:
        yield LedgerReading(engine)


@contextmanager
def migrated_database() -> Iterator[Engine]:
    """The database, with this release's tables; ends the command with status 2 where it cannot be used."""
    try:
        engine = connect(settings.load().database_url.get_secret_value())
        try:
            migrate(engine)
            yield engine
        finally:
            engine.dispose()
    except (settings.SettingsError, DatabaseError, UnavailableError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
