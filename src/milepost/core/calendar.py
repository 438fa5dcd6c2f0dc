"""Instants and calendar days. An instant is an int of microseconds since 1970 in UTC; a day belongs to a time zone."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

__all__ = ["END_OF_TIME", "instant_text", "local_date", "local_time", "start_of_day", "until_text"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
END_OF_TIME = 1 << 62


@lru_cache(maxsize=65536)
def start_of_day(day: date, zone: str) -> int:
    """The first instant of `day` in the time zone."""
    return (datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)) - _EPOCH) // _MICROSECOND


def local_time(instant: int, zone: str) -> datetime:
    """What clocks in the time zone show at `instant`, without its offset."""
    return (_EPOCH + timedelta(microseconds=instant)).astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def local_date(instant: int, zone: str) -> date:
    """The day of `instant` in the time zone."""
    return (_EPOCH + timedelta(microseconds=instant)).astimezone(ZoneInfo(zone)).date()


def until_text(deadline: int, zone: str) -> str:
    """The last moment before a deadline as people say it: the local day if it ends with one, else the local time."""
    last = local_date(deadline - 1, zone)
    if start_of_day(local_date(deadline, zone), zone) == deadline:
        return last.isoformat()
    return (_EPOCH + timedelta(microseconds=deadline)).astimezone(ZoneInfo(zone)).isoformat(timespec="minutes")


def instant_text(instant: int) -> str:
    """ISO 8601 in UTC with microseconds: "2026-03-31T16:00:00.000000Z"."""
    return (_EPOCH + timedelta(microseconds=instant)).isoformat(timespec="microseconds")[:-6] + "Z"
