"""Random engagements: contracts of the supported language and events that collide on purpose.

Few people, few instants and few values, so that things happen at the same moment, in the wrong order and twice. A
seed gives the same engagement always; `engagements()` is the same thing as a Hypothesis strategy.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import strategies as st

from milepost.core.contract import (
    Cap,
    Completed,
    Contract,
    DateGate,
    EvidenceGate,
    Fixed,
    Gate,
    KpiGate,
    Milestone,
    MilestoneGate,
    PercentOfValue,
    Person,
    Policy,
    Release,
    Retention,
    Step,
)
from milepost.core.events import (
    ApprovalDecision,
    ClockTick,
    EngagementEvent,
    Event,
    Evidence,
    KpiEvent,
    MilestoneEvent,
)
from milepost.core.fold import Received

TOPICS = {
    EngagementEvent: "engagements",
    MilestoneEvent: "milestone-events",
    KpiEvent: "kpi-events",
    ApprovalDecision: "approvals",
    ClockTick: "clock-ticks",
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_DAY = date(2026, 3, 25)  # the clocks of Berlin change four days later
_PEOPLE = ("ana", "bob", "carol", "dave")
_ROLES = ("lead", "ap", "cfo")
_DOCUMENTS = tuple(
    Evidence(name=name, media_type="application/pdf", size_bytes=1, sha256=digit * 64, uri=f"s3://docs/{digit}")
    for name, digit in (("report", "a"), ("report", "b"), ("minutes", "c"))
)


@dataclass
class Engagement:
    """A contract and, by topic, the events in the order in which that topic has them."""

    seed: int
    contract: Contract
    topics: dict[str, list[Event]] = field(default_factory=dict)

    def interleaved(self, rng: Random, *, opened_first: bool = False) -> list[Event]:
        """All events in a random order that keeps each topic's own."""
        left = {topic: list(events) for topic, events in self.topics.items() if events}
        events: list[Event] = []
        if opened_first:
            events.append(left["engagements"].pop(0))
        while left := {topic: waiting for topic, waiting in left.items() if waiting}:
            # A burst from one topic now and then, as a consumer that lags behind gives it.
            waiting = left[rng.choice(sorted(left))]
            burst = rng.choice((1, 1, 1, 3, 100))
            events += waiting[:burst]
            del waiting[:burst]
        return events


def received(events: list[Event]) -> list[Received]:
    """The events as the fold gets them, one offset each."""
    return [Received(event, TOPICS[type(event)], 0, place, place) for place, event in enumerate(events)]


def engagement(seed: int, **only: Any) -> Engagement:
    """The engagement of a seed. `only`: features to leave out, as `signoff=False`."""
    return _Maker(Random(seed), only).make(seed)


def engagements() -> st.SearchStrategy[Engagement]:
    """Engagements for Hypothesis, which shrinks towards small seeds only."""
    return st.integers(min_value=0, max_value=2**32).map(engagement)


class _Maker:
    def __init__(self, rng: Random, only: dict[str, Any]) -> None:
        self.rng, self.only = rng, only
        self.zone = rng.choice(("Europe/Berlin", "Europe/Berlin", "America/New_York", "Asia/Tokyo"))
        self.instants = self._instants()
        self.events = 0

    def make(self, seed: int) -> Engagement:
        made = Engagement(seed, self._contract())
        made.topics = {
            "engagements": self._engagement_events(made.contract),
            "milestone-events": self._repeated(self._reports(made.contract)),
            "kpi-events": self._repeated(self._values(made.contract)),
            "approvals": self._repeated(self._decisions(made.contract)),
            "clock-ticks": self._ticks(),
        }
        return made

    def chance(self, percent: int) -> bool:
        return self.rng.randrange(100) < percent

    def allowed(self, feature: str, percent: int) -> bool:
        wanted = self.chance(percent)
        return wanted and self.only.get(feature, True) is not False

    # -- time

    def _instants(self) -> list[int]:
        """A handful of moments on a handful of days; midnight is one of them."""
        found = set()
        for _ in range(self.rng.choice((4, 8, 14))):
            day = _FIRST_DAY + timedelta(days=self.rng.randrange(8))
            found.add(self.at(day, self.rng.choice((0, 0, 9, 9, 10, 23))))
        return sorted(found)

    def at(self, day: date, hour: int) -> int:
        local = datetime(day.year, day.month, day.day, hour, tzinfo=ZoneInfo(self.zone))
        return (local - _EPOCH) // timedelta(microseconds=1)

    def moment(self) -> int:
        return self.rng.choice(self.instants)

    # -- the contract

    def _contract(self) -> Contract:
        rng = self.rng
        policies = {
            "dual": Policy((Step("lead"), Step("ap")), self.chance(30), not self.chance(25)),
            "single": Policy((Step(rng.choice(_ROLES)),)),
            "quorum": Policy((Step("ap", 2), *([Step("cfo")] if self.chance(50) else [])), self.chance(30)),
        }
        count = rng.choice((1, 1, 2, 2, 3, 4))
        ids = [f"m{place}" for place in range(1, count + 1)]
        milestones = tuple(self._milestone(ids, place, sorted(policies)) for place in range(count))
        if rng.randrange(3) == 0:
            milestones = tuple(rng.sample(milestones, count))  # what is depended on need not come first
        return Contract(
            engagement="eng",
            version=1,
            customer_id="acme",
            currency=rng.choice(("EUR", "EUR", "JPY", "KWD")),
            currency_exponent=2,
            timezone=self.zone,
            effective_from=_FIRST_DAY + timedelta(days=rng.choice((0, 0, 0, 1))),
            milestones=milestones,
            value_minor=rng.choice((10_000, 10_001, 999_999)),
            rounding=rng.choice(("half_up", "half_even")),
            people=self._people(),
            policies=policies,
            retention=self._retention(),
        )

    def _people(self) -> dict[str, tuple[Person, ...]]:
        people = {role: tuple(Person(name) for name in self.rng.sample(_PEOPLE, 3)) for role in _ROLES}
        if self.chance(20):
            deputy = Person(self.rng.choice(_PEOPLE), _FIRST_DAY + timedelta(days=2), _FIRST_DAY + timedelta(days=4))
            people["ap"] = (*(p for p in people["ap"] if p.id != deputy.id), deputy)
        return people

    def _milestone(self, ids: list[str], place: int, policies: list[str]) -> Milestone:
        rng = self.rng
        amount = rng.choice((0, 1, 333, 100_005, 2_500_000)) if self.chance(60) else 100_005
        partial = rng.choice(("none", "none", "tiers", "any"))
        others = ids[:place]
        return Milestone(
            id=ids[place],
            name=ids[place],
            fee=Fixed(amount) if self.chance(60) else PercentOfValue(rng.choice(("33.33", "25", "12.5"))),
            requires=self._requires(others),
            approval=rng.choice(policies) if self.chance(70) else None,
            criteria=rng.choice((None, "It works: ja, völlig.")),
            depends_on=self._depends_on(others),
            tiers=("60", "90", "100") if partial == "tiers" else ("100",),
            partial_any=partial == "any",
            optional=self.chance(20),
            retained=not self.chance(15),
        )

    def _requires(self, others: list[str]) -> tuple[Gate, ...]:
        gates: list[Gate] = [Completed()] if self.chance(90) else []
        if self.chance(20):
            gates.append(EvidenceGate(("report",)))
        if self.chance(25):
            gates.append(self._kpi_gate())
        if self.chance(10):
            gates.append(self._date_gate())
        if others and self.chance(10):
            gates.append(self._milestone_gate(others))
        return tuple(gates) or (self._kpi_gate(),)

    def _depends_on(self, others: list[str]) -> tuple[Gate, ...]:
        gates: list[Gate] = []
        if others and self.chance(40):
            gates.append(self._milestone_gate(others))
        if self.chance(25):
            gates.append(self._kpi_gate())
        if self.chance(15):
            gates.append(self._date_gate())
        return tuple(gates)

    def _milestone_gate(self, others: list[str]) -> MilestoneGate:
        return MilestoneGate(self.rng.choice(others), self.rng.choice(("100", "100", "60", "50")))

    def _date_gate(self) -> DateGate:
        return DateGate(_FIRST_DAY + timedelta(days=self.rng.randrange(9)))

    def _kpi_gate(self) -> KpiGate:
        rng = self.rng
        bound = rng.choice(({"at_least": "0.85"}, {"above": "0.85"}, {"at_most": "0.9", "at_least": "0.85"}, {}))
        name = rng.choice(("reading", "monthly"))
        periods = name == "monthly"
        return KpiGate(
            id=name,
            status=rng.choice(("any", "any", "final", "provisional")),
            sources=rng.choice(((), (), ("grafana",), ("grafana", "finance"))),
            unit=rng.choice((None, None, None, "P1")),
            period_from=date(2026, 1, 1) if periods and self.chance(20) else None,
            period_to=date(2026, 1, 31) if periods and self.chance(20) else None,
            **bound,
        )

    def _retention(self) -> Retention | None:
        rng = self.rng
        if self.chance(10):
            return None
        cap = rng.choice((None, None, Cap(amount_minor=5_001), Cap(percent_of_value="0.5", basis="original")))
        shares: tuple[str, ...] = rng.choice((("100",), ("50", "50"), ("33", "67"), ()))
        return Retention(
            rate=rng.choice(("10", "5", "7.5")),
            cap=cap,
            exempt=("milestones",) if self.chance(5) else ("time_and_materials",),
            release=tuple(Release(f"r{place}", share) for place, share in enumerate(shares, 1)),
        )

    # -- the events

    def _named(self, **fields: Any) -> dict[str, Any]:
        self.events += 1
        return {"event_id": f"e{self.events}", "source": "test", "engagement_id": "eng", **fields}

    def _repeated(self, events: list[Any]) -> list[Event]:
        """Some events again, somewhere later in their topic; sometimes under another id."""
        for event in list(events):
            if self.chance(15):
                place = self.rng.randrange(events.index(event) + 1, len(events) + 1)
                again = msgspec.structs.replace(event, event_id=f"{event.event_id}'") if self.chance(50) else event
                events.insert(place, again)
        return events

    def _engagement_events(self, contract: Contract) -> list[Event]:
        first, last = self.instants[0], self.instants[-1]
        opened = EngagementEvent(
            **self._named(change="OPENED", occurred_at=first, contract='{"milepost": 1}', terms=contract)
        )
        events: list[Event] = []
        if self.allowed("signoff", 45):
            events += [
                EngagementEvent(**self._named(change="SIGNED_OFF", occurred_at=self.moment(), actor=person))
                for person in self.rng.sample(_PEOPLE, self.rng.choice((1, 1, 2)))
            ]
        if self.allowed("terminated", 8):
            terminated = EngagementEvent(**self._named(change="TERMINATED", occurred_at=self.moment()))
            events.insert(self.rng.randrange(len(events) + 1), terminated)
        elif self.allowed("suspended", 15):
            place = self.rng.randrange(len(events) + 1)
            changes = [EngagementEvent(**self._named(change="SUSPENDED", occurred_at=first))]
            if self.allowed("suspended_at_the_end", 20) is False and last > first:
                changes.append(EngagementEvent(**self._named(change="RESUMED", occurred_at=last)))
            elif not self.only.get("suspended_at_the_end", True):
                changes = []
            events[place:place] = changes
        if self.chance(5):
            events.append(opened)
        return [opened, *self._repeated(events)]

    def _reports(self, contract: Contract) -> list[Event]:
        rng = self.rng
        events: list[Event] = []
        for milestone in contract.milestones:
            times = [self.moment() for _ in range(rng.choice((0, 1, 1, 2, 2, 3, 4)))]
            if self.chance(80):
                times.sort()
            for place, at in enumerate(times):
                kinds = ("REPORTED",) if place == 0 else ("REPORTED", "REPORTED", "REPORTED", "CORRECTED", "WITHDRAWN")
                events.append(
                    MilestoneEvent(
                        **self._named(
                            milestone_id=milestone.id if not self.chance(2) else "unknown",
                            kind=rng.choice(kinds) if not self.chance(3) else rng.choice(("CORRECTED", "WITHDRAWN")),
                            occurred_at=at,
                            completion=self._completion(milestone),
                            reported_by=rng.choice((None, None, *_PEOPLE[:2])),
                            evidence=tuple(rng.sample(_DOCUMENTS, rng.choice((0, 1, 1, 2))))
                            if self.chance(40)
                            else _DOCUMENTS[:1],
                        )
                    )
                )
        if self.chance(50):
            rng.shuffle(events)
        return events

    def _completion(self, milestone: Milestone) -> str:
        if milestone.partial_any or milestone.tiers != ("100",):
            return self.rng.choice(("50", "60", "75.5", "90", "95", "100", "100.0"))
        return self.rng.choice(("100", "100", "100", "100", "90"))

    def _values(self, contract: Contract) -> list[Event]:
        rng = self.rng
        used = {g.id for m in contract.milestones for g in m.requires + m.depends_on if isinstance(g, KpiGate)}
        events: list[Event] = []
        for name in sorted(used):
            for _ in range(rng.choice((1, 2, 3, 5))):
                month = rng.choice((1, 2))
                period = {
                    "period_start": date(2026, month, 1),
                    "period_end": date(2026, month, 28 if month == 2 else 31),
                }
                events.append(
                    KpiEvent(
                        **self._named(
                            kpi_id=name,
                            value=rng.choice(("0.85", "0.850", "0.9", "0.9", "0.849999", "0.95")),
                            observed_at=self.moment(),
                            unit=rng.choice((None, "P1", "P1")),
                            revision=rng.choice((1, 1, 1, 2, 3)),
                            status=rng.choice(("FINAL", "FINAL", "PROVISIONAL")),
                            **(period if name == "monthly" else {}),
                        )
                        | {"source": rng.choice(("grafana", "grafana", "finance"))}
                    )
                )
        if self.chance(10):
            events.append(KpiEvent(**self._named(kpi_id="unused", value="1", observed_at=self.moment())))
        return events

    def _decisions(self, contract: Contract) -> list[Event]:
        rng = self.rng
        events: list[Event] = []
        for milestone in contract.milestones:
            if milestone.approval is None:
                continue
            base = rng.randrange(len(self.instants))
            for step in contract.policies[milestone.approval].steps:
                signers = rng.sample(_PEOPLE, rng.choice((1, 2, 3)))
                holders = [person.id for person in contract.people[step.role]]
                if self.chance(80):
                    signers = rng.sample(holders, min(len(holders), step.quorum + self.chance(20)))
                for _ in range(rng.choice((1, 1, 2, 3))):
                    place = min(base + rng.choice((0, 0, 1, 2, 5)), len(self.instants) - 1)
                    events += [self._decision(milestone, step, person, self.instants[place]) for person in signers]
        if self.chance(40):
            rng.shuffle(events)
        elif self.chance(50):
            events.sort(key=lambda event: event.decided_at)  # type: ignore[union-attr]
        return events

    def _decision(self, milestone: Milestone, step: Step, person: str, at: int) -> Event:
        rng = self.rng
        return ApprovalDecision(
            **self._named(
                milestone_id=milestone.id,
                role=step.role if not self.chance(5) else rng.choice(_ROLES),
                approver=person,
                decision="APPROVED" if not self.chance(15) else rng.choice(("REJECTED", "WITHDRAWN")),
                decided_at=at if not self.chance(10) else self.moment(),
                submission=rng.choice((1, 2)) if self.allowed("named", 8) else None,
                submission_hash="0" * 64 if self.allowed("named", 2) else None,
                certified_completion=rng.choice(("60", "95", "90", "50")) if self.allowed("certified", 8) else None,
            )
        )

    def _ticks(self) -> list[Event]:
        return [ClockTick(self.moment()) for _ in range(self.rng.choice((0, 1, 2, 4)))]
