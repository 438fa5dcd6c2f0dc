"""An in-memory log with Kafka's rules: transactions with epochs and markers, the stable offset, groups, compaction.

Pure bookkeeping, no waiting: `sim.clients` puts the port of `kafka.log` in front of it and adds the seed's delays. It
knows of Kafka what the join depends on, and the contract suite compares the two.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from random import Random

from milepost.codec.wire import Record
from milepost.kafka.log import Committed, FencedError, LogError, Message, RejectedError, Span, TopicPartition

__all__ = ["Entry", "SimBroker", "State", "Transaction"]

MAX_MESSAGE_BYTES = 1_048_588
BATCH_BYTES = 1_000_000


class State(Enum):
    """Where a transaction stands."""

    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


@dataclass
class Transaction:
    """One transaction: what it touched, and offsets that wait for its end."""

    producer: tuple[int, int]  # id and epoch
    state: State = State.OPEN
    partitions: list[TopicPartition] = field(default_factory=list)
    offsets: dict[tuple[str, TopicPartition], Committed] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A record, or with `record` None a marker; `transaction` None: written without one."""

    offset: int
    record: Record | None
    transaction: Transaction | None


@dataclass
class _Partition:
    entries: list[Entry] = field(default_factory=list)
    begin: int = 0
    end: int = 0


@dataclass
class _TransactionalId:
    producer: int
    epoch: int
    current: Transaction | None = None


class SimBroker:
    """Topics, transactions and committed offsets. `clock_ms` is the time that appended records get."""

    def __init__(self, seed: int = 0, partitions: int = 4) -> None:
        self.random = Random(seed)
        self.partitions = partitions
        self.clock_ms = 1_700_000_000_000
        self.max_message_bytes: dict[str, int] = {}
        # EndTxn requests that the network holds back: the client repeats each, and the first arrives when told to.
        self.hold_next_end = 0
        self.held_ends: list[tuple[str, int]] = []
        self._topics: dict[str, list[_Partition]] = {}
        self._ids: dict[str, _TransactionalId] = {}
        self._committed: dict[tuple[str, TopicPartition], Committed] = {}

    # ------------------------------------------------------------------------------------------------------- topics

    def create(self, topic: str, partitions: int | None = None) -> None:
        """Create a topic."""
        assert topic not in self._topics, f"{topic} exists"
        self._topics[topic] = [_Partition() for _ in range(partitions or self.partitions)]

    def count(self, topic: str) -> int:
        """Its partitions; 0 when there is no such topic."""
        return len(self._topics.get(topic, ()))

    def append(self, partition: TopicPartition, messages: Sequence[Message], timestamp_ms: int | None = None) -> int:
        """Write without a transaction; the offset of the first."""
        return self._append(partition, messages, None, timestamp_ms)

    def span(self, partition: TopicPartition) -> Span:
        """First and end offsets."""
        found = self._partition(partition)
        return Span(found.begin, found.end)

    def stable(self, partition: TopicPartition) -> int:
        """The offset before which no transaction is open."""
        found = self._partition(partition)
        opened = (one.offset for one in found.entries if one.transaction and one.transaction.state is State.OPEN)
        return next(opened, found.end)

    def read(self, partition: TopicPartition, start: int, limit: int) -> tuple[list[Record], int]:
        """Committed records from `start`, at most `limit`, and the offset to go on at; markers are passed over."""
        found, stable = self._partition(partition), self.stable(partition)
        if not found.begin <= start <= found.end:
            raise LogError(f"OffsetOutOfRange: {partition} has {found.begin} to {found.end}, asked for {start}")
        records: list[Record] = []
        for entry in found.entries:
            if entry.offset < start:
                continue
            if entry.offset >= stable:
                return records, max(start, stable)
            if entry.record is not None and (entry.transaction is None or entry.transaction.state is State.COMMITTED):
                records.append(entry.record)
                if len(records) == limit:
                    return records, entry.offset + 1
        return records, max(start, stable)

    def entries(self, partition: TopicPartition) -> tuple[Entry, ...]:
        """Everything, as an auditor sees it."""
        return tuple(self._partition(partition).entries)

    def compact(self, partition: TopicPartition) -> None:
        """Keep each key's last committed record, drop aborted records, markers and tombstones: as hard as it gets."""
        found, last = self._partition(partition), dict[bytes | None, int]()
        kept = [
            entry
            for entry in found.entries
            if entry.record and (entry.transaction is None or entry.transaction.state is State.COMMITTED)
        ]
        for entry in kept:
            assert entry.record is not None
            last[entry.record.key] = entry.offset
        found.entries = [
            entry for entry in kept if entry.record and entry.record.value and last[entry.record.key] == entry.offset
        ]

    def truncate(self, partition: TopicPartition, begin: int) -> None:
        """Throw away what is below `begin`, as retention does."""
        found = self._partition(partition)
        found.begin = begin
        found.entries = [entry for entry in found.entries if entry.offset >= begin]

    # ------------------------------------------------------------------------------------------------- transactions

    def start_producer(self, name: str) -> int:
        """A new epoch for a transactional id; an open transaction of the old one is aborted first."""
        known = self._ids.get(name)
        if known is None:
            self._ids[name] = _TransactionalId(1_000 + len(self._ids), 0)
            return 0
        if known.current is not None:
            self._finish(known, State.ABORTED)
        known.epoch += 1
        return known.epoch

    def produce(self, name: str, epoch: int, partition: TopicPartition, messages: Sequence[Message]) -> int:
        """Write in the id's transaction, which begins by itself; the offset of the first record."""
        transaction = self._transaction(name, epoch)
        limit = self.max_message_bytes.get(partition.topic, MAX_MESSAGE_BYTES)
        largest = max(_batch_sizes(messages), default=0)
        if largest > limit:
            raise RejectedError(f"MessageSizeTooLarge: {largest} bytes for {partition.topic}, {limit} allowed")
        if partition not in transaction.partitions:
            transaction.partitions.append(partition)
        return self._append(partition, messages, transaction, None)

    def add_offsets(self, name: str, epoch: int, group: str, notes: Iterable[tuple[TopicPartition, Committed]]) -> None:
        """Offsets that count when the transaction is committed."""
        transaction = self._transaction(name, epoch)
        transaction.offsets.update({(group, partition): note for partition, note in notes})

    def end(self, name: str, epoch: int, commit: bool) -> None:
        """EndTxn: ends whatever transaction the epoch has now, which is what KAFKA-17754 is about."""
        known = self._known(name, epoch)
        if known.current is not None:
            self._finish(known, State.COMMITTED if commit else State.ABORTED)

    def release_held_ends(self) -> int:
        """Let the held EndTxn requests arrive; how many of them still ended something."""
        ended = 0
        for name, epoch in self.held_ends:
            known = self._ids[name]
            if known.epoch == epoch and known.current is not None:
                self._finish(known, State.COMMITTED)
                ended += 1
        self.held_ends.clear()
        return ended

    def open_transactions(self) -> list[str]:
        """Transactional ids with an open transaction."""
        return [name for name, known in self._ids.items() if known.current is not None]

    # ------------------------------------------------------------------------------------------------------- groups

    def committed(self, group: str, partition: TopicPartition) -> Committed | None:
        """A group's offset, with its note."""
        return self._committed.get((group, partition))

    def commit(self, group: str, partition: TopicPartition, note: Committed) -> None:
        """Set a group's offset from outside, as an operator's tool does."""
        self._committed[group, partition] = note

    # ------------------------------------------------------------------------------------------------------- inside

    def _partition(self, partition: TopicPartition) -> _Partition:
        topic, number = self._topics.get(partition.topic, []), int(partition.partition)
        if number >= len(topic):
            raise LogError(f"UnknownTopicOrPartition: {partition.topic} {number}")
        return topic[number]

    def _append(
        self,
        partition: TopicPartition,
        messages: Sequence[Message],
        transaction: Transaction | None,
        timestamp_ms: int | None,
    ) -> int:
        found, first = self._partition(partition), self._partition(partition).end
        topic: str = partition.topic
        number: int = partition.partition
        self.clock_ms += 1
        for message in messages:
            timestamp = self.clock_ms if timestamp_ms is None else timestamp_ms
            headers = tuple(message.headers)
            record = Record(topic, number, found.end, timestamp, message.key, message.value, headers)
            found.entries.append(Entry(found.end, record, transaction))
            found.end += 1
        return first

    def _known(self, name: str, epoch: int) -> _TransactionalId:
        known = self._ids[name]
        if known.epoch != epoch:
            raise FencedError(f"InvalidProducerEpoch: {name} is at epoch {known.epoch}, this producer at {epoch}")
        return known

    def _transaction(self, name: str, epoch: int) -> Transaction:
        known = self._known(name, epoch)
        if known.current is None:
            known.current = Transaction((known.producer, epoch))
        return known.current

    def _finish(self, known: _TransactionalId, state: State) -> None:
        transaction, known.current = known.current, None
        assert transaction is not None
        transaction.state = state
        for partition in transaction.partitions:
            found = self._partition(partition)
            found.entries.append(Entry(found.end, None, transaction))
            found.end += 1
        if state is State.COMMITTED:
            self._committed.update(transaction.offsets)


def _batch_sizes(messages: Sequence[Message]) -> list[int]:
    """Sizes of the batches that the client makes; the broker's limit is for a batch, not for a record."""
    sizes: list[int] = []
    for message in messages:
        size = len(message.key or b"") + len(message.value or b"")
        if sizes and sizes[-1] + size <= BATCH_BYTES:
            sizes[-1] += size
        else:
            sizes.append(size)
    return sizes
