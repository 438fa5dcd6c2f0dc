"""When retention is due: at the sign-off, a time after it, on a day, at the later or earlier of several (rule 24)."""

from calendar import monthrange
from collections.abc import Iterator
from datetime import date, timedelta

from milepost.core.calendar import END_OF_TIME, local_date, start_of_day
from milepost.core.contract import Duration, EarlierOf, LaterOf, Moment, OnDate, OnSignoff

__all__ = ["come", "days", "needs_signoff", "planned"]

_SECOND = 1_000_000
_SATURDAY = 5


def come(when: Moment, signoff_at: int | None, now: int, zone: str) -> int | None:
    """The moment, if it has come by `now`, the last tick; the sign-off itself needs no tick."""
    if isinstance(when, LaterOf | EarlierOf):
        found = [come(inner, signoff_at, now, zone) for inner in when.moments]
        known = [at for at in found if at is not None]
        if isinstance(when, EarlierOf):
            return min(known, default=None)
        return max(known) if len(known) == len(found) else None
    at = _at(when, signoff_at, zone)
    immediate = isinstance(when, OnSignoff) and when.after is None
    return at if at is not None and (immediate or at <= now) else None


def planned(when: Moment, signoff_at: int | None, zone: str) -> int | None:
    """When it will come as things stand; None if that hangs on a sign-off that is not in effect."""
    return come(when, signoff_at, END_OF_TIME, zone)


def days(when: Moment, signoff_at: int | None, zone: str) -> Iterator[int]:
    """The instants that only a tick reaches."""
    if isinstance(when, LaterOf | EarlierOf):
        for inner in when.moments:
            yield from days(inner, signoff_at, zone)
    elif isinstance(when, OnDate) or when.after is not None:
        at = _at(when, signoff_at, zone)
        if at is not None:
            yield at


def needs_signoff(when: Moment) -> bool:
    """Whether the sign-off is part of the moment."""
    if isinstance(when, LaterOf | EarlierOf):
        return any(needs_signoff(inner) for inner in when.moments)
    return isinstance(when, OnSignoff)


def _at(when: OnSignoff | OnDate, signoff_at: int | None, zone: str) -> int | None:
    if isinstance(when, OnDate):
        return start_of_day(when.on, zone)
    if signoff_at is None or when.after is None:
        return signoff_at
    return start_of_day(_later(signoff_at, when.after, zone), zone)


def _later(instant: int, length: Duration, zone: str) -> date:
    """The local day that far after an instant; the last day of a month that is too short."""
    day = local_date(instant + length.seconds * _SECOND, zone)
    years, month = divmod(day.month - 1 + length.months, 12)
    year = day.year + years
    day = date(year, month + 1, min(day.day, monthrange(year, month + 1)[1])) + timedelta(days=length.days)
    left = length.business_days
    while left:
        day += timedelta(days=1)
        left -= day.weekday() < _SATURDAY
    return day
