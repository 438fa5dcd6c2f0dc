"""Time and materials: what each month, rate and price are worth within the limit (rule 22)."""

from collections.abc import Callable, Mapping
from datetime import date
from fractions import Fraction
from typing import NamedTuple

from milepost.core.contract import Rate, TimeAndMaterials
from milepost.core.events import UsageEvent
from milepost.sim.oracle_days import later_day, month_of, start_of
from milepost.sim.oracle_facts import exact
from milepost.sim.oracle_terms import Terms, rounded

__all__ = ["Hours", "Runs", "month_ends", "worth"]

_SECOND = 1_000_000
_SECONDS = {"HUR": 3600, "MIN": 60}


class Hours(NamedTuple):
    """What is billed in one line: a month, a rate of the contract, and its price as it is spelled."""

    month: str
    rate: str
    price: str


def month_ends(month: str, zone: str) -> int:
    """The first instant after a local month: when what was worked in it is accepted."""
    return start_of(later_day(date.fromisoformat(f"{month}-01"), 1, 0), zone)


def worth(terms: Terms, entries: list[UsageEvent], until: str, taken: Mapping[Hours, int]) -> dict[Hours, int]:
    """The gross to date of every month that ended before the month `until`, in the order in which the limit is used.

    `taken`: what disputes took from a line for good.
    """
    found: dict[Hours, Fraction] = {}
    for entry in _in_force(terms, entries):
        month = month_of(entry.started_at, terms.zone)
        rate = _rate(terms, entry)
        if month < until and rate is not None and entry.milestone_id is None:
            key = Hours(month, entry.meter, rate.price)
            found[key] = found.get(key, Fraction(0)) + _quantity(entry, rate)
    unit = 10**terms.first.currency_exponent
    hours = terms.latest.time_and_materials or TimeAndMaterials({})
    left = hours.not_to_exceed_minor
    gross: dict[Hours, int] = {}
    for key in sorted(found, key=lambda key: (key.month, _place(terms, key.rate), exact(key.price))):
        amount = rounded(found[key] * exact(key.price) * unit, terms.rounding) - taken.get(key, 0)
        if left is not None:
            amount = min(amount, left)
            left -= amount
        gross[key] = amount
    return gross


def _in_force(terms: Terms, entries: list[UsageEvent]) -> list[UsageEvent]:
    """Of each entry the highest revision whose meter, or milestone, is known; the first of a revision stands."""
    best: dict[str, UsageEvent] = {}
    for entry in entries:
        rival = best.get(entry.usage_id)
        named = entry.milestone_id
        known = _rate(terms, entry) is not None if named is None else named in terms.milestones()
        if known and (rival is None or entry.revision > rival.revision):
            best[entry.usage_id] = entry
    return list(best.values())


def _rate(terms: Terms, entry: UsageEvent) -> Rate | None:
    hours = terms.at(entry.started_at).time_and_materials
    return None if hours is None else hours.rates.get(entry.meter)


def _place(terms: Terms, rate: str) -> int:
    """Where a rate stands in the contract; those that were dropped come last."""
    names = [name for version in reversed(terms.versions) for name in _rates(version.time_and_materials)]
    return list(dict.fromkeys(names)).index(rate)


def _rates(hours: TimeAndMaterials | None) -> Mapping[str, Rate]:
    return {} if hours is None else hours.rates


def _quantity(entry: UsageEvent, rate: Rate) -> Fraction:
    """An explicit quantity wins, else the elapsed time counts, clock changes and all."""
    if entry.quantity is not None:
        return exact(entry.quantity)
    elapsed = (entry.ended_at or entry.started_at) - entry.started_at
    return Fraction(elapsed, _SECOND * _SECONDS[rate.unit])


class Runs:
    """When hours are billed: the first tick, and the first of each new local month."""

    def __init__(self) -> None:
        self._month: str | None = None
        self.due: str | None = None  # the month of a run that has not taken place

    def tick(self, at: int, zone: str) -> None:
        """A tick comes that is later than all before it."""
        month = month_of(at, zone)
        if self._month is None or month > self._month:
            self._month = self.due = month

    def take_place(self, run: Callable[[str], None]) -> None:
        """What is due is run now."""
        if self.due is not None:
            run(self.due)
            self.due = None
