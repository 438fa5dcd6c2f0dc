"""The protocol on Apache Kafka: restarts, takeovers, poison, rejections and moved offsets, with the counting worker."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from milepost.codec.wire import Record
from milepost.join.service import JoinService, WorkerStoppedError
from milepost.kafka.clients import KafkaGroupConsumer, KafkaLog
from milepost.kafka.log import Committed, LogError, Message, TopicPartition
from milepost.settings import Settings
from tests.contracts.conftest import PARTITIONS, create_topics
from tests.join.counting_process import service
from tests.join.world import INPUTS, OUTPUTS, POISON, STATE

pytestmark = pytest.mark.kafka

REPOSITORY = Path(__file__).parents[2]
TOO_LARGE = {"max.message.bytes": "5000"}


class KafkaWorld:
    """Topics of this test's own, what was sent to them, and what a read_committed consumer finds."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.log = KafkaLog(settings)
        self.random = Random(1)
        self.sent: Counter[tuple[int, bytes]] = Counter()
        self._producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers)

    async def start(self, configs: dict[str, dict[str, str]]) -> None:
        await create_topics(self.settings, {topic: configs.get(topic, {}) for topic in (*INPUTS, *OUTPUTS, STATE)})
        await self.log.start()
        await self._producer.start()

    async def stop(self) -> None:
        await self._producer.stop()
        await self.log.stop()

    async def send(self, count: int, amount: bytes = b"3", counted: bool = True) -> None:
        futures = []
        for _ in range(count):
            number, key = self.random.randrange(PARTITIONS), b"k%d" % self.random.randrange(5)
            topic = self.settings.topic(self.random.choice(INPUTS))
            futures.append(await self._producer.send(topic, amount, key, partition=number))
            if counted:
                self.sent[number, key] += 1
        await asyncio.gather(*futures)

    async def lines(self, topic: str = "lines") -> list[Record]:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        found: list[Record] = []
        for partition, span in (await self.log.spans(partitions)).items():
            async for records in self.log.read(partition, span.begin, span.end, 10.0):
                found += records
        return found

    async def drained(self, timeout_s: float = 40.0) -> None:
        partitions = [TopicPartition(topic, number) for topic in INPUTS for number in range(PARTITIONS)]
        async with asyncio.timeout(timeout_s):
            while not await self._is_drained(partitions):
                await asyncio.sleep(0.1)

    async def _is_drained(self, partitions: list[TopicPartition]) -> bool:
        try:
            spans, notes = await self.log.spans(partitions), await self.log.committed(self.settings.group, partitions)
        except LogError:  # the group's coordinator is not there yet
            return False
        return all(notes.get(one, Committed(0, "")).offset == spans[one].end for one in partitions)

    async def audit(self) -> None:
        """No line lost, doubled or out of order."""
        found: dict[tuple[int, bytes], list[int]] = {}
        for record in await self.lines():
            key, count, _ = (record.value or b"").strip().split(b":")
            found.setdefault((record.partition, key), []).append(int(count))
        assert {place: len(counts) for place, counts in found.items()} == dict(self.sent)
        assert all(counts == list(range(1, len(counts) + 1)) for counts in found.values())

    async def open_transactions(self) -> int:
        """Partitions whose stable offset is behind their end, seen as a reader that stalls."""
        partitions = [TopicPartition(topic, number) for topic in (*OUTPUTS, STATE) for number in range(PARTITIONS)]
        spans = await self.log.spans(partitions)
        reader = self.log.consumer("nobody", [STATE], _Nobody())
        await reader.start()
        try:
            stable = await reader.ends(partitions)
        finally:
            await reader.stop()
        return sum(stable[one] != spans[one].end for one in partitions)

    @contextlib.asynccontextmanager
    async def worker(self) -> AsyncIterator[JoinService]:
        """A worker in this process, ended in good order."""
        running = service(self.settings)
        task = asyncio.create_task(running.run())
        try:
            yield running
            running.stop()
            await task
        finally:
            running.stop()
            await asyncio.wait({task})

    @contextlib.contextmanager
    def process(self) -> Iterator["Process"]:
        """A worker in a process of its own."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MILEPOST_")},
            **{f"MILEPOST_{name.upper()}": str(getattr(self.settings, name)) for name in SET},
        }
        log = self.folder / f"worker-{self.random.getrandbits(32):08x}.log"
        with log.open("wb") as stderr:
            command = [sys.executable, "-m", "tests.join.counting_process"]
            started = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=stderr)
        try:
            yield Process(started, log)
        finally:
            started.kill()
            started.wait()


SET = (
    "bootstrap_servers",
    "topic_prefix",
    "group",
    "app",
    "session_timeout_ms",
    "heartbeat_interval_ms",
    "max_records",
)


class Process:
    def __init__(self, started: subprocess.Popen[bytes], log: Path) -> None:
        self.started, self.log = started, log

    async def said(self, text: str, timeout_s: float = 30.0) -> str:
        async with asyncio.timeout(timeout_s):
            while not (found := re.search(text, self.log.read_text())):
                assert self.started.poll() is None, self.log.read_text()[-3_000:]
                await asyncio.sleep(0.05)
        return found.group(0)

    async def ended(self, timeout_s: float = 30.0) -> int:
        return await asyncio.to_thread(self.started.wait, timeout_s)


class _Nobody:
    def on_assigned(self, assigned: frozenset[TopicPartition]) -> None: ...

    async def on_revoked(self, revoked: frozenset[TopicPartition]) -> None: ...


Make = Callable[..., "contextlib.AbstractAsyncContextManager[KafkaWorld]"]


@pytest.fixture
def made(real_kafka: str, topic_prefix: str, tmp_path: Path) -> Make:
    """`async with made(topic=config) as world`."""

    @contextlib.asynccontextmanager
    async def make(configs: dict[str, dict[str, str]] | None = None) -> AsyncIterator[KafkaWorld]:
        settings = Settings(
            bootstrap_servers=real_kafka,
            topic_prefix=topic_prefix,
            group=f"{topic_prefix}join",
            app="test",
            session_timeout_ms=6_000,
            heartbeat_interval_ms=500,
            max_records=200,
        )
        world = KafkaWorld(settings, tmp_path)
        await world.start(configs or {})
        try:
            yield world
        finally:
            await world.stop()

    return make


async def test_a_restart_resumes_exactly_and_the_end_leaves_no_open_transaction(made: Make) -> None:
    async with made() as world:
        for _ in range(3):
            await world.send(500)
            async with world.worker():
                await world.drained()
            assert await world.open_transactions() == 0
        await world.audit()


async def test_a_worker_killed_in_the_middle_is_replaced_by_the_other(made: Make) -> None:
    async with made() as world:
        with world.process() as first, world.process() as second:
            await world.send(500)
            for process in (first, second):
                await process.said(r'"partitions": \[\d, \d\]')
            await world.drained()
            sending = asyncio.create_task(world.send(4_000))
            await asyncio.sleep(0.3)
            first.started.send_signal(signal.SIGKILL)
            await sending
            await second.said(r'"partitions": \[0, 1, 2, 3\]')
            await world.drained()
            second.started.send_signal(signal.SIGTERM)
            assert await second.ended() == 0
        await world.audit()
        assert await world.open_transactions() == 0


async def test_sigterm_under_load_ends_in_good_order(made: Make) -> None:
    async with made() as world:
        await world.send(3_000)
        with world.process() as process:
            await process.said("partition restored")
            process.started.send_signal(signal.SIGTERM)
            assert await process.ended() == 0
        assert await world.open_transactions() == 0
        async with world.worker():
            await world.drained()
        await world.audit()


async def test_poison_is_one_dead_letter_each_and_the_partition_goes_on(made: Make) -> None:
    async with made() as world:
        await world.send(300)
        await world.send(3, amount=POISON, counted=False)
        await world.send(300)
        async with world.worker():
            await world.drained()
        await world.audit()
        dead = await world.lines("dead-letters")
        assert [record.value for record in dead] == [POISON] * 3


async def test_a_batch_that_the_broker_rejects_is_not_committed_and_its_record_is_found(made: Make) -> None:
    """The client alone would commit state and offsets, and the line would be lost."""
    async with made({"lines": TOO_LARGE}) as world:
        await world.send(60)
        await world.send(1, amount=b"1+20000", counted=False)
        await world.send(60)
        async with world.worker():
            await world.drained()
        await world.audit()
        (dead,) = await world.lines("dead-letters")
        assert dead.value == b"1+20000"
        assert dict(dead.headers)["milepost-error-code"] == b"OUTPUT_REJECTED"


async def test_a_moved_group_offset_is_refused_with_the_way_out(made: Make) -> None:
    async with made() as world:
        await world.send(400)
        async with world.worker():
            await world.drained()
        await world.send(100)
        moved = TopicPartition(INPUTS[0], 0)
        span = (await world.log.spans([moved]))[moved]
        await move(world, moved, span.end)
        running = service(world.settings)
        task = asyncio.create_task(running.run())
        async with asyncio.timeout(30):
            while not any(
                "moved by hand" in one.trouble or "ahead" in one.trouble for one in running.partitions.values()
            ):
                await asyncio.sleep(0.05)
        running.stop()
        with pytest.raises(WorkerStoppedError, match=rf"{moved.topic} partition 0: group .* ahead of the state"):
            await task
        assert sum(1 for _ in await world.lines()) < 500


async def move(world: KafkaWorld, partition: TopicPartition, offset: int) -> None:
    """As an operator would: while no worker runs."""
    named = TopicPartition(world.settings.topic(partition.topic), partition.partition)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=world.settings.bootstrap_servers, group_id=world.settings.group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        consumer.assign([named])
        await consumer.commit({named: offset})
    finally:
        await consumer.stop()


async def test_a_worker_whose_client_has_ended_ends_and_says_so(made: Make) -> None:
    async with made() as world:
        await world.send(10)
        async with world.worker():
            await world.drained()
        running = service(world.settings)
        task = asyncio.create_task(running.run())
        async with asyncio.timeout(30):
            while not running.partitions or running.waits_for() is not None:
                await asyncio.sleep(0.05)
        consumer = running._consumer
        assert isinstance(consumer, KafkaGroupConsumer)
        consumer._client()._client._sync_task.cancel()
        with pytest.raises(WorkerStoppedError, match="the Kafka client fetches no metadata any more"):
            await task


async def test_a_compacted_changelog_with_an_aborted_tail_restores_the_same(made: Make) -> None:
    hard = {
        "cleanup.policy": "compact",
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.01",
        "delete.retention.ms": "0",
        "max.compaction.lag.ms": "100",
    }
    async with made({STATE: hard}) as world:
        for _ in range(3):
            await world.send(300)
            async with world.worker():
                await world.drained()
            # A successor that died in its first transaction.
            for number in range(PARTITIONS):
                producer = world.log.producer(f"test.{world.settings.group}.{number}")
                await producer.start()
                await producer.begin()
                await producer.send(STATE, number, [Message(b"k1", b"999:999")])
                await producer.settle(10.0)
                await producer.close(5.0)
            await asyncio.sleep(0.3)
        async with world.worker():
            await world.send(100)
            await world.drained()
        await world.audit()
