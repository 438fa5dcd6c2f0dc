"""Events as nobody should send them: one field holds a value that is wrong, extreme, or only surprising."""

from datetime import date
from random import Random

import msgspec

from milepost.core.events import (
    ApprovalDecision,
    ClockTick,
    DisputeEvent,
    EngagementEvent,
    Event,
    Evidence,
    KpiEvent,
    MilestoneEvent,
    RegulatorDecision,
    UsageEvent,
)

_TEXTS = ("", "m1", "@signoff", "@amendment", "a/b", "%2F", "ü" * 600, "\0", "\n", "m1 ", "none")
_DECIMALS = (
    "NaN",
    "Infinity",
    "-1",
    "-0",
    "1e999999999",
    "1e2",
    "100.0000001",
    "0.1.2",
    "",
    " 5",
    "٣",
    "9" * 60,
    "0x1",
)
_INSTANTS = (-(1 << 63), -1, 0, 1, (1 << 62) - 1, 1 << 62, (1 << 63) - 1, 253_402_300_799_999_999)
_BAD = Evidence(name="", media_type="", size_bytes=-1, sha256="no hash", uri="\0")
_FIELDS: dict[type, dict[str, tuple[object, ...]]] = {
    UsageEvent: {
        "usage_id": _TEXTS,
        "meter": _TEXTS,
        "quantity": _DECIMALS,
        "started_at": _INSTANTS,
        "ended_at": _INSTANTS,
        "revision": (0, -1, 1 << 40),
    },
    DisputeEvent: {
        "dispute_id": _TEXTS,
        "line_id": _TEXTS,
        "occurred_at": _INSTANTS,
        "amount_minor": (0, -1, 1 << 62),
    },
    EngagementEvent: {
        "change": ("AMENDED", "OPENED", "RESUMED", "TERMINATED"),
        "terms": (None,),
        "engagement_id": ("", "a/b", "other", "@due", "x" * 129),
        "occurred_at": _INSTANTS,
        "actor": _TEXTS,
    },
    MilestoneEvent: {
        "milestone_id": _TEXTS,
        "completion": _DECIMALS,
        "occurred_at": _INSTANTS,
        "occurrence_id": _TEXTS,
        "reported_by": _TEXTS,
        "evidence": ((_BAD,),),
        "attributes": ({"": ""}, {"charge": "NaN"}),
        "kind": ("CORRECTED", "WITHDRAWN"),
    },
    KpiEvent: {
        "kpi_id": _TEXTS,
        "value": _DECIMALS,
        "observed_at": _INSTANTS,
        "revision": (0, -1, 1 << 40),
        "unit": _TEXTS,
        "period_start": (None, date(1, 1, 1), date(9999, 12, 31), -1, 1 << 62),
        "period_end": (None, date(1, 1, 1), date(9999, 12, 31), 0, 1 << 62),
    },
    ApprovalDecision: {
        "milestone_id": _TEXTS,
        "role": _TEXTS,
        "approver": _TEXTS,
        "decided_at": _INSTANTS,
        "submission": (0, -1, 1, 1 << 40),
        "submission_hash": ("", "A" * 64, "0" * 64),
        "certified_completion": _DECIMALS,
        "decision": ("REJECTED", "WITHDRAWN"),
    },
    RegulatorDecision: {
        "filing_id": _TEXTS,
        "regulator": _TEXTS,
        "decision": ("REJECTED", "REVOKED", "RECEIVED"),
        "decided_at": _INSTANTS,
        "confirmation_id": _TEXTS,
        "sequence": (-1, 0, 1, 1 << 40),
        "milestone_id": _TEXTS,
    },
    ClockTick: {"at": _INSTANTS},
}


def broken(event: Event, rng: Random) -> Event:
    """The event with one field replaced."""
    fields = _FIELDS[type(event)]
    name = rng.choice(sorted(fields))
    return msgspec.structs.replace(event, **{name: rng.choice(fields[name])})
