"""The join's fold without a broker: the same events give the same outputs with the same ids, one event at a time."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from milepost.codec.event_files import Line
from milepost.codec.records import topic_of
from milepost.codec.topics import DEAD_LETTER_TOPIC, INPUTS
from milepost.core.events import EngagementEvent, Event, InvoiceAcknowledgement, dated
from milepost.core.fold import Received, fold
from milepost.core.outputs import DeadLetter, Output
from milepost.core.parts import Staged
from milepost.core.replay import Empty
from milepost.join.terms import with_terms

__all__ = ["Raised", "fold_lines", "simulate"]


class Raised(NamedTuple):
    """An output with its topic, and the line that raised it (None: the opening of the contract)."""

    topic: str
    output: Output
    line: Line | None


def simulate(opening: EngagementEvent, lines: Iterable[Line], staged: Staged | None = None) -> Iterator[Raised]:
    """Open the engagement, then fold each line in order; yields every output in the order in which it was raised.

    `staged`: the state to fold into, empty; with each output it is as the output's event left it, and `fold_lines`
    goes on with it. An event is recorded at its own time. Lines that the join does not read (acknowledgements) raise
    nothing. Raises what the fold raises.
    """
    staged = Staged(Empty()) if staged is None else staged
    yield from _raise(staged, None, "engagements", opening)
    yield from fold_lines(staged, lines)


def fold_lines(staged: Staged, lines: Iterable[Line]) -> Iterator[Raised]:
    """Fold lines over what is known, as `simulate` does."""
    for line in lines:
        if not isinstance(line.event, InvoiceAcknowledgement):
            yield from _raise(staged, line, line.topic, line.event)


def _raise(staged: Staged, line: Line | None, topic: str, event: Event) -> Iterator[Raised]:
    assert topic in INPUTS
    read: Event | DeadLetter = with_terms(event) if isinstance(event, EngagementEvent) else event
    if isinstance(read, DeadLetter):
        yield Raised(DEAD_LETTER_TOPIC, read, line)
        return
    for output in fold(staged, Received(read, topic, None, None, dated(read))):
        yield Raised(DEAD_LETTER_TOPIC if isinstance(output, DeadLetter) else topic_of(output), output, line)
