"""Topics against ledger against what the ERP acknowledged: what differs, first; then the sums.

The topic is what was billed. The ledger must hold exactly its records, from the same bytes; the ERP must have taken
every line. A kind of difference says who has to look:

- behind     the ledger has not come so far yet (run it, or wait)
- missing    the ledger read past a record and has no row for it
- strange    the ledger has a row that the topic does not hold at that place
- other      the ledger's row came from other bytes
- rejected   the ERP refused a line, and nothing newer takes that back
- unknown    the ERP acknowledged a line that was never raised
- unanswered the ERP has not said anything about a line for longer than the grace
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

from milepost.codec import records
from milepost.codec.topics import PARTITIONS
from milepost.codec.wire import PREFIX_LENGTH, Record
from milepost.core.events import InvoiceAcknowledgement
from milepost.core.outputs import InvoiceLine
from milepost.kafka.scanning import Place, Scan
from milepost.sql import queries, tables
from milepost.sql.engine import Engine
from milepost.sql.reading import LedgerReading

__all__ = ["TOPICS", "Difference", "Reconciliation", "Sums", "compare_erp", "compare_ledger", "places"]

_TABLES = {
    "invoice-lines": tables.invoice_lines,
    "retention-events": tables.retention_events,
    "approval-requests": tables.approval_requests,
    "audit-trail": tables.audit_entries,
}
TOPICS: tuple[str, ...] = tuple(_TABLES)
"""The output topics whose every record is a row."""

Group = tuple[str, str, int]  # engagement, currency, exponent


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
        rows = queries.rows_by_place(engine, _TABLES[place.topic], place.partition)
        found.differences.extend(_compare(scan, place, position, rows, found))
    for group, (_, _, _, payable) in queries.totals(engine).items():
        found.add_up(group).stored_minor = payable


def _compare(
    scan: Scan, place: Place, position: int, rows: Iterator[queries.PlacedRow], found: Reconciliation
) -> Iterator[Difference]:
    row = next(rows, None)
    behind = 0
    for record in scan.all(place):
        found.records[place.topic] += 1
        _raise(found, record)
        while row is not None and row.offset < record.offset:
            yield _strange(place, row)
            row = next(rows, None)
        if record.offset >= position:
            behind += 1
        elif row is None or row.offset != record.offset:
            yield Difference("missing", *_named(record), "the ledger read past it and has no row of it")
        else:
            if sha256((record.value or b"")[PREFIX_LENGTH:]).hexdigest() != row.body_sha256:
                yield Difference("other", *_named(record), "the ledger's row came from other bytes")
            row = next(rows, None)
    while row is not None:
        yield _strange(place, row)
        row = next(rows, None)
    if behind:
        what = f"{place.topic}[{place.partition}]"
        yield Difference(
            "behind", place.topic, "", what, f"{behind} records from offset {position} on are not stored yet"
        )


def _raise(found: Reconciliation, record: Record) -> None:
    if record.topic == "invoice-lines":
        line = records.decode_output(record.topic, record.value or b"", record.headers)
        assert isinstance(line, InvoiceLine)
        group = (line.engagement_id, line.currency, line.currency_exponent)
        found.add_up(group).raised_minor += line.payable_minor


def _named(record: Record) -> tuple[str, str, str]:
    engagement = (record.key or b"").decode(errors="backslashreplace")
    return record.topic, engagement, f"{record.topic}[{record.partition}] offset {record.offset}"


def _strange(place: Place, row: queries.PlacedRow) -> Difference:
    what = f"{place.topic}[{place.partition}] offset {row.offset}"
    return Difference(
        "strange", place.topic, row.engagement_id, what, "the ledger has a row that the topic does not hold"
    )


def compare_erp(engine: Engine, now: int, grace: int, found: Reconciliation) -> None:
    """Every line against the last acknowledgement of it; `now` and `grace` in microseconds.

    An ERP that never acknowledged anything is not connected: nothing is unanswered then. Raises `UnavailableError`.
    """
    ledger = LedgerReading(engine)
    answers: dict[str, InvoiceAcknowledgement] = {}
    for answer in ledger.acknowledgements():
        found.acknowledgements += 1
        known = answers.get(answer.line_id)
        if known is None or answer.occurred_at >= known.occurred_at:
            answers[answer.line_id] = answer
    for engagement in ledger.engagements():
        for line in ledger.lines(engagement):
            answered = answers.pop(line.line_id, None)
            group = (line.engagement_id, line.currency, line.currency_exponent)
            if answered is not None and answered.status == "ACCEPTED":
                found.add_up(group).accepted_minor += line.payable_minor
            elif answered is not None:
                message = f"the ERP rejected it: {answered.reason or 'no reason given'}"
                found.differences.append(Difference("rejected", "invoice-lines", engagement, line.line_id, message))
            elif found.acknowledgements and now - line.accepted_at > grace:
                message = "the ERP has said nothing about it"
                found.differences.append(Difference("unanswered", "invoice-lines", engagement, line.line_id, message))
    for answer in answers.values():
        message = (
            f"the ERP {answer.status.lower()} a line that was never raised (event {answer.source}/{answer.event_id})"
        )
        topic = "invoice-acknowledgements"
        found.differences.append(Difference("unknown", topic, answer.engagement_id, answer.line_id, message))
