"""The events that come in, as `events.md` names them.

Instants (`*_at`) are microseconds since 1970 in UTC; `*_start`/`*_end` of a KPI's period are calendar days
(`datetime.date`) or instants; decimals stay the strings that were sent, so that nothing is lost before a rule
compares or rounds them. Field names and order equal those of `schemas/*.avsc`; a test holds them together.
"""

from datetime import date
from typing import Literal, NamedTuple

import msgspec

from milepost.core.calendar import instant_text
from milepost.core.contract import Contract

__all__ = [
    "ApprovalDecision",
    "ClockTick",
    "DisputeEvent",
    "EngagementEvent",
    "Event",
    "Evidence",
    "InvoiceAcknowledgement",
    "KpiEvent",
    "MilestoneEvent",
    "Received",
    "RegulatorDecision",
    "UsageEvent",
    "cause_of",
    "dated",
]

Instant = int
Period = date | int | None


class Evidence(msgspec.Struct, frozen=True, array_like=True):
    """A document by reference and hash, never its bytes."""

    name: str
    media_type: str
    size_bytes: int
    sha256: str
    uri: str


class EngagementEvent(msgspec.Struct, frozen=True, tag="E", array_like=True):
    """A change of the engagement itself; `contract` is the document as JSON text."""

    event_id: str
    source: str
    engagement_id: str
    change: Literal["OPENED", "AMENDED", "SIGNED_OFF", "TERMINATED", "SUSPENDED", "RESUMED"]
    occurred_at: Instant
    contract: str | None = None
    actor: str | None = None
    evidence: tuple[Evidence, ...] = ()
    # Filled by whoever decoded the record: the document, read and linted. Not on the wire.
    terms: Contract | None = None


class MilestoneEvent(msgspec.Struct, frozen=True, tag="M", array_like=True):
    """A report on one milestone; `completion` in percent."""

    event_id: str
    source: str
    engagement_id: str
    milestone_id: str
    kind: Literal["REPORTED", "CORRECTED", "WITHDRAWN"]
    occurred_at: Instant
    occurrence_id: str | None = None
    completion: str = "100"
    reported_by: str | None = None
    evidence: tuple[Evidence, ...] = ()
    attributes: dict[str, str] = {}


class KpiEvent(msgspec.Struct, frozen=True, tag="K", array_like=True):
    """A measured value; without a period it is a reading at `observed_at`."""

    event_id: str
    source: str
    engagement_id: str
    kpi_id: str
    value: str
    observed_at: Instant
    unit: str | None = None
    period_start: Period = None
    period_end: Period = None
    revision: int = 1
    status: Literal["PROVISIONAL", "FINAL"] = "FINAL"
    evidence: tuple[Evidence, ...] = ()


class RegulatorDecision(msgspec.Struct, frozen=True, tag="R", array_like=True):
    """What a regulator decided on a filing."""

    event_id: str
    source: str
    engagement_id: str
    filing_id: str
    regulator: str
    decision: Literal["RECEIVED", "VALIDATED", "ACCEPTED", "REJECTED", "REVOKED"]
    decided_at: Instant
    confirmation_id: str | None = None
    sequence: int | None = None
    milestone_id: str | None = None
    evidence: tuple[Evidence, ...] = ()


class ApprovalDecision(msgspec.Struct, frozen=True, tag="A", array_like=True):
    """A signature, a rejection or a signature taken back, in one role, for one submission."""

    event_id: str
    source: str
    engagement_id: str
    milestone_id: str
    role: str
    approver: str
    decision: Literal["APPROVED", "REJECTED", "WITHDRAWN"]
    decided_at: Instant
    occurrence_id: str | None = None
    submission: int | None = None
    submission_hash: str | None = None
    certified_completion: str | None = None
    comment: str | None = None
    evidence: tuple[Evidence, ...] = ()


class UsageEvent(msgspec.Struct, frozen=True, tag="U", array_like=True):
    """Work done: an explicit `quantity` wins over the elapsed time."""

    event_id: str
    source: str
    engagement_id: str
    usage_id: str
    meter: str
    started_at: Instant
    revision: int = 1
    quantity: str | None = None
    ended_at: Instant | None = None
    worker: str | None = None
    timesheet_id: str | None = None
    milestone_id: str | None = None
    evidence: tuple[Evidence, ...] = ()


class DisputeEvent(msgspec.Struct, frozen=True, tag="D", array_like=True):
    """A dispute of a line; `amount_minor` is gross, null means all of it."""

    event_id: str
    source: str
    engagement_id: str
    dispute_id: str
    line_id: str
    kind: Literal["OPENED", "UPHELD", "DISMISSED", "WITHDRAWN"]
    occurred_at: Instant
    amount_minor: int | None = None
    actor: str | None = None
    reason: str | None = None
    evidence: tuple[Evidence, ...] = ()


class InvoiceAcknowledgement(msgspec.Struct, frozen=True, tag="I", array_like=True):
    """What the ERP did with a line; read by the ledger and `reconcile`, never by the fold."""

    event_id: str
    source: str
    engagement_id: str
    line_id: str
    status: Literal["ACCEPTED", "REJECTED"]
    occurred_at: Instant
    document_number: str | None = None
    document_date: date | None = None
    reason: str | None = None


class ClockTick(msgspec.Struct, frozen=True, tag="T", array_like=True):
    """The only clock the core has; one goes to every partition."""

    at: Instant


Event = (
    EngagementEvent
    | MilestoneEvent
    | KpiEvent
    | RegulatorDecision
    | ApprovalDecision
    | UsageEvent
    | DisputeEvent
    | ClockTick
)


class Received(NamedTuple):
    """An event with where it came from; `recorded_at` is the record's timestamp in microseconds.

    Partition and offset are None where there is no log, as in `simulate`.
    """

    event: Event
    topic: str
    partition: int | None
    offset: int | None
    recorded_at: int


def dated(event: Event) -> int:
    """The event's own time."""
    if isinstance(event, ClockTick):
        return event.at
    if isinstance(event, KpiEvent):
        return event.observed_at
    if isinstance(event, UsageEvent):
        return event.started_at
    return event.decided_at if hasattr(event, "decided_at") else event.occurred_at


def cause_of(event: Event) -> str:
    """How an event is named in `caused_by`: source/event_id, or tick:<at>."""
    return f"tick:{instant_text(event.at)}" if isinstance(event, ClockTick) else f"{event.source}/{event.event_id}"
