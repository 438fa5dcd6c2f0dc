"""A pipeline with a gateway in front: the real join and ledger on the embedded broker, SQLite, and approval links.

`approving(...)` gives an `Approving`: `publish` sends events and waits until the ledger has what follows, `link` gives
a person the link that a notice would bring.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from milepost.codec.json_forms import event_from_json
from milepost.contract import to_wire
from milepost.core.events import ClockTick, EngagementEvent
from milepost.core.outputs import ApprovalRequest, InvoiceLine
from milepost.demo.pipeline import Pipeline
from milepost.demo.play import apply_topics
from milepost.kafka.publishing import Publisher
from milepost.sql.occurrences import ASKING
from milepost.sql.reading import LedgerReading
from tests.gateway.serving import Served, serving, sqlite

SECRET = "a secret that is long enough for links"
WAIT_S = 60.0

CONTRACT: dict[str, Any] = {
    "milepost": 1,
    "engagement": "erp-rollout",
    "version": 1,
    "customer": {"id": "acme", "name": "Acme GmbH"},
    "supplier": {"id": "northwind", "name": "Northwind Consulting"},
    "purchase_order": "4500012345",
    "currency": "EUR",
    "value": "100000.00",
    "timezone": "Europe/Berlin",
    "effective_from": "2026-01-01",
    "people": {"delivery_lead": ["maria"], "client_ap": ["ana", "ben"], "sponsor": ["sam"]},
    "approvals": {
        "dual": {
            "steps": [
                {"role": "delivery_lead"},
                {"role": "client_ap", "evidence": ["acceptance_protocol"], "within": "P10D", "on_timeout": "reject"},
            ]
        },
        "client": {"steps": [{"role": "client_ap"}]},
    },
    "retention": {"rate": "10", "release": [{"id": "handover", "when": "signoff"}]},
    "amendments": {"approval": "client"},
    "signoff": {"approval": "client"},
    "milestones": [
        {
            "id": "build",
            "name": "Phase 2 - build",
            "criteria": "All in-scope processes run in the customer's test system.",
            "fee": {"fixed": "60000.00"},
            "partial": "any",
            "requires": ["completed"],
            "approval": "dual",
        },
        {
            "id": "go-live",
            "name": "Phase 3 - go-live",
            "fee": {"fixed": "40000.00"},
            "requires": ["completed"],
            "approval": "client",
        },
    ],
}


class Approving:
    """The pipeline, the gateway, and what a test wants of them."""

    def __init__(self, served: Served, pipeline: Pipeline, publisher: Publisher) -> None:
        self.served, self.pipeline, self._publisher = served, pipeline, publisher
        self.ledger = LedgerReading(served.doors.engine)

    async def open(self, contract: dict[str, Any] = CONTRACT) -> None:
        """Open an engagement, and wait until the ledger has its milestones."""
        value = {"event_id": "open", "source": "crm", "engagement_id": contract["engagement"], "change": "OPENED",
                 "occurred_at": "2026-01-01T00:00:00Z", "contract": to_wire(json.dumps(contract))}  # fmt: skip
        event = event_from_json("engagements", value)
        assert isinstance(event, EngagementEvent)
        await self._send("engagements", event)
        await self.until(lambda: bool(self.ledger.statuses(contract["engagement"])))

    async def publish(self, topic: str, **value: Any) -> None:
        """Send one event and wait until the join has it."""
        await self._send(topic, event_from_json(topic, value))

    async def tick(self, at: int) -> None:
        """Let the clock say what time it is."""
        await self._send("clock-ticks", ClockTick(at))

    async def _send(self, topic: str, event: Any) -> None:
        def send() -> Any:
            self._publisher.send(topic, event)
            return self._publisher.flush()

        await self.pipeline.folded(await asyncio.to_thread(send))

    async def report(self, milestone: str, event_id: str, **more: Any) -> None:
        """Report a milestone now, as the supplier's system would."""
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        value = {"event_id": event_id, "source": "jira", "engagement_id": "erp-rollout", "milestone_id": milestone,
                 "kind": "REPORTED", "occurred_at": at, "reported_by": "jonas"} | more  # fmt: skip
        await self.publish("milestone-events", **value)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until the ledger's database is as wanted."""
        until = time.monotonic() + WAIT_S
        while not await asyncio.to_thread(holds):
            self.pipeline.check()
            assert time.monotonic() < until, "the ledger never got there"
            await asyncio.sleep(0.05)

    async def request(self, milestone: str, role: str, kind: str | None = None, submission: int = 1) -> ApprovalRequest:
        """The newest request of a role, once it is of that kind (default: one that asks)."""
        found: list[ApprovalRequest] = []

        def there() -> bool:
            found[:] = [
                one
                for one in self.ledger.requests("erp-rollout")
                if (one.milestone_id, one.role, one.submission) == (milestone, role, submission)
            ]
            return bool(found) and (found[-1].kind == kind if kind else found[-1].kind in ASKING)

        await self.until(there)
        return found[-1]

    async def link(self, milestone: str, role: str, person: str, submission: int = 1) -> str:
        """The address of a person's link, without the host."""
        request = await self.request(milestone, role, submission=submission)
        doors = self.served.doors
        return f"/approve/{doors.links.issue(request, person, doors.now()).token}"

    async def line(self, milestone: str) -> InvoiceLine:
        """The newest line of a milestone, once there is one."""
        await self.until(lambda: any(one.milestone_id == milestone for one in self.ledger.lines()))
        return [one for one in self.ledger.lines() if one.milestone_id == milestone][-1]


@asynccontextmanager
async def approving(servers: str, folder: Path, prefix: str, **settings: Any) -> AsyncIterator[Approving]:
    """Everything at work in this process, ended in good order."""
    given: dict[str, Any] = {
        "topic_prefix": prefix,
        "group": f"{prefix}join",
        "ledger_group": f"{prefix}ledger",
        "app": prefix.strip("-"),
        "poll_timeout_ms": 20,
        "link_secret": SecretStr(SECRET),
        "evidence_dir": str(folder / "evidence"),
        "gateway_ack_timeout_ms": 30_000,
        **settings,
    }
    async with serving(servers, sqlite(folder), **given) as served:
        await asyncio.to_thread(apply_topics, served.doors.settings)
        publisher = await asyncio.to_thread(Publisher, served.doors.settings)
        async with Pipeline(served.doors.settings) as pipeline:
            yield Approving(served, pipeline, publisher)


def texts(html: str) -> Iterator[str]:
    """What a page says, without its markup."""
    from html.parser import HTMLParser

    found: list[str] = []

    class Reader(HTMLParser):
        style = False

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            self.style = tag == "style"

        def handle_data(self, data: str) -> None:
            if not self.style and data.strip():
                found.append(" ".join(data.split()))

    Reader().feed(html)
    return iter(found)
