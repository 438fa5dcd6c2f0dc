"""A pipeline with a gateway in front: the real join and ledger on the embedded broker, SQLite, and approval links.

`approving(...)` gives an `Approving`, whose `case()` is an engagement of a test's own: `report` sends what the
supplier's system would, `link` gives a person the link that a notice would bring.
"""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
from confluent_kafka import Consumer, TopicPartition
from pydantic import SecretStr

from milepost.codec import records
from milepost.codec.json_forms import event_from_json
from milepost.contract import to_wire
from milepost.core.calendar import instant_text
from milepost.core.events import ClockTick
from milepost.core.outputs import ApprovalRequest, InvoiceLine
from milepost.demo.pipeline import Pipeline
from milepost.demo.play import apply_topics
from milepost.gateway.doors import Doors, now
from milepost.kafka.publishing import Publisher
from milepost.settings import Settings
from milepost.sql.links import Link
from milepost.sql.occurrences import ASKING
from milepost.sql.reading import LedgerReading
from tests.gateway.serving import Served, serving, sqlite
from tests.store.samples import PDF

SECRET = "a secret that is long enough for links"
WAIT_S = 60.0

PROTOCOL: list[Any] = [("evidence:acceptance_protocol", ("protocol.pdf", PDF, "application/pdf"))]
"""What the client's step of `build` asks for, as a browser sends it."""

CONTRACT: dict[str, Any] = {
    "milepost": 1,
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
    """The pipeline and the gateway; tests keep apart by engagements of their own (`case`)."""

    def __init__(self, served: Served, pipeline: Pipeline, publisher: Publisher) -> None:
        self.served, self.pipeline, self._publisher = served, pipeline, publisher
        self.ledger, self.watch = LedgerReading(served.doors.engine), Watch(served.doors.settings)

    async def case(self, contract: dict[str, Any] = CONTRACT) -> "Case":
        """A new engagement under a contract, open and known to the ledger."""
        case = Case(self, f"erp-{uuid.uuid4().hex[:8]}")
        await case.change("OPENED", {**contract, "engagement": case.engagement}, "2026-01-01T00:00:00Z")
        await self.until(lambda: bool(self.ledger.statuses(case.engagement)))
        return case

    async def tick(self, at: int) -> None:
        """Let the clock say what time it is, to everybody."""
        await self.send("clock-ticks", ClockTick(at))

    async def send(self, topic: str, event: Any) -> None:
        """Send one event and wait until the join has it."""

        def send() -> Any:
            self._publisher.send(topic, event)
            return self._publisher.flush()

        await self.pipeline.folded(await asyncio.to_thread(send))

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until the ledger's database is as wanted."""
        until = time.monotonic() + WAIT_S
        while not await asyncio.to_thread(holds):
            self.pipeline.check()
            assert time.monotonic() < until, "the ledger never got there"
            await asyncio.sleep(0.05)


class Watch:
    """Everything on the topic of decisions; one reader for all tests, because each takes seconds to begin."""

    def __init__(self, settings: Settings) -> None:
        self._topic, self._found = settings.topic("approvals"), dict[int, list[Any]]()
        self._consumer = Consumer(
            {"bootstrap.servers": settings.bootstrap_servers, "group.id": "watch", "enable.auto.commit": False,
             "fetch.wait.max.ms": 20}
        )  # fmt: skip

    def events(self) -> list[Any]:
        """All that is there now."""
        if not self._found:
            numbers = self._consumer.list_topics(self._topic, timeout=WAIT_S).topics[self._topic].partitions
            self._found = {number: [] for number in numbers}
            self._consumer.assign([TopicPartition(self._topic, number, 0) for number in numbers])
        ends = {
            number: self._consumer.get_watermark_offsets(TopicPartition(self._topic, number), timeout=WAIT_S)[1]
            for number in self._found
        }
        while any(len(self._found[number]) < end for number, end in ends.items()):
            message = self._consumer.poll(WAIT_S)
            assert message is not None, f"{self._topic} ends before {ends}"
            number, value = message.partition(), message.value()
            assert number is not None
            assert value is not None
            self._found[number].append(records.read("approvals", value))
        return [event for known in self._found.values() for event in known]

    def close(self) -> None:
        self._consumer.close()


class Case:
    """One engagement, and what a test wants of it."""

    def __init__(self, work: Approving, engagement: str) -> None:
        self.work, self.engagement = work, engagement
        self.served, self.ledger = work.served, work.ledger

    async def change(self, change: str, contract: dict[str, Any] | None = None, at: str | None = None) -> None:
        """What happens to the engagement itself; a contract is given whole."""
        value = {"event_id": uuid.uuid4().hex, "source": "crm", "engagement_id": self.engagement, "change": change,
                 "occurred_at": at or now_text(), "actor": "jonas",
                 "contract": None if contract is None else to_wire(json.dumps(contract))}  # fmt: skip
        await self.work.send("engagements", event_from_json("engagements", value))

    async def report(self, milestone: str, **more: Any) -> None:
        """Report a milestone now, as the supplier's system would."""
        value = {"event_id": uuid.uuid4().hex, "source": "jira", "engagement_id": self.engagement,
                 "milestone_id": milestone, "kind": "REPORTED", "occurred_at": now_text(),
                 "reported_by": "jonas"}  # fmt: skip
        await self.work.send("milestone-events", event_from_json("milestone-events", value | more))

    async def request(self, milestone: str, role: str, kind: str | None = None, submission: int = 1) -> ApprovalRequest:
        """The newest request of a role, once it is of that kind (default: one that asks)."""
        found: list[ApprovalRequest] = []

        def there() -> bool:
            found[:] = [
                one
                for one in self.ledger.requests(self.engagement)
                if (one.milestone_id, one.role, one.submission) == (milestone, role, submission)
            ]
            return bool(found) and (found[-1].kind == kind if kind else found[-1].kind in ASKING)

        await self.work.until(there)
        return found[-1]

    async def link(self, milestone: str, role: str, person: str, submission: int = 1) -> str:
        """The address of a person's link, without the host."""
        request = await self.request(milestone, role, submission=submission)
        doors = self.served.doors
        return f"/approve/{doors.links.issue(request, person, doors.now()).token}"

    async def line(self, milestone: str) -> InvoiceLine:
        """The only line of a milestone, once it is there."""
        await self.work.until(lambda: any(one.milestone_id == milestone for one in self.lines()))
        (line,) = [one for one in self.lines() if one.milestone_id == milestone]
        return line

    def lines(self) -> list[InvoiceLine]:
        """What was billed."""
        return self.ledger.lines(self.engagement)

    async def sign(
        self, link: str, decision: str = "approve", files: Any = None, headers: Any = None, **fields: str
    ) -> httpx2.Response:
        """What a browser sends."""
        parts = [(name, (None, value)) for name, value in {"decision": decision, "comment": "", **fields}.items()]
        return await self.served.ask("POST", link, files=[*parts, *(files or [])], headers=headers or {})

    async def decisions(self) -> list[Any]:
        """The decisions on the topic that are about this engagement."""
        found = await asyncio.to_thread(self.work.watch.events)
        return [event for event in found if event.engagement_id == self.engagement]

    def used_links(self, milestone: str) -> list[Link]:
        """The links by which something was decided."""
        return self.served.doors.links.decided(self.engagement, milestone, None)


@contextmanager
def doors_of(case: Case, **changes: Any) -> Iterator[Doors]:
    """The gateway with other means, for a while."""
    state = case.served.app.state
    state.doors = replace(case.served.doors, **changes)
    try:
        yield state.doors
    finally:
        state.doors = case.served.doors


def said(answer: httpx2.Response) -> str:
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return " | ".join(texts(answer.text))


def now_text() -> str:
    """Now, as events say it; two in a second are two."""
    return instant_text(now())


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
            work = Approving(served, pipeline, publisher)
            yield work
            await asyncio.to_thread(work.watch.close)


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
