"""The ledger's read model: what the console, the demo and the command line show, as the types of the records.

A row is its record, so lines, requests, statuses and audit entries come back as the core's own outputs. Amounts are
minor units; `milepost.core.money.format_minor` writes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from milepost.core.events import Evidence, InvoiceAcknowledgement
from milepost.core.outputs import ApprovalRequest, AuditEntry, InvoiceLine, MilestoneStatus, Missing, RetentionEvent
from milepost.sql import anchors, queries, tables
from milepost.sql.engine import Engine

__all__ = ["DeadLetterSummary", "LedgerReading", "LineTotals", "RetentionBalance", "is_open", "record"]

_Output = TypeVar("_Output", InvoiceLine, RetentionEvent, ApprovalRequest, MilestoneStatus, AuditEntry)


@dataclass(frozen=True)
class RetentionBalance:
    """Money withheld from one engagement in one currency, in minor units: held - reduced - released = balance."""

    engagement_id: str
    currency: str
    currency_exponent: int
    held_minor: int
    reduced_minor: int
    released_minor: int

    @property
    def balance_minor(self) -> int:
        """What is still withheld."""
        return self.held_minor - self.reduced_minor - self.released_minor


@dataclass(frozen=True)
class LineTotals:
    """The lines of one engagement in one currency, added up, in minor units."""

    engagement_id: str
    currency: str
    currency_exponent: int
    lines: int
    gross_minor: int
    retained_minor: int
    payable_minor: int


@dataclass(frozen=True)
class DeadLetterSummary:
    """Where a dead letter is, where it came from, and why; `engagement_key` is the record's key as text."""

    record_topic: str
    record_partition: int
    record_offset: int
    reason: str
    message: str
    dead_letter_id: str | None
    original_topic: str | None
    original_partition: int | None
    original_offset: int | None
    engagement_key: str | None
    size_bytes: int | None
    recorded_at: int


class LedgerReading:
    """Questions to one database; every method may be asked for one engagement or for all, and raises
    `UnavailableError` while the database is away."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def engine(self) -> Engine:
        """The database that is asked."""
        return self._engine

    def engagements(self) -> list[str]:
        """Ids of the engagements that have a line or a status, sorted."""
        return queries.engagement_ids(self._engine)

    def lines(self, engagement: str | None = None) -> list[InvoiceLine]:
        """Invoice lines, by engagement and in the order in which they were raised."""
        return self._outputs(InvoiceLine, tables.invoice_lines, engagement)

    def engagement_of(self, line_id: str) -> str | None:
        """Whose line that is, or None."""
        return queries.engagement_of(self._engine, line_id)

    def totals(self, engagement: str | None = None) -> list[LineTotals]:
        """Lines added up by engagement and currency."""
        return [LineTotals(*group, *sums) for group, sums in queries.totals(self._engine, engagement).items()]

    def retention_events(self, engagement: str | None = None) -> list[RetentionEvent]:
        """Money held, reduced and released, in order."""
        return self._outputs(RetentionEvent, tables.retention_events, engagement)

    def retention_balances(self, engagement: str | None = None) -> list[RetentionBalance]:
        """What was held, reduced and released by engagement and currency, and so what is still withheld."""
        return [
            RetentionBalance(*group, sums.get("HELD", 0), sums.get("REDUCED", 0), sums.get("RELEASED", 0))
            for group, sums in queries.retention_sums(self._engine, engagement).items()
        ]

    def statuses(self, engagement: str | None = None) -> list[MilestoneStatus]:
        """Every occurrence of every milestone that was heard of, and where it stands."""
        return self._outputs(MilestoneStatus, tables.milestone_status, engagement)

    def open_milestones(self, engagement: str | None = None) -> list[MilestoneStatus]:
        """Those that may still bill: not cancelled, and not billed to the end; `missing` says what each waits for."""
        return [status for status in self.statuses(engagement) if is_open(status)]

    def requests(self, engagement: str | None = None) -> list[ApprovalRequest]:
        """Approval requests and how each went on, in order."""
        return self._outputs(ApprovalRequest, tables.approval_requests, engagement)

    def audit(self, engagement: str | None = None) -> list[AuditEntry]:
        """Audit entries by engagement and sequence."""
        return self._outputs(AuditEntry, tables.audit_entries, engagement)

    def contracts(self, engagement: str) -> dict[int, str]:
        """The documents that the join took, as JSON text by version; of a version proposed again the last."""
        return queries.contracts(self._engine, engagement)

    def acknowledgements(self, engagement: str | None = None) -> list[InvoiceAcknowledgement]:
        """What the ERP said of lines, in the order in which it came."""
        names = InvoiceAcknowledgement.__struct_fields__
        found = queries.rows(self._engine, tables.invoice_acknowledgements, engagement)
        return [InvoiceAcknowledgement(**{name: row[name] for name in names}) for row in found]

    def anchors(self) -> list[str]:
        """Signed heads of the audit trails, in order, as they were signed."""
        return anchors.bodies(self._engine)

    def dead_letters(self, key: str | None = None) -> list[DeadLetterSummary]:
        """Dead letters, or those whose key was `key`."""
        found = queries.rows(self._engine, tables.dead_letters, key)
        return [
            DeadLetterSummary(**{name: value for name, value in row.items() if name != "body_sha256"}) for row in found
        ]

    def _outputs(self, kind: type[_Output], table: tables.Table, engagement: str | None) -> list[_Output]:
        return [record(kind, row) for row in queries.rows(self._engine, table, engagement)]


def record(kind: type[_Output], row: Mapping[str, Any]) -> _Output:
    """A row of the ledger as the output that it was stored from."""
    values = {name: _as_in_record(name, row[name]) for name in kind.__struct_fields__}
    if kind is MilestoneStatus:
        values["occurrence_id"] = values["occurrence_id"] or None
    return kind(**values)


def is_open(status: MilestoneStatus) -> bool:
    """Whether a milestone's occurrence may still bill; one that is billed in part is open for the rest."""
    if status.state == "CANCELLED":
        return False
    return status.state != "BILLED" or status.at_stake_minor != 0 or bool(status.missing) or bool(status.parked)


def _as_in_record(name: str, value: Any) -> Any:
    if name == "evidence":
        return tuple(Evidence(**piece) for piece in cast(list[dict[str, Any]], value))
    if name == "missing":
        return tuple(Missing(**one) for one in cast(list[dict[str, Any]], value))
    return tuple(value) if isinstance(value, list) else value
