"""Which days of a calendar are public holidays: resolved once, when a contract's version is read.

The core sees only dates, so that a later edition of the library moves no deadline of a contract that is in force.
"""

import warnings
from datetime import date
from functools import lru_cache

__all__ = ["free_days"]

# No engagement lives longer; beyond them business days leave out weekends alone.
YEARS = 50
_LAST_YEAR = 9998
_SATURDAY = 5


@lru_cache(maxsize=256)
def free_days(calendar: str, year: int) -> tuple[date, ...]:
    """The public holidays of a calendar ("DE-BY") that are not on a weekend, ascending, for `YEARS` from `year` on.

    The year before is there too: what is asked for early is counted from then.
    """
    import holidays  # a tenth of a second, only for a contract that counts business days

    country, _, part = calendar.partition("-")
    years = range(year - 1, min(year + YEARS, _LAST_YEAR) + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some calendars are known for fewer years
        found = holidays.country_holidays(country, subdiv=part or None, years=years)
    return tuple(day for day in sorted(found) if day.weekday() < _SATURDAY)
