"""Outputs made by hand, and the records that carry them."""

import hashlib
from collections.abc import Iterable
from datetime import date
from typing import Any

from milepost.codec import records
from milepost.codec.wire import Record
from milepost.core.events import Evidence
from milepost.core.ids import identify
from milepost.core.outputs import (
    ApprovalRequest,
    AuditEntry,
    InvoiceLine,
    MilestoneStatus,
    Missing,
    Output,
    RetentionEvent,
)

NOON = 1_780_056_000_000_000  # 2026-05-29T12:00:00Z
PAPER = Evidence("protocol.pdf", "application/pdf", 1234, "a" * 64, "s3://evidence/protocol.pdf")


def line(
    engagement: str = "erp-rollout", milestone: str = "assessment", revision: int = 1, **changes: Any
) -> InvoiceLine:
    values: dict[str, Any] = {
        "line_id": identify("line", engagement, milestone, "", "fee", revision),
        "engagement_id": engagement,
        "contract_version": 1,
        "customer_id": "acme",
        "supplier_id": "us",
        "purchase_order": None,
        "buyer_reference": None,
        "milestone_id": milestone,
        "occurrence_id": None,
        "kind": "MILESTONE",
        "revision": revision,
        "completion": "100",
        "gross_minor": 1_000_000,
        "retained_minor": 100_000,
        "payable_minor": 900_000,
        "currency": "EUR",
        "currency_exponent": 2,
        "quantity": "1",
        "unit_code": "C62",
        "unit_price": "10000.00",
        "item": None,
        "tax_category": None,
        "description": "Bestandsaufnahme und Teil 1",
        "service_from": date(2026, 5, 1),
        "service_to": date(2026, 5, 29),
        "accepted_at": NOON,
        "bill_on": "next_invoice",
        "due_after": "P30D",
        "corrects_line_id": None,
        "caused_by": ("crm/ev-1", "sign/ev-2"),
        "evidence": (PAPER,),
        "attributes": {"confirmation_id": "RX-7", "note": 'tab\there, "quotes", \\ and ü'},
    }
    return InvoiceLine(**{**values, **changes})


def retention(
    of: InvoiceLine, kind: str = "HELD", amount: int = 100_000, balance: int = 100_000, **changes: Any
) -> RetentionEvent:
    values: dict[str, Any] = {
        "retention_event_id": of.line_id[::-1],
        "engagement_id": of.engagement_id,
        "milestone_id": of.milestone_id,
        "occurrence_id": None,
        "kind": kind,
        "amount_minor": amount,
        "balance_minor": balance,
        "currency": of.currency,
        "currency_exponent": of.currency_exponent,
        "line_id": of.line_id,
        "release_id": None,
        "releases": (),
        "occurred_at": NOON,
    }
    return RetentionEvent(**{**values, **changes})


def request(engagement: str = "erp-rollout", milestone: str = "assessment", **changes: Any) -> ApprovalRequest:
    values: dict[str, Any] = {
        "request_id": f"{engagement}-{milestone}-1",
        "engagement_id": engagement,
        "milestone_id": milestone,
        "occurrence_id": None,
        "submission": 1,
        "submission_hash": "b" * 64,
        "step": 1,
        "role": "sponsor",
        "people": ("ann", "bob"),
        "kind": "REQUESTED",
        "due_at": None,
        "gross_minor": 1_000_000,
        "currency": "EUR",
        "currency_exponent": 2,
        "criteria": "as agreed",
        "evidence": (PAPER,),
    }
    return ApprovalRequest(**{**values, **changes})


def status(
    engagement: str = "erp-rollout", milestone: str = "assessment", state: str = "PENDING", **changes: Any
) -> MilestoneStatus:
    values: dict[str, Any] = {
        "engagement_id": engagement,
        "milestone_id": milestone,
        "occurrence_id": None,
        "state": state,
        "completion": "0",
        "billed_completion": "0",
        "missing": (Missing(gate="completed", detail="no report yet", since=None),),
        "parked": (),
        "at_stake_minor": 1_000_000,
        "currency": "EUR",
        "currency_exponent": 2,
        "submission": 0,
        "planned_on": date(2026, 6, 1),
        "reported_at": None,
        "submitted_at": None,
        "accepted_at": None,
        "billed_at": None,
        "disputed_minor": 0,
    }
    return MilestoneStatus(**{**values, **changes})


def audit(engagement: str = "erp-rollout", sequence: int = 1, **changes: Any) -> AuditEntry:
    values: dict[str, Any] = {
        "engagement_id": engagement,
        "sequence": sequence,
        "what": "REPORTED",
        "reason": None,
        "event_id": f"crm/ev-{sequence}",
        "input_topic": "milestone-events",
        "input_partition": 0,
        "input_offset": sequence - 1,
        "line_id": None,
        "occurred_at": NOON,
        "recorded_at": NOON + sequence,
        "previous_hash": "0" * 64,
        "hash": hashlib.sha256(f"{engagement}{sequence}".encode()).hexdigest(),
    }
    return AuditEntry(**{**values, **changes})


def record(output: Output, offset: int, partition: int = 0, txseq: int | None = None) -> Record:
    headers = () if txseq is None else (("milepost-txseq", str(txseq).encode()),)
    topic, key, value = records.topic_of(output), records.key_of(output), records.encode(output)
    return Record(topic, partition, offset, 1_780_000_000_000, key, value, headers)


def in_order(outputs: Iterable[Output], partition: int = 0, txseq: int | None = None) -> list[Record]:
    """Records at the offsets that each topic's partition would give them, from 0."""
    ends: dict[str, int] = {}
    made = []
    for output in outputs:
        topic = records.topic_of(output)
        made.append(record(output, ends.get(topic, 0), partition, txseq))
        ends[topic] = ends.get(topic, 0) + 1
    return made


def dead_letter(
    offset: int, partition: int = 0, value: bytes | None = b"not avro", key: bytes | None = b"erp-rollout"
) -> Record:
    headers = (
        ("ce_id", b"x"),
        ("__connect.errors.topic", b"kpi-events"),
        ("__connect.errors.partition", b"2"),
        ("__connect.errors.offset", b"41"),
        ("__connect.errors.exception.message", b"a string is not UTF-8"),
        ("x-original-topic", b"kpi-events"),
        ("milepost-error-code", b"UNDECODABLE"),
        ("milepost-dead-letter-id", b"d" * 64),
    )
    return Record("dead-letters", partition, offset, 1_780_000_000_123, key, value, headers)
