"""The headers of events and outputs: CloudEvents 1.0 in binary mode, and the trace of the record that caused an output.

`ce_id` follows from what the output is: the id it carries, an audit entry's place in its chain, or, for a status, the
record that caused it. The same output raised again after a restart has the same id, so `ce_source` and `ce_id` tell a
repeated delivery from a new event.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from milepost.codec.wire import Record
from milepost.core.calendar import instant_text
from milepost.core.events import ClockTick, Event, InvoiceAcknowledgement, dated
from milepost.core.outputs import ApprovalRequest, AuditEntry, InvoiceLine, MilestoneStatus, Output, RetentionEvent

__all__ = ["CONTENT_TYPE", "SOURCE", "carried", "event_headers", "headers_of", "type_of"]

SOURCE = "milepost/join"
CONTENT_TYPE = "application/avro"

# A hop's trace, and the trace that an event started with.
_CARRIED = frozenset({"traceparent", "tracestate", "ce_traceparent", "ce_tracestate"})
# `traceparent` has 55 characters and `tracestate` should have at most 512; what is longer is no trace.
_CARRIED_LIMIT_BYTES = 512

Header = tuple[str, bytes]


def type_of(record: str) -> str:
    """`ce_type` of a record: "com.milepost.invoice_line.v1" of "InvoiceLine"."""
    return f"com.milepost.{re.sub(r'(?<=[a-z])(?=[A-Z])', '_', record).lower()}.v1"


def carried(headers: Iterable[Header]) -> list[Header]:
    """The trace headers of a record, to be passed on to what it causes."""
    return [(name, value) for name, value in headers if name in _CARRIED and len(value or b"") <= _CARRIED_LIMIT_BYTES]


def event_headers(event: Event | InvoiceAcknowledgement, sender: str) -> list[Header]:
    """The headers of an event; `sender` stands as the source of a tick, which names none of its own."""
    time = _time(event.occurred_at if isinstance(event, InvoiceAcknowledgement) else dated(event))
    headers = [
        ("content-type", CONTENT_TYPE.encode()),
        ("ce_specversion", b"1.0"),
        ("ce_type", _type(type(event))),
        ("ce_time", time),
    ]
    if isinstance(event, ClockTick):
        return [*headers, ("ce_id", b"tick:" + time), ("ce_source", sender.encode())]
    identity = [("ce_id", event.event_id), ("ce_source", event.source), ("ce_subject", event.engagement_id)]
    return headers + [(name, text.encode()) for name, text in identity]


def headers_of(output: Output, cause: Record, place: int, trace: Sequence[Header] = ()) -> list[Header]:
    """The headers of an output that `cause` raised as its output number `place`. Dead letters have their own."""
    identify, instant, fixed = _KINDS[type(output)]
    return [
        *fixed,
        ("ce_id", identify(output, cause, place).encode()),
        ("ce_subject", output.engagement_id.encode()),  # type: ignore[union-attr]
        ("ce_time", _time(instant(output, cause))),
        *trace,
    ]


@lru_cache(maxsize=64)
def _type(kind: type) -> bytes:
    return type_of(kind.__name__).encode()


@lru_cache(maxsize=1024)
def _time(instant: int) -> bytes:
    return instant_text(instant).encode()


def _recorded(_: Any, cause: Record) -> int:
    return cause.timestamp * 1000


def _status_id(status: MilestoneStatus, cause: Record, place: int) -> str:
    return (
        f"{status.engagement_id}/{status.milestone_id}/{status.occurrence_id or ''}"
        f"/{cause.topic}/{cause.partition}/{cause.offset}/{place}"
    )


_Identify = Callable[[Any, Record, int], str]
_Instant = Callable[[Any, Record], int]


def _kind(kind: type, identify: _Identify, instant: _Instant) -> tuple[_Identify, _Instant, tuple[Header, ...]]:
    fixed = (
        ("content-type", CONTENT_TYPE.encode()),
        ("ce_specversion", b"1.0"),
        ("ce_type", type_of(kind.__name__).encode()),
        ("ce_source", SOURCE.encode()),
    )
    return identify, instant, fixed


_KINDS: dict[type, tuple[_Identify, _Instant, tuple[Header, ...]]] = {
    InvoiceLine: _kind(InvoiceLine, lambda o, _, __: o.line_id, lambda o, _: o.accepted_at),
    RetentionEvent: _kind(RetentionEvent, lambda o, _, __: o.retention_event_id, lambda o, _: o.occurred_at),
    ApprovalRequest: _kind(ApprovalRequest, lambda o, _, __: o.request_id, _recorded),
    MilestoneStatus: _kind(MilestoneStatus, _status_id, _recorded),
    AuditEntry: _kind(AuditEntry, lambda o, _, __: f"{o.engagement_id}/{o.sequence}", lambda o, _: o.occurred_at),
}
