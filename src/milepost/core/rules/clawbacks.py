"""What clawbacks take of an occurrence's charges (rule 21): a pure walk over amounts, credits and values by time."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from fractions import Fraction
from typing import NamedTuple

from milepost.core import money
from milepost.core.calendar import local_date
from milepost.core.contract import Clawback
from milepost.core.facts import KpiValue
from milepost.core.rules.deadlines import months_later
from milepost.core.rules.kpis import InForce, satisfies

__all__ = ["Fired", "fired"]


class Fired(NamedTuple):
    """A clawback fired at `at` because of the value, and took `amount_minor` of the `left_minor` that there were.

    `hit`: when the value was observed that the charge rests on; the window is from its local day `since` to `last`,
    both included; `elapsed`: whole months of it, where the basis is linear.
    """

    at: int
    value: KpiValue
    amount_minor: int
    left_minor: int
    hit: int
    since: date
    last: date
    elapsed: int = 0


class _Charge:
    """What an acceptance added to the amount to date; `left` is the gross less credits."""

    def __init__(self, gross: int, hit: int, since: date, last: date) -> None:
        self.left = gross
        self.hit = hit
        self.since = since
        self.last = last


def fired(
    clawback: Clawback,
    worth: Sequence[tuple[int, int]],
    credited: Sequence[tuple[int, int]],
    forces: Sequence[InForce],
    hit_at: Callable[[int], int],
    zone: str,
    rounding: str,
) -> list[Fired]:
    """Every clawback, in the order of time: each charge at most once.

    `worth`: (since, amount to date); `credited`: (at, amount) of upheld disputes; `forces`: the values of `when` in
    force; `hit_at`: when the value in force at an acceptance was observed. All in minor units, ascending.
    """
    values = [v for _, v in forces if v is not None and satisfies(clawback.when, v)]
    charges: list[_Charge] = []
    steps: list[tuple[int, int, int]] = []
    before = 0
    for at, amount in worth:
        steps.append((at, 0, amount - before))
        before = amount
    steps += [(at, 1, -amount) for at, amount in credited]
    found: list[Fired] = []
    due: list[tuple[int, int, _Charge, KpiValue]] = []
    for at, _, change in sorted(steps):
        _fire(clawback, due, at, found, zone, rounding)
        if change > 0:
            hit = hit_at(at)
            since = local_date(hit, zone)
            last = months_later(since, clawback.within.months) + timedelta(days=clawback.within.days)
            charge = _Charge(change, hit, since, last)
            charges.append(charge)
            counting = [v for v in values if v.at > hit and local_date(v.at, zone) <= last]
            if counting:
                value = min(counting, key=lambda v: v.at)
                due.append((max(at, value.at), len(charges), charge, value))
                due.sort(key=lambda item: item[:2])
        else:
            _credit(charges, -change)
    _fire(clawback, due, None, found, zone, rounding)
    return found


def _fire(
    clawback: Clawback,
    due: list[tuple[int, int, _Charge, KpiValue]],
    until: int | None,
    found: list[Fired],
    zone: str,
    rounding: str,
) -> None:
    """Fire what is due before `until`; at one instant amounts change first."""
    while due and (until is None or due[0][0] < until):
        at, _, charge, value = due.pop(0)
        share, elapsed = money.ratio(clawback.share) * charge.left / 100, 0
        if clawback.linear and clawback.within.months:
            months = clawback.within.months
            elapsed = _elapsed(charge.since, local_date(value.at, zone), months)
            share = share * Fraction(months - elapsed, months)
        amount = money.round_ratio(share.numerator, share.denominator, rounding)
        found.append(Fired(at, value, amount, charge.left, charge.hit, charge.since, charge.last, elapsed))
        charge.left -= amount


def _elapsed(since: date, until: date, most: int) -> int:
    """Whole months between two days, at most `most`."""
    months = (until.year - since.year) * 12 + until.month - since.month
    while months > 0 and months_later(since, months) > until:
        months -= 1
    return min(max(months, 0), most)


def _credit(charges: list[_Charge], amount: int) -> None:
    for charge in reversed(charges):
        taken = min(amount, charge.left)
        charge.left -= taken
        amount -= taken
