"""Signed heads of the audit trails, as the database keeps them: numbered without a gap, published or not yet."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection, Engine, func, select, text

from milepost.audit.anchors import OPERATORS
from milepost.core.outputs import AuditEntry
from milepost.sql import tables
from milepost.sql.engine import reading, writing

__all__ = [
    "Draft",
    "Head",
    "Stored",
    "add",
    "bodies",
    "body_hashes",
    "entries",
    "pending",
    "places",
    "published",
    "unpublished",
]

# Any number that no other program uses with this database: one anchor follows another.
_LOCK = 0x616E63686F727321
_PAGE = 10_000
# What is signed beside the trail; the topics' names are the tables' with hyphens.
_OUTPUTS = (tables.invoice_lines, tables.retention_events, tables.approval_requests)


class Head(NamedTuple):
    """The newest audit entry of an engagement."""

    engagement_id: str
    sequence: int
    hash: str


class Stored(NamedTuple):
    """An anchor as it was signed."""

    number: int
    body: str


class Draft(NamedTuple):
    """What the next anchor is to be over: its number, the body before it, and where the one after it goes on."""

    number: int
    before: str | None
    heads: list[Head]
    positions: str


def pending(engine: Engine, most: int) -> Draft | None:
    """At most `most` heads that are new since the last anchor; None where nothing is. Raises `UnavailableError`."""
    table = tables.audit_anchors
    columns = (table.c.number, table.c.body, table.c.positions)
    with reading(engine) as connection:
        last = connection.execute(select(*columns).order_by(table.c.number.desc()).limit(1)).first()
        positions: dict[str, int] = {} if last is None else json.loads(last[2])
        heads, moved = _heads(connection, positions, most)
        heads += _operators(connection, moved)
    number, before = (1, None) if last is None else (last[0] + 1, last[1])
    return Draft(number, before, heads, json.dumps(moved)) if heads else None


def add(engine: Engine, at: int, draft: Draft, body: str) -> bool:
    """Store an anchor; False where another one has its number already. Raises `UnavailableError`."""
    table = tables.audit_anchors
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        last = connection.execute(select(func.max(table.c.number))).scalar() or 0
        if last != draft.number - 1:
            return False
        row = {"number": draft.number, "signed_at": at, "body": body, "positions": draft.positions}
        connection.execute(table.insert().values({**row, "published_at": None}))
    return True


def entries(engine: Engine, engagement: str, first: int, last: int) -> list[AuditEntry]:
    """An engagement's audit entries with these numbers, both included. Raises `UnavailableError`."""
    names = AuditEntry.__struct_fields__
    entry = tables.audit_entries.c
    query = select(*(entry[name] for name in names)).order_by(entry.sequence)
    query = query.where((entry.engagement_id == engagement) & entry.sequence.between(first, last))
    with reading(engine) as connection:
        return [AuditEntry(**dict(zip(names, row, strict=True))) for row in connection.execute(query)]


def body_hashes(engine: Engine, engagement: str, skip: Mapping[str, int]) -> dict[str, list[str]]:
    """By topic the hashes of an engagement's lines, retention events and requests, in order, without the first so many.

    Raises `UnavailableError`.
    """
    found = {}
    with reading(engine) as connection:
        for table in _OUTPUTS:
            query = select(table.c.body_sha256).where(table.c.engagement_id == engagement)
            query = query.order_by(table.c.record_partition, table.c.record_offset).offset(skip.get(_topic(table), 0))
            found[_topic(table)] = list(connection.execute(query).scalars())
    return found


def places(engine: Engine, engagement: str) -> dict[str, list[tuple[int, int]]]:
    """By topic the partition and offset of the same records, all of them. Raises `UnavailableError`."""
    found = {}
    with reading(engine) as connection:
        for table in _OUTPUTS:
            columns = (table.c.record_partition, table.c.record_offset)
            query = select(*columns).where(table.c.engagement_id == engagement).order_by(*columns)
            found[_topic(table)] = [(row[0], row[1]) for row in connection.execute(query)]
    return found


def _topic(table: tables.Table) -> str:
    return table.name.replace("_", "-")


def _operators(connection: Connection, moved: dict[str, int]) -> list[Head]:
    """The head of what operators did by hand, where it is new."""
    action = tables.operator_actions.c
    query = select(action.sequence, action.hash).order_by(action.sequence.desc()).limit(1)
    last = connection.execute(query).first()
    if last is None or last[0] <= moved.get(OPERATORS, 0):
        return []
    moved[OPERATORS] = last[0]
    return [Head(OPERATORS, last[0], last[1])]


def _heads(connection: Connection, positions: dict[str, int], most: int) -> tuple[list[Head], dict[str, int]]:
    """The heads of at most `most` engagements of which something came since `positions`.

    The ledger reads topic by topic: a line may come after its audit entry was signed, so each topic counts.
    """
    moved, touched = dict(positions), set[str]()
    for table in (tables.audit_entries, *_OUTPUTS):
        column = table.c.record_partition
        for partition in connection.execute(select(column).distinct().order_by(column)).scalars().all():
            _touch(connection, table, partition, moved, touched, most)
    entry = tables.audit_entries.c
    heads = []
    for engagement in sorted(touched):
        query = select(entry.engagement_id, entry.sequence, entry.hash).where(entry.engagement_id == engagement)
        last = connection.execute(query.order_by(entry.sequence.desc()).limit(1)).first()
        if last is not None:  # else its first entry is still to come, and counts then
            heads.append(Head(*last))
    return heads, moved


def _touch(
    connection: Connection, table: tables.Table, partition: int, moved: dict[str, int], touched: set[str], most: int
) -> None:
    """Add the engagements of the rows since `moved`, and move it, until there are `most`."""
    row, name = table.c, f"{table.name}/{partition}"
    query = select(row.engagement_id, row.record_offset).where(row.record_partition == partition)
    query = query.order_by(row.record_offset).limit(_PAGE)
    while page := connection.execute(query.where(row.record_offset >= moved.get(name, 0))).all():
        for engagement, offset in page:
            if len(touched) >= most and engagement not in touched:
                return
            touched.add(engagement)
            moved[name] = offset + 1


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


def bodies(engine: Engine, after: int = 0) -> list[str]:
    """Every anchor behind a number, in order. Raises `UnavailableError`."""
    table = tables.audit_anchors
    query = select(table.c.body).where(table.c.number > after).order_by(table.c.number)
    with reading(engine) as connection:
        return list(connection.execute(query).scalars())
