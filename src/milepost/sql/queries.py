"""What the read model asks. Rows come as mappings of column name to value; sums are exact integers."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Engine, Table, func, literal_column, select, union

from milepost.sql import tables
from milepost.sql.engine import reading

__all__ = [
    "PlacedRow",
    "contracts",
    "engagement_ids",
    "engagement_of",
    "retention_sums",
    "rows",
    "rows_by_place",
    "sink_positions",
    "taken_changes",
    "taken_contracts",
    "totals",
]


def rows(engine: Engine, table: Table, engagement: str | None = None) -> list[dict[str, Any]]:
    """Every row of a table, or those of one engagement, in the order in which the join raised them."""
    query = select(table).order_by(*_order(table))
    if engagement is not None:
        query = query.where(
            table.c["engagement_key" if table is tables.dead_letters else "engagement_id"] == engagement
        )
    with reading(engine) as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def _order(table: Table) -> Sequence[Any]:
    if table is tables.audit_entries:
        return (table.c.engagement_id, table.c.sequence)
    if table is tables.milestone_status:
        return (table.c.engagement_id, table.c.milestone_id, table.c.occurrence_id)
    if table is tables.dead_letters:
        return (table.c.record_partition, table.c.record_offset)
    return (table.c.engagement_id, table.c.record_offset)


def engagement_ids(engine: Engine) -> list[str]:
    """Every engagement that has a line or a status."""
    known = union(select(tables.milestone_status.c.engagement_id), select(tables.invoice_lines.c.engagement_id))
    with reading(engine) as connection:
        return sorted(connection.execute(known).scalars())


def engagement_of(engine: Engine, line_id: str) -> str | None:
    """The engagement that a line belongs to, or None."""
    line = tables.invoice_lines.c
    with reading(engine) as connection:
        found: str | None = connection.execute(select(line.engagement_id).where(line.line_id == line_id)).scalar()
        return found


_sent, _entry = tables.engagement_events.c, tables.audit_entries.c
taken_changes = (
    select(_sent.engagement_id, _sent.change, _sent.occurred_at, _sent.contract, _sent.record_offset, _entry.what)
    .select_from(tables.engagement_events)
    .join(
        tables.audit_entries,
        (_entry.engagement_id == _sent.engagement_id)
        & (_entry.input_topic == literal_column("'engagements'"))  # the partial index asks for the word itself
        & (_entry.input_partition == _sent.record_partition)
        & (_entry.input_offset == _sent.record_offset),
    )
    .where(_entry.what.in_(("APPLIED", "WAITING")))
    .subquery("taken_changes")
)
"""What was sent of engagements and taken, as their audit trails say."""

taken_contracts = select(taken_changes).where(taken_changes.c.contract.is_not(None)).subquery("taken_contracts")
"""Those that carry a contract."""


def contracts(engine: Engine, engagement: str) -> dict[int, str]:
    """The contract documents that an engagement's audit trail says were taken, by version, the last one each."""
    query = (
        select(taken_contracts.c.contract)
        .where(taken_contracts.c.engagement_id == engagement)
        .order_by(taken_contracts.c.record_offset)
    )
    with reading(engine) as connection:
        found = connection.execute(query).scalars().all()
    return {_version(text).version: text for text in found}


class _Versioned(msgspec.Struct):
    version: int


_version = msgspec.json.Decoder(_Versioned).decode


class PlacedRow(NamedTuple):
    """A row as it is stored, in the order of the table's columns, and the offset of the record that it came from."""

    offset: int
    engagement_id: str
    values: tuple[Any, ...]


_PAGE = 10_000


def rows_by_place(engine: Engine, table: Table, topic: str, partition: int, begin: int) -> Iterator[PlacedRow]:
    """The rows that were read from a topic's partition from an offset on, in their order; a page at a time."""
    engagement = "engagement_key" if table is tables.dead_letters else "engagement_id"
    columns = (table.c.record_offset, table.c[engagement], *table.columns)
    query = select(*columns).where(table.c.record_partition == partition).order_by(table.c.record_offset).limit(_PAGE)
    if table is tables.dead_letters:
        query = query.where(table.c.record_topic == topic)
    last = begin - 1
    while True:
        with reading(engine) as connection:
            found = connection.execute(query.where(table.c.record_offset > last))
            page = [PlacedRow(row[0], row[1] or "", tuple(row[2:])) for row in found]
        yield from page
        if len(page) < _PAGE:
            return
        last = page[-1].offset


def retention_sums(engine: Engine, engagement: str | None = None) -> dict[tuple[str, str, int], dict[str, int]]:
    """Minor units by (engagement, currency, exponent) and kind: HELD, REDUCED, RELEASED."""
    event = tables.retention_events.c
    group = (event.engagement_id, event.currency, event.currency_exponent)
    query = select(*group, event.kind, func.sum(event.amount_minor)).group_by(*group, event.kind).order_by(*group)
    if engagement is not None:
        query = query.where(event.engagement_id == engagement)
    sums: dict[tuple[str, str, int], dict[str, int]] = {}
    with reading(engine) as connection:
        for engagement_id, currency, exponent, kind, total in connection.execute(query):
            sums.setdefault((engagement_id, currency, exponent), {})[kind] = int(total)
    return sums


def totals(engine: Engine, engagement: str | None = None) -> dict[tuple[str, str, int], tuple[int, int, int, int]]:
    """Lines, gross, retained and payable minor units by (engagement, currency, exponent)."""
    line = tables.invoice_lines.c
    group = (line.engagement_id, line.currency, line.currency_exponent)
    sums = (func.sum(line.gross_minor), func.sum(line.retained_minor), func.sum(line.payable_minor))
    query = select(*group, func.count(), *sums).group_by(*group).order_by(*group)
    if engagement is not None:
        query = query.where(line.engagement_id == engagement)
    with reading(engine) as connection:
        return {
            (engagement_id, currency, exponent): (int(count), int(gross), int(retained), int(payable))
            for engagement_id, currency, exponent, count, gross, retained, payable in connection.execute(query)
        }


def sink_positions(engine: Engine) -> dict[tuple[str, int], tuple[int, int | None]]:
    """Next offset and newest txseq by (topic, partition)."""
    offset = tables.sink_offsets.c
    with reading(engine) as connection:
        found = connection.execute(select(offset.topic, offset.partition, offset.next_offset, offset.txseq))
        return {(topic, partition): (following, txseq) for topic, partition, following, txseq in found}
