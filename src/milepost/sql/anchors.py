"""Signed heads of the audit trails, as the database keeps them: numbered without a gap, published or not yet."""

import json
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import Connection, Engine, select, text

from milepost.sql import tables
from milepost.sql.engine import reading, writing

__all__ = ["Head", "Stored", "add", "bodies", "published", "unpublished"]

# Any number that no other program uses with this database: one anchor follows another.
_LOCK = 0x616E63686F727321


class Head(NamedTuple):
    """The newest audit entry of an engagement."""

    engagement_id: str
    sequence: int
    hash: str


class Stored(NamedTuple):
    """An anchor as it was signed."""

    number: int
    body: str


def add(engine: Engine, at: int, sign: Callable[[int, str | None, list[Head]], str], most: int) -> Stored | None:
    """Store the next anchor over at most `most` heads that are new since the last one; None where nothing is.

    `sign(number, body before, heads)` gives its body. Several may call it at once: numbers have no gap. Raises
    `UnavailableError`, and what `sign` raises.
    """
    table = tables.audit_anchors
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        columns = (table.c.number, table.c.body, table.c.positions)
        last = connection.execute(select(*columns).order_by(table.c.number.desc()).limit(1)).first()
        positions: dict[str, int] = {} if last is None else json.loads(last[2])
        heads, moved = _heads(connection, positions, most)
        if not heads:
            return None
        number, before = (1, None) if last is None else (last[0] + 1, last[1])
        body = sign(number, before, heads)
        row = {"number": number, "signed_at": at, "body": body, "positions": json.dumps(moved), "published_at": None}
        connection.execute(table.insert().values(row))
    return Stored(number, body)


def _heads(connection: Connection, positions: dict[str, int], most: int) -> tuple[list[Head], dict[str, int]]:
    """Heads among the entries that came since `positions`, at most `most` entries of a partition at a time."""
    entry, moved, heads = tables.audit_entries.c, dict(positions), dict[str, Head]()
    partitions = connection.execute(select(entry.record_partition).distinct().order_by(entry.record_partition))
    for partition in partitions.scalars().all():
        if len(heads) >= most:
            break
        query = (
            select(entry.engagement_id, entry.sequence, entry.hash, entry.record_offset)
            .where((entry.record_partition == partition) & (entry.record_offset >= moved.get(str(partition), 0)))
            .order_by(entry.record_offset)
            .limit(most)
        )
        for engagement, sequence, hash_, offset in connection.execute(query):
            known = heads.get(engagement)
            if known is None or known.sequence < sequence:
                heads[engagement] = Head(engagement, sequence, hash_)
            moved[str(partition)] = offset + 1
    return sorted(heads.values()), moved


def unpublished(engine: Engine) -> list[Stored]:
    """Anchors that the topic may not have yet, in order. Raises `UnavailableError`."""
    table = tables.audit_anchors
    query = select(table.c.number, table.c.body).where(table.c.published_at.is_(None)).order_by(table.c.number)
    with reading(engine) as connection:
        return [Stored(*row) for row in connection.execute(query)]


def published(engine: Engine, number: int, at: int) -> None:
    """Note that the topic has it. Raises `UnavailableError`."""
    table = tables.audit_anchors
    with writing(engine) as connection:
        connection.execute(table.update().where(table.c.number == number).values(published_at=at))


def bodies(engine: Engine) -> list[str]:
    """Every anchor in order. Raises `UnavailableError`."""
    table = tables.audit_anchors
    with reading(engine) as connection:
        return list(connection.execute(select(table.c.body).order_by(table.c.number)).scalars())
