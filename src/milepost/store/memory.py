"""State in memory: encoded bytes by key, as they come from the changelog and go to it.

Nothing is decoded here, so restoring is storing. Keys that start with `@` belong to the partition (deadlines, clock,
offsets) and are kept in order, because every tick asks for a range of them; the parts of engagements are many and are
only ever asked for by key, so a range over those is sorted when it is asked for.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

__all__ = ["MemoryStore"]

_ORDERED = b"@"
_AFTER_ORDERED = b"A"  # the byte after "@": every key that starts with "@" is below it


class MemoryStore:
    """A store of one partition. Not shared between tasks; `apply` is called with committed changes only."""

    def __init__(self) -> None:
        self._parts: dict[bytes, bytes] = {}
        self._index: list[bytes] = []  # the keys of `_parts` that start with "@", ascending

    def __len__(self) -> int:
        """Number of parts."""
        return len(self._parts)

    def get(self, key: bytes) -> bytes | None:
        """The bytes under `key`, or None."""
        return self._parts.get(key)

    def keys(self, start: bytes, stop: bytes) -> Iterable[bytes]:
        """The keys with start <= key < stop, ascending, as they are now."""
        if start >= _ORDERED and stop <= _AFTER_ORDERED:
            return self._index[bisect_left(self._index, start) : bisect_left(self._index, stop)]
        return sorted(key for key in self._parts if start <= key < stop)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Every key with its bytes, in no particular order."""
        return iter(self._parts.items())

    def apply(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Write the changes in their order; None deletes, and deleting what is not there is nothing."""
        parts, index = self._parts, self._index
        for key, value in changes:
            if key.startswith(_ORDERED):
                known = key in parts
                if value is None and known:
                    del index[bisect_left(index, key)]
                elif value is not None and not known:
                    insort(index, key)
            if value is None:
                parts.pop(key, None)
            else:
                parts[key] = value

    def clear(self) -> None:
        """Forget everything: the partition was taken away, or is restored anew."""
        self._parts.clear()
        self._index.clear()
