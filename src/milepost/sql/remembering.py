"""Ids of what came in, each with the hash of what it said: the memory that tells a repeat from a contradiction.

Rows are small and come in batches; everything here is one transaction a call. A row is kept longer than any sender
tries again (`prune`).
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Engine, delete, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from milepost.sql import gateway_tables as tables
from milepost.sql.engine import reading, writing

__all__ = ["Arrival", "Remembered", "acknowledge", "prune", "remember"]

# Both databases limit the parameters of a statement (SQLite to 32,766).
_KEYS_A_STATEMENT = 1_000
_MAX_KEY_BYTES = 1_000


class Arrival(NamedTuple):
    """An id within its scope (whoever gives the ids), and the SHA-256 of what came with it, in hexadecimal."""

    scope: str
    event_id: str
    body_sha256: str


class Remembered(NamedTuple):
    """What is known of an id: what came with it first, when, and whether Kafka acknowledged it."""

    body_sha256: str
    first_seen_at: int
    acknowledged: bool


def remember(engine: Engine, arrivals: Iterable[Arrival], now: int) -> dict[tuple[str, str], Remembered]:
    """Keep the ids that are new and answer what is known of every one of them, by (scope, id); the first one stays.

    Two of one call with the same id keep the first. Raises `UnavailableError`: then nothing is kept.
    """
    keys: dict[tuple[str, str], tuple[str, str]] = {}
    first: dict[tuple[str, str], str] = {}
    for scope, event_id, body_sha256 in arrivals:
        keys[scope, event_id] = key = _short(scope), _short(event_id)
        first.setdefault(key, body_sha256)
    # In one order everywhere: two instances that lock the same rows in different orders would wait for each other.
    rows = [
        {"scope": scope, "event_id": event_id, "body_sha256": body_sha256, "first_seen_at": now}
        for (scope, event_id), body_sha256 in sorted(first.items())
    ]
    table = tables.remembered_events
    new = (postgresql_insert if engine.dialect.name == "postgresql" else sqlite_insert)(table)
    known: dict[tuple[str, str], Remembered] = {}
    if not rows:
        return known
    with writing(engine) as connection:
        connection.execute(new.on_conflict_do_nothing(index_elements=["scope", "event_id"]), rows)
        for some in _slices(list(first)):
            query = select(table).where(tuple_(table.c.scope, table.c.event_id).in_(some))
            for row in connection.execute(query):
                known[row.scope, row.event_id] = Remembered(
                    row.body_sha256, row.first_seen_at, row.acknowledged_at is not None
                )
    return {named: known[key] for named, key in keys.items()}


def acknowledge(engine: Engine, keys: Iterable[tuple[str, str]], now: int) -> None:
    """Note that Kafka has what these ids, (scope, id), stand for. Raises `UnavailableError`."""
    table = tables.remembered_events
    with writing(engine) as connection:
        for some in _slices(sorted({(_short(scope), _short(event_id)) for scope, event_id in keys})):
            unsaid = tuple_(table.c.scope, table.c.event_id).in_(some) & table.c.acknowledged_at.is_(None)
            connection.execute(update(table).where(unsaid).values(acknowledged_at=now))


def prune(engine: Engine, before: int) -> int:
    """Forget what was first seen before that instant; how many ids that were. Raises `UnavailableError`."""
    table = tables.remembered_events
    with reading(engine) as connection:
        if connection.execute(select(table.c.scope).where(table.c.first_seen_at < before).limit(1)).first() is None:
            return 0
    with writing(engine) as connection:
        return connection.execute(delete(table).where(table.c.first_seen_at < before)).rowcount


def _short(text: str) -> str:
    """What stands for a long id in an index, whose rows PostgreSQL limits to 2,700 bytes."""
    raw = text.encode()
    return text if len(raw) <= _MAX_KEY_BYTES else f"sha256:{hashlib.sha256(raw).hexdigest()}"


def _slices(keys: Sequence[tuple[str, str]]) -> Iterable[Sequence[tuple[str, str]]]:
    return (keys[start : start + _KEYS_A_STATEMENT] for start in range(0, len(keys), _KEYS_A_STATEMENT))
