"""One engagement while one event is folded: its parts, loaded as they are needed, and the outputs raised so far."""

from milepost.core import ids, money
from milepost.core.calendar import END_OF_TIME, instant_text, start_of_day
from milepost.core.contract import DateGate, Gate, KpiGate, MilestoneGate
from milepost.core.entitlement import Assessment, assess
from milepost.core.events import ClockTick, Event, Evidence, KpiEvent, Received, RegulatorDecision, UsageEvent
from milepost.core.facts import (
    Account,
    KpiFacts,
    Occurrence,
    account_key,
    clock_key,
    contract_key,
    kpi_key,
    occurrence_key,
)
from milepost.core.outputs import AuditEntry, Output
from milepost.core.parts import Staged
from milepost.core.rules import kpis, spans
from milepost.core.rules.spans import Span
from milepost.core.terms import Terms, compiled

__all__ = ["Engagement", "cause_of", "dated"]


def dated(event: Event) -> int:
    """The event's own time."""
    if isinstance(event, ClockTick):
        return event.at
    if isinstance(event, KpiEvent):
        return event.observed_at
    if isinstance(event, UsageEvent):
        return event.started_at
    if isinstance(event, RegulatorDecision):
        return event.decided_at
    return event.decided_at if hasattr(event, "decided_at") else event.occurred_at


def cause_of(event: Event) -> str:
    """How an event is named in `caused_by`: source/event_id, or tick:<at>."""
    return f"tick:{instant_text(event.at)}" if isinstance(event, ClockTick) else f"{event.source}/{event.event_id}"


class Engagement:
    """The parts of one engagement, and what this event raises."""

    def __init__(self, staged: Staged, name: str, received: Received) -> None:
        self.staged = staged
        self.name = name
        self.received = received
        self.at = dated(received.event)
        self.cause = cause_of(received.event)
        self.outputs: list[Output] = []
        self.account = staged.load(account_key(name), Account) or Account()
        self.terms: Terms | None = None
        self._occurrences: dict[str, Occurrence] = {}
        self._forces: dict[KpiGate, list[kpis.InForce]] = {}
        self.load_terms()

    def load_terms(self) -> None:
        """Read the contract in force, if the engagement is open."""
        if self.account.version:
            encoded = self.staged.raw(contract_key(self.name, self.account.version))
            assert encoded is not None, f"{self.name}: the state has no contract version {self.account.version}"
            self.terms = compiled(encoded)

    @property
    def agreed(self) -> Terms:
        """The terms in force of an engagement that is open."""
        assert self.terms is not None
        return self.terms

    @property
    def until(self) -> int:
        """The last instant whose facts count: the termination, if there was one."""
        return END_OF_TIME if self.account.terminated_at is None else self.account.terminated_at

    @property
    def last_tick(self) -> int:
        """The partition's clock: the last tick, or the beginning of time."""
        tick = self.staged.load(clock_key(), int)
        return -END_OF_TIME if tick is None else tick

    def occurrence(self, milestone: str, occurrence: str | None = None) -> Occurrence:
        """The part of an occurrence; a new one until it is saved."""
        part = self._occurrences.get(milestone)
        if part is None:
            key = occurrence_key(self.name, milestone, occurrence)
            part = self._occurrences[milestone] = self.staged.load(key, Occurrence) or Occurrence()
        return part

    def save_occurrence(self, milestone: str, part: Occurrence, occurrence: str | None = None) -> None:
        """Write the part with this batch."""
        self.staged.save(occurrence_key(self.name, milestone, occurrence), part)

    def kpi(self, kpi: str) -> KpiFacts:
        """The values of a KPI; none until one is saved."""
        return self.staged.load(kpi_key(self.name, kpi), KpiFacts) or KpiFacts()

    def save(self) -> None:
        """Write the account with this batch."""
        self.staged.save(account_key(self.name), self.account)

    def evidence(self) -> tuple[Evidence, ...]:
        """What the event itself carries."""
        return () if isinstance(self.received.event, ClockTick) else self.received.event.evidence

    def forces(self, gate: KpiGate) -> list[kpis.InForce]:
        """The values that are in force for a gate one after another, the event's own included."""
        found = self._forces.get(gate)
        if found is None:
            found = kpis.in_force(gate, self.kpi(gate.id).values, self.agreed.zone, self.until)
            self._forces[gate] = found
        return found

    def gate_spans(self, gate: Gate) -> tuple[Span, ...]:
        """When a gate holds; gates that look at the occurrence's own reports hold always here."""
        if isinstance(gate, KpiGate):
            return kpis.spans(gate, self.forces(gate))
        if isinstance(gate, DateGate):
            since = start_of_day(gate.on, self.agreed.zone)
            return ((since, END_OF_TIME),) if since <= min(self.last_tick, self.until) else spans.NEVER
        if isinstance(gate, MilestoneGate):
            return _accepted_spans(gate, self.occurrence(gate.milestone).accepted)
        return spans.ALWAYS

    def assess(self, milestone: str) -> Assessment:
        """What follows from the facts of the milestone's occurrence."""
        terms = self.agreed
        part, definition = self.occurrence(milestone), terms.milestones[milestone]
        requires: tuple[Span, ...] = spans.ALWAYS
        for gate in definition.requires:
            requires = spans.both(requires, self.gate_spans(gate))
        depends: tuple[Span, ...] = spans.ALWAYS
        for gate in definition.depends_on:
            depends = spans.both(depends, self.gate_spans(gate))
        # nothing is claimed before the contract takes effect, not even where no gate names a time
        requires = spans.both(requires, ((terms.starts_at, END_OF_TIME),))
        return assess(
            definition,
            terms.policies[milestone],
            None,
            terms.holds_role,
            requires,
            depends,
            part.reports,
            part.decisions,
            self.until,
        )

    def audit(self, what: str, reason: str | None = None, line_id: str | None = None) -> None:
        """Add a link to the engagement's hash chain."""
        event, account = self.received.event, self.account
        account.sequence += 1
        entry = {
            "engagement_id": self.name,
            "sequence": account.sequence,
            "what": what,
            "reason": reason,
            "event_id": None if isinstance(event, ClockTick) else event.event_id,
            "input_topic": None if self.received.offset is None else self.received.topic,
            "input_partition": self.received.partition,
            "input_offset": self.received.offset,
            "line_id": line_id,
            "occurred_at": instant_text(self.at),
            "recorded_at": instant_text(self.received.recorded_at),
            "previous_hash": account.head,
        }
        previous, account.head = account.head, ids.digest(entry)
        self.outputs.append(
            AuditEntry(
                engagement_id=self.name,
                sequence=account.sequence,
                what=what,
                reason=reason,
                event_id=None if isinstance(event, ClockTick) else event.event_id,
                input_topic=None if self.received.offset is None else self.received.topic,
                input_partition=self.received.partition,
                input_offset=self.received.offset,
                line_id=line_id,
                occurred_at=self.at,
                recorded_at=self.received.recorded_at,
                previous_hash=previous,
                hash=account.head,
            )
        )


def _accepted_spans(gate: MilestoneGate, accepted: list[tuple[int, str]]) -> tuple[Span, ...]:
    found: list[Span] = []
    for i, (since, level) in enumerate(accepted):
        if money.percent(level) >= money.percent(gate.at_least):
            until = accepted[i + 1][0] if i + 1 < len(accepted) else END_OF_TIME
            if found and found[-1][1] == since:
                found[-1] = (found[-1][0], until)
            else:
                found.append((since, until))
    return tuple(found)
