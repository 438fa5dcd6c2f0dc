"""A request for every route that takes an API key, from the table that the gateway has: what a matrix asks with."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from milepost.gateway.actions import ACTIONS
from milepost.gateway.events import TOPICS

CONTRACT = {
    "milepost": 1,
    "engagement": "harbour",
    "version": 1,
    "customer": {"id": "acme"},
    "supplier": {"id": "northwind"},
    "currency": "EUR",
    "timezone": "Europe/Berlin",
    "effective_from": "2026-01-01",
    "milestones": [
        {"id": "design", "name": "Design", "fee": {"fixed": "600.00"}, "requires": ["completed"], "approval": "none"}
    ],
}
EVENTS: dict[str, dict[str, Any]] = {
    "engagements": {"change": "SUSPENDED", "occurred_at": "2026-02-01T00:00:00Z"},
    "milestone-events": {"milestone_id": "design", "kind": "REPORTED", "occurred_at": "2026-02-01T00:00:00Z"},
    "kpi-events": {"kpi_id": "uptime", "value": "99.9", "observed_at": "2026-02-01T00:00:00Z"},
    "regulator-acceptances": {
        "filing_id": "f-1", "regulator": "fda", "decision": "RECEIVED", "decided_at": "2026-02-01T00:00:00Z"
    },
    "approvals": {
        "milestone_id": "design", "role": "client", "approver": "ana", "decision": "APPROVED",
        "decided_at": "2026-02-01T00:00:00Z",
    },
    "usage-events": {
        "usage_id": "u-1", "meter": "senior", "quantity": "8", "started_at": "2026-02-01T00:00:00Z"
    },
    "dispute-events": {
        "dispute_id": "d-1", "line_id": "l-1", "kind": "OPENED", "occurred_at": "2026-02-01T00:00:00Z"
    },
    "invoice-acknowledgements": {"line_id": "l-1", "status": "ACCEPTED", "occurred_at": "2026-02-01T00:00:00Z"},
}  # fmt: skip
assert set(EVENTS) == set(TOPICS)


class Asked(NamedTuple):
    """A request that is right as far as the address and the body go; `named`: it names an engagement."""

    route: str
    method: str
    path: str
    body: bytes | None
    content_type: str
    named: bool


def event(topic: str, engagement: str, event_id: str = "e-1") -> dict[str, Any]:
    return {"event_id": event_id, "source": "test", "engagement_id": engagement, **EVENTS[topic]}


def requests(engagement: str = "harbour") -> Iterator[Asked]:
    """One for each route of the table; a route that is not known here fails."""
    parts = {
        "engagement_id": engagement, "milestone_id": "design", "line_id": "l-1", "dispute_id": "d-1",
        "sha256": "ab" * 32, "request_id": "r-1",
    }  # fmt: skip
    for route in ACTIONS:
        method, _, template = route.partition(" ")
        path = template.format_map(parts)
        named = "{engagement_id}" in template
        body: bytes | None = None
        kind = "application/json"
        if template.startswith("/v1/events/"):
            body, named = json.dumps(event(template.rpartition("/")[2], engagement)).encode(), True
        elif route == "POST /v1/engagements":
            body, named = json.dumps(CONTRACT | {"engagement": engagement}).encode(), True
        elif template.startswith("/v1/evidence"):
            path += f"?engagement_id={engagement}&name=report.txt"
            body, kind, named = b"text" if method != "GET" else None, "text/plain", method != "GET"
        elif method == "POST":
            body = b"{}"
        yield Asked(route, method, path, body, kind, named)
