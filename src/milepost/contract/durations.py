"""Durations: ISO 8601, or business days of the contract's calendar."""

import re

from milepost.contract.findings import Path
from milepost.contract.keys import BUSINESS_DAYS
from milepost.contract.tree import Value, describe
from milepost.contract.values import Reader
from milepost.core.contract import Duration

__all__ = ["DURATION_PATTERN", "read_dates", "read_duration"]

# No backslash: the same text is a pattern of JSON Schema.
DURATION_PATTERN = (
    "P(?:([0-9]{1,6})W|(?:([0-9]{1,4})Y)?(?:([0-9]{1,5})M)?(?:([0-9]{1,6})D)?)"
    "(?:T(?:([0-9]{1,7})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,9})S)?)?"
)
_PARTS = re.compile(DURATION_PATTERN)
# A hundred years: whatever is added stays a day of the calendar.
_MOST_DAYS = 36525
_EXPECTED = "a duration such as P10D, P6M, PT24H or {business_days: 5}"


def read_duration(read: Reader, value: Value, path: Path) -> Duration | None:
    """Months and days, hours and less, or business days; never two of the three, never nothing."""
    if isinstance(value, dict):
        return _business_days(read, value, path)
    found = _PARTS.fullmatch(value) if isinstance(value, str) else None
    if not isinstance(value, str) or found is None or value in ("P", "PT") or value.endswith("T"):
        read.wrong(value, path, _EXPECTED, "write P10D, P2W, P6M, P1Y, PT24H or {business_days: 5}")
        return None
    weeks, years, months, days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    made = Duration(
        text=value,
        months=12 * years + months,
        days=7 * weeks + days,
        seconds=3600 * hours + 60 * minutes + seconds,
    )
    if "T" in value and not value.startswith("PT"):
        fix = "write days alone (P2D) or hours alone (PT36H): only days follow the calendar"
        read.findings.error(path, f"{describe(value)} mixes days and hours", fix)
        return None
    return _measured(read, made, path)


def read_dates(read: Reader, value: Value, path: Path) -> Duration | None:
    """A duration of days or months: for what begins and ends with a day."""
    made = read_duration(read, value, path)
    if made is None or made.months or made.days:
        return made
    read.findings.error(path, f"{made.text} is no length in days or months", "write P30D or P6M")
    return None


def _business_days(read: Reader, value: dict[str, Value], path: Path) -> Duration | None:
    fields = read.mapping(value, path, BUSINESS_DAYS)
    days = read.optional(fields, "business_days", path, read.count) if fields is not None else None
    if days is None:
        return None
    read.counts_business_days = True
    if not read.has_calendar:
        fix = "add calendar to the contract: it says which days are public holidays"
        read.findings.error(path, "counts business days without a calendar", fix)
    made = Duration(text=f"{days} business {'day' if days == 1 else 'days'}", business_days=days)
    return _measured(read, made, path)


def _measured(read: Reader, made: Duration, path: Path) -> Duration | None:
    days = 31 * made.months + made.days + made.seconds // 86400 + 2 * made.business_days
    if not (made.months or made.days or made.seconds or made.business_days):
        read.findings.error(path, f"{made.text} is no time at all", "write a duration above zero, or leave the key out")
        return None
    if days > _MOST_DAYS:
        read.findings.error(path, f"{made.text} is longer than a hundred years", "write a shorter duration")
        return None
    return made
