"""Timestamps of records: those of sending, but never equal or falling for one engagement.

A join that reads several topics in one go then folds an engagement's events in the order in which they were sent.
"""

import time

__all__ = ["Stamps"]

# How far ahead of the clock timestamps may run; brokers refuse what is an hour ahead.
LEAD_MS = 600_000
# An engagement whose last timestamp is in the past needs no memory; looked at when there are this many.
KEPT = 100_000


class Stamps:
    """Gives out timestamps in milliseconds since 1970; for one thread."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._latest = 0  # of all that were given out
        self._ticked = 0  # that of the last tick

    def of(self, engagement: str) -> int:
        """For an engagement's next event."""
        stamp = self._last[engagement] = _after(max(self._last.get(engagement, 0), self._ticked))
        self._latest = max(self._latest, stamp)
        if len(self._last) > KEPT:
            now = int(time.time() * 1000)
            self._last = {name: last for name, last in self._last.items() if last >= now}
        return stamp

    def tick(self) -> int:
        """For a tick, which comes after everything that was sent before it, whatever its engagement."""
        self._latest = self._ticked = _after(self._latest)
        return self._ticked


def _after(last: int) -> int:
    """Now, or the millisecond after `last` while that is not too far ahead of the clock."""
    now = int(time.time() * 1000)
    return max(now, min(last + 1, now + LEAD_MS))
