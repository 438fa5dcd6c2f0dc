"""The five protections of the join, each taken away: what a test of exactly once must notice.

They wrap the port (`kafka.log.Log`) or replace the partition's class, on real Kafka and on the in-memory log alike;
the production code has no switch for any of them. `take_away(name, log)` gives the log and the class for a worker:

    service = JoinService(log, worker, options, make_store, on_step, partition_type)

Name: what is gone; the situation that shows it.

- no-await-sends: step 6: nobody looks whether a batch was rejected; a rejected batch (small max.message.bytes)
- fence-after-restore: step 2: the new epoch comes with the first transaction; a zombie that commits after the restore
- position-from-group: step 4: the group's offset, unchecked; a moved group offset
- no-incarnation: a batch queued behind a failed one is folded; a failing batch with another behind it
- no-endtxn-count: step 7: an ambiguous EndTxn keeps its epoch; a lost answer, its request arriving late
"""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence

from milepost.codec.wire import Record
from milepost.join.batch import Batch
from milepost.join.partition import PartitionJoin
from milepost.kafka.log import Committed, GroupConsumer, Listener, Log, Message, Producer, Span, TopicPartition

CONTROLS = ("no-await-sends", "fence-after-restore", "position-from-group", "no-incarnation", "no-endtxn-count")


def take_away(name: str, log: Log) -> tuple[Log, type[PartitionJoin]]:
    """A log and a partition class without the protection `name`; empty: with all of them."""
    if name == "no-incarnation":
        return log, NoIncarnation
    if name:
        return _LOGS[name](log), PartitionJoin
    return log, PartitionJoin


class NoIncarnation(PartitionJoin):
    """Every batch is welcome, whatever happened since it was polled."""

    def bump(self) -> None:
        self.incarnation += 1

    def is_current(self, batch: Batch) -> bool:
        return True


class PassingProducer:
    """A producer that passes everything on."""

    def __init__(self, inner: Producer) -> None:
        self.inner = inner

    @property
    def sent(self) -> int:
        return self.inner.sent

    async def start(self) -> None:
        await self.inner.start()

    async def begin(self) -> None:
        await self.inner.begin()

    async def send(self, topic: str, partition: int, messages: Sequence[Message]) -> None:
        await self.inner.send(topic, partition, messages)

    async def settle(self, timeout_s: float) -> dict[TopicPartition, int]:
        return await self.inner.settle(timeout_s)

    async def send_offsets(self, offsets: Mapping[TopicPartition, Committed], group: str) -> None:
        await self.inner.send_offsets(offsets, group)

    async def commit(self) -> bool:
        return await self.inner.commit()

    async def close(self, timeout_s: float) -> None:
        await self.inner.close(timeout_s)


class PassingLog:
    """A log that passes everything on."""

    def __init__(self, inner: Log) -> None:
        self.inner = inner

    async def start(self) -> None:
        await self.inner.start()

    async def stop(self) -> None:
        await self.inner.stop()

    async def partition_counts(self, topics: Collection[str]) -> dict[str, int]:
        return await self.inner.partition_counts(topics)

    async def spans(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Span]:
        return await self.inner.spans(partitions)

    async def committed(self, group: str, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Committed]:
        return await self.inner.committed(group, partitions)

    async def weaknesses(self) -> list[str]:
        return await self.inner.weaknesses()

    def consumer(self, group: str, topics: Collection[str], listener: Listener) -> GroupConsumer:
        return self.inner.consumer(group, topics, listener)

    def producer(self, transactional_id: str) -> Producer:
        return self.inner.producer(transactional_id)

    def read(
        self, partition: TopicPartition, start: int, end: int, stall_s: float
    ) -> AsyncGenerator[list[Record], None]:
        return self.inner.read(partition, start, end, stall_s)


class _Hasty(PassingProducer):
    async def settle(self, timeout_s: float) -> dict[TopicPartition, int]:
        return {}


class NoAwaitSends(PassingLog):
    """Commits without having looked at what became of the sends."""

    def producer(self, transactional_id: str) -> Producer:
        return _Hasty(self.inner.producer(transactional_id))


class _Late(PassingProducer):
    def __init__(self, inner: Producer) -> None:
        super().__init__(inner)
        self.started = False

    async def start(self) -> None:
        pass

    async def begin(self) -> None:
        if not self.started:
            self.started = True
            await self.inner.start()
        await self.inner.begin()


class FenceAfterRestore(PassingLog):
    """Reads the state while the predecessor can still write."""

    def producer(self, transactional_id: str) -> Producer:
        return _Late(self.inner.producer(transactional_id))


class _Obedient:
    """A consumer that goes where the group's offset is."""

    def __init__(self, inner: GroupConsumer, notes: dict[TopicPartition, Committed]) -> None:
        self.inner, self.notes = inner, notes
        self.start, self.stop, self.poll = inner.start, inner.stop, inner.poll
        self.pause, self.resume, self.position, self.ends = inner.pause, inner.resume, inner.position, inner.ends

    def seek(self, partition: TopicPartition, offset: int) -> None:
        note = self.notes.pop(partition, None)
        self.inner.seek(partition, note.offset if note else offset)


class PositionFromGroup(PassingLog):
    """Believes the group, compares nothing."""

    def __init__(self, inner: Log) -> None:
        super().__init__(inner)
        self.notes: dict[TopicPartition, Committed] = {}

    async def committed(self, group: str, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Committed]:
        self.notes.update(await self.inner.committed(group, partitions))
        return {}

    def consumer(self, group: str, topics: Collection[str], listener: Listener) -> GroupConsumer:
        return _Obedient(self.inner.consumer(group, topics, listener), self.notes)


class _Sure(PassingProducer):
    async def commit(self) -> bool:
        await self.inner.commit()
        return True


class NoEndTxnCount(PassingLog):
    """Takes every commit for the only one."""

    def producer(self, transactional_id: str) -> Producer:
        return _Sure(self.inner.producer(transactional_id))


_LOGS: dict[str, type[PassingLog]] = {
    "no-await-sends": NoAwaitSends,
    "fence-after-restore": FenceAfterRestore,
    "position-from-group": PositionFromGroup,
    "no-endtxn-count": NoEndTxnCount,
}
