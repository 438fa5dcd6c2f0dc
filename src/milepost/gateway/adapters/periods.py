"""Instants and periods as senders write them."""

import re
from calendar import monthrange
from datetime import date, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from milepost.codec.json_forms import parse_instant
from milepost.core.calendar import start_of_day

__all__ = ["check_zone", "day", "end_of_day", "instant", "month"]

# Those of events (`core.checks`).
_YEARS = range(1900, 9999)
_month = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])").fullmatch
_day = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch
# RFC 3339 as Go and FHIR servers write it: up to nine digits of a second, of which six count here.
_long_fraction = re.compile(r"(\.[0-9]{6})[0-9]{1,3}(?=[Zz+-])")


def check_zone(name: str) -> str:
    """The name of a time zone that is known here. Raises ValueError for another."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; for example Europe/Berlin") from None
    return name


def instant(text: object) -> int | None:
    """Microseconds since 1970 of an RFC 3339 instant; digits beyond the sixth are cut off. None for anything else."""
    if not isinstance(text, str) or len(text) > 64:
        return None
    try:
        return parse_instant(_long_fraction.sub(r"\1", text))
    except (ValueError, OverflowError):
        return None


def day(text: object) -> date | None:
    """The calendar day in "2026-03-31", of the years 1900 to 9998; None for anything else."""
    if not isinstance(text, str) or _day(text) is None:
        return None
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return found if found.year in _YEARS else None


def month(text: object) -> tuple[date, date] | None:
    """The first and the last day of "2026-03", of the years 1900 to 9998; None for anything else."""
    found = _month(text) if isinstance(text, str) else None
    if found is None or int(found[1]) not in _YEARS:
        return None
    year, number = int(found[1]), int(found[2])
    return date(year, number, 1), date(year, number, monthrange(year, number)[1])


def end_of_day(last: date, zone: str) -> int:
    """The instant at which a day is over there."""
    return start_of_day(last + timedelta(days=1), zone)
