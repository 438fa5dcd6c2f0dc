"""What a sink writes: rows and the next offsets, in one transaction, however many rows there are.

Two promises, and where they are kept:

- **One owner.** An offset moves only from where this sink believes it to be (`_move`): a sink that was thought dead and
  wakes up moves nothing, and its rows go back with the transaction (`TakenOverError`). The offsets move before the
  rows are written, so that a second owner waits at their locks, not at a row.
- **One meaning.** A row that is there already must have come from equal bytes (`ContradictionError`).

PostgreSQL takes the rows through COPY into temporary tables, before the offsets are touched: a sink that freezes in
the middle of a COPY can hold up nobody, since the server has no timeout for that. SQLite takes them one by one in C.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from sqlalchemy import JSON, Connection, Engine, Table, select, text
from sqlalchemy.exc import DataError

from milepost.sql import tables
from milepost.sql.engine import reading, writing
from milepost.sql.waiting import follow

__all__ = ["ContradictionError", "Move", "Row", "StatusKey", "TakenOverError", "next_offsets", "store"]

# Values in the order of the table's columns; days as ISO text, lists and maps as JSON text.
Row = tuple[str | int | None, ...]
# Engagement, milestone and occurrence ('' where there is none).
StatusKey = tuple[str, str, str]


class Move(NamedTuple):
    """The next offset of a partition: `expected` is where this sink found it (None: no row yet)."""

    topic: str
    partition: int
    expected: int | None
    following: int
    txseq: int | None


class TakenOverError(Exception):
    """Another sink has moved a partition's offset; nothing of this transaction was stored."""


class ContradictionError(Exception):
    """An id came a second time with other bytes; nothing of this transaction was stored."""


def next_offsets(engine: Engine) -> dict[tuple[str, int], int]:
    """The offset to read next, by (topic, partition); a partition that was never read is absent."""
    offsets = tables.sink_offsets
    with reading(engine) as connection:
        found = connection.execute(select(offsets.c.topic, offsets.c.partition, offsets.c.next_offset))
        return {(topic, partition): following for topic, partition, following in found}


def store(
    engine: Engine,
    added: Mapping[Table, Sequence[Row]],
    statuses: Mapping[StatusKey, Row | None],
    moves: Iterable[Move],
) -> None:
    """Store rows, statuses (the newest wins; None deletes) and offsets, all or nothing.

    Raises `TakenOverError`, `ContradictionError`, `UnavailableError`.
    """
    ordered = sorted(moves)
    try:
        _store(engine, added, statuses, ordered)
    except (DataError, engine.dialect.loaded_dbapi.DataError):
        if engine.dialect.name != "postgresql":
            raise
        # PostgreSQL holds no U+0000 in text or JSON. Rare enough to be found out by trying.
        _store(
            engine,
            {table: [_without_nul(table, row) for row in rows] for table, rows in added.items()},
            {
                cast(StatusKey, tuple(map(_plain_text, key))): row and _without_nul(tables.milestone_status, row)
                for key, row in statuses.items()
            },
            ordered,
        )


def _store(
    engine: Engine,
    added: Mapping[Table, Sequence[Row]],
    statuses: Mapping[StatusKey, Row | None],
    moves: Sequence[Move],
) -> None:
    upserts = [row for row in statuses.values() if row is not None]
    with writing(engine) as connection:
        write = _Staged(connection) if engine.dialect.name == "postgresql" else _Direct(connection)
        write.prepare({**added, tables.milestone_status: upserts})
        for move in moves:
            _move(connection, move)
        for table, rows in added.items():
            if rows and write.add(table, rows) != len(rows):
                write.compare(table, rows)
        follow(connection, added.get(tables.approval_requests, ()))
        if upserts:
            write.replace(tables.milestone_status, upserts)
        for key in (key for key, row in statuses.items() if row is None):
            _forget(connection, key)


_FIRST = text(
    "INSERT INTO sink_offsets (topic, partition, next_offset, txseq) VALUES (:topic, :partition, :following, :txseq) "
    "ON CONFLICT (topic, partition) DO NOTHING"
)
_NEXT = text(
    "UPDATE sink_offsets SET next_offset = :following, txseq = coalesce(:txseq, txseq) "
    "WHERE topic = :topic AND partition = :partition AND next_offset = :expected"
)


def _move(connection: Connection, move: Move) -> None:
    moved = connection.execute(_FIRST if move.expected is None else _NEXT, move._asdict())
    if moved.rowcount != 1:
        raise TakenOverError(
            f"{move.topic}[{move.partition}]: its next offset is no longer "
            f"{'unset' if move.expected is None else move.expected}; another sink reads it"
        )


def _forget(connection: Connection, key: StatusKey) -> None:
    status = tables.milestone_status.c
    connection.execute(
        tables.milestone_status.delete().where(
            (status.engagement_id == key[0]) & (status.milestone_id == key[1]) & (status.occurrence_id == key[2])
        )
    )


class _Direct:
    """SQLite: each row through its own prepared INSERT."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def prepare(self, added: Mapping[Table, Sequence[Row]]) -> None:
        """Nothing: rows go straight into their tables."""

    def add(self, table: Table, rows: Sequence[Row]) -> int:
        """Insert the rows whose key is new; returns how many were."""
        return self._connection.exec_driver_sql(f"{_insert(table)} {_unless_there(table)}", list(rows)).rowcount

    def replace(self, table: Table, rows: Sequence[Row]) -> None:
        """Insert the rows or put them in place of those with the same key."""
        self._connection.exec_driver_sql(f"{_insert(table)} {_instead(table)}", list(rows))

    def compare(self, table: Table, rows: Sequence[Row]) -> None:
        """Raise `ContradictionError` when a stored row has another hash than the one that came."""
        names = [column.name for column in table.columns]
        keys, body = [names.index(column.name) for column in table.primary_key], names.index("body_sha256")
        where = " AND ".join(f"{names[at]} = ?" for at in keys)
        statement = f"SELECT body_sha256 FROM {table.name} WHERE {where}"  # noqa: S608 (names are our own)
        for row in rows:
            key = tuple(row[at] for at in keys)
            stored = self._connection.exec_driver_sql(statement, key).scalar_one()
            if stored != row[body]:
                raise _contradiction(table, key)


class _Staged:
    """PostgreSQL: COPY into a temporary table of the same shape, then one statement a table."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def prepare(self, added: Mapping[Table, Sequence[Row]]) -> None:
        """Send the rows to the server, without a lock that anyone else could wait for."""
        driver = cast(Any, self._connection.connection.driver_connection)
        for table, rows in added.items():
            if not rows:
                continue
            self._connection.exec_driver_sql(
                f"CREATE TEMPORARY TABLE IF NOT EXISTS {_stage(table)} (LIKE {table.name}) ON COMMIT DELETE ROWS"
            )
            with driver.cursor() as cursor, cursor.copy(f"COPY {_stage(table)} ({_columns(table)}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)

    def add(self, table: Table, rows: Sequence[Row]) -> int:
        """Insert the staged rows whose key is new; returns how many were."""
        return self._connection.exec_driver_sql(f"{_insert_staged(table)} {_unless_there(table)}").rowcount

    def replace(self, table: Table, rows: Sequence[Row]) -> None:
        """Insert the staged rows or put them in place of those with the same key."""
        self._connection.exec_driver_sql(f"{_insert_staged(table)} {_instead(table)}")

    def compare(self, table: Table, rows: Sequence[Row]) -> None:
        """Raise `ContradictionError` when a stored row has another hash than the one that came."""
        keys = ", ".join(column.name for column in table.primary_key)
        statement = (
            f"SELECT {keys} FROM {_stage(table)} AS came JOIN {table.name} AS stored USING ({keys}) "  # noqa: S608
            "WHERE stored.body_sha256 <> came.body_sha256 LIMIT 1"
        )
        other = self._connection.exec_driver_sql(statement).first()
        if other is not None:
            raise _contradiction(table, tuple(other))


def _contradiction(table: Table, key: tuple[Any, ...]) -> ContradictionError:
    named = ", ".join(f"{column.name} {part}" for column, part in zip(table.primary_key, key, strict=True))
    return ContradictionError(
        f"{table.name}: {named} is stored already, from other bytes. An id that comes twice must come with equal "
        "bytes; the topic was written by two engines, or this database belongs to another one"
    )


# Statements are made of the names in `tables` only; values never go into their text.
def _columns(table: Table) -> str:
    return ", ".join(column.name for column in table.columns)


def _insert(table: Table) -> str:
    return f"INSERT INTO {table.name} ({_columns(table)}) VALUES ({', '.join('?' for _ in table.columns)})"  # noqa: S608


def _insert_staged(table: Table) -> str:
    return f"INSERT INTO {table.name} ({_columns(table)}) SELECT {_columns(table)} FROM {_stage(table)}"  # noqa: S608


def _stage(table: Table) -> str:
    return f"stage_{table.name}"


def _unless_there(table: Table) -> str:
    return f"ON CONFLICT ({', '.join(column.name for column in table.primary_key)}) DO NOTHING"


def _instead(table: Table) -> str:
    changed = (column.name for column in table.columns if not column.primary_key)
    keys = ", ".join(column.name for column in table.primary_key)
    return f"ON CONFLICT ({keys}) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in changed)}"


_NUL_IN_JSON = re.compile(r"\\\\|\\u0000")


def _without_nul(table: Table, row: Row) -> Row:
    """The row with U+FFFD for every U+0000, also where JSON text spells it out."""
    return tuple(
        (_json_text(value) if isinstance(column.type, JSON) else _plain_text(value))
        if isinstance(value, str)
        else value
        for column, value in zip(table.columns, row, strict=True)
    )


def _plain_text(value: str) -> str:
    return value.replace("\x00", "\ufffd")


def _json_text(value: str) -> str:
    # An escaped backslash is consumed first, so that the letters u0000 after one stay what they are.
    return _NUL_IN_JSON.sub(lambda found: r"\ufffd" if found[0] == r"\u0000" else found[0], value)
