"""Days, months and deadlines as an independent reading of the rules counts them.

Instants are microseconds since 1970 in UTC. Nothing here is shared with the core but the shape of a duration.
"""

from calendar import monthrange
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays

from milepost.core.contract import Duration

__all__ = ["day_of", "deadline", "instant_text", "later_day", "moment_after", "month_of", "start_of"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000


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
    """The first instant that is too late (rule 16).

    Days and months end with the last local day, business days leave out the day of the request, `PT` counts seconds.
    Nights between a stop and its end, or the time itself, do not count.
    """
    if not (within.business_days or within.months or within.days):
        return _later(since, within.seconds * _SECOND, stops)
    day = day_of(since, timezone)
    stopped = {
        stop + timedelta(days=night)
        for start, end in stops
        if end is not None
        for stop in [day_of(start, timezone)]
        for night in range(1, (day_of(end, timezone) - stop).days + 1)
    }
    free = _public_holidays(calendar) if calendar and within.business_days else {}
    left = within.business_days or (later_day(day, within.months, within.days) - day).days
    while left:
        day += timedelta(days=1)
        counts = not within.business_days or (day.weekday() < 5 and day not in free)
        left -= counts and day not in stopped
    return start_of(day + timedelta(days=1), timezone)


def _later(since: int, span: int, stops: Stops) -> int:
    """An instant after `span` microseconds that did not stand still."""
    ends = since + span
    for start, end in stops:
        if end is not None and start < ends and end > since:
            ends += end - max(start, since)
    return ends


def moment_after(at: int, after: Duration, timezone: str, calendar: str | None) -> int:
    """The start of the local day that lies so long after an instant."""
    if after.business_days:
        return start_of(day_of(deadline(at, after, timezone, calendar) - 1, timezone), timezone)
    if after.months or after.days:
        return start_of(later_day(day_of(at, timezone), after.months, after.days), timezone)
    return start_of(day_of(at + after.seconds * _SECOND, timezone), timezone)
