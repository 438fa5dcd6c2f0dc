"""Steps 3 and 4 of the protocol: a partition's state from its changelog, and where its inputs go on.

The caller has fenced the predecessor first (step 2): nothing that was read before counts.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from milepost.core.parts import Parts
from milepost.kafka.log import Committed, Log, TopicPartition
from milepost.observe import logs

__all__ = ["OFFSETS_KEY", "Applied", "PartitionRefusedError", "Restored", "Store", "positions", "restore"]

OFFSETS_KEY = b"@offsets"
log = logs.logger(__name__)


class Store(Parts, Protocol):
    """A partition's committed state; `apply` takes what a committed transaction changed."""

    def apply(self, changes: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Store each value, None deletes."""


class Applied(msgspec.Struct, frozen=True):
    """The record under `@offsets`: the last transaction, its hash, and the next offset of every input topic."""

    txseq: int
    hash: str
    offsets: dict[str, int]

    def encode(self) -> bytes:
        """As it is written to the changelog."""
        return msgspec.json.encode(self, order="deterministic")

    @property
    def note(self) -> str:
        """The metadata of the group's offsets."""
        return f"{self.txseq} {self.hash}"


NOTHING = Applied(0, "", {})


class PartitionRefusedError(Exception):
    """This partition cannot be joined rightly; the message says why and what to do."""


class Restored(NamedTuple):
    """A state as of its last committed transaction, and the changelog offset after it."""

    store: Store
    applied: Applied
    next_offset: int


async def restore(
    source: Log,
    changelog: TopicPartition,
    known: Restored | None,
    empty: Callable[[], Store],
    stall_s: float,
    on_batch: Callable[[], None],
) -> Restored:
    """3. Restore: read the changelog, committed records only, up to the end it had when this began.

    `known` (this process's own state, which is a committed one) is brought up to date from its offset; without it, or
    when the log was cut above it, everything is read. Raises `ChangelogStalledError` before a hanging transaction.
    """
    span = (await source.spans([changelog]))[changelog]
    if known is None or not span.begin <= known.next_offset <= span.end:
        known = Restored(empty(), NOTHING, span.begin)
    store, applied = known.store, known.applied
    async with contextlib.aclosing(source.read(changelog, known.next_offset, span.end, stall_s)) as batches:
        async for records in batches:
            changes = [(record.key, record.value) for record in records if record.key is not None]
            if len(changes) != len(records):
                raise PartitionRefusedError(
                    f"{changelog.topic} partition {changelog.partition} has a record without a key: somebody else "
                    "writes to the join's own topic. Find out who; restore it from a backup or replay the inputs"
                )
            store.apply(changes)
            on_batch()
    raw = store.get(OFFSETS_KEY)
    if raw is not None:
        applied = msgspec.json.decode(raw, type=Applied)
    return Restored(store, applied, span.end)


async def positions(source: Log, group: str, topics: Sequence[str], number: int, applied: Applied) -> dict[str, int]:
    """4. Position: the next offset of each input topic; the state is the truth, the group must not contradict it.

    Raises `PartitionRefusedError` when group and state belong to different histories, or an offset is out of range.
    """
    partitions = [TopicPartition(topic, number) for topic in topics]
    committed = await source.committed(group, partitions)
    spans = await source.spans(partitions)
    found: dict[str, int] = {}
    for partition in partitions:
        topic, span = partition.topic, spans[partition]
        position = applied.offsets.get(topic)
        note = committed.get(partition)
        if note is not None:
            _compare(group, partition, note, position, applied)
        if position is None:
            position = span.begin  # no state and no group offset: from the first record, said explicitly
        if not span.begin <= position <= span.end:
            raise PartitionRefusedError(
                f"{topic} partition {number}: the state was folded up to offset {position}, the topic now has offsets "
                f"{span.begin} to {span.end}. Records are gone or the topic was made anew; restore the topic, or "
                "replay everything with a new group and an empty state topic"
            )
        found[topic] = position
    return found


def _compare(group: str, partition: TopicPartition, note: Committed, position: int | None, applied: Applied) -> None:
    where = f"{partition.topic} partition {partition.partition}: group {group} is at offset {note.offset}"
    wayout = (
        "Stop the workers; if the state is right, remove the group's offset with `kafka-consumer-groups.sh --group "
        f"{group} --topic {partition.topic}:{partition.partition} --delete-offsets --execute`, then start again"
    )
    if position is None or note.offset > position:
        raise PartitionRefusedError(
            f"{where}, ahead of the state ({'empty' if position is None else position}): events in between would be "
            f"lost. {wayout}"
        )
    text, _, digest = note.metadata.partition(" ")
    if not text.isdecimal() or not digest:
        raise PartitionRefusedError(
            f"{where} with the note {note.metadata!r}, which no join wrote: it was moved by hand. The state is at "
            f"{position}. {wayout}"
        )
    if int(text) > applied.txseq or (int(text) == applied.txseq and digest != applied.hash):
        raise PartitionRefusedError(
            f"{where}, noted by transaction {note.metadata[:80]!r}; the state's last is {applied.note[:80]!r}: another "
            f"history. {wayout}"
        )
    if note.offset < position:
        log.warning(
            "group behind state",
            partition=partition.partition,
            topic=partition.topic,
            group_offset=note.offset,
            position=position,
        )
