"""Random engagements: contracts of the supported language and events that collide on purpose.

Few people, few instants and few values, so that things happen at the same moment, in the wrong order and twice. A
seed gives the same engagement always.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from random import Random
from typing import Any

import msgspec

from milepost.core.contract import Contract, Fixed, KpiGate, Milestone, Policy, RateCard, Step, Success
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
from milepost.core.fold import Received
from milepost.sim.oracle_facts import AMENDMENT, SIGNOFF, Key
from milepost.sim.oracle_gates import leaves
from milepost.sim.oracle_votes import Content, claim_hash
from tests.properties import amended, disputed, hours
from tests.properties.contracts import PEOPLE, ROLES, Chooser
from tests.properties.features import FILINGS, OCCURRENCES, PERIODS, REGULATORS

TOPICS = {
    EngagementEvent: "engagements",
    MilestoneEvent: "milestone-events",
    KpiEvent: "kpi-events",
    ApprovalDecision: "approvals",
    ClockTick: "clock-ticks",
    RegulatorDecision: "regulator-acceptances",
    UsageEvent: "usage-events",
    DisputeEvent: "dispute-events",
}

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

    def versions(self) -> list[Contract]:
        """The contract and what its amendments propose, taken or not."""
        proposed = [event.terms for event in self.topics["engagements"] if isinstance(event, EngagementEvent)]
        return [terms for terms in proposed if terms is not None]

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
    """The engagement of a seed. `only`: features to leave out, as `signoff=False`; groups `without`, and `always`."""
    return Maker(Random(seed), only).make(seed)


class Maker(Chooser):
    """The events of one engagement."""

    def __init__(self, rng: Random, only: dict[str, Any]) -> None:
        super().__init__(rng, only)
        self.events = 0
        self.by_period = self.chance(70)  # what revenue is told by: to mix both is to compare apples with pears
        self.reported: dict[Key, list[int]] = {}  # occurrence -> when it is reported on: signatures come about then

    def make(self, seed: int) -> Engagement:
        made = Engagement(seed, self.contract())
        made.topics = {
            "engagements": self._engagement_events(made.contract),
            "milestone-events": self._repeated(self._reports(made.contract)),
            "kpi-events": self._repeated(self._values(made.contract)),
            "regulator-acceptances": self._repeated(self._rulings(made.contract)),
            "approvals": self._repeated(self._decisions(made.contract)),
            "clock-ticks": self._ticks(),
            "usage-events": self._repeated(hours.entries(self, made.contract)),
            "dispute-events": self._repeated(disputed.disputes(self, made.contract)),
        }
        made.topics["engagements"] += self._repeated(amended.amendments(self, made.contract))
        return made

    def named(self, **fields: Any) -> dict[str, Any]:
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
            **self.named(change="OPENED", occurred_at=first, contract='{"milepost": 1}', terms=contract)
        )
        events: list[Event] = []
        if self.allowed("signoff", 60):
            events += [
                EngagementEvent(**self.named(change="SIGNED_OFF", occurred_at=self.moment(), actor=person))
                for person in self.rng.sample(PEOPLE, self.rng.choice((1, 1, 2)))
            ]
        if self.allowed("terminated", 8):
            terminated = EngagementEvent(**self.named(change="TERMINATED", occurred_at=self.moment()))
            events.insert(self.rng.randrange(len(events) + 1), terminated)
        elif self.features.has("deadlines", 40) and self.only.get("suspended_at_the_end", True):
            events += self._pauses()
        elif self.allowed("suspended", 15):
            place = self.rng.randrange(len(events) + 1)
            changes = [EngagementEvent(**self.named(change="SUSPENDED", occurred_at=first))]
            if self.allowed("suspended_at_the_end", 20) is False and last > first:
                changes.append(EngagementEvent(**self.named(change="RESUMED", occurred_at=last)))
            elif not self.only.get("suspended_at_the_end", True):
                changes = []
            events[place:place] = changes
        if self.chance(5):
            events.append(opened)
        return [opened, *self._repeated(events)]

    def _pauses(self) -> list[Event]:
        """Time stands still once or twice, as a rule in the order of the dates; now and then to the end."""
        pauses = self.rng.choice((1, 1, 2))
        dates = [self.moment() for _ in range(2 * pauses - self.chance(15))]
        if self.chance(85):
            dates.sort()
        changes = ("SUSPENDED", "RESUMED") * pauses
        return [
            EngagementEvent(**self.named(change=change, occurred_at=at))
            for change, at in zip(changes, dates, strict=False)
        ]

    def _reports(self, contract: Contract) -> list[Event]:
        rng = self.rng
        events: list[Event] = []
        for milestone in contract.milestones:
            for occurrence in OCCURRENCES[milestone.repeats]:
                times = [self.moment() for _ in range(rng.choice((1, 1, 2, 3) if self.calm else (0, 1, 1, 2, 2, 3, 4)))]
                if self.calm or self.chance(80):
                    times.sort()
                self.reported[(milestone.id, occurrence)] = times
                events += [self._report(milestone, occurrence, place, at) for place, at in enumerate(times)]
        if not self.calm and self.chance(70):
            rng.shuffle(events)
        return events

    def _report(self, milestone: Milestone, occurrence: str | None, place: int, at: int) -> Event:
        rng = self.rng
        kinds = ("REPORTED",) if place == 0 else ("REPORTED", "REPORTED", "CORRECTED", "CORRECTED", "WITHDRAWN")
        return MilestoneEvent(
            **self.named(
                milestone_id=milestone.id if not self.chance(2) else "unknown",
                occurrence_id=occurrence if not self.chance(2) else rng.choice((None, "2026-03")),
                kind=rng.choice(kinds) if not self.chance(3) else rng.choice(("CORRECTED", "WITHDRAWN")),
                occurred_at=at,
                completion=self._completion(milestone),
                reported_by=rng.choice((None, None, *PEOPLE[:2])),
                evidence=tuple(rng.sample(_DOCUMENTS, rng.choice((0, 1, 1, 2))))
                if self.chance(25 if self.calm else 40)
                else _DOCUMENTS[:1],
                attributes=self.features.attributes() if isinstance(milestone.fee, RateCard) else {},
            )
        )

    def _completion(self, milestone: Milestone) -> str:
        if milestone.partial_any or milestone.tiers != ("100",):
            return self.rng.choice(("50", "60", "75.5", "90", "95", "100", "100.0"))
        return self.rng.choice(("100", "100", "100", "100", "90"))

    def _values(self, contract: Contract) -> list[Event]:
        rng = self.rng
        gates = [gate for m in contract.milestones for gate in leaves(m.requires + m.depends_on)]
        used = {gate.id for gate in gates if isinstance(gate, KpiGate)}
        used |= {m.fee.kpi for m in contract.milestones if isinstance(m.fee, Success)}
        used |= {m.clawback.when.id for m in contract.milestones if m.clawback is not None}
        events: list[Event] = []
        for name in sorted(used):
            events += [self._value(name) for _ in range(rng.choice((1, 2, 3, 5)))]
        if self.chance(10):
            events.append(KpiEvent(**self.named(kpi_id="unused", value="1", observed_at=self.moment())))
        return events

    def _value(self, name: str) -> Event:
        rng = self.rng
        starts, ends = rng.choice(PERIODS if name == "uptime" else PERIODS[:3])
        by_period = name in ("monthly", "uptime") or (name == "revenue" and self.by_period)
        amounts = ("900", "1000", "1200", "1500", "1500.000", "2000", "3000", "1000.004", "1250.055")
        shares = ("0.85", "0.850", "0.9", "0.9", "0.9", "0.88", "0.849999", "0.95")
        return KpiEvent(
            **self.named(
                kpi_id=name,
                value=rng.choice(amounts if name == "revenue" else shares),
                observed_at=self.moment(),
                unit=rng.choice((None, "P1", "P1")),
                revision=rng.choice((1, 1, 1, 2, 3)),
                status=rng.choice(("FINAL", "FINAL", "PROVISIONAL")),
                **({"period_start": starts, "period_end": ends} if by_period else {}),
            )
            | {"source": rng.choice(("grafana", "grafana", "finance"))}
        )

    def _rulings(self, contract: Contract) -> list[Event]:
        """Regulators' decisions; their order and dates may disagree, and confirmation ids come twice."""
        rng = self.rng
        if "regulators" not in self.features.groups:
            return []
        events: list[Event] = []
        for filing in FILINGS:
            named = rng.choice([None, *(m.id for m in contract.milestones)])
            for regulator in REGULATORS:
                times = [self.moment() for _ in range(rng.choice((0, 1, 2, 2, 4)))]
                if not self.features.has("conflicts"):
                    times = list(dict.fromkeys(times))
                if self.calm or self.chance(70):
                    times.sort()
                numbered = self.chance(60)
                events += [
                    self._ruling(filing, regulator, named, place if numbered else None, at)
                    for place, at in enumerate(times, 1)
                ]
        if not self.calm:
            rng.shuffle(events)
        return events

    def _ruling(self, filing: str, regulator: str, named: str | None, place: int | None, at: int) -> Event:
        rng = self.rng
        good = rng.choice(("ACCEPTED", "ACCEPTED", "ACCEPTED", "VALIDATED", "RECEIVED"))
        confirmation: str | None = f"{filing}-{regulator}-{self.events}"
        if self.chance(8):
            confirmation = "C"
        elif self.features.has("conflicts", 8):
            confirmation = None
        sequence = None if place is None or self.chance(10) else place if not self.chance(15) else rng.choice((1, 2))
        return RegulatorDecision(
            **self.named(
                filing_id=filing,
                regulator=regulator,
                decision=good if not self.chance(25) else rng.choice(("REJECTED", "REVOKED")),
                decided_at=at,
                confirmation_id=confirmation,
                sequence=sequence,
                milestone_id=named,
            )
        )

    def _decisions(self, contract: Contract) -> list[Event]:
        rng = self.rng
        events: list[Event] = []
        for milestone in contract.milestones:
            for occurrence in OCCURRENCES[milestone.repeats]:
                if milestone.approval is not None:
                    policy = contract.policies[milestone.approval]
                    events += self._decisions_on(contract, milestone, occurrence, policy)
        for name, approval in ((SIGNOFF, contract.signoff_approval), (AMENDMENT, contract.amendments_approval)):
            if approval is not None:
                claim = Milestone(name, name, Fixed(0), (), approval)
                occurrence = rng.choice((None, "2", "2", "3")) if name == AMENDMENT else None
                events += self._decisions_on(contract, claim, occurrence, contract.policies[approval])
        if self.chance(15 if self.calm else 40):
            rng.shuffle(events)
        elif self.chance(50):
            events.sort(key=lambda event: event.decided_at)  # type: ignore[union-attr]
        return events

    def _decisions_on(
        self, contract: Contract, milestone: Milestone, occurrence: str | None, policy: Policy
    ) -> list[Event]:
        rng = self.rng
        events: list[Event] = []
        taken: set[str] = set()
        for step in policy.steps:
            signers = rng.sample(PEOPLE, rng.choice((1, 2, 3)))
            holders = [person.id for person in contract.people[step.role]]
            if self.calm or self.chance(80):
                free = [person for person in holders if person not in taken] or holders
                signers = rng.sample(free, min(len(free), step.quorum + self.chance(20)))
                taken.update(signers)
            for _ in range(rng.choice((1, 1, 2, 3))):
                at = rng.choice(self.reported.get((milestone.id, occurrence)) or self.instants)
                place = self.instants.index(at) + rng.choice((-1, 0, 0, 1, 1, 1, 2, 5))
                place = max(0, min(place, len(self.instants) - 1))
                events += [self._decision(milestone, occurrence, step, p, self.instants[place]) for p in signers]
        return events

    def _decision(self, milestone: Milestone, occurrence: str | None, step: Step, person: str, at: int) -> Event:
        rng = self.rng
        return ApprovalDecision(
            **self.named(
                milestone_id=milestone.id,
                occurrence_id=occurrence,
                role=step.role if not self.chance(5) else rng.choice(ROLES),
                approver=person,
                decision="APPROVED"
                if not self.chance(5 if self.calm else 15)
                else rng.choice(("REJECTED", "WITHDRAWN")),
                decided_at=at if not self.chance(10) else self.moment(),
                submission=rng.choice((1, 2)) if self.allowed("named", 8) else None,
                submission_hash=self._hash(milestone, occurrence) if self.allowed("named", 6) else None,
                certified_completion=rng.choice(("60", "95", "90", "50")) if self.allowed("certified", 8) else None,
                evidence=tuple(rng.sample(_DOCUMENTS, rng.choice((0, 1, 2, 3)))) if step.evidence else (),
            )
        )

    def _hash(self, milestone: Milestone, occurrence: str | None) -> str:
        """Of a claim that may come about, or of none."""
        claim = Fraction(self._completion(milestone))
        hashes = tuple(sorted(item.sha256 for item in self.rng.choice((_DOCUMENTS[:1], _DOCUMENTS[:1], _DOCUMENTS))))
        return (
            claim_hash(milestone.id, occurrence, Content(claim, hashes, criteria=milestone.criteria))
            if self.chance(85)
            else "0" * 64
        )

    def _ticks(self) -> list[Event]:
        ticks: list[Event] = [
            ClockTick(self.moment()) for _ in range(self.rng.choice((2, 3, 4) if self.calm else (0, 1, 2, 4)))
        ]
        if self.features.groups & {"hours", "moments", "deadlines"}:
            far = [ClockTick(self.at(day, 9)) for day in hours.RUNS]
            ticks = sorted([*ticks, *self.rng.sample(far, self.rng.choice((1, 2, 3)))], key=lambda tick: tick.at)
        return ticks
