"""Days, months and deadlines as an independent reading of the rules counts them.

Instants are microseconds since 1970 in UTC. Nothing here is shared with the core but the shape of a duration.
"""

from calendar import monthrange
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays

from milepost.core.contract import Duration

__all__ = ["NEVER", "day_of", "deadline", "instant_text", "later_day", "moment_after", "month_of", "start_of"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000
NEVER = 1 << 62


@lru_cache(maxsize=4096)
def start_of(day: date, timezone: str) -> int:
    """The first instant of a local day."""
    local = datetime.combine(day, time(), ZoneInfo(timezone))
    return (local - _EPOCH) // timedelta(microseconds=1)


def day_of(instant: int, timezone: str) -> date:
    """The local day of an instant."""
    return (_EPOCH + timedelta(microseconds=instant)).astimezone(ZoneInfo(timezone)).date()


def instant_text(instant: int) -> str:
    """ISO 8601 in UTC with microseconds, as the hash of a claim has it."""
    return f"{(_EPOCH + timedelta(microseconds=instant)).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def month_of(instant: int, timezone: str) -> str:
    """The local month of an instant, as 2026-05."""
    return f"{day_of(instant, timezone):%Y-%m}"


def later_day(day: date, months: int, days: int) -> date:
    """The day that many months later, at the end of a shorter month, and then that many days later."""
    months_from_zero = day.year * 12 + day.month - 1 + months
    year, month = divmod(months_from_zero, 12)
    clamped = date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
    return clamped + timedelta(days=days)


@lru_cache(maxsize=64)
def _public_holidays(calendar: str) -> holidays.HolidayBase:
    country, _, subdivision = calendar.partition("-")
    return holidays.country_holidays(country, subdiv=subdivision or None)


Stops = Sequence[tuple[int, int | None]]  # when time stood still, from and until; None: it still does


def deadline(since: int, within: Duration, timezone: str, calendar: str | None, stops: Stops = ()) -> int:
    """The first instant that is too late (rule 16); the end of time while it stands still.

    Days and months end with the last local day, business days leave out the day of the request, `PT` counts seconds.
    While time stands still neither seconds nor days pass: a stop leaves as many days to go as there were.
    """
    if not (within.business_days or within.months or within.days):
        return _later(since, within.seconds * _SECOND, stops)
    closed = _public_holidays(calendar) if calendar and within.business_days else {}

    def counts(day: date) -> bool:
        return not within.business_days or (day.weekday() < 5 and day not in closed)

    day = day_of(since, timezone)
    ahead = _ahead(day, within.business_days, counts) if within.business_days else None
    last = later_day(day, within.months, within.days) if ahead is None else ahead
    for start, end in stops:
        stopped = max(day_of(start, timezone), day)
        if stopped > last or (end is not None and day_of(end, timezone) <= stopped):
            continue
        if end is None:
            return NEVER
        to_go = sum(counts(date.fromordinal(day)) for day in range(stopped.toordinal() + 1, last.toordinal() + 1))
        last = _ahead(day_of(end, timezone), to_go, counts)
    return start_of(last + timedelta(days=1), timezone)


def _ahead(day: date, count: int, counts: Callable[[date], bool]) -> date:
    """The day with which `count` more days that count are over; it is one itself."""
    while count or not counts(day):
        day += timedelta(days=1)
        if count and counts(day):
            count -= 1
    return day


def _later(since: int, span: int, stops: Stops) -> int:
    """An instant after `span` microseconds that did not stand still."""
    ends = since + span
    for start, end in stops:
        if start < ends and (end is None or end > since):
            ends = NEVER if end is None else ends + end - max(start, since)
    return ends


def moment_after(at: int, after: Duration, timezone: str, calendar: str | None) -> int:
    """The start of the local day that lies so long after an instant."""
    if after.business_days:
        return start_of(day_of(deadline(at, after, timezone, calendar) - 1, timezone), timezone)
    if after.months or after.days:
        return start_of(later_day(day_of(at, timezone), after.months, after.days), timezone)
    return start_of(day_of(at + after.seconds * _SECOND, timezone), timezone)
