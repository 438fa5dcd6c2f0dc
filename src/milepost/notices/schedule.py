"""When a delivery that failed is tried again: Standard Webhooks' schedule, stretched by what the receiver asks for."""

from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

__all__ = ["DELAYS_S", "LONGEST_WAIT_S", "next_attempt", "retry_after"]

_SECOND_US = 1_000_000
_MINUTE_S, _HOUR_S = 60, 3_600

DELAYS_S = (
    0,
    5,
    5 * _MINUTE_S,
    30 * _MINUTE_S,
    2 * _HOUR_S,
    5 * _HOUR_S,
    10 * _HOUR_S,
    14 * _HOUR_S,
    20 * _HOUR_S,
    24 * _HOUR_S,
)
"""Seconds before the first attempt, the second, ...: 75 h 35 min from the first to the last."""

LONGEST_WAIT_S = 24 * _HOUR_S
"""Most that a receiver's Retry-After can ask for."""

# So that what failed together does not come back together.
_JITTER = 0.1


def next_attempt(tries: int, now: int, chance: Callable[[], float], not_before: int | None = None) -> int | None:
    """The instant of the attempt after `tries` that failed, or None when there was the last.

    `chance` gives a number from 0 to 1; `not_before` is what the receiver asked for. Instants are microseconds.
    """
    if tries >= len(DELAYS_S):
        return None
    due = now + int(DELAYS_S[tries] * (1 + _JITTER * chance()) * _SECOND_US)
    return due if not_before is None else max(due, min(not_before, now + LONGEST_WAIT_S * _SECOND_US))


def retry_after(header: str | None, now: int) -> int | None:
    """The instant that a Retry-After names, as seconds or as a date; None for none and for what is neither."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return now + int(text) * _SECOND_US
    try:
        named = parsedate_to_datetime(text)
    except ValueError:
        return None
    return int(named.replace(tzinfo=named.tzinfo or UTC).timestamp()) * _SECOND_US
