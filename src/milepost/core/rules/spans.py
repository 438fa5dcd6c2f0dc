"""When something holds: ascending, disjoint half-open spans of instants, `(since, until)`."""

from collections.abc import Sequence

from milepost.core.calendar import END_OF_TIME

__all__ = ["ALWAYS", "NEVER", "Span", "both", "ended", "holds"]

Span = tuple[int, int]

ALWAYS: tuple[Span, ...] = ((-END_OF_TIME, END_OF_TIME),)
NEVER: tuple[Span, ...] = ()


def both(left: Sequence[Span], right: Sequence[Span]) -> tuple[Span, ...]:
    """When both hold."""
    if left == ALWAYS:
        return tuple(right)
    if right == ALWAYS:
        return tuple(left)
    found: list[Span] = []
    i = j = 0
    while i < len(left) and j < len(right):
        since, until = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if since < until:
            found.append((since, until))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return tuple(found)


def holds(spans: Sequence[Span], instant: int) -> bool:
    """Whether the instant is inside a span."""
    return any(since <= instant < until for since, until in spans)


def ended(spans: Sequence[Span]) -> int | None:
    """When the last span ended: since when it holds no longer; None if it never held or still does."""
    return spans[-1][1] if spans and spans[-1][1] < END_OF_TIME else None
