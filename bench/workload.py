"""The events that milepost's own join is measured with: the peers' shape, in milepost's contract language and Avro.

An engagement opens with a contract of five milestones; each then gets a report, a KPI value and a signature, as the
peers' milestones do, so that a milestone costs the same three events. Contract, retention, approvals and audit are on.
"""

import json
from collections.abc import Iterator
from typing import Any

from confluent_kafka import Producer

from milepost.codec import records
from milepost.core.events import ApprovalDecision, EngagementEvent, Event, KpiEvent, MilestoneEvent

__all__ = ["events", "load"]

MILESTONES = 5
EVENTS_AN_ENGAGEMENT = 1 + 3 * MILESTONES
_OPENED_AT = 1_767_312_000_000_000  # 2026-01-02T00:00Z
_MINUTE = 60_000_000
FLUSH_S = 300


def _contract(name: str, number: int) -> str:
    milestones: list[dict[str, Any]] = [
        {
            "id": f"ms-{m}",
            "fee": {"fixed": f"{1000 + number % 1000}.01"},
            "requires": ["completed", {"kpi": {"id": f"uptime-{m}", "at_least": "99.9"}}],
            "approval": "single",
        }
        for m in range(MILESTONES)
    ]
    document = {
        "milepost": 1,
        "engagement": name,
        "version": 1,
        "customer": {"id": "acme"},
        "currency": "EUR",
        "timezone": "Europe/Berlin",
        "effective_from": "2026-01-01",
        "people": {"client_ap": ["ana"]},
        "approvals": {"single": {"steps": [{"role": "client_ap"}]}},
        "retention": {"rate": "10", "release": [{"when": "signoff"}]},
        "milestones": milestones,
    }
    return json.dumps(document, separators=(",", ":"))


def events(engagements: int) -> Iterator[tuple[str, Event]]:
    """Topic and event: every engagement opens, then milestone by milestone over all of them."""
    names = [f"eng-{number:07d}" for number in range(engagements)]
    for number, name in enumerate(names):
        opened = EngagementEvent(f"{name}/o", "bench", name, "OPENED", _OPENED_AT, contract=_contract(name, number))
        yield "engagements", opened
    for m in range(MILESTONES):
        at = _OPENED_AT + (m + 1) * 60 * _MINUTE
        for name in names:
            prefix, milestone = f"{name}/{m}", f"ms-{m}"
            reported = MilestoneEvent(f"{prefix}/c", "bench", name, milestone, "REPORTED", at, reported_by="sam")
            yield "milestone-events", reported
            yield "kpi-events", KpiEvent(f"{prefix}/k", "bench", name, f"uptime-{m}", "99.95", at + _MINUTE)
            signed = ApprovalDecision(
                f"{prefix}/a", "bench", name, milestone, "client_ap", "ana", "APPROVED", at + 2 * _MINUTE
            )
            yield "approvals", signed


def load(bootstrap: str, engagements: int) -> int:
    """Publish the events, wait until the broker has acknowledged all of them and return how many they are.

    Raises SystemExit if it does not.
    """
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 20,
            "queue.buffering.max.messages": 2_000_000,
            "partitioner": "murmur2_random",
        }
    )
    count = 0
    for count, (topic, event) in enumerate(events(engagements), 1):
        key = "" if not hasattr(event, "engagement_id") else event.engagement_id
        producer.produce(topic, records.encode_event(event), key.encode())
        if count % 1_000 == 0:
            producer.poll(0)
    if producer.flush(FLUSH_S):
        raise SystemExit(f"the broker did not acknowledge every event within {FLUSH_S} s")
    return count
