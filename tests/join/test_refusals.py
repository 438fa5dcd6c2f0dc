"""What a worker refuses: it stops, the partition or itself, and says why and what to do."""

import asyncio
import dataclasses
import time
from collections.abc import Callable

import pytest

from milepost.join.batch import Batch
from milepost.join.partition import PartitionJoin, Phase
from milepost.join.service import JoinService, WorkerStoppedError
from milepost.join.watchdog import Watchdog
from milepost.kafka.log import Committed, FencedError, Message, TopicPartition
from milepost.observe import metrics
from milepost.store.memory import MemoryStore
from tests.join.world import GROUP, INPUTS, OPTIONS, OUTPUTS, STATE, CountingWorker, World


async def test_when_even_the_dead_letter_is_rejected_the_partition_stops_and_says_so() -> None:
    world = World(partitions=1)
    world.broker.max_message_bytes |= {"lines": 5_000, "dead-letters": 1}
    world.broker.append(TopicPartition("reports", 0), [Message(b"k1", b"1+6000")])
    running = world.start()
    with pytest.raises(
        WorkerStoppedError, match=r"reports partition 0 offset 0: the broker refuses its dead letter too"
    ):
        await running.task


async def test_a_group_offset_ahead_of_the_state_is_refused_and_the_other_partitions_go_on() -> None:
    world = World(partitions=2)
    world.send(100)
    async with world.worker():
        await world.drained()
    moved = TopicPartition("reports", 0)
    note = world.broker.committed(GROUP, moved)
    assert note is not None
    world.send(100)
    world.broker.commit(GROUP, moved, Committed(note.offset + 20, note.metadata))
    running = world.start()
    async with asyncio.timeout(10):
        while not world.is_drained(1):
            await asyncio.sleep(0.002)
    assert running.service.partitions[0].phase is Phase.STOPPED
    running.service.stop()
    with pytest.raises(WorkerStoppedError, match="ahead of the state"):
        await running.task
    # The way out that the message names.
    world.broker.commit(GROUP, moved, note)
    async with world.worker():
        await world.drained()
    world.audit()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda note: Committed(note.offset - 5, ""), "moved by hand"),
        (lambda note: Committed(note.offset, note.metadata[:-1] + "x"), "another history"),
        (lambda note: Committed(note.offset, "999 abc"), "another history"),
    ],
)
async def test_a_group_that_contradicts_the_state_stops_the_worker(
    change: Callable[[Committed], Committed], says: str
) -> None:
    world = World(partitions=1)
    world.send(50)
    async with world.worker():
        await world.drained()
    moved = TopicPartition("reports", 0)
    note = world.broker.committed(GROUP, moved)
    assert note is not None
    world.broker.commit(GROUP, moved, change(note))
    with pytest.raises(WorkerStoppedError, match=says):
        await world.start().task


async def test_an_offset_without_a_state_is_refused() -> None:
    world = World(partitions=1)
    world.send(50)
    world.broker.commit(GROUP, TopicPartition("reports", 0), Committed(10, "1 abc"))
    with pytest.raises(WorkerStoppedError, match=r"ahead of the state \(empty\)"):
        await world.start().task


async def test_inputs_that_retention_took_away_stop_the_worker() -> None:
    world = World(partitions=1)
    world.send(50)
    async with world.worker():
        await world.drained()
    world.send(50)
    partition = TopicPartition("reports", 0)
    world.broker.truncate(partition, world.broker.span(partition).end - 1)
    with pytest.raises(WorkerStoppedError, match=r"reports partition 0: .* Records are gone"):
        await world.start().task


async def test_a_strangers_hanging_transaction_in_the_changelog_stops_the_worker() -> None:
    world = World(partitions=1)
    world.send(10)
    world.broker.start_producer("stranger")
    world.broker.produce("stranger", 0, TopicPartition(STATE, 0), [Message(b"k1", b"999:999")])
    with pytest.raises(WorkerStoppedError, match="cannot be read beyond offset 0 of 1"):
        await world.start().task


async def test_workers_with_other_topics_stop_and_say_why() -> None:
    world = World(partitions=1)
    log = world.cluster.log()
    odd = JoinService(
        log, CountingWorker(), dataclasses.replace(OPTIONS, inputs=("reports",)), lambda number: MemoryStore()
    )
    running = world.start()
    tasks = {running.task, asyncio.create_task(odd.run())}
    done, waiting = await asyncio.wait(tasks, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    with pytest.raises(WorkerStoppedError, match="read different topics"):
        done.pop().result()
    for service in (odd, running.service):
        service.stop()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_topics_that_do_not_fit_are_refused_before_anything_is_read() -> None:
    world = World()
    world.broker.create("short", 1)
    with pytest.raises(WorkerStoppedError, match=r"same number of partitions; found: .*short has 1"):
        await world.start(outputs=(*OUTPUTS, "short")).task


async def test_topics_that_are_not_there_yet_are_waited_for() -> None:
    world = World()
    running = world.start(inputs=(*INPUTS, "absent"))
    until = time.monotonic() + 60
    while "absent" not in (running.service.waits_for() or ""):
        assert time.monotonic() < until
        await asyncio.sleep(0.01)
    world.broker.create("absent")
    while running.service.waits_for() is not None:
        assert time.monotonic() < until
        await asyncio.sleep(0.01)
    running.service.stop()
    await running.task


async def test_a_worker_that_is_fenced_again_and_again_ends() -> None:
    world = World(partitions=1)
    world.send(10)

    def fenced(name: str, partition: int) -> None:
        if name == "after-begin":
            raise FencedError("somebody else")

    with pytest.raises(WorkerStoppedError, match=r"fenced 4 times within 60 s.*test\.counting\.\*"):
        await world.start(on_step=fenced, fences_most=4).task


async def test_a_consumer_that_stands_still_ends_the_worker() -> None:
    world = World(partitions=1)
    running = world.start()
    world.send(10)
    await world.drained()
    consumer = running.service._consumer
    watchdog = Watchdog(running.service, consumer)
    # What a client that lost its broker without a sign looks like: held, not paused by us, and nothing comes.
    consumer.pause([TopicPartition(topic, 0) for topic in INPUTS])
    world.send(10)
    await watchdog.look(1_000.0)
    await watchdog.look(999.0 + OPTIONS.stuck_s)
    assert not running.task.done()
    await watchdog.look(1_000.0 + OPTIONS.stuck_s)
    with pytest.raises(WorkerStoppedError, match="is not read any more"):
        await running.task


async def test_a_worker_that_has_ended_is_not_behind() -> None:
    def shown() -> float:
        found = [metrics.REGISTRY.get_sample_value("milepost_join_lag_records", {"topic": name}) for name in INPUTS]
        return sum(count for count in found if count is not None)

    world = World(partitions=1)
    running = world.start()
    world.send(10)
    await world.drained()
    running.service._consumer.pause([TopicPartition(topic, 0) for topic in INPUTS])
    world.send(10)
    watchdog = Watchdog(running.service, running.service._consumer)
    looking = asyncio.create_task(watchdog.run())
    await asyncio.sleep(0)
    await watchdog.look(1_000.0)
    assert shown() == watchdog.lag_records == 10
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    assert shown() == watchdog.lag_records == 0
    running.task.cancel()
    await asyncio.gather(running.task, return_exceptions=True)


async def test_a_bug_ends_the_worker_with_its_name() -> None:
    class Broken(PartitionJoin):
        async def _join(self, batch: Batch) -> None:
            raise ZeroDivisionError("a bug")

    world = World(partitions=1)
    world.send(10)
    with pytest.raises(WorkerStoppedError, match="partition 0: ZeroDivisionError: a bug"):
        await world.start(partition_type=Broken).task
