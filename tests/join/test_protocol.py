"""The ten steps on the in-memory log: what each of them is for, happening."""

import asyncio
from collections.abc import Collection, Sequence

import pytest

from milepost.codec.wire import Record
from milepost.kafka.log import FencedError, GroupConsumer, Listener, LogError, Message, Producer, TopicPartition
from tests.chaos.controls import PassingLog, PassingProducer
from tests.join.world import POISON, STATE, World

STEPS = [
    "after-fence",
    "mid-restore",
    "after-restore",
    "after-position",
    "after-fold",
    "after-begin",
    "after-send",
    "after-await",
    "after-offsets",
    "after-commit",
    "after-publish",
    "in-discard",
]


class Breaking:
    """Raises at the n-th arrival at a step, once."""

    def __init__(self, step: str, count: int, error: Exception) -> None:
        self.step, self.count, self.error, self.broke = step, count, error, False

    def __call__(self, name: str, partition: int) -> None:
        if name == self.step and not self.broke:
            self.count -= 1
            if self.count == 0:
                self.broke = True
                raise self.error


async def test_every_event_is_joined_once_and_offsets_say_so() -> None:
    world = World()
    world.send(300)
    async with world.worker():
        world.send(100)
        await world.drained()
        world.send(100)
        await world.drained()
    world.audit()
    assert sum(world.sent.values()) == 500


async def test_a_restart_goes_on_exactly_where_the_last_worker_ended() -> None:
    world = World()
    for _ in range(4):
        world.send(60)
        async with world.worker():
            await world.drained()
        for number in range(world.broker.partitions):
            world.broker.compact(TopicPartition(STATE, number))
    # The changelog was compacted to the bone each time, so the transactions cannot be audited, only the lines.
    for number in range(world.broker.partitions):
        world._audit_lines(number)


@pytest.mark.parametrize("step", [step for step in STEPS if step not in ("mid-restore", "in-discard")])
@pytest.mark.parametrize("error", [LogError("broken"), FencedError("fenced")], ids=["failed", "fenced"])
async def test_an_exception_at_any_step_loses_and_doubles_nothing(step: str, error: Exception) -> None:
    world = World()
    world.send(200)
    breaking = Breaking(step, 2, error)
    async with world.worker(on_step=breaking):
        await world.drained()
        world.send(100)
        await world.drained()
    assert breaking.broke
    world.audit()


@pytest.mark.parametrize("step", STEPS)
async def test_a_worker_frozen_at_any_step_is_replaced_and_its_return_changes_nothing(step: str) -> None:
    """kill -9, and then worse: the dead worker comes back in the middle of its transaction."""
    world = World()
    world.send(100)
    if step == "mid-restore":
        async with world.worker():
            await world.drained()
    zombie_log = world.cluster.log()
    frozen = asyncio.Event()

    def freeze(name: str, partition: int) -> None:
        if step == "in-discard" and name == "after-send" and not frozen.is_set():
            raise LogError("broken")
        if name == step and not frozen.is_set():
            frozen.set()
            zombie_log.freeze()

    zombie = world.start(on_step=freeze, log=zombie_log, heartbeat_s=0.05)
    world.send(100)
    async with asyncio.timeout(10):
        await frozen.wait()
    async with world.worker():
        await world.drained()
        zombie_log.thaw()
        world.send(200)
        await world.drained()
        zombie.service.stop()
        await asyncio.wait({zombie.task})
        world.send(50)
        await world.drained()
    world.audit()


async def test_two_workers_share_the_partitions_and_one_takes_over_all() -> None:
    world = World(partitions=4)
    world.send(200)
    first, second = world.start(), world.start()
    async with asyncio.timeout(10):
        while not (first.service.ready and second.service.ready and len(first.service.partitions) == 2):
            await asyncio.sleep(0.002)
        assert first.service.partitions.keys() | second.service.partitions.keys() == {0, 1, 2, 3}
        world.send(200)
        first.service.stop()
        await first.task
        await world.drained()
        assert len(second.service.partitions) == 4
        second.service.stop()
        await second.task
    world.audit()


async def test_the_graceful_end_finishes_its_transaction_and_leaves_the_rest() -> None:
    world = World(partitions=1)
    world.send(1_000)
    running = world.start(on_step=lambda name, partition: running.service.stop() if name == "after-send" else None)
    await running.task
    assert world.broker.open_transactions() == []
    assert 0 < len(world.committed("lines", 0)) < 1_000
    async with world.worker():
        await world.drained()
    world.audit()


class SlowSecondPartition(PassingLog):
    """Partition 1's transactions take long enough for partition 0 to go through several."""

    def producer(self, transactional_id: str) -> Producer:
        producer = self.inner.producer(transactional_id)
        return SlowProducer(producer) if transactional_id.endswith(".1") else producer


class SlowProducer(PassingProducer):
    async def send(self, topic: str, partition: int, messages: Sequence[Message]) -> None:
        await asyncio.sleep(0.1)
        await self.inner.send(topic, partition, messages)


async def test_records_that_come_while_the_worker_ends_do_not_skip_those_it_gave_up() -> None:
    """The end drops what is queued; what the poll task brings after that must not be folded in its place."""
    world = World(partitions=2)
    world.send(1_000)

    def stop(name: str, partition: int) -> None:
        if name == "after-begin" and partition == 1 and running.service.partitions[0].backlog:
            running.service.stop()

    running = world.start(on_step=stop, log=SlowSecondPartition(world.cluster.log()))
    await running.task
    async with world.worker():
        await world.drained()
    world.audit()


async def test_a_record_that_makes_the_fold_raise_is_one_dead_letter() -> None:
    world = World(partitions=1)
    world.send(40)
    world.send_one("reports", 0, b"k1", POISON)
    world.send(40)
    world.send_one("approvals", 0, b"k2", POISON)
    async with world.worker():
        await world.drained()
    world.audit()
    dead = world.committed("dead-letters", 0)
    assert [(record.key, record.value) for record in dead] == [(b"k1", POISON), (b"k2", POISON)]
    assert dict(dead[0].headers)["milepost-error-code"] == b"FOLD_FAILED"
    assert dict(dead[0].headers)["message"] == b"ArithmeticError: poison"


async def test_a_record_whose_output_the_broker_rejects_is_found_by_halving() -> None:
    world = World(partitions=1)
    world.broker.max_message_bytes["lines"] = 5_000
    world.send(45)
    world.broker.append(TopicPartition("reports", 0), [Message(b"k1", b"1+6000")])
    world.send(45)
    restarts = 0

    def count(name: str, partition: int) -> None:
        nonlocal restarts
        restarts += name == "in-discard"

    async with world.worker(on_step=count):
        await world.drained()
    world.audit()
    (dead,) = world.committed("dead-letters", 0)
    assert dead.value == b"1+6000"
    assert dict(dead.headers)["milepost-error-code"] == b"OUTPUT_REJECTED"
    # Halving 50 records down to one takes about six attempts, not fifty.
    assert 2 <= restarts <= 14


async def test_an_output_too_large_for_any_broker_never_leaves_the_worker() -> None:
    world = World(partitions=1)
    world.send(10)
    world.broker.append(TopicPartition("reports", 0), [Message(b"k1", b"1+2000000")])
    world.send(10)
    restarts: list[str] = []
    async with world.worker(on_step=lambda name, partition: restarts.append(name) if name == "in-discard" else None):
        await world.drained()
        assert restarts == []
    world.audit()
    assert len(world.committed("dead-letters", 0)) == 1


async def test_a_batch_behind_a_failed_one_is_dropped_whole() -> None:
    """Dropping only what is below the position once lost 100 of 400 records."""
    world = World(partitions=1)
    behind: list[int] = []
    running = None

    def fail(name: str, partition: int) -> None:
        if name == "after-send" and running is not None:
            waiting = running.service.partitions[0].backlog
            if waiting and not behind:
                behind.append(waiting)
                raise LogError("broken with a batch behind")

    world.send(400)
    running = world.start(on_step=fail)
    await world.drained()
    running.service.stop()
    await running.task
    assert behind
    world.audit()


async def test_a_lost_group_offset_is_no_matter_the_state_knows() -> None:
    world = World(partitions=1)
    world.send(50)
    async with world.worker():
        await world.drained()
    world.broker._committed.clear()
    world.send(50)
    async with world.worker():
        await world.drained()
    world.audit()


async def test_a_lost_answer_to_endtxn_takes_a_new_epoch_before_the_next_transaction() -> None:
    """KAFKA-17754: the first EndTxn arrives in the middle of the next transaction and finds an old epoch."""
    world = World(partitions=1)
    ended: list[int] = []

    def deliver(name: str, partition: int) -> None:
        if name == "after-send" and world.broker.held_ends:
            ended.append(world.broker.release_held_ends())

    async with world.worker(on_step=deliver):
        for _ in range(5):
            world.broker.hold_next_end = 1
            world.send(30)
            await world.drained()
            world.send(30)
            await world.drained()
    assert ended == [0] * 5
    world.audit()


async def test_a_new_epoch_comes_before_sequence_numbers_end() -> None:
    world = World(partitions=1)
    fences: list[int] = []
    async with world.worker(
        on_step=lambda name, partition: fences.append(1) if name == "after-fence" else None, renew_after_records=200
    ):
        world.send(600)
        await world.drained()
    assert len(fences) >= 4
    world.audit()


async def test_an_aborted_tail_and_an_empty_changelog_are_read_to_the_end() -> None:
    world = World(partitions=1)
    world.send(50)
    async with world.worker():
        await world.drained()
    epoch = world.broker.start_producer("test.counting.0")
    world.broker.produce("test.counting.0", epoch, TopicPartition(STATE, 0), [Message(b"k1", b"999:999")])
    world.send(50)
    async with world.worker():
        await world.drained()
    world.audit()


async def test_a_paused_partition_is_resumed_when_its_queue_is_short_again() -> None:
    world = World(partitions=1)
    world.send(2_000)
    async with world.worker(queue_records=60, max_records=30):
        await world.drained()
    world.audit()


class ForgetfulLog(PassingLog):
    """A client that raises now and then after its position moved on: what it had in hand is never returned."""

    def consumer(self, group: str, topics: Collection[str], listener: Listener) -> GroupConsumer:
        return ForgetfulConsumer(self.inner.consumer(group, topics, listener))


class ForgetfulConsumer:
    def __init__(self, inner: GroupConsumer) -> None:
        self.inner, self.forgotten, self.polls = inner, 0, 0
        self.start, self.stop, self.seek = inner.start, inner.stop, inner.seek
        self.pause, self.resume, self.position, self.ends = inner.pause, inner.resume, inner.position, inner.ends

    async def poll(self, timeout_s: float, max_records: int) -> dict[TopicPartition, list[Record]]:
        found = await self.inner.poll(timeout_s, max_records)
        self.polls += bool(found)
        if found and self.polls % 5 == 4:
            self.forgotten += sum(map(len, found.values()))
            raise LogError("CorruptRecord")
        return found


async def test_records_that_a_raising_poll_passed_over_are_sought_again() -> None:
    world = World()
    world.send(500)
    async with world.worker(log=ForgetfulLog(world.cluster.log())) as running:
        await world.drained()
        consumer = running.service._consumer
        assert isinstance(consumer, ForgetfulConsumer)
        assert consumer.forgotten > 0
    world.audit()
