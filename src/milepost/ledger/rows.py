"""Records of the topics that the ledger reads as rows of its tables; pure.

Every record becomes one row, but for `milestone-status`, where the newest record of an occurrence is the row and a
record without a value deletes it. A record of an output topic that cannot be read stops the ledger: those are written
by the join alone, so something is wrong that skipping would hide. Input topics are written by anybody: of an
event of an engagement or a dispute that cannot be read the join makes a dead letter, of an acknowledgement the ledger
notes one itself.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import msgspec

from milepost.codec import records
from milepost.codec.topics import DEAD_LETTER_TOPIC
from milepost.codec.wire import PREFIX_LENGTH, Record, Undecodable, header
from milepost.core.checks import check
from milepost.observe.hosting import StoppedError
from milepost.sql import tables
from milepost.sql.writing import Row, StatusKey

__all__ = ["TABLES", "TOPICS", "Rows", "Told", "UnreadableError", "rows_of"]

AUDIT_TOPIC = "audit-trail"
STATUS_TOPIC = "milestone-status"
ENGAGEMENT_TOPIC = "engagements"
DISPUTE_TOPIC = "dispute-events"
ACKNOWLEDGEMENT_TOPIC = "invoice-acknowledgements"

TABLES: dict[str, tables.Table] = {
    "invoice-lines": tables.invoice_lines,
    "retention-events": tables.retention_events,
    "approval-requests": tables.approval_requests,
    STATUS_TOPIC: tables.milestone_status,
    AUDIT_TOPIC: tables.audit_entries,
    DEAD_LETTER_TOPIC: tables.dead_letters,
    ENGAGEMENT_TOPIC: tables.engagement_events,
    DISPUTE_TOPIC: tables.dispute_events,
    ACKNOWLEDGEMENT_TOPIC: tables.invoice_acknowledgements,
}
"""Topic -> table, in the order in which they are read."""

TOPICS: tuple[str, ...] = tuple(TABLES)

_PLACE = ("record_partition", "record_offset", "body_sha256")
_TXSEQ = "milepost-txseq"
_ORIGINAL = "__connect.errors."

_AUDIT_COLUMNS = [column.name for column in tables.audit_entries.columns]
_TOLD = [_AUDIT_COLUMNS.index(name) for name in ("what", "reason", "occurred_at", "recorded_at")]

_json = msgspec.json.Encoder().encode


class UnreadableError(StoppedError):
    """A record of an output topic that this release cannot read; the message names its place and the way out."""


@dataclass
class Told:
    """What the audit trail of a batch tells operators: what became of events, by (what, reason), and for each line the
    microseconds from the event's time and from its arrival to the append of the line."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    delays: list[tuple[int, int]] = field(default_factory=list)

    def add(self, values: Sequence[Any], appended: int) -> None:
        """Tell of one entry, as the columns of its row, appended at that instant."""
        what, reason, occurred_at, recorded_at = (values[place] for place in _TOLD)
        if what == "LINE":
            self.delays.append((max(0, appended - occurred_at), max(0, appended - recorded_at)))
        elif what != "RETENTION":
            self.outcomes[what, reason or ""] += 1


@dataclass
class Rows:
    """What a batch of records adds, replaces or deletes (None), and the newest `txseq` by topic and partition."""

    added: dict[tables.Table, list[Row]] = field(default_factory=dict)
    statuses: dict[StatusKey, Row | None] = field(default_factory=dict)
    txseqs: dict[tuple[str, int], int] = field(default_factory=dict)
    told: Told = field(default_factory=Told)


def rows_of(batch: Iterable[Record]) -> Rows:
    """Rows of records; those of one partition in the order of their offsets. Raises `UnreadableError`."""
    rows, newest = Rows(), dict[tuple[str, int], Record]()
    for record in batch:
        if record.topic == STATUS_TOPIC:
            _add_status(rows, record)
        elif record.topic in (ENGAGEMENT_TOPIC, DISPUTE_TOPIC, ACKNOWLEDGEMENT_TOPIC):
            _add_input(rows, record)
        else:
            row = _dead_letter(record) if record.topic == DEAD_LETTER_TOPIC else _output(record)
            if record.topic == AUDIT_TOPIC:
                rows.told.add(row, record.timestamp * 1000)
            rows.added.setdefault(TABLES[record.topic], []).append(row)
        newest[record.topic, record.partition] = record
    for place, record in newest.items():
        txseq = header(record.headers, _TXSEQ)
        if txseq is not None and txseq.isdigit():
            rows.txseqs[place] = int(txseq)
    return rows


def _output(record: Record) -> Row:
    values, body = _values(record)
    return (*values, record.partition, record.offset, sha256(body).hexdigest())


def _add_status(rows: Rows, record: Record) -> None:
    if record.value is None:
        key = _key_parts(record)
        rows.statuses[key] = None
        return
    values, _ = _values(record)
    occurrence = values[2] = values[2] or ""
    rows.statuses[values[0], values[1], occurrence] = (*values, record.partition, record.offset)


def _add_input(rows: Rows, record: Record) -> None:
    """An event as sent; what cannot be read, or holds what no database should index, is nobody's."""
    table, value = TABLES[record.topic], record.value or b""
    try:
        event = records.read(record.topic, value, record.headers)
        reason, message = "INVALID_VALUE", check(event)
        if message is None and record.key != records.key_of(event):
            reason, message = "KEY_MISMATCH", f"key {record.key!r} is not that of the record's engagement_id"
    except Undecodable as error:
        reason, message = error.reason, error.message
    else:
        if message is None:
            values = [getattr(event, column.name, None) for column in table.columns][: -len(_PLACE)]
            for place, convert in _CONVERSIONS[record.topic]:
                values[place] = convert(values[place])
            body = sha256(value[PREFIX_LENGTH:]).hexdigest()
            rows.added.setdefault(table, []).append((*values, record.partition, record.offset, body))
            return
    if record.topic == ACKNOWLEDGEMENT_TOPIC:
        rows.added.setdefault(tables.dead_letters, []).append(_unread(record, reason, message))


def _unread(record: Record, reason: str, message: str) -> Row:
    """The dead letter of a record that only the ledger reads: the record itself is the original."""
    place = (record.topic, record.partition, record.offset)
    key = None if record.key is None else record.key.decode("utf-8", "backslashreplace")
    value = record.value or b""
    return (*place, reason, message, None, *place, key, len(value), record.timestamp * 1000, sha256(value).hexdigest())


def _key_parts(record: Record) -> StatusKey:
    parts = (record.key or b"").decode("utf-8", "replace").split("/")
    if len(parts) != 3:
        raise _unreadable(record, f"key {record.key!r} is not engagement/milestone/occurrence")
    return parts[0], parts[1], parts[2]


def _values(record: Record) -> tuple[list[Any], bytes]:
    """The columns that the record itself fills, and the bytes that they came from."""
    if record.value is None:
        raise _unreadable(record, "no value")
    try:
        output = records.decode_output(record.topic, record.value, record.headers)
    except Undecodable as error:
        raise _unreadable(record, error.message) from error
    values: list[Any] = list(msgspec.structs.astuple(output))
    for place, convert in _CONVERSIONS[record.topic]:
        values[place] = convert(values[place])
    return values, record.value[PREFIX_LENGTH:]


def _unreadable(record: Record, found: str) -> UnreadableError:
    return UnreadableError(
        f"{record.topic}[{record.partition}] offset {record.offset} cannot be read: {found}. Only the join writes this "
        "topic; run a ledger at least as new as the join, and take the right to write from everybody else"
    )


def _dead_letter(record: Record) -> Row:
    def text(name: str) -> str | None:
        found = header(record.headers, name)
        return None if found is None else found.decode("utf-8", "replace")

    def number(name: str) -> int | None:
        found = text(name)
        return int(found) if found is not None and found.isascii() and found.isdigit() and len(found) < 19 else None

    value = record.value
    return (
        record.topic,
        record.partition,
        record.offset,
        text("milepost-error-code") or "UNKNOWN",
        text(f"{_ORIGINAL}exception.message") or "",
        text("milepost-dead-letter-id"),
        text("x-original-topic") or text(f"{_ORIGINAL}topic"),
        number(f"{_ORIGINAL}partition"),
        number(f"{_ORIGINAL}offset"),
        None if record.key is None else record.key.decode("utf-8", "backslashreplace"),
        None if value is None else len(value),
        record.timestamp * 1000,
        sha256(value or b"").hexdigest(),
    )


def _day(value: Any) -> str | None:
    return None if value is None else value.isoformat()


def _list(value: Any) -> str:
    return _json(value).decode() if value else "[]"


def _evidence(value: Any) -> str:
    # In the core's own encoding a piece of evidence is a list without names.
    return _json(list(map(msgspec.structs.asdict, value))).decode() if value else "[]"


def _map(value: Any) -> str:
    return _json(value).decode() if value else "{}"


_BY_COLUMN: dict[str, Callable[[Any], str | None]] = {
    "service_from": _day,
    "service_to": _day,
    "planned_on": _day,
    "document_date": _day,
    "caused_by": _list,
    "releases": _list,
    "people": _list,
    "missing": _list,
    "parked": _list,
    "evidence": _evidence,
    "attributes": _map,
}
_CONVERSIONS: dict[str, list[tuple[int, Callable[[Any], str | None]]]] = {
    topic: [(place, _BY_COLUMN[column.name]) for place, column in enumerate(table.columns) if column.name in _BY_COLUMN]
    for topic, table in TABLES.items()
}
