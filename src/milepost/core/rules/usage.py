"""Hours: which month, how many, worth how much, and what of it is within the limit (rule 22). Pure arithmetic."""

from datetime import date
from fractions import Fraction

from milepost.core import money
from milepost.core.calendar import local_date, start_of_day

__all__ = ["amount_minor", "first_day", "month_end", "month_of", "next_month", "quantity_of", "quantity_text"]

_MICROSECONDS = {"HUR": 3_600_000_000, "MIN": 60_000_000}
_PLACES = 6  # of a quantity that no decimal says exactly: a third of an hour


def month_of(instant: int, zone: str) -> str:
    """The local month of an instant: "2026-01"."""
    return local_date(instant, zone).isoformat()[:7]


def first_day(month: str) -> date:
    """The first day of a month."""
    return date.fromisoformat(f"{month}-01")


def next_month(month: str) -> str:
    """The month after."""
    year, number = int(month[:4]), int(month[5:])
    return f"{year + number // 12:04d}-{number % 12 + 1:02d}"


def month_end(month: str, zone: str) -> int:
    """The first instant at which the month is over."""
    return start_of_day(first_day(next_month(month)), zone)


def quantity_of(quantity: str | None, elapsed: int | None, unit: str) -> Fraction:
    """An entry in the unit of its rate: the quantity that was sent, else the time elapsed in microseconds."""
    if quantity is not None:
        return money.ratio(quantity)
    return Fraction(elapsed or 0, _MICROSECONDS[unit])


def amount_minor(quantity: Fraction, price: str, exponent: int, rounding: str) -> int:
    """Quantity x price, exact, then rounded once."""
    exact = quantity * money.ratio(price) * int(10**exponent)
    return money.round_ratio(exact.numerator, exact.denominator, rounding)


def quantity_text(quantity: Fraction, rounding: str) -> str:
    """A canonical decimal; six places of what no decimal says exactly."""
    denominator, places = quantity.denominator, 0
    while denominator % 10 == 0:
        denominator, places = denominator // 10, places + 1
    while denominator % 2 == 0:
        denominator, places = denominator // 2, places + 1
    while denominator % 5 == 0:
        denominator, places = denominator // 5, places + 1
    if denominator != 1:
        places = _PLACES
    scaled = money.round_ratio(quantity.numerator * int(10**places), quantity.denominator, rounding)
    return money.canonical(money.format_minor(scaled, places))
