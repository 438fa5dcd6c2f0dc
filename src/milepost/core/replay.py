"""Many events, one after another, without a log: what the join raises for the same events in the same order."""

from collections.abc import Iterable, Iterator

from milepost.core.fold import Received, fold
from milepost.core.outputs import Output
from milepost.core.parts import Staged

__all__ = ["Empty", "replay"]


class Empty:
    """A store that has nothing: the staged copy over it is the whole state."""

    def get(self, key: bytes) -> bytes | None:
        """None, always."""
        return None

    def keys(self, start: bytes, stop: bytes) -> Iterable[bytes]:
        """None of them."""
        return ()


def replay(events: Iterable[Received]) -> Iterator[tuple[Received, list[Output]]]:
    """Fold the events from nothing, yielding each with what it raised."""
    staged = Staged(Empty())
    for received in events:
        yield received, fold(staged, received)
