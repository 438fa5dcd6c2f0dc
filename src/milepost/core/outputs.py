"""What the fold states: invoice lines, retention events, requests, statuses, audit entries, dead letters.

Amounts are minor units of `currency`; instants are microseconds since 1970 in UTC; dates are calendar days in the
contract's time zone. Field names and order equal those of `schemas/*.avsc`; a test holds them together.
"""

from datetime import date

import msgspec

from milepost.core.events import Evidence, Received

__all__ = [
    "ApprovalRequest",
    "AuditEntry",
    "DeadLetter",
    "InvoiceLine",
    "MilestoneStatus",
    "Missing",
    "Output",
    "RetentionEvent",
]


class InvoiceLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line for the ERP: gross = retained + payable, always; credits are negative; a release has gross 0."""

    line_id: str
    engagement_id: str
    contract_version: int
    customer_id: str
    supplier_id: str | None
    purchase_order: str | None
    buyer_reference: str | None
    milestone_id: str | None
    occurrence_id: str | None
    kind: str
    revision: int
    completion: str
    gross_minor: int
    retained_minor: int
    payable_minor: int
    currency: str
    currency_exponent: int
    quantity: str
    unit_code: str
    unit_price: str
    item: str | None
    tax_category: str | None
    description: str
    service_from: date
    service_to: date
    accepted_at: int
    bill_on: str
    due_after: str | None
    corrects_line_id: str | None
    caused_by: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    attributes: dict[str, str]


class RetentionEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Money withheld (HELD), withheld no longer because of a credit (REDUCED), or paid out (RELEASED)."""

    retention_event_id: str
    engagement_id: str
    milestone_id: str | None
    occurrence_id: str | None
    kind: str
    amount_minor: int
    balance_minor: int
    currency: str
    currency_exponent: int
    line_id: str
    release_id: str | None
    releases: tuple[str, ...]
    occurred_at: int


class ApprovalRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a role is asked to sign, and how that ended; `step` counts from 1."""

    request_id: str
    engagement_id: str
    milestone_id: str
    occurrence_id: str | None
    submission: int
    submission_hash: str
    step: int
    role: str
    people: tuple[str, ...]
    kind: str
    due_at: int | None
    gross_minor: int
    currency: str
    currency_exponent: int
    criteria: str | None
    evidence: tuple[Evidence, ...]


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why a milestone does not bill yet; `since` is when the rest was there, null if never."""

    gate: str
    detail: str
    since: int | None


class MilestoneStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where one occurrence of a milestone stands; `at_stake_minor` is the gross that is not billed yet."""

    engagement_id: str
    milestone_id: str
    occurrence_id: str | None
    state: str
    completion: str
    billed_completion: str
    missing: tuple[Missing, ...]
    parked: tuple[str, ...]
    at_stake_minor: int
    currency: str | None
    currency_exponent: int | None
    submission: int
    planned_on: date | None
    reported_at: int | None
    submitted_at: int | None
    accepted_at: int | None
    billed_at: int | None
    disputed_minor: int


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One link of an engagement's hash chain; `sequence` counts from 1, the first `previous_hash` is 64 zeros."""

    engagement_id: str
    sequence: int
    what: str
    reason: str | None
    event_id: str | None
    input_topic: str | None
    input_partition: int | None
    input_offset: int | None
    line_id: str | None
    occurred_at: int
    recorded_at: int
    previous_hash: str
    hash: str


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An event that can never mean anything; the host adds the original bytes, or in `simulate` the event.

    `origin` is null for the event that is being folded; a parked event that was tried again comes with its own.
    """

    reason: str
    message: str
    origin: Received | None = None


Output = InvoiceLine | RetentionEvent | ApprovalRequest | MilestoneStatus | AuditEntry | DeadLetter
