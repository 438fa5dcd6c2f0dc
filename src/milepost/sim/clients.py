"""`kafka.log.Log` on the in-memory broker: what a worker of the join is given in a simulation and in most tests.

The seed of the broker decides how often each call yields before and after it has its effect, so that different seeds
interleave workers differently. Timeouts follow the loop's clock: a run repeats exactly on a loop with virtual time.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence

from milepost.codec.wire import Record
from milepost.kafka.assignor import common_numbers, share
from milepost.kafka.log import (
    ChangelogStalledError,
    Committed,
    GroupRefusedError,
    Listener,
    LogError,
    Message,
    RejectedError,
    Span,
    TopicPartition,
)
from milepost.sim.broker import SimBroker

__all__ = ["SimCluster", "SimConsumer", "SimLog", "SimProducer"]

MOST_YIELDS = 4


class SimCluster:
    """A broker and its groups; workers get a `log()` each."""

    def __init__(self, seed: int = 0, partitions: int = 4) -> None:
        self.broker = SimBroker(seed, partitions)
        self.groups: dict[str, _Group] = {}

    def log(self) -> "SimLog":
        """A connection of its own for one worker."""
        return SimLog(self)

    def group(self, name: str) -> "_Group":
        """The group of that name."""
        if name not in self.groups:
            self.groups[name] = _Group(self.broker)
        return self.groups[name]

    async def pause(self) -> None:
        """Let others run for as long as the seed says."""
        for _ in range(self.broker.random.randrange(MOST_YIELDS)):
            await asyncio.sleep(0)


class _Group:
    """Members and who has what; eager rebalances, as the real client does them."""

    def __init__(self, broker: SimBroker) -> None:
        self._broker = broker
        self.members: list[SimConsumer] = []
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def change(self, member: "SimConsumer", joins: bool) -> None:
        """A member joins, leaves, or is given up by the coordinator."""
        if joins and member not in self.members:
            self.members.append(member)
        if not joins and member in self.members:
            self.members.remove(member)
        task = asyncio.create_task(self._rebalance())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _rebalance(self) -> None:
        async with self._lock:
            for member in list(self.members):
                member.stable.clear()
                await member.listener.on_revoked(frozenset(member.positions))
            members = list(self.members)
            if not members:
                return
            try:
                shares = self._shares(members)
            except GroupRefusedError as refused:
                members[0].refusal = str(refused)  # the leader alone learns it; the others wait
                return
            for member in members:
                member.take(
                    [TopicPartition(topic, number) for topic in member.topics for number in shares[member.name]]
                )

    def _shares(self, members: list["SimConsumer"]) -> dict[str, list[int]]:
        if len({frozenset(member.topics) for member in members}) != 1:
            raise GroupRefusedError("members of the group read different topics")
        counts = {topic: range(self._broker.count(topic)) for topic in members[0].topics}
        claims = {member.name: sorted({held.partition for held in member.positions}) for member in members}
        return share(common_numbers(counts), claims)


class SimConsumer:
    """`log.GroupConsumer` in memory."""

    def __init__(self, log: "SimLog", group: str, topics: Collection[str], listener: Listener) -> None:
        self._log, self._broker, self._group = log, log.cluster.broker, log.cluster.group(group)
        self.topics, self.listener = tuple(topics), listener
        self.name = f"member-{self._broker.random.getrandbits(64):016x}"
        self.positions: dict[TopicPartition, int | None] = {}
        self.stable = asyncio.Event()
        self.refusal: str | None = None
        self._paused: set[TopicPartition] = set()
        self._stopped = False

    async def start(self) -> None:
        """Join the group."""
        await self._log.pause()
        self._group.change(self, joins=True)

    async def stop(self) -> None:
        """Leave it."""
        self._stopped = True
        self._group.change(self, joins=False)
        await self._log.pause()

    def expire(self) -> None:
        """Be given up by the coordinator, without being told: what a frozen process finds out later."""
        self._group.change(self, joins=False)

    def take(self, partitions: Sequence[TopicPartition]) -> None:
        """Called by the group: pauses and positions of before are forgotten."""
        self.positions, self.refusal = dict.fromkeys(partitions), None
        self._paused.clear()
        self.listener.on_assigned(frozenset(partitions))
        self.stable.set()

    async def poll(self, timeout_s: float, max_records: int) -> dict[TopicPartition, list[Record]]:
        """Records of what is held and not paused."""
        until = time.monotonic() + timeout_s
        while True:
            await self._log.pause()
            if self._stopped:
                raise LogError("ConsumerStopped")
            if self.refusal is not None:
                raise GroupRefusedError(self.refusal)
            if self not in self._group.members and self.stable.is_set():
                self._group.change(self, joins=True)
                self.stable.clear()
            if self.stable.is_set():
                found = self._fetch(max_records)
                if found or time.monotonic() >= until:
                    return found
            await asyncio.sleep(0.001)

    def _fetch(self, max_records: int) -> dict[TopicPartition, list[Record]]:
        found: dict[TopicPartition, list[Record]] = {}
        for partition, position in self.positions.items():
            if position is None:
                raise LogError(f"NoOffsetForPartition: {partition}")
            if partition in self._paused or max_records == 0:
                continue
            records, self.positions[partition] = self._broker.read(partition, position, max_records)
            max_records -= len(records)
            if records:
                found[partition] = records
        return found

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        """Return nothing of these."""
        self._paused.update(self.positions.keys() & set(partitions))

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        """Return these again."""
        self._paused.difference_update(partitions)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Set a position."""
        if partition in self.positions:
            self.positions[partition] = offset

    def position(self, partition: TopicPartition) -> int | None:
        """Where it is."""
        return self.positions.get(partition)

    async def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Stable offsets."""
        await self._log.pause()
        return {partition: self._broker.stable(partition) for partition in partitions}


class SimProducer:
    """`log.Producer` in memory."""

    def __init__(self, log: "SimLog", transactional_id: str) -> None:
        self._log, self._broker, self._id = log, log.cluster.broker, transactional_id
        self._epoch: int | None = None
        self._placed: dict[TopicPartition, int] = {}
        self._failures: list[RejectedError] = []
        self._counts: dict[TopicPartition, int] = {}

    @property
    def sent(self) -> int:
        """Records sent to the busiest partition."""
        return max(self._counts.values(), default=0)

    async def start(self) -> None:
        """A new epoch."""
        await self._log.pause()
        self._epoch = self._broker.start_producer(self._id)
        await self._log.pause()

    async def begin(self) -> None:
        """Nothing goes over the wire yet."""
        self._started()
        self._placed, self._failures = {}, []

    async def send(self, topic: str, partition: int, messages: Sequence[Message]) -> None:
        """Write; a rejection shows when it is asked for, as with the real client."""
        await self._log.pause()
        target = TopicPartition(topic, partition)
        try:
            first = self._broker.produce(self._id, self._started(), target, messages)
        except RejectedError as error:
            self._failures.append(error)
            return
        self._placed[target] = first + len(messages)
        self._counts[target] = self._counts.get(target, 0) + len(messages)

    async def settle(self, timeout_s: float) -> dict[TopicPartition, int]:
        """Raise what was rejected."""
        await self._log.pause()
        if self._failures:
            raise self._failures[0]
        return dict(self._placed)

    async def send_offsets(self, offsets: Mapping[TopicPartition, Committed], group: str) -> None:
        """Put offsets into the transaction."""
        await self._log.pause()
        self._broker.add_offsets(self._id, self._started(), group, offsets.items())

    async def commit(self) -> bool:
        """Commit; False when the network held the first request back and it was repeated."""
        await self._log.pause()
        epoch, held = self._started(), self._broker.hold_next_end > 0
        if held:
            self._broker.hold_next_end -= 1
            self._broker.held_ends.append((self._id, epoch))
        self._broker.end(self._id, epoch, commit=True)
        await self._log.pause()
        return not held

    async def close(self, timeout_s: float) -> None:
        """Stop; an open transaction stays open until the next epoch."""
        self._epoch = None

    def _started(self) -> int:
        if self._epoch is None:
            raise LogError(f"the producer of {self._id} is not running")
        return self._epoch


class SimLog:
    """`log.Log` in memory; one for each worker, which can be frozen in the middle of anything.

    A worker that is frozen for good is one that was killed; one that thaws after others took its place is a zombie.
    """

    def __init__(self, cluster: SimCluster) -> None:
        self.cluster, self._broker = cluster, cluster.broker
        self.members: list[SimConsumer] = []
        self._thawed = asyncio.Event()
        self._thawed.set()

    async def pause(self) -> None:
        """Every call passes here, before its effect and often after it."""
        await self.cluster.pause()
        await self._thawed.wait()

    def freeze(self) -> None:
        """From its next call on the worker stands still; the group gives it up, and it does not learn of that."""
        self._thawed.clear()
        for member in self.members:
            member.expire()

    def thaw(self) -> None:
        """It goes on where it stood."""
        self._thawed.set()

    async def start(self) -> None:
        """Nothing to connect to."""
        await self.pause()

    async def stop(self) -> None:
        """Nothing to close."""
        await self.pause()

    async def partition_counts(self, topics: Collection[str]) -> dict[str, int]:
        """Partitions by topic."""
        return {topic: self._broker.count(topic) for topic in topics}

    async def spans(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Span]:
        """First and end offsets."""
        await self.pause()
        return {partition: self._broker.span(partition) for partition in partitions}

    async def committed(self, group: str, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Committed]:
        """A group's offsets."""
        await self.pause()
        notes = {partition: self._broker.committed(group, partition) for partition in partitions}
        return {partition: note for partition, note in notes.items() if note is not None}

    async def weaknesses(self) -> list[str]:
        """None."""
        return []

    def consumer(self, group: str, topics: Collection[str], listener: Listener) -> SimConsumer:
        """A new member."""
        self.members.append(SimConsumer(self, group, topics, listener))
        return self.members[-1]

    def producer(self, transactional_id: str) -> SimProducer:
        """A new producer."""
        return SimProducer(self, transactional_id)

    async def read(
        self, partition: TopicPartition, start: int, end: int, stall_s: float
    ) -> AsyncGenerator[list[Record], None]:
        """Committed records below `end`."""
        since = time.monotonic()
        while start < end:
            await self.pause()
            records, position = self._broker.read(partition, start, 1_000)
            if position > start:
                start, since = position, time.monotonic()
            elif time.monotonic() - since > stall_s:
                raise ChangelogStalledError(
                    f"{partition.topic} partition {partition.partition} cannot be read beyond offset {start} of {end}"
                )
            else:
                await asyncio.sleep(0.001)
            if below := [record for record in records if record.offset < end]:
                yield below
