"""The engine: one of two databases behind the same statements, and its errors sorted into "wait" and "stop".

SQLite by default (WAL; one writer at a time), PostgreSQL with psycopg 3. `writing()` and `reading()` are the only ways
in; what leaves them is `UnavailableError` (the database is away, busy or took the transaction back: whether it is
stored is unknown, read the offsets again) or a real fault.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

__all__ = ["DatabaseError", "Engine", "UnavailableError", "connect", "described", "ping", "reading", "writing"]

# How long a statement waits for another writer's lock. Longer than _FROZEN_MS, so that whoever takes over a frozen
# sink's partition outlives the frozen sink's transaction instead of failing first.
_LOCK_WAIT_MS = 30_000
# A sink that was stopped (SIGSTOP, a swapped-out machine) inside its transaction keeps its row locks for ever; the
# server ends its session after this long, and the sink finds out from its next statement.
_FROZEN_MS = 10_000
_CONNECT_S = 10
# PostgreSQL's word for a table that is not there: whoever migrates has not come to it. SQLite says the same by itself.
_NO_TABLE = "42P01"
# A database that accepts a statement and never answers it must not hold the sink for ever.
_STATEMENT_MS = 120_000


class DatabaseError(Exception):
    """The database cannot be used as it is configured; the message says which setting to change."""


class UnavailableError(Exception):
    """The database is away or busy. Whether the last transaction was stored is unknown: read the offsets again."""


def connect(url: str) -> Engine:
    """Make an engine for `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/NAME`; connects to nothing yet.

    Raises `DatabaseError` for any other URL, without repeating it (it may hold a password).
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise DatabaseError(
            "MILEPOST_DATABASE_URL is not a database URL; use sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
        ) from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return _sqlite(parsed)
    if backend in ("postgresql", "postgres"):
        return _postgresql(parsed)
    raise DatabaseError(
        f"MILEPOST_DATABASE_URL names {backend!r}; use sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
    )


def described(engine: Engine) -> str:
    """Where the database is, for messages; without the password."""
    return engine.url.render_as_string(hide_password=True)


def _sqlite(url: URL) -> Engine:
    if url.database is None or url.database in ("", ":memory:"):
        raise DatabaseError(
            "MILEPOST_DATABASE_URL names a SQLite database in memory, which forgets rows and offsets; name a file: "
            "sqlite:///milepost.db"
        )
    folder = Path(url.database).absolute().parent
    if not folder.is_dir():
        raise DatabaseError(f"MILEPOST_DATABASE_URL names a file in {folder}, which is not a folder; make it first")
    engine = create_engine(url, connect_args={"timeout": _LOCK_WAIT_MS / 1000}, pool_timeout=_CONNECT_S)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        # Python's sqlite3 would begin by itself, and only before some statements; we say BEGIN ourselves below.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        # After a power cut WAL with NORMAL may lose the last transactions, never tear one: rows and offsets go back
        # together, and the sink reads the records once more.
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A writer takes its lock at once: a reader that turns writer later is refused without waiting.
        writes = connection.get_execution_options().get("milepost_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(url: URL) -> Engine:
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise DatabaseError(
            "MILEPOST_DATABASE_URL names PostgreSQL, whose driver is not installed: pip install 'milepost[postgres]'"
        ) from None
    limits = {
        "lock_timeout": _LOCK_WAIT_MS,
        "idle_in_transaction_session_timeout": _FROZEN_MS,
        "statement_timeout": _STATEMENT_MS,
    }
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args={
            "connect_timeout": _CONNECT_S,
            "application_name": "milepost-ledger",
            "options": " ".join(f"-c {name}={value}" for name, value in limits.items()),
            # A server that vanished without a word is noticed within about 20 s.
            "keepalives_idle": 10,
            "keepalives_interval": 3,
            "keepalives_count": 3,
        },
        pool_timeout=_CONNECT_S,
        # The pool may hold connections from before a restart of the server.
        pool_pre_ping=True,
        isolation_level="READ COMMITTED",
    )


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that writes: committed when the block ends, rolled back when it raises.

    Raises `UnavailableError` when the database is away or busy, also from the commit itself.
    """
    with (
        _sorted_errors(engine),
        engine.connect().execution_options(milepost_writes=True) as connection,
        connection.begin(),
    ):
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One transaction that only reads, of one moment as far as the database offers it. Raises `UnavailableError`."""
    with _sorted_errors(engine), engine.connect() as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield connection


def ping(engine: Engine) -> None:
    """Look that the database answers. Raises `UnavailableError`."""
    with reading(engine) as connection:
        connection.exec_driver_sql("SELECT 1")


@contextmanager
def _sorted_errors(engine: Engine) -> Iterator[None]:
    # COPY goes past SQLAlchemy, so the driver's own errors arrive here too.
    driver = engine.dialect.loaded_dbapi
    try:
        yield
    except PoolTimeout as error:
        raise UnavailableError(f"{described(engine)}: no free connection within {_CONNECT_S} s") from error
    except (OperationalError, InterfaceError) as error:
        raise UnavailableError(f"{described(engine)}: {_reason(error)}") from error
    except DBAPIError as error:
        if not (error.connection_invalidated or getattr(error.orig, "sqlstate", None) == _NO_TABLE):
            raise
        raise UnavailableError(f"{described(engine)}: {_reason(error)}") from error
    except (driver.OperationalError, driver.InterfaceError) as error:
        raise UnavailableError(f"{described(engine)}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    # The driver's own words: SQLAlchemy's text would add the statement and its parameters, which hold business data.
    return " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())
