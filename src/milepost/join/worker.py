"""Decode, fold, encode: what the join does with a batch of one partition. No I/O, no clock, no memory between calls.

Each record is looked at once. It becomes outputs and changes of state, or exactly one dead letter; a fold that raises
is let through, and the partition's code bisects the batch to find the record.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from milepost.codec import cloudevents, records
from milepost.codec.topics import PLACES
from milepost.codec.wire import Outgoing, Record, Undecodable
from milepost.core.events import ClockTick, EngagementEvent, Event
from milepost.core.fold import Received, fold
from milepost.core.outputs import DeadLetter
from milepost.core.parts import Parts, Staged
from milepost.join.dead_letters import dead_letter
from milepost.join.terms import with_terms

__all__ = ["Folded", "Outgoing", "Worker"]


@dataclass
class Folded:
    """What a batch stated and changed, in order. A change to None deletes; `dead_letters` counts by reason."""

    outputs: list[Outgoing] = field(default_factory=list)
    changes: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    dead_letters: dict[str, int] = field(default_factory=dict)


class Worker:
    """Folds batches; deterministic, so the same records over the same parts give the same bytes."""

    def fold(self, records: Sequence[Record], parts: Parts) -> Folded:
        """Fold records of one partition by timestamp, then the topic's place, then offset; `parts` is only read.

        Raises what the fold raises; nothing of the batch counts then.
        """
        folded = Folded()
        staged = Staged(parts)
        for record in sorted(records, key=_order):
            found = _event(record)
            if isinstance(found, DeadLetter):
                self._bury(folded, record, found)
            else:
                self._fold_one(folded, staged, record, found)
        folded.changes = staged.changes()
        return folded

    def dead_letter(self, record: Record, reason: str, message: str) -> Outgoing:
        """The dead letter of a record that cannot be folded (FOLD_FAILED), or whose output cannot be written."""
        return dead_letter(record, reason, message)

    def _fold_one(self, folded: Folded, staged: Staged, record: Record, event: Event) -> None:
        trace = cloudevents.carried(record.headers) if record.headers else ()
        received = Received(event, record.topic, record.partition, record.offset, record.timestamp * 1000)
        for place, output in enumerate(fold(staged, received)):
            if isinstance(output, DeadLetter):
                self._bury(folded, record, output)
                continue
            folded.outputs.append(
                Outgoing(
                    records.topic_of(output),
                    records.key_of(output),
                    records.encode(output),
                    cloudevents.headers_of(output, record, place, trace),
                )
            )

    def _bury(self, folded: Folded, record: Record, found: DeadLetter) -> None:
        if found.origin is not None:
            record = _record(found.origin)
        folded.outputs.append(dead_letter(record, found.reason, found.message))
        folded.dead_letters[found.reason] = folded.dead_letters.get(found.reason, 0) + 1


def _order(record: Record) -> tuple[int, int, int]:
    return record.timestamp, PLACES[record.topic], record.offset


def _record(parked: Received) -> Record:
    """The record of an event that was parked, encoded anew: its own bytes went by with an earlier batch."""
    event = parked.event
    assert not isinstance(event, ClockTick)
    assert parked.partition is not None
    assert parked.offset is not None
    return Record(
        topic=parked.topic,
        partition=parked.partition,
        offset=parked.offset,
        timestamp=parked.recorded_at // 1000,
        key=event.engagement_id.encode(),
        value=records.encode_event(event),
        headers=(),
    )


def _event(record: Record) -> Event | DeadLetter:
    """The event in a record, its contract read; or why there is none. Ticks may have any key."""
    if record.value is None:
        return DeadLetter(reason="UNDECODABLE", message="the value is null; expected a record of the topic's schema")
    try:
        event = records.decode(record.topic, record.value, record.headers)
    except Undecodable as error:
        return DeadLetter(reason=error.reason, message=error.message)
    if isinstance(event, ClockTick):
        return event
    if record.key is None:
        return DeadLetter(
            reason="KEY_MISMATCH", message=f"the key is null; expected the engagement_id, {event.engagement_id!r}"
        )
    if record.key != event.engagement_id.encode():
        return DeadLetter(
            reason="KEY_MISMATCH",
            message=f"the key is {record.key[:200].decode(errors='backslashreplace')!r}, but the engagement_id is "
            f"{event.engagement_id[:200]!r}; expected its UTF-8 bytes as the key",
        )
    return with_terms(event) if isinstance(event, EngagementEvent) else event
