"""A seeded workload: engagements with their contracts, and the events that bill them, in an order Kafka might give.

Every engagement has a story, its events in the order of their own times. `arrivals` shuffles many stories into one
stream: each topic of an engagement keeps its order, everything else overtakes everything else, and some events come
again. Whatever the seed, the same lines must come out (rule 12): a story has no correction, so that even the line ids
are the same in every interleaving; which amounts of one engagement are withheld from which line is left to the order.
"""

import json
import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from milepost.core.events import (
    ApprovalDecision,
    ClockTick,
    EngagementEvent,
    Event,
    Evidence,
    KpiEvent,
    MilestoneEvent,
)

__all__ = ["Arrival", "Workload", "arrivals", "story"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_START = datetime(2026, 1, 5, 8, tzinfo=UTC)
# After the last date that a contract waits for; a story is over by then.
_END = datetime(2026, 6, 1, tzinfo=UTC)
# How many engagements are under way at the same time: enough to spread over partitions, few enough to end.
_UNDER_WAY = 200
# An event that comes again does so at once, or after a while.
_AGAIN_AFTER = (0, 1, 5, 500)


class Arrival(NamedTuple):
    """An event on its way to a topic. A tick goes to every partition."""

    topic: str
    event: Event


@dataclass(frozen=True)
class Workload:
    """What is generated. `repeats` is the share of events that come twice, `ticks` the number of clock ticks."""

    seed: int
    engagements: int
    repeats: float = 0.12
    ticks: int = 20


def _instant(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _contract(name: str, draw: random.Random) -> dict[str, Any]:
    """Five milestones: plain, behind a KPI, behind another milestone, in two parts, and from a date on."""
    fees = [f"{draw.randrange(1_000, 90_000)}.{draw.randrange(100):02}" for _ in range(5)]
    plain = {"requires": ["completed"], "approval": "dual"}
    found: dict[str, Any] = {
        "milepost": 1,
        "engagement": name,
        "version": 1,
        "customer": {"id": f"customer-{draw.randrange(50)}"},
        "supplier": {"id": "northwind"},
        "currency": "EUR",
        "value": "500000.00",
        "timezone": "Europe/Berlin",
        "effective_from": "2026-01-01",
        "people": {"lead": ["maria", "anna"], "ap": ["ana", "bob"]},
        "approvals": {"dual": {"steps": [{"role": "lead"}, {"role": "ap"}]}},
        "milestones": [
            {
                "id": "m1",
                "name": "Assessment",
                "fee": {"fixed": fees[0]},
                **plain,
                "requires": ["completed", {"evidence": ["report"]}],
            },
            {
                "id": "m2",
                "name": "Pilot",
                "fee": {"fixed": fees[1]},
                **plain,
                "requires": ["completed", {"kpi": {"id": "pass_rate", "at_least": "0.85"}}],
            },
            {"id": "m3", "name": "Roll-out", "fee": {"fixed": fees[2]}, **plain, "depends_on": ["m1"]},
            {"id": "m4", "name": "Migration", "fee": {"fixed": fees[3]}, **plain, "partial": ["60", "100"]},
            {"id": "m5", "name": "Support", "fee": {"fixed": fees[4]}, **plain, "depends_on": [{"date": "2026-03-02"}]},
        ],
    }
    retention = draw.choice(
        [None, {"rate": "10"}, {"rate": "5", "cap": {"percent_of_value": "2", "basis": "original"}}]
    )
    if retention is not None:
        found["retention"] = {**retention, "release": [{"when": "signoff"}]}
    return found


class _Story:
    """An engagement's events as they are told; its clock only moves forward."""

    def __init__(self, name: str, draw: random.Random) -> None:
        self.name, self.draw, self.told = name, draw, list[Arrival]()
        self.clock = _START + timedelta(minutes=draw.randrange(10_000))

    def later(self) -> int:
        self.clock += timedelta(minutes=self.draw.randrange(1, 600))
        return _instant(self.clock)

    def tell(self, topic: str, record: Any, /, **fields: Any) -> None:
        identity = {"event_id": f"{self.name}-{len(self.told)}", "source": "sim", "engagement_id": self.name}
        self.told.append(Arrival(topic, record(**identity, **fields)))

    def claim(self, milestone: str, completion: str = "100") -> None:
        """A report with its evidence, and both signatures."""
        digest = f"{self.draw.getrandbits(256):064x}"
        document = Evidence("report", "application/pdf", 1_000 + len(self.told), digest, "s3://reports/1")
        self.tell(
            "milestone-events",
            MilestoneEvent,
            milestone_id=milestone,
            kind="REPORTED",
            occurred_at=self.later(),
            completion=completion,
            reported_by="otto",
            evidence=(document,),
        )
        for role, people in self.draw.sample([("lead", ("maria", "anna")), ("ap", ("ana", "bob"))], 2):
            self.tell(
                "approvals",
                ApprovalDecision,
                milestone_id=milestone,
                role=role,
                approver=self.draw.choice(people),
                decision="APPROVED",
                decided_at=self.later(),
            )


def story(workload: Workload, number: int) -> list[Arrival]:
    """The events of engagement `number`, in the order of their own times; two in three end with a sign-off."""
    draw = random.Random(f"{workload.seed}/{number}")
    telling = _Story(f"eng-{number:06}", draw)
    contract = json.dumps(_contract(telling.name, draw))
    telling.tell("engagements", EngagementEvent, change="OPENED", occurred_at=_instant(_START), contract=contract)
    for milestone in draw.sample(["m1", "m2", "m3", "m4", "m5"], 5):
        if milestone == "m4":
            telling.claim(milestone, "60")
        telling.claim(milestone)
        if milestone == "m2":
            for value in ("0.80", "0.849999", draw.choice(["0.85", "0.9"])):
                at = telling.later()
                telling.tell("kpi-events", KpiEvent, kpi_id="pass_rate", value=value, observed_at=at)
    if number % 3:
        telling.clock = max(telling.clock, _END - timedelta(days=30))
        at = telling.later()
        telling.tell("engagements", EngagementEvent, change="SIGNED_OFF", occurred_at=at, actor="carol")
    return telling.told


def ticks(workload: Workload) -> list[Arrival]:
    """The clock, from the first event to after the last date, in equal steps."""
    step = (_END - _START) / max(1, workload.ticks - 1)
    return [Arrival("clock-ticks", ClockTick(at=_instant(_START + step * n))) for n in range(workload.ticks)]


def arrivals(workload: Workload) -> Iterator[Arrival]:
    """All stories as one stream. Deterministic; the last arrival is the last tick."""
    draw = random.Random(f"{workload.seed}/arrivals")
    clock = deque(ticks(workload))
    # A tick about every so many arrivals, spread over the whole stream by the number of engagements begun.
    every = max(1, workload.engagements // max(1, workload.ticks - 1))
    under_way: list[dict[str, deque[Arrival]]] = []
    repeats: deque[tuple[int, Arrival]] = deque()
    begun = place = 0
    while under_way or begun < workload.engagements:
        while len(under_way) < _UNDER_WAY and begun < workload.engagements:
            under_way.append(_by_topic(story(workload, begun)))
            begun += 1
            if begun % every == 0 and len(clock) > 1:
                yield clock.popleft()
        which = draw.randrange(len(under_way))
        topics = under_way[which]
        topic = draw.choice(list(topics))
        arrival = topics[topic].popleft()
        yield arrival
        place += 1
        if draw.random() < workload.repeats:
            repeats.append((place + draw.choice(_AGAIN_AFTER), arrival))
        if not topics[topic]:
            del topics[topic]
        if not topics:
            under_way[which] = under_way[-1]
            under_way.pop()
        for _ in range(len(repeats)):
            due, repeated = repeats.popleft()
            if due <= place:
                yield repeated
            else:
                repeats.append((due, repeated))
    yield from (repeated for _, repeated in repeats)
    yield from clock


def _by_topic(told: Sequence[Arrival]) -> dict[str, deque[Arrival]]:
    topics: dict[str, deque[Arrival]] = {}
    for arrival in told:
        topics.setdefault(arrival.topic, deque()).append(arrival)
    return topics
