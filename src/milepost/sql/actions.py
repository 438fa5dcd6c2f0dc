"""What operators did by hand: an entry an action, chained by hashes like an engagement's audit trail."""

import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, Engine, select, text

from milepost.sql import tables
from milepost.sql.engine import reading, writing

__all__ = ["Action", "faults", "of", "record"]

_GENESIS = "0" * 64
# Any number that no other program uses with this database: one entry follows another.
_LOCK = 0x6F70657261746F72


class Action(NamedTuple):
    """One entry; `occurred_at` in microseconds since 1970, `subject` what it was done to."""

    sequence: int
    occurred_at: int
    actor: str
    action: str
    subject: str
    reason: str | None
    previous_hash: str
    hash: str


def record(engine: Engine, at: int, actor: str, action: str, subject: str, reason: str | None) -> Action:
    """Add an entry; it is stored when this returns. Raises `UnavailableError`."""
    table = tables.operator_actions
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        last = connection.execute(
            select(table.c.sequence, table.c.hash).order_by(table.c.sequence.desc()).limit(1)
        ).first()
        sequence, previous = (1, _GENESIS) if last is None else (last[0] + 1, last[1])
        entry = Action(sequence, at, actor, action, subject, reason, previous, "")
        entry = entry._replace(hash=_hash(entry))
        connection.execute(table.insert().values(entry._asdict()))
    return entry


def of(engine: Engine, subject: str | None = None) -> list[Action]:
    """The entries in order, or those about one subject. Raises `UnavailableError`."""
    with reading(engine) as connection:
        return _entries(connection, subject)


def faults(entries: Sequence[Action]) -> list[str]:
    """What is wrong with the whole chain; empty: none was changed, removed, added or moved but perhaps at its end."""
    found, previous = [], _GENESIS
    for number, entry in enumerate(entries, start=1):
        if entry.sequence != number:
            found.append(f"entry {number} is missing; {entry.sequence} stands in its place")
            break
        if entry.previous_hash != previous:
            found.append(f"entry {number} does not follow the one before it")
        if entry.hash != _hash(entry):
            found.append(f"entry {number} was changed")
        previous = entry.hash
    return found


def _entries(connection: Connection, subject: str | None) -> list[Action]:
    table = tables.operator_actions
    query = select(*table.columns).order_by(table.c.sequence)
    if subject is not None:
        query = query.where(table.c.subject == subject)
    return [Action(*row) for row in connection.execute(query)]


def _hash(entry: Action) -> str:
    values = {name: value for name, value in entry._asdict().items() if name != "hash"}
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
