"""When what was asked for is due (rule 16): durations that become instants, and what ticks did to them.

A deadline is the first instant that is too late. Days, months and business days end with the last local day, so it is
the start of the day after; while the engagement is suspended it stands still.
"""

from calendar import monthrange
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from milepost.core.calendar import END_OF_TIME, local_date, start_of_day
from milepost.core.contract import Duration
from milepost.core.facts import Timer

__all__ = ["Clock", "Pace", "months_later"]

_SECOND = 1_000_000
_SATURDAY = 5
_ONE_DAY = timedelta(days=1)


def months_later(day: date, months: int) -> date:
    """The same day of a later month, its last one where that is shorter. Raises ValueError beyond the year 9999."""
    years, month = divmod(day.month - 1 + months, 12)
    year = day.year + years
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


class Pace(NamedTuple):
    """How time passes in an engagement: its zone, its free weekdays, and when it was suspended."""

    zone: str
    holidays: frozenset[date]
    pauses: Sequence[tuple[int, int]]  # ascending; the last one may end with END_OF_TIME

    def after(self, since: int, within: Duration, times: int = 1) -> int:
        """The first instant that is too late, `times` durations after `since`; END_OF_TIME while it stands still."""
        if within.seconds:
            return self._exactly(since, within.seconds * times * _SECOND)
        try:
            last = self._last_day(local_date(since, self.zone), within, times)
            return END_OF_TIME if last is None else start_of_day(last + _ONE_DAY, self.zone)
        except (OverflowError, ValueError):  # beyond the calendar
            return END_OF_TIME

    def extended(self, deadline: int, grace: Duration | None) -> int:
        """The deadline with its grace; a deadline at the end of a day is extended from that day on."""
        if grace is None or deadline >= END_OF_TIME:
            return deadline
        return self.after(deadline if grace.seconds else deadline - 1, grace)

    def _exactly(self, since: int, length: int) -> int:
        due = since + length
        for start, end in self.pauses:
            if start < due and end > since:
                if end >= END_OF_TIME:
                    return END_OF_TIME
                due += end - max(start, since)
        return due

    def _last_day(self, day: date, within: Duration, times: int) -> date | None:
        """The last local day. What was left of it in days when the engagement was suspended is left when it resumes."""
        last = self._later(day, within, times)
        for start, end in self._pauses_by_day():
            start = max(start, day)
            if start <= last and start < end:
                if end == date.max:
                    return None
                last = self._later(end, within, 0, self._between(start, last, within))
        return last

    def _later(self, day: date, within: Duration, times: int, days: int = 0) -> date:
        """The day that lies `times` durations and `days` days after, of business days the business day."""
        if not within.business_days:
            return months_later(day, within.months * times) + timedelta(days=within.days * times + days)
        left = within.business_days * times + days
        while left or not self._is_business_day(day):
            day += _ONE_DAY
            left -= self._is_business_day(day) and left > 0
        return day

    def _between(self, day: date, last: date, within: Duration) -> int:
        """How many days, of business days business days, there are after `day` up to `last`."""
        count = (last - day).days
        if not within.business_days:
            return count
        return sum(self._is_business_day(day + timedelta(days=number)) for number in range(1, count + 1))

    def _is_business_day(self, day: date) -> bool:
        return day.weekday() < _SATURDAY and day not in self.holidays

    def _pauses_by_day(self) -> list[tuple[date, date]]:
        return [
            (local_date(start, self.zone), date.max if end >= END_OF_TIME else local_date(end, self.zone))
            for start, end in self.pauses
        ]


class Clock(NamedTuple):
    """What the walk over an occurrence's facts knows of time: how it passes, and what ticks did so far."""

    pace: Pace
    last_tick: int
    timers: Mapping[str, Timer]  # by "submission.step hash"

    def timer(self, key: str) -> Timer:
        """What ticks did to a request; one that was not raised yet is raised now."""
        known = self.timers.get(key)
        return Timer(self.last_tick) if known is None else known
