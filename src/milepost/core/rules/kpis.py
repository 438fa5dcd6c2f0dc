"""Which value of a KPI is in force, when (rule 8), and when a KPI gate holds."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import NamedTuple

from milepost.core import money
from milepost.core.calendar import END_OF_TIME, local_date, local_time, start_of_day
from milepost.core.contract import KpiGate
from milepost.core.facts import KpiValue
from milepost.core.rules.spans import Span

__all__ = [
    "InForce",
    "admits",
    "bucket",
    "buckets",
    "in_force",
    "month",
    "placed",
    "satisfies",
    "spans",
    "successive",
]

_DAY = timedelta(days=1)
_HOUR = 3_600_000_000


class InForce(NamedTuple):
    """From `since` on this value is in force; None: sources disagree, so none is."""

    since: int
    value: KpiValue | None


def placed(value: KpiValue, zone: str) -> tuple[int, int]:
    """Where a value stands on the time line: its period as (end, start) instants; a reading is its own instant."""
    if value.start is None and value.end is None:
        return (value.at, value.at)
    start, end = value.start, value.end
    since = start_of_day(start, zone) if isinstance(start, date) else (start if start is not None else -END_OF_TIME)
    # a period of days includes its last one
    until = start_of_day(end + _DAY, zone) if isinstance(end, date) else (end if end is not None else END_OF_TIME)
    return (until, since)


def month(value: KpiValue, zone: str) -> str | None:
    """The month, as "2026-05", that a value belongs to: it holds the middle of its period; None: it has none.

    A period under 27 or over 32 days is no month's, a reading neither. Counted in local days, whatever the clock does.
    """
    if value.start is None or value.end is None:
        return None
    start, end = (
        datetime.combine(bound, time()) if isinstance(bound, date) else local_time(bound, zone)
        for bound in (value.start, value.end)
    )
    if isinstance(value.end, date):
        end += _DAY  # a period of days includes its last one
    if not 27 * _DAY <= end - start <= 32 * _DAY:
        return None
    return f"{start + (end - start) / 2:%Y-%m}"


def bucket(value: KpiValue) -> str:
    """Which part a value is kept in: all of one key (rule 8) in the same, whatever the time zone is or becomes.

    Periods are kept by the month of their middle in UTC, readings by the hour.
    """
    if value.start is None or value.end is None:
        return f"r{max(value.at, 0) // _HOUR:012d}"
    start, end = (
        datetime.combine(bound, time()) if isinstance(bound, date) else local_time(bound, "UTC")
        for bound in (value.start, value.end)
    )
    return f"p{start + (end - start) / 2:%Y-%m}"


def buckets(month: str) -> tuple[str, ...]:
    """The parts that may have values of a month: a time zone, or the last day, moves a middle by little."""
    year, number = int(month[:4]), int(month[5:])
    months = (divmod(year * 12 + number - 1 + step, 12) for step in (-1, 0, 1))
    return tuple(f"p{y:04d}-{m + 1:02d}" for y, m in months)


def admits(gate: KpiGate, value: KpiValue, zone: str) -> bool:
    """Whether a value counts for a gate, whatever it is: its source, status, unit and period."""
    if gate.sources and value.source not in gate.sources:
        return False
    if gate.status != "any" and value.final != (gate.status == "final"):
        return False
    if gate.unit is not None and value.unit != gate.unit:
        return False
    if gate.period_from is None and gate.period_to is None:
        return True
    start, end = value.start, value.end
    if start is None or end is None:
        return False  # a reading has no period that could lie inside the gate's
    first = start if isinstance(start, date) else local_date(start, zone)
    # an instant that ends a period belongs to it no longer
    last = end if isinstance(end, date) else local_date(max(end - 1, 0), zone)
    return (gate.period_from is None or gate.period_from <= first) and (
        gate.period_to is None or last <= gate.period_to
    )


def in_force(gate: KpiGate, values: list[KpiValue], zone: str, until: int) -> list[InForce]:
    """The values in force one after another, of those that the gate admits and that were observed by `until`."""
    return successive([v for v in values if v.at <= until and admits(gate, v, zone)], zone)


def successive(values: list[KpiValue], zone: str) -> list[InForce]:
    """The values in force one after another, of values that all count."""
    best: dict[tuple[int, int], dict[str, KpiValue]] = {}  # place -> source -> the revision in force
    found: list[InForce] = []
    top: tuple[int, int] | None = None
    for value in sorted(values, key=lambda v: v.at):
        place = placed(value, zone)
        by_source = best.setdefault(place, {})
        known = by_source.get(value.source)
        if known is None or (known.revision, known.final) < (value.revision, value.final):
            by_source[value.source] = value
        if top is not None and place < top:
            continue
        top = place
        named = _agreed(by_source)
        if found and found[-1].since == value.at:
            found.pop()
        if not found or found[-1].value is not named or named is None:
            found.append(InForce(value.at, named))
    return found


def _agreed(by_source: dict[str, KpiValue]) -> KpiValue | None:
    """The one value of all sources, of those that agree the one observed first; None if they differ."""
    if len({money.canonical(v.value) for v in by_source.values()}) > 1:
        return None
    return min(by_source.values(), key=lambda v: (v.at, v.source))


def satisfies(gate: KpiGate, value: KpiValue) -> bool:
    """Compared exactly, never rounded."""
    number: Decimal = money.percent(value.value)
    return (
        (gate.at_least is None or number >= money.percent(gate.at_least))
        and (gate.above is None or number > money.percent(gate.above))
        and (gate.at_most is None or number <= money.percent(gate.at_most))
        and (gate.below is None or number < money.percent(gate.below))
    )


def spans(gate: KpiGate, forces: list[InForce]) -> tuple[Span, ...]:
    """When the gate holds: a span for each value, because the next value is the next claim after a rejection."""
    found: list[Span] = []
    for i, (since, value) in enumerate(forces):
        if value is None or not satisfies(gate, value):
            continue
        until = forces[i + 1].since if i + 1 < len(forces) else END_OF_TIME
        found.append((since, until))
    return tuple(found)
