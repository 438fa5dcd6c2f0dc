"""What an independent reading of the rules takes for known: reports, values, decisions, the end of an engagement.

Nothing here is shared with the core but the shapes of contracts and events. Everything is computed again from the whole
list of events, slowly; the point is that it is short enough to compare with the rules sentence by sentence.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from milepost.core.contract import Contract, KpiGate, Milestone
from milepost.core.events import ApprovalDecision, ClockTick, EngagementEvent, Event, KpiEvent, MilestoneEvent

__all__ = ["Facts", "Report", "Value", "day_of", "exact", "reach", "start_of"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000


class Report(NamedTuple):
    """A report that stands: when it holds from, its percentage (0 when withdrawn), and the event itself."""

    at: int
    completion: Fraction
    event: MilestoneEvent


class Value(NamedTuple):
    """The value of a KPI that a gate sees, and since when."""

    value: Fraction
    at: int


@lru_cache(maxsize=4096)
def exact(text: str) -> Fraction:
    """A decimal string as an exact number."""
    return Fraction(text)


@lru_cache(maxsize=4096)
def start_of(day: date, timezone: str) -> int:
    """The first instant of a local day, in microseconds since 1970."""
    local = datetime.combine(day, time(), ZoneInfo(timezone))
    return (local - _EPOCH) // timedelta(microseconds=1)


def day_of(instant: int, timezone: str) -> date:
    """The local day of an instant."""
    return (_EPOCH + timedelta(microseconds=instant)).astimezone(ZoneInfo(timezone)).date()


def reach(milestone: Milestone, completion: Fraction) -> Fraction:
    """The percentage that can bill at this completion: it itself with `partial: any`, else the highest tier reached."""
    if milestone.partial_any:
        return completion
    return max((exact(tier) for tier in milestone.tiers if exact(tier) <= completion), default=Fraction(0))


class Facts:
    """The events of one engagement that count, in the order in which they arrived."""

    def __init__(self, contract: Contract, events: Iterable[Event]) -> None:
        self.contract = contract
        events = list(events)
        opens = self.opens = start_of(contract.effective_from, contract.timezone)
        self.clock = max((event.at for event in events if isinstance(event, ClockTick)), default=None)
        engagement = [e for e in events if isinstance(e, EngagementEvent) and e.occurred_at >= opens]
        self.terminated = next((e.occurred_at for e in engagement if e.change == "TERMINATED"), None)
        self.signed_off = next((e.occurred_at for e in engagement if e.change == "SIGNED_OFF"), None)
        self.reports: dict[str, list[Report]] = {milestone.id: [] for milestone in contract.milestones}
        self.decisions: dict[str, list[ApprovalDecision]] = {milestone.id: [] for milestone in contract.milestones}
        self.values: list[KpiEvent] = []
        said: dict[str, set[object]] = {}
        for event in events:
            if isinstance(event, MilestoneEvent | ApprovalDecision) and event.occurrence_id is not None:
                continue  # nothing repeats in this part of the language
            match event:
                case MilestoneEvent() if event.occurred_at >= opens and event.milestone_id in self.reports:
                    _take_report(self.reports[event.milestone_id], said.setdefault(event.milestone_id, set()), event)
                case ApprovalDecision() if event.decided_at >= opens and event.milestone_id in self.decisions:
                    _take_decision(self.decisions[event.milestone_id], event)
                case KpiEvent() if event.observed_at >= opens:
                    _take_value(self.values, event)
                case _:
                    pass
        if self.terminated is not None:
            self._close(self.terminated)

    def _close(self, at: int) -> None:
        """What is dated after the termination does not count; it did take its place in the order of its kind."""
        for milestone in self.reports:
            self.reports[milestone] = [report for report in self.reports[milestone] if report.at <= at]
            self.decisions[milestone] = [d for d in self.decisions[milestone] if d.decided_at <= at]
        self.values = [value for value in self.values if value.observed_at <= at]

    def report_at(self, milestone: str, at: int) -> Report | None:
        """The report in force: the last one dated by then, whatever its kind."""
        return next((report for report in reversed(self.reports[milestone]) if report.at <= at), None)

    def date_holds(self, day: date, at: int) -> int | None:
        """The start of the day, once it has come and a tick has said so; not before the contract takes effect."""
        starts = start_of(day, self.contract.timezone)
        since = max(starts, self.opens)
        return since if self.clock is not None and starts <= self.clock and since <= at else None

    def value_at(self, gate: KpiGate, at: int) -> Value | None:
        """The value in force for a gate, or None: nothing observed by then, or sources that differ."""
        best: dict[object, KpiEvent] = {}
        for event in self.values:
            if event.kpi_id == gate.id and self._admits(gate, event) and event.observed_at <= at:
                rival = best.get(_key(event))
                if rival is None or _rank(event) > _rank(rival):
                    best[_key(event)] = event
        if not best:
            return None
        latest = max(self._latest(event) for event in best.values())
        named = [event for event in best.values() if self._latest(event) == latest]
        if len({exact(event.value) for event in named}) > 1:
            return None
        return Value(exact(named[0].value), min(event.observed_at for event in named))

    def satisfies(self, gate: KpiGate, at: int) -> int | None:
        """Since when the value in force was observed, if it satisfies every bound of the gate."""
        found = self.value_at(gate, at)
        if found is None:
            return None
        value = found.value
        holds = (
            (gate.at_least is None or value >= exact(gate.at_least))
            and (gate.above is None or value > exact(gate.above))
            and (gate.at_most is None or value <= exact(gate.at_most))
            and (gate.below is None or value < exact(gate.below))
        )
        return found.at if holds else None

    def _admits(self, gate: KpiGate, event: KpiEvent) -> bool:
        if gate.status != "any" and event.status.lower() != gate.status:
            return False
        if gate.sources and event.source not in gate.sources:
            return False
        if gate.unit is not None and event.unit != gate.unit:
            return False
        if gate.period_from is None and gate.period_to is None:
            return True
        if event.period_start is None or event.period_end is None:
            return False
        starts, ends = self._bounds(event)
        zone = self.contract.timezone
        return (gate.period_from is None or starts >= start_of(gate.period_from, zone)) and (
            gate.period_to is None or ends <= start_of(gate.period_to + timedelta(days=1), zone)
        )

    def _bounds(self, event: KpiEvent) -> tuple[int, int]:
        """The instants between which a value's period lies; a day at its end is part of it."""
        zone, starts, ends = self.contract.timezone, event.period_start, event.period_end
        return (
            start_of(starts, zone) if isinstance(starts, date) else starts or 0,
            start_of(ends + timedelta(days=1), zone) if isinstance(ends, date) else ends or 0,
        )

    def _latest(self, event: KpiEvent) -> int:
        return event.observed_at if event.period_end is None else self._bounds(event)[1]


def _take_report(known: list[Report], said: set[object], event: MilestoneEvent) -> None:
    """Rule 7: dated before the last, said already, or lower without being a correction: no effect."""
    completion = Fraction(0) if event.kind == "WITHDRAWN" else exact(event.completion)
    if (event.occurred_at, _content(event)) in said:
        return
    said.add((event.occurred_at, _content(event)))
    if known and event.occurred_at < known[-1].at:
        return
    if known and event.kind == "REPORTED" and completion < known[-1].completion:
        return
    known.append(Report(event.occurred_at, completion, event))


def _take_decision(known: list[ApprovalDecision], event: ApprovalDecision) -> None:
    """The same decision of the same time again changes nothing."""

    def content(decision: ApprovalDecision) -> object:
        certified = decision.certified_completion
        return (
            decision.decided_at,
            decision.role,
            decision.approver,
            decision.decision,
            decision.submission,
            decision.submission_hash,
            None if certified is None else exact(certified),
            decision.evidence,
        )

    if all(content(decision) != content(event) for decision in known):
        known.append(event)


def _take_value(known: list[KpiEvent], event: KpiEvent) -> None:
    """Rule 8: the same revision and status of the same key again: the first to arrive stands."""
    place = (event.kpi_id, _key(event), _rank(event))
    if all((value.kpi_id, _key(value), _rank(value)) != place for value in known):
        known.append(event)


def _content(event: MilestoneEvent) -> object:
    completion = None if event.kind == "WITHDRAWN" else exact(event.completion)
    return (event.kind, completion, event.reported_by, event.evidence, tuple(sorted(event.attributes.items())))


def _key(event: KpiEvent) -> object:
    if event.period_start is None and event.period_end is None:
        return (event.source, "at", event.observed_at)
    return (event.source, event.period_start, event.period_end)


def _rank(event: KpiEvent) -> tuple[int, bool]:
    return (event.revision, event.status == "FINAL")
