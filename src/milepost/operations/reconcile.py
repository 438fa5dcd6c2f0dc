"""Topics against ledger: what differs, first; then the sums. (What the ERP acknowledged: `operations/acknowledged.py`.)

The topic is what was billed. The ledger must hold exactly its records: each row is made once more from its record, by
the ledger's own code, and every column compared with what is stored, whoever changed it. A kind of difference says who
has to look:

- behind     the ledger has not come so far yet (run it, or wait)
- missing    the ledger read past a record and has no row for it
- strange    the ledger has a row that the topic does not hold at that place
- other      the ledger's row says something else than the record
- unreadable the ledger stops at a record, for only the join writes this topic
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from milepost.codec.topics import PARTITIONS
from milepost.codec.wire import Record
from milepost.kafka.scanning import Place, Scan
from milepost.ledger.rows import ACKNOWLEDGEMENT_TOPIC, STATUS_TOPIC, TABLES, UnreadableError, rows_of
from milepost.sql import queries, tables
from milepost.sql.engine import Engine
from milepost.sql.queries import PlacedRow
from milepost.sql.writing import StatusKey

__all__ = ["TOPICS", "Difference", "Reconciliation", "Sums", "compare_ledger", "places"]

TOPICS: tuple[str, ...] = tuple(TABLES)
"""The topics whose records are rows."""

Group = tuple[str, str, int]  # engagement, currency, exponent
Values = Sequence[Any]

_LINE_COLUMNS = [column.name for column in tables.invoice_lines.columns]
_RAISED = [_LINE_COLUMNS.index(name) for name in ("engagement_id", "currency", "currency_exponent", "payable_minor")]


class Difference(NamedTuple):
    """`kind` as in the module's text; `what` names the record, row or line."""

    kind: str
    topic: str
    engagement_id: str
    what: str
    message: str


@dataclass
class Sums:
    """Payable minor units of one engagement and currency: as raised, as stored, as accepted by the ERP."""

    raised_minor: int = 0
    stored_minor: int = 0
    accepted_minor: int = 0


@dataclass
class Reconciliation:
    """What was compared: differences in the order in which they were found, sums, and how many records and rows."""

    differences: list[Difference] = field(default_factory=list)
    sums: dict[Group, Sums] = field(default_factory=dict)
    records: Counter[str] = field(default_factory=Counter)
    acknowledgements: int = 0

    def add_up(self, group: Group) -> Sums:
        """The sums of a group, from zero."""
        return self.sums.setdefault(group, Sums())


def places() -> list[Place]:
    """What is read."""
    return [Place(topic, number) for topic in TOPICS for number in range(PARTITIONS)]


def compare_ledger(scan: Scan, engine: Engine, prefix: str, found: Reconciliation) -> None:
    """Every record of the topics against its row, both in the order of the offsets.

    Raises `ScanError`, `UnavailableError`.
    """
    positions = queries.sink_positions(engine)
    for place in places():
        position, _ = positions.get((prefix + place.topic, place.partition), (0, None))
        found.differences.extend(_compare(scan, place, position, engine, prefix, found))
    for group, (_, _, _, payable) in queries.totals(engine).items():
        found.add_up(group).stored_minor = payable


class _Rows:
    """The rows of one table from one partition, beside its records; of what the topic has let go there is nothing to
    compare (dead letters are kept for a time)."""

    def __init__(self, engine: Engine, table: tables.Table, place: Place, begin: int) -> None:
        self._table, self._place = table, place
        self._rows = queries.rows_by_place(engine, table, place.topic, place.partition, begin)
        self._row = next(self._rows, None)

    def meet(self, record: Record, made: Values | None) -> Iterator[Difference]:
        """Compare with what the record is as a row; None: it is none of this table."""
        yield from self.until(record.offset)
        row = self._row
        if row is None or row.offset > record.offset:
            if made is not None:
                yield Difference("missing", *_named(record), "the ledger read past it and has no row of it")
            return
        self._row = next(self._rows, None)
        if made is None:
            yield _strange(self._place, row)
        elif names := _unlike(self._table, row.values, made):
            yield Difference("other", *_named(record), f"the ledger's row says something else: {', '.join(names)}")

    def until(self, offset: int) -> Iterator[Difference]:
        """Rows of records below the offset that are not there."""
        while self._row is not None and self._row.offset < offset:
            yield _strange(self._place, self._row)
            self._row = next(self._rows, None)

    def rest(self, engine: Engine, name: str) -> Iterator[Difference]:
        """Rows beyond what was read here came meanwhile, but for those of records that the ledger has not read."""
        if self._row is None:
            return
        position, _ = queries.sink_positions(engine).get((name, self._place.partition), (0, None))
        for row in (self._row, *self._rows):
            if row.offset >= position:
                yield _strange(self._place, row)


def _compare(
    scan: Scan, place: Place, position: int, engine: Engine, prefix: str, found: Reconciliation
) -> Iterator[Difference]:
    table = TABLES[place.topic]
    # an acknowledgement that nobody can read is a dead letter of the ledger's own
    own = [table, tables.dead_letters] if place.topic == ACKNOWLEDGEMENT_TOPIC else [table]
    is_status = place.topic == STATUS_TOPIC
    sides = {} if is_status else {one: _Rows(engine, one, place, scan.begins[place]) for one in own}
    newest: dict[StatusKey, tuple[Record, Values | None]] = {}
    behind = last = 0
    for record in scan.all(place):
        found.records[place.topic] += 1
        last = record.offset + 1
        try:
            made = rows_of([record])
        except UnreadableError as error:
            yield Difference("unreadable", *_named(record), str(error))
            continue
        for line in made.added.get(tables.invoice_lines, ()):
            engagement, currency, exponent, payable = (line[column] for column in _RAISED)
            found.add_up((str(engagement), str(currency), int(exponent or 0))).raised_minor += int(payable or 0)
        if record.offset >= position:
            behind += 1
            continue
        newest.update({key: (record, row) for key, row in made.statuses.items()})
        for one, rows in sides.items():
            yield from rows.meet(record, next(iter(made.added.get(one, ())), None))
    for rows in sides.values():
        yield from rows.until(last)
        yield from rows.rest(engine, prefix + place.topic)
    if is_status:
        yield from _statuses(engine, place, newest, range(scan.begins[place], last if behind == 0 else position))
    if behind:
        what = f"{place.topic}[{place.partition}]"
        message = f"{behind} records from offset {position} on are not stored yet"
        yield Difference("behind", place.topic, "", what, message)


def _statuses(
    engine: Engine, place: Place, newest: Mapping[StatusKey, tuple[Record, Values | None]], read: range
) -> Iterator[Difference]:
    """The newest record of each occurrence against its row; rows of records beyond `read` came meanwhile."""
    table = tables.milestone_status
    stored: dict[StatusKey, PlacedRow] = {}
    for row in queries.rows_by_place(engine, table, place.topic, place.partition, 0):
        stored[row.values[0], row.values[1], row.values[2]] = row
    for key, (record, made) in newest.items():
        row_there = stored.pop(key, None)
        if row_there is not None and row_there.offset >= read.stop:
            continue
        if made is None or row_there is None:
            if made is not None:
                yield Difference("missing", *_named(record), "the ledger read past it and has no row of it")
            elif row_there is not None:
                yield _strange(place, row_there)
        elif names := _unlike(table, row_there.values, made):
            yield Difference("other", *_named(record), f"the ledger's row says something else: {', '.join(names)}")
    for row in stored.values():
        if row.offset in read:
            yield _strange(place, row)


def _unlike(table: tables.Table, stored: Values, made: Values) -> list[str]:
    """The columns in which a row is not what its record says."""
    pairs = zip(table.columns, stored, made, strict=True)
    return [column.name for column, is_, ought in pairs if _plain(is_) != _plain(_parsed(column, ought))]


def _parsed(column: Any, value: Any) -> Any:
    """A value as it is read back: lists and maps are written as JSON text."""
    return json.loads(value) if isinstance(value, str) and isinstance(column.type, tables.JSON) else value


def _plain(value: Any) -> Any:
    # PostgreSQL cannot hold U+0000 and has its replacement instead (sql/writing.py)
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {_plain(key): _plain(one) for key, one in value.items()}
    return value


def _named(record: Record) -> tuple[str, str, str]:
    engagement = (record.key or b"").decode(errors="backslashreplace")
    if record.topic == STATUS_TOPIC:
        engagement = engagement.partition("/")[0]
    return record.topic, engagement, f"{record.topic}[{record.partition}] offset {record.offset}"


def _strange(place: Place, row: PlacedRow) -> Difference:
    what = f"{place.topic}[{place.partition}] offset {row.offset}"
    return Difference(
        "strange", place.topic, row.engagement_id, what, "the ledger has a row that the topic does not hold"
    )
