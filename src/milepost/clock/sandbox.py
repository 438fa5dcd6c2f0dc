"""Time in a sandbox: advanced by hand, by ticks that go through it step by step.

A sandbox's time is kept nowhere but in `clock-ticks`: the last tick says by how much it is ahead of the machine's.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from milepost.contract.durations import DURATION_PATTERN
from milepost.core.rules.deadlines import months_later
from milepost.kafka.ticking import Stand, Ticks

__all__ = ["Advanced", "DurationError", "Showing", "advance", "later", "show"]

# Ten years by the hour. A tick is a transaction of the join at worst: more would take longer than anybody waits.
MOST_TICKS = 100_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DURATION = re.compile(DURATION_PATTERN)


class DurationError(ValueError):
    """A length of time that cannot be advanced by; the message says what was found and what is expected."""


class Advanced(NamedTuple):
    """From when to when time went (microseconds), by how many ticks for each of how many partitions."""

    before: int
    after: int
    ticks: int
    partitions: int


class Showing(NamedTuple):
    """What `clock show` says, in microseconds: the last tick of each partition, the machine's time, the sandbox's."""

    stand: Stand
    machine: int
    time: int


def later(instant: int, duration: str) -> int:
    """The instant that is an ISO 8601 duration later, by the calendar of UTC. Raises `DurationError`."""
    found = _DURATION.fullmatch(duration)
    if found is None or duration == "P" or duration.endswith("T"):
        raise DurationError(f"{duration!r} is no duration; write P10D, P2W, P6M, P1Y, PT36H or P1DT12H")
    weeks, years, months, days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    moment = _EPOCH + timedelta(microseconds=instant)
    try:
        day = months_later(moment.date(), 12 * years + months)
        moment = datetime.combine(day, moment.timetz()) + timedelta(
            weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds
        )
    except (OverflowError, ValueError):
        raise DurationError(f"{duration!r} leads beyond the year 9999; write a shorter duration") from None
    after = (moment - _EPOCH) // _MICROSECOND
    if after <= instant:
        raise DurationError(f"{duration!r} is no time at all; write a duration above zero")
    return after


def advance(ticks: Ticks, now_ms: Callable[[], int], duration: str, step: str) -> Advanced:
    """Move the time of a sandbox on by a duration, a tick each `step` and one at the end.

    Deadlines fire as if the time had passed with nobody doing anything; an escalation's own deadline counts from the
    tick that issued it, so it is as exact as the step is short. Raises `DurationError`, `TicksError`.
    """
    found = show(ticks, now_ms)
    after = later(found.time, duration)
    stride = later(found.time, step) - found.time
    count = -(-(after - found.time) // stride)
    if count > MOST_TICKS:
        raise DurationError(f"{duration} by steps of {step} is {count} ticks, at most {MOST_TICKS}; give a longer step")
    instants = [found.time + stride * number for number in range(1, count)] + [after]
    ticks.send(instants, found.stand.latest)
    return Advanced(found.time, after, count, len(found.stand.latest))


def show(ticks: Ticks, now_ms: Callable[[], int]) -> Showing:
    """Where the clock stands. Raises `TicksError`."""
    stand = ticks.stand()
    machine = now_ms() * 1000
    return Showing(stand, machine, stand.sandbox_time(machine))
