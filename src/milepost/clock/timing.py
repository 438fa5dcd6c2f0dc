"""Which tick is due: pure, in microseconds since 1970.

- A tick states the last boundary of the interval, counted from 1970, so that two leaders of a moment say the same.
- After a pause there is one tick, the latest, and none for the boundaries that went by: what became due meanwhile fires
  in the order of its dates, and who is asked only now has the whole of his time from now on (rule 16). Ticks of the
  past would let escalations run out that nobody was told of.
- No partition is ever told an instant that is not later than its last.
- In a sandbox a tick states the machine's time and what it was advanced by, not the boundary: so whoever reads it finds
  the same lead again.
"""

from collections.abc import Mapping

__all__ = ["boundary", "untold"]


def boundary(time: int, interval: int) -> int:
    """The last instant up to `time` that is a whole number of intervals after 1970."""
    return time - time % interval


def untold(at: int, latest: Mapping[int, int | None]) -> tuple[int, ...]:
    """The partitions to tell `at`, of those that were last told `latest`: where it is news."""
    return tuple(sorted(number for number, last in latest.items() if last is None or last < at))
