"""How often a key may ask: a bucket of tokens for each, filled at the allowed rate, two seconds' worth at most.

Each instance counts for itself; behind a load balancer a key has the rate times the instances.
"""

from typing import Final

__all__ = ["Rates"]

BURST_S: Final = 2
# A bucket that is full again needs no memory; looked at when there are this many.
KEPT: Final = 10_000
_US: Final = 1_000_000


class Rates:
    """The buckets of one gateway."""

    def __init__(self) -> None:
        # When a key's bucket will be full again, in microseconds since 1970.
        self._full_at: dict[str, int] = {}

    def wait_us(self, key: str, per_s: int, now: int) -> int:
        """0: go ahead, a token was taken. Else: microseconds until there is one. `per_s` 0: any rate."""
        if not per_s:
            return 0
        token_us = _US // per_s or 1
        full_at = max(self._full_at.get(key, 0), now)
        wait_us = full_at + token_us - (now + max(BURST_S * _US, token_us))
        if wait_us > 0:
            return wait_us
        self._full_at[key] = full_at + token_us
        if len(self._full_at) > KEPT:
            self._full_at = {name: full for name, full in self._full_at.items() if full > now}
        return 0
