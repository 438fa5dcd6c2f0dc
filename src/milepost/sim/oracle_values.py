"""Which value of a KPI, and which decision of a regulator, is in force at an instant (rules 8 and 9)."""

from collections.abc import Iterable
from datetime import date, timedelta
from fractions import Fraction
from typing import NamedTuple

from milepost.core.contract import KpiGate, RegulatorGate
from milepost.core.events import KpiEvent, RegulatorDecision
from milepost.sim.oracle_days import month_of, start_of
from milepost.sim.oracle_facts import Facts, about, exact, ruling_rank, rung, value_key, value_rank

__all__ = ["Value", "belongs_to", "period_of", "ruling_at", "satisfied_since", "standing", "value_at"]

_DAY = 86_400 * 1_000_000


class Value(NamedTuple):
    """The value of a KPI that a gate sees, since when, and the event that is named for it."""

    value: Fraction
    at: int
    event: KpiEvent


def value_at(facts: Facts, gates: Iterable[KpiGate], at: int, month: str | None, period: object = None) -> Value | None:
    """The value in force of those that all gates admit, or None: nothing observed by then, or sources that differ.

    `month`: only values that belong to it; `period`: only values of that period.
    """
    best: dict[object, KpiEvent] = {}
    for event in facts.values:
        if event.observed_at > at or not all(_admits(facts, gate, event) for gate in gates):
            continue
        if month is not None and belongs_to(facts, event) != month:
            continue
        if period is not None and period_of(event) != period:
            continue
        rival = best.get(value_key(event))
        if rival is None or value_rank(event) > value_rank(rival):
            best[value_key(event)] = event
    if not best:
        return None
    latest = max(_latest(facts, event) for event in best.values())
    named = [event for event in best.values() if _latest(facts, event) == latest]
    if len({exact(event.value) for event in named}) > 1:
        return None
    first = min(named, key=lambda event: (event.observed_at, event.source))
    return Value(exact(first.value), first.observed_at, first)


def satisfied_since(facts: Facts, gate: KpiGate, at: int, month: str | None) -> int | None:
    """Since when the value in force is, if it satisfies every bound of the gate."""
    found = value_at(facts, (gate,), at, month)
    if found is None:
        return None
    value = found.value
    holds = (
        (gate.at_least is None or value >= exact(gate.at_least))
        and (gate.above is None or value > exact(gate.above))
        and (gate.at_most is None or value <= exact(gate.at_most))
        and (gate.below is None or value < exact(gate.below))
    )
    return _in_force_since(facts, gate, found, at, month) if holds else None


def _in_force_since(facts: Facts, gate: KpiGate, found: Value, at: int, month: str | None) -> int:
    """Since when this one is in force: later than it was observed where sources differed for a while."""
    others = {e.observed_at for e in facts.values if e.kpi_id == gate.id and e.source != found.event.source}
    since = at
    for instant in sorted((before for before in {*others, found.at} if before <= at), reverse=True):
        then = value_at(facts, (gate,), instant, month)
        if then is None or then.event is not found.event:
            break
        since = instant
    return since if others else found.at


def period_of(event: KpiEvent) -> object:
    """What a restated value has in common with the one before it, whoever the source is."""
    if event.period_start is None and event.period_end is None:
        return ("at", event.observed_at)
    return (event.period_start, event.period_end)


def belongs_to(facts: Facts, event: KpiEvent) -> str | None:
    """The month that holds the middle of the value's period; None for a reading, or a period that is no month."""
    if event.period_start is None or event.period_end is None:
        return None
    starts, ends = _bounds(facts, event)
    if isinstance(event.period_start, date) and isinstance(event.period_end, date):
        days = Fraction((event.period_end - event.period_start).days + 1)
    else:
        days = Fraction(ends - starts, _DAY)
    if not 27 <= days <= 32:
        return None
    return month_of((starts + ends) // 2, facts.contract.timezone)


def _admits(facts: Facts, gate: KpiGate, event: KpiEvent) -> bool:
    if event.kpi_id != gate.id:
        return False
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
    starts, ends = _bounds(facts, event)
    zone = facts.contract.timezone
    return (gate.period_from is None or starts >= start_of(gate.period_from, zone)) and (
        gate.period_to is None or ends <= start_of(gate.period_to + timedelta(days=1), zone)
    )


def _bounds(facts: Facts, event: KpiEvent) -> tuple[int, int]:
    """The instants between which a value's period lies; a day at its end is part of it."""
    zone, starts, ends = facts.contract.timezone, event.period_start, event.period_end
    return (
        start_of(starts, zone) if isinstance(starts, date) else starts or 0,
        start_of(ends + timedelta(days=1), zone) if isinstance(ends, date) else ends or 0,
    )


def _latest(facts: Facts, event: KpiEvent) -> int:
    return event.observed_at if event.period_end is None else _bounds(facts, event)[1]


def ruling_at(
    facts: Facts, regulator: str, filing: str, at: int, milestone: str | None
) -> tuple[RegulatorDecision, ...]:
    """The regulator's decision in force on the filing, or several of one rank that differ: then none is.

    `milestone`: the one that repeats per filing and asks; of several that list the regulator, the decision says which.
    """
    known = [
        ruling
        for ruling in facts.rulings
        if about(ruling) == (regulator, filing)
        and ruling.decided_at <= at
        and (milestone is None or ruling.milestone_id == milestone)
    ]
    if not known:
        return ()
    highest = max(ruling_rank(ruling) for ruling in known)
    tied = [ruling for ruling in known if ruling_rank(ruling) == highest]
    if len({ruling.decision for ruling in tied}) > 1:
        return tuple(tied)
    return tuple(ruling for ruling in tied if ruling.confirmation_id is not None)[:1] or tuple(tied[:1])


def standing(gate: RegulatorGate, found: tuple[RegulatorDecision, ...]) -> str:
    """How a decision in force stands to the rung: above or below it, or open: none, several, no confirmation id."""
    if len(found) != 1:
        return "open"
    if rung(found[0].decision) < rung(gate.at_least):
        return "below"
    return "above" if found[0].confirmation_id is not None else "open"
