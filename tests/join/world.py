"""A small real worker for the join's protocol, and an audit of what it left behind.

The worker counts: an event of key k and value n states `k:COUNT:TOTAL` on `lines` and keeps COUNT and TOTAL as state. A
lost, doubled or torn event shows in the counts, whatever order the batches had.
"""

import asyncio
import contextlib
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from milepost.codec.wire import Outgoing, Record, header
from milepost.core.parts import Parts
from milepost.join.batch import digest
from milepost.join.options import JoinOptions
from milepost.join.partition import TXSEQ_HEADER, PartitionJoin
from milepost.join.restore import OFFSETS_KEY, Applied
from milepost.join.service import JoinService
from milepost.kafka.log import Log, Message, TopicPartition
from milepost.sim.clients import SimCluster
from milepost.store.memory import MemoryStore

INPUTS = ("reports", "approvals")
OUTPUTS = ("lines", "dead-letters")
STATE = "engagement-state"
GROUP = "counting"
POISON = b"poison"

# As quick as a test should be; the limits of production are far longer.
OPTIONS = JoinOptions(
    app="test",
    group=GROUP,
    inputs=INPUTS,
    outputs=OUTPUTS,
    state_topic=STATE,
    max_records=50,
    queue_records=100,
    chunk_records=7,
    poll_timeout_s=0.01,
    retry_first_s=0.005,
    retry_most_s=0.05,
    heartbeat_s=0.02,
    stall_s=0.3,
    fence_timeout_s=5.0,
    revoke_timeout_s=1.0,
    close_timeout_s=0.5,
    refusal_grace_s=0.2,
    shutdown_timeout_s=2.0,
    fences_most=50,
)


class Folded(NamedTuple):
    outputs: list[Outgoing]
    changes: list[tuple[bytes, bytes | None]]


class CountingWorker:
    """`batch.Worker`: pure, and simple enough to be believed."""

    def fold(self, records: Sequence[Record], parts: Parts) -> Folded:
        outputs: list[Outgoing] = []
        changes: dict[bytes, bytes | None] = {}
        for record in records:
            assert record.key is not None
            assert record.value is not None
            if record.value == POISON:
                raise ArithmeticError("poison")
            kept = changes.get(record.key) or parts.get(record.key) or b"0:0"
            count, total = map(int, kept.split(b":"))
            amount, _, padding = record.value.partition(b"+")
            count, total = count + 1, total + int(amount)
            changes[record.key] = b"%d:%d" % (count, total)
            # "5+20000" asks for an output of 20,000 bytes, as a milestone with much evidence would.
            value = b"%s:%d:%d" % (record.key, count, total) + b" " * int(padding or 0)
            outputs.append(Outgoing("lines", record.key, value, []))
        return Folded(outputs, list(changes.items()))

    def dead_letter(self, record: Record, reason: str, message: str) -> Outgoing:
        return Outgoing(
            "dead-letters",
            record.key,
            record.value,
            [("milepost-error-code", reason.encode()), ("message", message.encode())],
        )


class Running(NamedTuple):
    service: JoinService
    log: Log
    task: asyncio.Task[None]


class World:
    """An in-memory cluster, workers on it, and what was sent to it."""

    def __init__(self, seed: int = 0, partitions: int = 2, options: JoinOptions = OPTIONS) -> None:
        self.cluster = SimCluster(seed, partitions)
        self.broker = self.cluster.broker
        self.options = options
        for topic in (*INPUTS, *OUTPUTS, STATE):
            self.broker.create(topic)
        self.sent: Counter[tuple[int, bytes]] = Counter()
        self.totals: Counter[tuple[int, bytes]] = Counter()

    def send(self, count: int, amount: bytes = b"3", numbers: Iterable[int] | None = None, keys: int = 3) -> None:
        """`count` events, spread over topics, partitions and keys as the seed says."""
        choices = list(numbers if numbers is not None else range(self.broker.partitions))
        for _ in range(count):
            number = self.broker.random.choice(choices)
            key = b"k%d" % self.broker.random.randrange(keys)
            self.send_one(self.broker.random.choice(INPUTS), number, key, amount)

    def send_one(self, topic: str, number: int, key: bytes, amount: bytes) -> int:
        """One event; its offset."""
        if amount != POISON:
            self.sent[number, key] += 1
            self.totals[number, key] += int(amount.partition(b"+")[0])
        return self.broker.append(TopicPartition(topic, number), [Message(key, amount)])

    def start(
        self,
        on_step: Callable[[str, int], None] = lambda name, partition: None,
        partition_type: type[PartitionJoin] = PartitionJoin,
        log: Log | None = None,
        **changed: object,
    ) -> Running:
        """One more worker."""
        log = log or self.cluster.log()
        options = dataclasses.replace(self.options, **changed)  # type: ignore[arg-type]
        service = JoinService(log, CountingWorker(), options, lambda number: MemoryStore(), on_step, partition_type)
        return Running(service, log, asyncio.create_task(service.run()))

    @contextlib.asynccontextmanager
    async def worker(self, **how: object) -> AsyncIterator[Running]:
        """A worker that is asked to end at the end of the block."""
        running = self.start(**how)  # type: ignore[arg-type]
        try:
            yield running
            running.service.stop()
            await running.task
        finally:
            running.task.cancel()
            await asyncio.wait({running.task})

    async def drained(self, timeout_s: float = 20.0) -> None:
        """Wait until every committed offset is at the end of its input."""
        async with asyncio.timeout(timeout_s):
            while not all(self.is_drained(number) for number in range(self.broker.partitions)):
                await asyncio.sleep(0.002)

    def is_drained(self, number: int) -> bool:
        for topic in INPUTS:
            partition = TopicPartition(topic, number)
            records = [entry for entry in self.broker.entries(partition) if entry.record]
            note = self.broker.committed(GROUP, partition)
            if records and (note is None or note.offset != records[-1].offset + 1):
                return False
        return True

    def committed(self, topic: str, number: int) -> list[Record]:
        """What a read_committed consumer sees."""
        records, _ = self.broker.read(TopicPartition(topic, number), 0, 1_000_000)
        return records

    def audit(self) -> None:
        """Nothing lost, doubled or torn; states, offsets and notes agree."""
        for number in range(self.broker.partitions):
            self._audit_lines(number)
            self._audit_transactions(number)
        assert self.broker.open_transactions() == []

    def _audit_lines(self, number: int) -> None:
        found: dict[bytes, list[tuple[int, int]]] = {}
        for record in self.committed("lines", number):
            assert record.value is not None
            key, count, total = record.value.strip().split(b":")
            found.setdefault(key, []).append((int(count), int(total)))
        expected = {key: count for (partition, key), count in self.sent.items() if partition == number}
        assert {key: len(counts) for key, counts in found.items()} == expected
        for key, counts in found.items():
            assert [count for count, _ in counts] == list(range(1, expected[key] + 1)), "lost, doubled or out of order"
            assert counts[-1][1] == self.totals[number, key]

    def _audit_transactions(self, number: int) -> None:
        """I3, I4 and I6 of the reliability page: each transaction whole, numbered without gap, epochs never back."""
        epochs: list[int] = []
        changes: list[tuple[bytes, bytes | None]] = []
        lines: dict[int, list[Outgoing]] = {}
        for topic in OUTPUTS:
            for record in self.committed(topic, number):
                txseq = int(header(record.headers, TXSEQ_HEADER) or b"-1")
                lines.setdefault(txseq, []).append(Outgoing(topic, record.key, record.value, []))
        last = Applied(0, "", {})
        for entry in self.broker.entries(TopicPartition(STATE, number)):
            if entry.transaction is None or entry.record is None or entry.transaction.state.value != "committed":
                continue
            assert entry.record.key is not None
            epochs.append(entry.transaction.producer[1])
            if entry.record.key != OFFSETS_KEY:
                changes.append((entry.record.key, entry.record.value))
                continue
            applied = msgspec.json.decode(entry.record.value or b"", type=Applied)
            assert applied.txseq == last.txseq + 1
            outputs = sorted(lines.pop(applied.txseq, []), key=lambda one: OUTPUTS.index(one.topic))
            if len({one.topic for one in outputs}) < 2:  # one topic: the order is known, so the hash can be made again
                assert applied.hash == digest(outputs, changes)
            changes, last = [], applied
        assert lines == {}, "outputs of a transaction that is not in the changelog"
        assert epochs == sorted(epochs)
        for topic, offset in last.offsets.items():
            note = self.broker.committed(GROUP, TopicPartition(topic, number))
            assert (note.offset if note else 0) == offset
